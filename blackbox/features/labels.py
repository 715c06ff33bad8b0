"""Features as labels, and the rule that applies when nobody says which features there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from blackbox.errors import RequestError, unknown
from blackbox.features.pictures import feature_places, patches, picture_axes

MOST_CELLS = 1024
"""Up to this many cells, every cell is a feature of its own unless somebody says otherwise."""

GRID = 14


@dataclass(frozen=True)
class Features:
    """d features of one input.

    labels : per input name Int[np.ndarray, "*cells"]: the feature that each cell belongs to, -1
        where a cell is never hidden.
    names : d names. rule : one sentence on where they come from, for the record.
    cells : the names of all cells, input after input, where they have names (table columns).
    never_hidden : names of the cells that are declared as never hidden.
    """

    labels: Mapping[str, np.ndarray]
    names: tuple[str, ...]
    rule: str = "given"
    cells: tuple[str, ...] = ()
    never_hidden: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def data(self, x: Mapping[str, np.ndarray]) -> np.ndarray:
        """Say what an input holds in each feature.

        A single cell gives its value; a one-hot group of named columns gives the name of the hot
        one; any other group gives the mean of its cells.

        Returns
        -------
        Object[np.ndarray, "d"]
        """
        held = np.empty(len(self), dtype=object)
        if self._in_order == tuple(x):
            arrays = [array.ravel() for array in x.values()]
            held[:] = (arrays[0] if len(arrays) == 1 else np.concatenate(arrays, dtype=object)).tolist()
            return held
        if not self.cells and all(array.dtype.kind == "f" for array in x.values()):
            held[:] = self._means(x)
            return held
        held[:] = [_summary(values, cells) for values, cells in self.members(x)]
        return held

    def spread(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Put one value per feature back into the input's shape, 0 where a cell belongs to none.

        Parameters
        ----------
        values : Float[np.ndarray, "d"].

        Returns
        -------
        per input name Float[np.ndarray, "*cells"]

        Examples
        --------
        >>> two = Features({"x": np.array([[0, 0], [1, -1]])}, ("a", "b"))
        >>> two.spread(np.array([2.0, 3.0]))["x"].tolist()
        [[2.0, 2.0], [3.0, 0.0]]
        """
        padded = np.append(values, 0.0)  # label -1 is the last one
        return {name: padded[labels] for name, labels in self.labels.items()}

    def places(self) -> np.ndarray | None:
        """Say where features lie: Int[np.ndarray, "d 2"] in a picture, None in anything else."""
        if len(self.labels) != 1:
            return None
        return feature_places(next(iter(self.labels.values())), len(self))

    @cached_property
    def _in_order(self) -> tuple[str, ...] | None:
        """The inputs' names in the order of the labels, where every cell is a feature of its own."""
        labels = np.concatenate([labels.ravel() for labels in self.labels.values()])
        return tuple(self.labels) if np.array_equal(labels, np.arange(len(self))) else None

    def _means(self, x: Mapping[str, np.ndarray]) -> list[float]:
        """Mean of every feature's cells; large pictures have too many cells for lists."""
        labels = np.concatenate([self.labels[name].ravel() for name in x])
        values = np.concatenate([array.ravel().astype(float) for array in x.values()])
        inside = labels >= 0
        sums = np.bincount(labels[inside], weights=values[inside], minlength=len(self))
        return list((sums / np.bincount(labels[inside], minlength=len(self))).tolist())

    def members(self, x: Mapping[str, np.ndarray]) -> list[tuple[list[Any], list[str]]]:
        """Return, per feature, the values of its cells in ``x`` and their names (if they have any)."""
        found: list[tuple[list[Any], list[str]]] = [([], []) for _ in self.names]
        labels = [label for name in x for label in self.labels[name].ravel().tolist()]
        values = [value for array in x.values() for value in array.ravel().tolist()]
        for cell, (label, value) in enumerate(zip(labels, values, strict=True)):
            if label >= 0:
                found[label][0].append(value)
                found[label][1].extend(self.cells[cell : cell + 1])
        return found


def _summary(values: list[Any], cells: list[str]) -> Any:
    if len(values) == 1:
        return values[0]
    if any(isinstance(value, str) for value in values):
        return ", ".join(map(str, values))
    if cells and sorted(values)[-2:] == [0, 1] and set(values) == {0, 1}:
        return cells[values.index(1)]
    return float(np.mean(values))


