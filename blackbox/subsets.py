"""Subsets of many inputs side by side: what they hold, and how far they lie apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from blackbox.case import Case
from blackbox.errors import RequestError
from blackbox.explanation import Explanation
from blackbox.features import Features, picture_axes
from blackbox.numerics import set_distances
from blackbox.reasons import show
from blackbox.searches.steps import only
from blackbox.settings import choice

SMALL = 2048
"""Pixels of a picture up to which the distances of all pairs are a table (32 MiB)."""

DISTANCES = ("auto", "energy", "jaccard", "edit")


@dataclass(frozen=True)
class Subset:
    """One sufficient subset. row : number of its input; rank : 0 = the input's first subset.

    irreducible : no member can be left out; None where a budget ended before that was asked.
    """

    row: int
    rank: int
    members: tuple[int, ...]
    score: float
    irreducible: bool | None


def of_explanations(explanations: Sequence[Explanation | None]) -> tuple[Subset, ...]:
    """List all subsets, input after input."""
    return tuple(
        Subset(row, rank, tuple(members), float(score), certificate["irreducible"])
        for row, e in enumerate(explanations)
        if e is not None
        for rank, (members, score, certificate) in enumerate(
            zip(e.details["subsets"], e.details["subset_scores"], e.details["certificates"], strict=True)
        )
    )


def choose_distance(case: Case, named_columns: bool) -> str:
    """Energy distance for a picture, Jaccard for anything else; sequences have to be asked for."""
    arrays = list(case.x.values())
    picture = len(arrays) == 1 and arrays[0].ndim > 1 and picture_axes(arrays[0].shape) is not None
    return "energy" if picture and not named_columns else "jaccard"


def distances(kind: str, subsets: Sequence[Subset], cases: Sequence[Case]) -> np.ndarray:
    """Return Float[np.ndarray, "n n"], the distances between subsets.

    Parameters
    ----------
    kind : ``energy``: of the positions of their cells in the picture; ``jaccard``: of the columns, or
        for whole-number inputs of the tokens they hold; ``edit``: of what they hold in order, a gap
        where something between is hidden, hidden ends stripped.
    cases : one per row.

    Raises
    ------
    RequestError : an unknown kind, or energy for inputs that are no pictures.
    """
    choice("distance", kind, DISTANCES[1:])
    if not subsets:
        return np.zeros((0, 0))
    if kind == "energy":
        return _energy(subsets, cases)
    if kind == "edit":
        known: dict[object, int] = {}
        lines = [_sequence(subset, cases[subset.row]) for subset in subsets]
        coded = [[known.setdefault(symbol, len(known)) for symbol in line] for line in lines]
        return set_distances.edit(coded)
    return _jaccard(subsets, cases)


def _energy(subsets: Sequence[Subset], cases: Sequence[Case]) -> np.ndarray:
    """Every subset as the pixels that its features cover."""
    pixels = [
        _pixels([subset.members for subset in group], features)
        for features, group in _by_features(subsets, cases)
    ]
    shape = pixels[0].shape[1:]
    if any(masks.shape[1:] != shape for masks in pixels):
        raise RequestError("The energy distance needs pictures of one size.")
    masks = np.concatenate(pixels)
    if np.prod(shape) > SMALL:
        return set_distances.energy_in_picture(masks)
    positions = np.argwhere(np.ones(shape)).astype(float)
    return set_distances.energy(masks.reshape(len(masks), -1), positions)


def _by_features(subsets: Sequence[Subset], cases: Sequence[Case]) -> Iterator[tuple[Features, list[Subset]]]:
    """Group neighbours in the list whose inputs share their features."""
    for _, group in groupby(subsets, key=lambda subset: id(cases[subset.row].features)):
        same = list(group)
        yield cases[same[0].row].features, same


def _pixels(members: Sequence[Sequence[int]], features: Features) -> np.ndarray:
    """Return Bool[np.ndarray, "n height width"], the pixels that features cover."""
    arrays = list(features.labels.values())
    axes = picture_axes(arrays[0].shape) if len(arrays) == 1 else None
    if axes is None:
        raise RequestError("The energy distance needs a model with one input, a picture; ask for jaccard.")
    held = np.zeros((len(members), len(features) + 1), dtype=bool)  # label -1 is the last one
    held[:, :-1] = only(members, len(features))
    inside = np.moveaxis(held[:, arrays[0]], [axis + 1 for axis in axes], (1, 2))
    return np.asarray(inside.reshape(*inside.shape[:3], -1).any(axis=3))


def _jaccard(subsets: Sequence[Subset], cases: Sequence[Case]) -> np.ndarray:
    tokens = all(array.dtype.kind in "iuO" for array in cases[0].x.values())
    sets = []
    for subset in subsets:
        case = cases[subset.row]
        if tokens:
            held = symbols(case)
            sets.append({held[member] for member in subset.members})
        else:
            sets.append({case.features.names[member] for member in subset.members})
    known = {
        item: k for k, item in enumerate(dict.fromkeys(item for one in sets for item in sorted(one, key=str)))
    }
    table = np.zeros((len(sets), len(known)), dtype=bool)
    for row, one in zip(table, sets, strict=True):
        row[[known[item] for item in one]] = True
    return set_distances.jaccard(table)


def symbols(case: Case) -> list[str]:
    """Name what every feature holds: a letter for one hot cell of four (ACGT), else the value."""
    found = []
    for values, _ in case.features.members(case.x):
        if len(values) == 4 and sorted(values) == [0, 0, 0, 1]:
            found.append("ACGT"[values.index(1)])
        else:
            found.append(",".join(f"{v:g}" if isinstance(v, (int, float)) else str(v) for v in values))
    return found


GAP = "·"


def _sequence(subset: Subset, case: Case) -> list[str]:
    """What the subset holds from its first to its last member."""
    held, kept = symbols(case), set(subset.members)
    return [held[k] if k in kept else GAP for k in range(min(kept), max(kept) + 1)]


def words(subset: Subset, case: Case, labels: Mapping[str, str] | None = None) -> str:
    """Say in a line what a subset holds: letters in order, or names with their values."""
    line = _sequence(subset, case)
    if all(len(symbol) == 1 and not symbol.isdigit() for symbol in line):
        return "".join(line)
    data, names = case.features.data(case.x), case.features.names
    known = labels or {}
    return ", ".join(f"{known.get(names[k], names[k])} = {show(data[k])}" for k in sorted(subset.members))
