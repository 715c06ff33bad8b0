"""LIME's table neighbourhood: columns drawn from the distribution of reference rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPREAD = 1e-11
"""Added to every bin's deviation, as published, so that a bin of one value can be drawn from."""


@dataclass(frozen=True)
class Column:
    """One feature: its c cells in the input Object[np.ndarray, "c"] and in B reference rows."""

    x: np.ndarray
    rows: np.ndarray

    @property
    def is_number(self) -> bool:
        """One cell that holds more than two numbers; anything else is drawn as a combination.

        Quartiles put both values of a yes/no column in one bin, where nobody would see it change.
        """
        if self.rows.shape[1] > 1 or isinstance(self.x[0], (str, bool)):
            return False
        return len({*self.rows[:, 0].tolist(), self.x[0]}) > 2

    @property
    def is_whole(self) -> bool:
        """The model takes whole numbers here, so that draws are rounded."""
        return isinstance(self.x[0], int)


@dataclass(frozen=True)
class Drawn:
    """design : Float[np.ndarray, "n d"], interpretable features, row 0 the input's own; cells : per
    feature Object[np.ndarray, "n c"], what to put into the input."""

    design: np.ndarray
    cells: list[np.ndarray]


def sample_columns(
    columns: list[Column], n: int, rng: np.random.Generator, discretize: bool, around_input: bool
) -> Drawn:
    """Draw n perturbed inputs, column by column and independently.

    References
    ----------
    Ribeiro, Singh and Guestrin 2016, arXiv 1602.04938; the bins and the truncated normal are those
    of the authors' released program.
    """
    design, cells = np.empty((n, len(columns))), []
    for k, column in enumerate(columns):
        if not column.is_number:
            design[:, k], drawn = _combination(column, n, rng)
        elif discretize:
            design[:, k], drawn = _binned(column, n, rng)
        else:
            design[:, k], drawn = _normal(column, n, rng, around_input)
        cells.append(drawn)
    return Drawn(design, cells)


def _combination(column: Column, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    drawn = column.rows[rng.integers(len(column.rows), size=n)].copy()
    drawn[0] = column.x
    return (drawn == column.x).all(axis=1).astype(float), drawn


def _normal(
    column: Column, n: int, rng: np.random.Generator, around_input: bool
) -> tuple[np.ndarray, np.ndarray]:
    values, x = column.rows[:, 0].astype(float), float(column.x[0])
    mean, deviation = values.mean(), values.std() or 1.0
    drawn = rng.standard_normal(n) * deviation + (x if around_input else mean)
    drawn = np.rint(drawn) if column.is_whole else drawn
    drawn[0] = x
    return (drawn - mean) / deviation, drawn[:, None]


def _binned(column: Column, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    values, x = column.rows[:, 0].astype(float), float(column.x[0])
    edges = np.unique(np.percentile(values, [25, 50, 75]))
    home = np.searchsorted(edges, values)
    share = np.bincount(home, minlength=len(edges) + 1) / len(values)
    limits = share.cumsum()
    limits /= limits[-1]
    uniform = rng.random(n)  # as rng.choice draws, without its binary search
    bins = np.zeros(n, dtype=np.int64)
    for limit in limits[:-1]:
        bins += uniform >= limit
    drawn = _truncated_normal(values, home, edges, bins, rng)
    own = int(np.searchsorted(edges, x))
    if column.is_whole:
        drawn = np.rint(drawn)
        bins = np.searchsorted(edges, drawn)
    bins[0], drawn[0] = own, x
    return (bins == own).astype(float), drawn[:, None]


def _truncated_normal(
    values: np.ndarray, home: np.ndarray, edges: np.ndarray, bins: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw within each bin by the inverse of the normal distribution function."""
    from scipy.special import ndtr, ndtri

    low = np.concatenate([[values.min()], edges])
    high = np.concatenate([edges, [values.max()]])
    counts = np.maximum(np.bincount(home, minlength=len(low)), 1)
    mean = np.bincount(home, values, len(low)) / counts
    spread = np.sqrt(np.bincount(home, (values - mean[home]) ** 2, len(low)) / counts) + SPREAD
    start, stop = ndtr((low - mean) / spread)[bins], ndtr((high - mean) / spread)[bins]
    drawn = mean[bins] + spread[bins] * ndtri(start + rng.random(len(bins)) * (stop - start))
    return np.asarray(np.minimum(np.maximum(drawn, low[bins]), high[bins]))