def from_labels(
    labels: np.ndarray | Mapping[str, np.ndarray],
    x: Mapping[str, np.ndarray],
    names: Sequence[str] | None = None,
    rule: str = "labels given by the caller",
    cells: Sequence[str] = (),
) -> Features:
    """Build Features from an integer label per cell.

    Parameters
    ----------
    labels : Int[np.ndarray, "*cells"] for a model with one input, else one array per input name;
        an array broadcasts over the input, so (height, width) serves (channels, height, width).
    x : the input, one array per name without the batch axis.
    names : d names; ``x0``, ``x1``, ... when None. cells : the cells' own names, where known.

    Raises
    ------
    RequestError : wrong shape, no feature, a gap in the numbering, or the wrong number of names.
    """
    given = labels if isinstance(labels, Mapping) else dict.fromkeys(x, labels)
    for name in given:
        if name not in x:
            raise unknown("input in features:", name, x)
    spread = {name: _spread(given.get(name), array, name) for name, array in x.items()}
    used = np.unique(np.concatenate([array.ravel() for array in spread.values()]))
    used = used[used >= 0]
    if len(used) == 0:
        raise RequestError("Every feature label is -1, so there is nothing to explain.")
    if used[-1] != len(used) - 1:
        missing = sorted(set(range(int(used[-1]))) - set(used.tolist()))[0]
        raise RequestError(f"Feature labels must run from 0 without a gap; {missing} is missing.")
    if names is not None and len(names) != len(used):
        raise RequestError(f"There are {len(used)} features but {len(names)} feature names.")
    return Features(spread, tuple(names or (f"x{i}" for i in range(len(used)))), rule, tuple(cells))


def _spread(labels: object, array: np.ndarray, name: str) -> np.ndarray:
    if labels is None:
        return np.full(array.shape, -1)
    try:
        given = np.asarray(labels)
    except ValueError:
        raise RequestError("Feature labels must form an array; their rows differ in length.") from None
    if given.dtype.kind not in "iu" or (given.size and given.min() < -1):
        raise RequestError("Feature labels must be whole numbers from 0 up, or -1 for never hidden.")
    try:
        return np.array(np.broadcast_to(given, array.shape), dtype=np.int64)
    except ValueError:
        raise RequestError(
            f"Feature labels of shape {given.shape} do not fit input {name!r} of shape {array.shape}."
        ) from None


def choose(x: Mapping[str, np.ndarray], names: Sequence[str] | None = None) -> Features:
    """Apply the default: one feature per cell up to 1,024 cells, else a 14 x 14 grid of patches.

    Raises
    ------
    RequestError : a larger input that is no picture; the message names the choices.
    """
    cells = sum(array.size for array in x.values())
    if cells <= MOST_CELLS:
        return _per_cell(x, names)
    if len(x) == 1:
        ((name, array),) = x.items()
        if picture_axes(array.shape) is not None:
            labels, patch_names = patches(array.shape, GRID, GRID)
            rule = f"default: {GRID} x {GRID} patches, because the input has {cells} cells"
            return from_labels({name: labels}, x, patch_names, rule)
    raise RequestError(
        f"The input has {cells:,} cells, more than {MOST_CELLS:,} features: say which cells belong "
        "together, by integer labels per cell, by groups of columns, or for pictures by a grid of "
        "patches or superpixels."
    )


def _per_cell(x: Mapping[str, np.ndarray], names: Sequence[str] | None) -> Features:
    labels, start = {}, 0
    for name, array in x.items():
        labels[name] = np.arange(start, start + array.size).reshape(array.shape)
        start += array.size
    return from_labels(labels, x, names or _cell_names(x), "default: one feature per cell", names or ())


def _cell_names(x: Mapping[str, np.ndarray]) -> list[str]:
    found = []
    for name, array in x.items():
        axes = picture_axes(array.shape) if len(x) == 1 else None
        channels = array.size // (array.shape[axes[0]] * array.shape[axes[1]]) if axes else 1
        for index in np.ndindex(array.shape):
            if axes is None:
                found.append(_plain_name(name, index, len(x) > 1))
            else:
                channel = [f" channel {i}" for axis, i in enumerate(index) if axis not in axes]
                pixel = f"pixel {index[axes[0]]},{index[axes[1]]}"
                found.append(pixel + (channel[0] if channels > 1 else ""))
    return found


def _plain_name(name: str, index: tuple[int, ...], several: bool) -> str:
    spot = ",".join(map(str, index))
    if several:
        return f"{name}[{spot}]" if spot else name
    return f"x{spot}" if len(index) == 1 else f"cell {spot}"
