"""Inverses of symmetric positive definite matrices, as kernels need them."""

from __future__ import annotations

import numpy as np

TIES = 1e-9
"""Noise on the (empty, full) pair, which is known exactly."""


def inverse_of(gram: np.ndarray, noise: float) -> np.ndarray:
    """Invert K + noise, with next to none on the full mask; infinite where it cannot be."""
    return symmetric_inverse(_noisy(gram, noise))


def inverse_root(gram: np.ndarray, noise: float) -> np.ndarray:
    """Return lower triangular W, W'W = (K + noise)^-1, for two thirds of the inverse's work.

    Infinite where it cannot be.
    """
    from scipy.linalg.lapack import dpotrf, dtrtri

    factor, failed = dpotrf(np.array(_noisy(gram, noise).T, order="F", copy=None), lower=1, overwrite_a=1)
    if not failed:
        root, failed = dtrtri(factor, lower=1, overwrite_c=1)
    return np.full(gram.shape, np.inf) if failed else np.asarray(root)


def _noisy(gram: np.ndarray, noise: float) -> np.ndarray:
    a = gram.copy()
    a.flat[:: len(a) + 1] += noise
    a[0, 0] += TIES - noise
    return a


def symmetric_inverse(a: np.ndarray) -> np.ndarray:
    """Invert a positive definite matrix by Cholesky, half a general inverse's work; infinite if it is not."""
    from scipy.linalg.lapack import dpotrf, dpotri

    # column-major, as LAPACK wants it, so that everything happens in one array
    factor, failed = dpotrf(np.array(a.T, order="F", copy=None), lower=1, overwrite_a=1)
    if failed:
        return np.full(a.shape, np.inf)
    found, failed = dpotri(factor, lower=1, overwrite_c=1)
    if failed:
        return np.full(a.shape, np.inf)
    for k in range(len(found) - 1):
        found[k, k + 1 :] = found[k + 1 :, k]
    return np.asarray(found)
