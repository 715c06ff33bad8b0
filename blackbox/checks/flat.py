"""Rows of several inputs as one table of numbers, for the checks that measure distances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from blackbox.model import Rows
from blackbox.numerics.nearness import Nearness, nearness

MOST_CELLS = 4096
"""Beyond so many cells, all rows lie about equally far apart, and distances tell nothing."""

LEAST_ROWS = 20
"""Rows that it takes to know how far apart ordinary ones lie."""


def flat(rows: Rows) -> np.ndarray:
    """Return Float["n p"], all cells of every row, input after input."""
    return np.concatenate([np.asarray(a, dtype=float).reshape(len(a), -1) for a in rows.values()], axis=1)


def stack(rows: Sequence[Rows]) -> dict[str, np.ndarray]:
    """Put single inputs under one leading axis."""
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def count(rows: Rows) -> int:
    """Return how many rows there are."""
    return len(next(iter(rows.values())))


def row(rows: Rows, number: int) -> dict[str, np.ndarray]:
    """Return one input, without the leading axis."""
    return {name: array[number] for name, array in rows.items()}


def ordinary(rows: Rows, quantile: float) -> Nearness | str:
    """Learn how far apart some rows lie, or say why that cannot be known."""
    if any(array.dtype.kind not in "fiub" for array in rows.values()):
        return "Distances need inputs of plain numbers, and this model takes others."
    if count(rows) < LEAST_ROWS:
        return (
            f"There are {count(rows)} rows to compare with; it takes {LEAST_ROWS} to know what is ordinary."
        )
    table = flat(rows)
    if table.shape[1] > MOST_CELLS:
        return f"Rows of {table.shape[1]:,} cells all lie about equally far apart: distances tell nothing."
    return nearness(table, quantile)
