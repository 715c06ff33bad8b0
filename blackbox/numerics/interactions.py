"""The Shapley interaction index of all pairs of features, from every coalition."""

from __future__ import annotations

from math import comb

import numpy as np


def exact_interactions(masks: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sum the parts of the interaction index that some coalitions contribute; all of them give the index.

    I_ij = sum_{S without i, j} |S|! (d-|S|-2)! / (d-1)! [v(S+i+j) - v(S+i) - v(S+j) + v(S)], gathered per
    coalition T: its sign is + where T holds both or neither of i, j, and - where it holds one.

    Parameters
    ----------
    masks : Bool[np.ndarray, "n d"], every coalition in one of the calls; values : Float[np.ndarray, "n t"].

    Returns
    -------
    Float[np.ndarray, "d d t"], symmetric, zero on the diagonal.

    References
    ----------
    Grabisch and Roubens 1999, doi 10.1007/s001820050125.
    """
    d = masks.shape[1]
    found = np.zeros((d, d, values.shape[1]))
    if d < 2:
        return found
    share = np.array([1 / ((d - 1) * comb(d - 2, k)) for k in range(d - 1)])
    sizes, kept = masks.sum(axis=1), masks.astype(float)
    both = np.where(sizes >= 2, share[np.clip(sizes - 2, 0, d - 2)], 0.0)
    one = -np.where((sizes >= 1) & (sizes < d), share[np.clip(sizes - 1, 0, d - 2)], 0.0)
    none = np.where(sizes <= d - 2, share[np.clip(sizes, 0, d - 2)], 0.0)
    hidden = 1 - kept
    for t, v in enumerate(values.T):
        found[:, :, t] = (kept * (both * v)[:, None]).T @ kept + (hidden * (none * v)[:, None]).T @ hidden
        mixed = (kept * (one * v)[:, None]).T @ hidden
        found[:, :, t] += mixed + mixed.T
        np.fill_diagonal(found[:, :, t], 0.0)
    return found
