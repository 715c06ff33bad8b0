"""Features of tables: columns, and columns that belong together (one-hot groups)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from blackbox.errors import RequestError, unknown
from blackbox.features.labels import MOST_CELLS, Features, choose, from_labels


def columns(x: Mapping[str, np.ndarray], names: Sequence[str] | None = None) -> Features:
    """Make every column a feature. ``names`` : one per column, ``x0``, ``x1``, ... when None."""
    return choose(x, names)


def grouped(
    x: Mapping[str, np.ndarray], names: Sequence[str], groups: Mapping[str, Sequence[str]],
    never_hidden: Sequence[str] = (),
) -> Features:  # fmt: skip
    """Make each group of columns one feature, and every other column a feature of its own.

    Features stand in the order in which their first column stands in the table.

    Parameters
    ----------
    x : the input; its cells, input after input, are the columns.
    names : the column names. groups : feature name -> its columns.
    never_hidden : columns that stay as they are in every question and get no value.

    Raises
    ------
    RequestError : an unknown column, one that is in two groups, or an empty group.
    """
    if not groups and len(names) - len(never_hidden) > MOST_CELLS:
        return choose(x, names)
    owner: dict[str, str] = {}
    for group, members in groups.items():
        if not members:
            raise RequestError(f"Group {group!r} has no columns.")
        for member in members:
            if member not in names:
                raise unknown(f"column in group {group!r}:", member, names)
            if owner.setdefault(member, group) != group:
                raise RequestError(f"Column {member!r} is in two groups: {owner[member]!r}, {group!r}.")
    for column in never_hidden:
        if column not in names:
            raise unknown("column in never_hidden:", column, names)
    features = [owner.get(name, name) for name in names if name not in never_hidden]
    if clash := (set(groups) & (set(names) - set(owner))):
        raise RequestError(f"{sorted(clash)[0]!r} is both a group and a column outside it; rename the group.")
    order = {feature: k for k, feature in enumerate(dict.fromkeys(features))}
    flat = np.array([-1 if n in never_hidden else order[owner.get(n, n)] for n in names])
    rule = f"columns, {len(groups)} groups of columns" if groups else "columns"
    found = from_labels(_unflatten(flat, x), x, list(order), rule, names)
    return replace(found, never_hidden=tuple(never_hidden))


def _unflatten(flat: np.ndarray, x: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    sizes = [array.size for array in x.values()]
    if sum(sizes) != len(flat):
        raise RequestError(f"There are {len(flat)} column names for {sum(sizes)} cells.")
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return {name: part.reshape(x[name].shape) for name, part in zip(x, parts, strict=True)}
