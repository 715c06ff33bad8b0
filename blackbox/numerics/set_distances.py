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
    mean = weights @ apart @ weights.T
    inside = np.diag(mean)
    squared = 2 * mean - inside[:, None] - inside[None]
    squared[squared < 1e-9] = 0
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
