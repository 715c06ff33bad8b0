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
    columns: list[Column], n: int, rng: np.random.Generator, discretize: bool, around_input: bool,
    width: float | None = None,
) -> Drawn:  # fmt: skip
    """Draw n perturbed inputs, column by column and independently.

    Parameters
    ----------
    width : None draws from the reference distribution, to be weighted by exp(-D^2 / (2 width^2))
        afterwards. A number draws from the weighted distribution itself: D^2 is a sum over the columns,
        so the weight tilts every column on its own. Whole numbers are rounded after the draw.

    References
    ----------
    Ribeiro, Singh and Guestrin 2016, arXiv 1602.04938; the bins and the truncated normal are those
    of the authors' released program.
    """
    design, cells = np.empty((n, len(columns))), []
    for k, column in enumerate(columns):
        if not column.is_number:
            design[:, k], drawn = _combination(column, n, rng, width)
        elif discretize:
            design[:, k], drawn = _binned(column, n, rng, width)
        else:
            design[:, k], drawn = _normal(column, n, rng, around_input, width)
        cells.append(drawn)
    return Drawn(design, cells)


def _tilt(width: float | None) -> float:
    """Weight of a feature that differs, relative to one that does not."""
    return 1.0 if width is None else float(np.exp(-1 / (2 * width**2)))


def _combination(
    column: Column, n: int, rng: np.random.Generator, width: float | None
) -> tuple[np.ndarray, np.ndarray]:
    if width is None:
        places = rng.integers(len(column.rows), size=n)
    else:
        chance = np.where((column.rows == column.x).all(axis=1), 1.0, _tilt(width))
        places = rng.choice(len(column.rows), size=n, p=chance / chance.sum())
    drawn = column.rows[places].copy()
    drawn[0] = column.x
    return (drawn == column.x).all(axis=1).astype(float), drawn


def _normal(
    column: Column, n: int, rng: np.random.Generator, around_input: bool, width: float | None
) -> tuple[np.ndarray, np.ndarray]:
    values, x = column.rows[:, 0].astype(float), float(column.x[0])
    mean, deviation = values.mean(), values.std() or 1.0
    centre = x if around_input else mean
    if width is None:
        drawn = rng.standard_normal(n) * deviation + centre
    else:  # a normal times a normal weight around x is a normal
        share = 1 / (1 + width**2)
        drawn = rng.standard_normal(n) * deviation * np.sqrt(1 - share) + centre + share * (x - centre)
    drawn = np.rint(drawn) if column.is_whole else drawn
    drawn[0] = x
    return (drawn - mean) / deviation, drawn[:, None]


def _binned(
    column: Column, n: int, rng: np.random.Generator, width: float | None
) -> tuple[np.ndarray, np.ndarray]:
    values, x = column.rows[:, 0].astype(float), float(column.x[0])
    edges = np.unique(np.percentile(values, [25, 50, 75]))
    home = np.searchsorted(edges, values)
    own = int(np.searchsorted(edges, x))
    share = np.bincount(home, minlength=len(edges) + 1) / len(values)
    share *= np.where(np.arange(len(share)) == own, 1.0, _tilt(width))
    limits = share.cumsum()
    limits /= limits[-1]
    uniform = rng.random(n)  # as rng.choice draws, without its binary search
    bins = np.zeros(n, dtype=np.int64)
    for limit in limits[:-1]:
        bins += uniform >= limit
    drawn = _truncated_normal(values, home, edges, bins, rng)
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


def weighted_masks(d: int, n: int, width: float, rng: np.random.Generator) -> np.ndarray:
    """Draw masks from LIME's weighted distribution, so that each weighs the same.

    k kept features with probability proportional to C(d, k) exp(-(1 - sqrt(k/d))^2 / (2 width^2)), then a
    uniform subset of that size: Bernoulli(1/2) masks times the kernel of their cosine distance.

    Returns
    -------
    Bool[np.ndarray, "n d"]

    References
    ----------
    Tan, Tian and Li 2023, arXiv 2311.15722.
    """
    from scipy.special import gammaln

    k = np.arange(d + 1)
    logs = gammaln(d + 1) - gammaln(k + 1) - gammaln(d - k + 1) - (1 - np.sqrt(k / d)) ** 2 / (2 * width**2)
    chance = np.exp(logs - logs.max())
    sizes = rng.choice(d + 1, size=n, p=chance / chance.sum())
    ranks = rng.random((n, d)).argsort(axis=1).argsort(axis=1)
    return np.asarray(ranks < sizes[:, None])
