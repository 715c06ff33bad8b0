"""Inverses of symmetric positive definite matrices, as kernels need them."""

from __future__ import annotations

import numpy as np

TIES = 1e-9
"""Noise on the (empty, full) pair, which is known exactly."""


def inverse_of(gram: np.ndarray, noise: float) -> np.ndarray:
    """Invert K + noise, with next to none on the full mask; infinite where it cannot be."""
    a = gram.copy()
    a.flat[:: len(a) + 1] += noise
    a[0, 0] += TIES - noise
    return symmetric_inverse(a)


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
