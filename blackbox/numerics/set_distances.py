"""How far sets lie apart: energy distance of positions, Jaccard distance, edit distance of sequences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def energy(members: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Energy distance between sets of positions, all pairs.

    sqrt(2 E|a - b| - E|a - a'| - E|b - b'|), self-pairs included, tiny values set to 0.

    Parameters
    ----------
    members : Bool[np.ndarray, "n d"], no row empty. positions : Float[np.ndarray, "d k"].

    Returns
    -------
    Float[np.ndarray, "n n"]

    References
    ----------
    Székely and Rizzo 2013, doi 10.1016/j.jspi.2013.03.018.

    Examples
    --------
    >>> energy(np.eye(2, dtype=bool), np.array([[0.0], [2.0]])).tolist()
    [[0.0, 2.0], [2.0, 0.0]]
    """
    used = members.any(axis=0)
    weights = members[:, used] / members.sum(axis=1, keepdims=True)
    points = positions[used]
    apart = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))
    return _from_means(weights @ apart @ weights.T)


def energy_in_picture(members: np.ndarray) -> np.ndarray:
    """Energy distance between sets of pixels, all pairs, without the distances of all pixels.

    The mean distance of every pixel to a set is a convolution with |offset|, done by FFT, so that
    memory grows with the pixels and not with their square.

    Parameters
    ----------
    members : Bool[np.ndarray, "n height width"], none empty.

    Returns
    -------
    Float[np.ndarray, "n n"], what ``energy`` gives for the pixels' rows and columns.

    Examples
    --------
    >>> masks = np.zeros((2, 3, 3), dtype=bool)
    >>> masks[0, 0, 0] = masks[1, 0, 2] = True
    >>> energy_in_picture(masks).round(6).tolist()
    [[0.0, 2.0], [2.0, 0.0]]
    """
    from scipy.fft import irfft2, next_fast_len, rfft2
    from scipy.sparse import csr_array

    n, height, width = members.shape
    frame = (next_fast_len(2 * height), next_fast_len(2 * width))
    # offsets wrap around: beyond half the frame they are negative
    down, across = (np.minimum(np.arange(size), size - np.arange(size)) for size in frame)
    kernel = rfft2(np.hypot(down[:, None], across[None]))
    weights = csr_array(members.reshape(n, -1).astype(float))
    weights = csr_array(weights / weights.sum(axis=1)[:, None])
    mean = np.empty((n, n))
    for k in range(n):
        apart = irfft2(rfft2(members[k].astype(float), frame) * kernel, frame)[:height, :width]
        mean[:, k] = weights @ (apart.ravel() / members[k].sum())
    return _from_means((mean + mean.T) / 2)


def _from_means(mean: np.ndarray) -> np.ndarray:
    """Return the energy distances of sets whose mean distances are known, rounding removed."""
    inside = np.diag(mean)
    squared = 2 * mean - inside[:, None] - inside[None]
    squared[squared < 1e-9 * max(1.0, float(mean.max(initial=0)))] = 0
    return np.asarray(np.sqrt(squared))


def jaccard(members: np.ndarray) -> np.ndarray:
    """Jaccard distance 1 - |a and b| / |a or b| between sets, all pairs; 0 between two empty sets.

    Parameters
    ----------
    members : Bool[np.ndarray, "n d"].

    Examples
    --------
    >>> jaccard(np.array([[1, 1, 0], [0, 1, 1]], dtype=bool)).round(3).tolist()
    [[0.0, 0.667], [0.667, 0.0]]
    """
    counts = members.astype(float)
    both = counts @ counts.T
    sizes = np.diag(both)
    either = sizes[:, None] + sizes[None] - both
    return np.asarray(1 - np.divide(both, either, out=np.ones_like(both), where=either > 0))


def edit(sequences: Sequence[Sequence[int]]) -> np.ndarray:
    """Levenshtein distance between sequences, all pairs: insertions, deletions and replacements.

    Equal sequences are compared once; each is compared with all others at the same time.

    Examples
    --------
    >>> edit([[1, 2, 3], [1, 3], []]).tolist()
    [[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]]
    """
    distinct = list(dict.fromkeys(map(tuple, sequences)))
    place = {sequence: k for k, sequence in enumerate(distinct)}
    lengths = np.array([len(sequence) for sequence in distinct])
    table = np.full((len(distinct), max(lengths, default=0)), -1, dtype=np.int64)
    for row, sequence in zip(table, distinct, strict=True):
        row[: len(sequence)] = sequence
    apart = np.array([_from_one(sequence, table, lengths) for sequence in distinct], dtype=float)
    at = np.array([place[tuple(sequence)] for sequence in sequences], dtype=np.int64)
    return apart[np.ix_(at, at)] if len(at) else np.zeros((0, 0))


def _from_one(sequence: Sequence[int], table: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Distance of one sequence to every row of a padded table."""
    before = np.tile(np.arange(table.shape[1] + 1), (len(table), 1))
    for count, symbol in enumerate(sequence, start=1):
        now = np.empty_like(before)
        now[:, 0] = count
        replaced = before[:, :-1] + (table != symbol)
        for j in range(table.shape[1]):
            now[:, j + 1] = np.minimum(np.minimum(replaced[:, j], before[:, j + 1] + 1), now[:, j] + 1)
        before = now
    return np.asarray(before[np.arange(len(table)), lengths])
