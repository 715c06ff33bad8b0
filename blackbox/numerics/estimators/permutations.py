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
    Estimate : the covariance of the mean over orders, moderated over the features (``moderated``); None
    for one order. freedom : Float["t"].

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
    covariance, freedom = moderated(np.einsum("nit,njt->tij", away, away) / (n - 1), n)
    return Estimate("permutation", values, covariance / n, freedom, (away**2).mean(axis=(0, 1)))


def moderated(covariance: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Shrink the variances of d features, known from n orders each, towards their mean.

    A handful of orders does not show the variance of gains that are mostly nothing and now and then
    everything: where no order met the jump, a feature's own variance is zero. With variances s_i^2 of n - 1
    degrees of freedom, their mean s^2, v = 2 / (n + 1) mean s_i^4 what they would differ by if the gains
    were normal, and u what they differ by more than that, the best linear estimate is

    w s_i^2 + (1 - w) s^2,  w = u / (u + v),

    and its mean squared error v (w + (1 - w) / (d - 1)) gives it (n - 1) / (w + (1 - w) / (d - 1)) degrees of
    freedom: n - 1 where every feature stands for itself, (n - 1) (d - 1) where all are one sample. Gains
    that are not normal differ by more, which raises w and lowers the freedom: the cautious side. The
    covariance moves likewise towards s^2 d / (d - 1) (I - 1 1'/d), the only one of equal variances and equal
    correlations whose sum is known.

    Parameters
    ----------
    covariance : Float["t d d"], of one order.

    Returns
    -------
    moderated : Float["t d d"]. freedom : Float["t"].

    References
    ----------
    Smyth 2004, doi 10.2202/1544-6115.1027 (moderated t; by logarithms, which a variance of zero has not);
    Bühlmann 1969, doi 10.1017/S0515036100008023 (the linear estimate, for any distribution).
    """
    targets, d, _ = covariance.shape
    if d == 1:
        return covariance, np.full(targets, n - 1.0)
    own = np.einsum("tii->ti", covariance)
    noise = 2 / (n + 1) * (own**2).mean(axis=1)
    beyond = np.maximum(own.var(axis=1, ddof=1) - noise, 0.0)
    weight = np.divide(beyond, beyond + noise, out=np.zeros(targets), where=noise > 0)
    alike = d / (d - 1) * (np.eye(d) - 1 / d)
    shared = own.mean(axis=1)[:, None, None] * alike
    found = weight[:, None, None] * covariance + (1 - weight)[:, None, None] * shared
    return found, (n - 1) / (weight + (1 - weight) / (d - 1))
