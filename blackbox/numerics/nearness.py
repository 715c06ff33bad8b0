"""How far rows lie from a sample of rows: the distance to the nearest one, in whitened units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CHUNK = 4_000_000
"""Distances held at once."""

MOST_ROTATED = 512
"""Up to so many columns their correlations are taken out; beyond, every column is scaled by itself."""


@dataclass(frozen=True)
class Nearness:
    """A sample, and the distance beyond which a row is no ordinary one.

    sample : Float["B p"], whitened. limit : the quantile of the distances of the sample's own rows to
    the nearest other one.
    """

    sample: np.ndarray
    centre: np.ndarray
    whitening: np.ndarray
    limit: float

    def __call__(self, rows: np.ndarray, but: np.ndarray | None = None) -> np.ndarray:
        """Return Float["n"], the distance of every row to the nearest one of the sample.

        Parameters
        ----------
        rows : Float["n p"], not whitened. but : Int["n"], a row of the sample that does not count, as it
            lent some of its values; -1 = none. None = all count.
        """
        return _in_pieces(_whitened(rows, self.centre, self.whitening), self.sample, but)


def nearness(sample: np.ndarray, quantile: float) -> Nearness:
    """Learn from a sample how far its rows lie apart.

    Columns are scaled to deviation 1 and, up to 512 of them, rotated and scaled by the inverse root of
    their covariance, shrunk as Ledoit and Wolf do, so that an unusual combination of correlated columns is
    far as well. Distances are Euclidean.

    Parameters
    ----------
    sample : Float["B p"], at least three rows. quantile : in (0, 1).

    References
    ----------
    Ledoit and Wolf 2004, doi 10.1016/S0047-259X(03)00096-4.

    Examples
    --------
    >>> near = nearness(np.array([[0.0], [1.0], [2.0], [3.0]]), 0.9)
    >>> bool(near(np.array([[1.4]]))[0] <= near.limit < near(np.array([[9.0]]))[0])
    True
    """
    centre, spread = sample.mean(axis=0), sample.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    whitening = (
        _rotation((sample - centre) / scale) / scale[:, None] if len(scale) <= MOST_ROTATED else 1 / scale
    )
    whole = _whitened(sample, centre, whitening)
    apart = _in_pieces(whole, whole, np.arange(len(whole)))
    return Nearness(whole, centre, whitening, float(np.quantile(apart, quantile)))


def _in_pieces(rows: np.ndarray, sample: np.ndarray, but: np.ndarray | None) -> np.ndarray:
    """As ``_nearest``, with so many distances at once."""
    step = max(1, CHUNK // len(sample))
    pieces = [slice(start, start + step) for start in range(0, len(rows), step)]
    found = [_nearest(rows[p], sample, None if but is None else but[p]) for p in pieces]
    return np.concatenate(found) if found else np.zeros(0)


def _whitened(rows: np.ndarray, centre: np.ndarray, whitening: np.ndarray) -> np.ndarray:
    moved = rows - centre
    return np.asarray(moved @ whitening if whitening.ndim == 2 else moved * whitening)


def _rotation(scaled: np.ndarray) -> np.ndarray:
    """The inverse root of the shrunk covariance: Float["p p"]."""
    from sklearn.covariance import ledoit_wolf

    if scaled.shape[1] == 1:
        return np.ones((1, 1))
    covariance, _ = ledoit_wolf(scaled)
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors / np.sqrt(np.maximum(values, 1e-12))) @ vectors.T)


def _nearest(rows: np.ndarray, sample: np.ndarray, but: np.ndarray | None) -> np.ndarray:
    squares = (rows**2).sum(axis=1)[:, None] - 2 * rows @ sample.T + (sample**2).sum(axis=1)
    if but is not None:
        left_out = np.flatnonzero(but >= 0)
        squares[left_out, but[left_out]] = np.inf
    return np.asarray(np.sqrt(np.maximum(squares.min(axis=1), 0)))
