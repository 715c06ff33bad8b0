"""Antithetic permutations: marginal gains along random orders and their reverses."""

from __future__ import annotations

import numpy as np

from blackbox.numerics.estimators.estimate import Estimate


def antithetic_permutations(orders: np.ndarray, odd: np.ndarray, ends: np.ndarray) -> Estimate:
    """Average phi_i = h(prefix with i) - h(prefix without i) over orders; an order's reverse is in h.

    Parameters
    ----------
    orders : Int[np.ndarray, "n d"]. odd : Float[np.ndarray, "n d-1 t"], h of every proper prefix.
    ends : Float[np.ndarray, "t"], h(N) = -h(empty).

    Returns
    -------
    Estimate : covariance of the mean over orders, n - 1 degrees of freedom; None for one order.

    References
    ----------
    Mitchell, Cooper, Frank and Holmes 2022, arXiv 2104.12199.
    """
    n = len(orders)
    edge = np.broadcast_to(ends, (n, 1, len(ends)))
    gains = np.diff(np.concatenate([-edge, odd, edge], axis=1), axis=1)
    each = np.empty_like(gains)
    np.put_along_axis(each, np.broadcast_to(orders[:, :, None], gains.shape), gains, axis=1)
    values = each.mean(axis=0)
    if n == 1:
        return Estimate("permutation", values, None, 0.0, np.full(len(ends), np.nan))
    away = each - values
    covariance = np.einsum("nit,njt->tij", away, away) / (n * (n - 1))
    return Estimate("permutation", values, covariance, n - 1.0, (away**2).mean(axis=(0, 1)))
