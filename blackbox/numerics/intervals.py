"""Intervals of Shapley values, the ranks they tell apart, and how many more masks a width would take."""

from __future__ import annotations

import numpy as np

from blackbox.numerics.estimators.estimate import Estimate


def quantile(confidence: float, freedom: float) -> float:
    """Return the two-sided quantile of Student's t."""
    from scipy.special import ndtri, stdtrit

    level = 0.5 + confidence / 2
    return float(ndtri(level) if not np.isfinite(freedom) else stdtrit(freedom, level))


def half_widths(estimate: Estimate, confidence: float) -> np.ndarray | None:
    """Return t sd_i as Float["d t"]; None where the estimate says nothing about its error."""
    if estimate.covariance is None or not np.isfinite(estimate.covariance).all():
        return None
    variances = np.einsum("tii->it", estimate.covariance)
    return np.asarray(_quantiles(confidence, estimate) * np.sqrt(np.maximum(variances, 0)))


def _quantiles(confidence: float, estimate: Estimate) -> np.ndarray:
    """Float["t"]."""
    targets = np.broadcast_to(estimate.freedom, estimate.values.shape[1:])
    return np.array([quantile(confidence, float(freedom)) for freedom in targets])


def relative_width(values: np.ndarray, halves: np.ndarray | None) -> float:
    """Return the widest half-width over the range of the values, the worst target; infinite where unknown."""
    if halves is None:
        return float("inf")
    spans, widest = np.ptp(values, axis=0), halves.max(axis=0)
    known = spans > 0
    if np.any(widest[~known] > 0):
        return float("inf")
    return float((widest[known] / spans[known]).max(initial=0.0))


def forecast(asked: int, width: float, tolerance: float) -> int | None:
    """Return the masks in all that would reach a tolerance if errors fall with the root of their number.

    References
    ----------
    Covert and Lee 2021, arXiv 2012.01536, section 4.
    """
    return int(np.ceil(asked * (width / tolerance) ** 2)) if np.isfinite(width) else None


def ranks_apart(estimate: Estimate, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ranking and which neighbours in it differ, all claims together at the confidence.

    Neighbours k and k+1 are told apart when their difference exceeds t(1 - alpha / (d-1)) times
    its own standard deviation, whose covariance term matters (Bonferroni over the d - 1 neighbours).

    Returns
    -------
    ranking : Int[np.ndarray, "d t"], positions from the highest value down. separable :
    Bool[np.ndarray, "d-1 t"].

    References
    ----------
    Goldwasser and Hooker 2024, arXiv 2401.15800.
    """
    ranking = np.argsort(-estimate.values, axis=0, kind="stable")
    d, targets = ranking.shape
    apart = np.zeros((max(0, d - 1), targets), dtype=bool)
    if estimate.covariance is None or not np.isfinite(estimate.covariance).all() or d < 2:
        return ranking, apart
    limits = _quantiles(1 - (1 - confidence) / (d - 1), estimate)
    for t in range(targets):
        a, b = ranking[:-1, t], ranking[1:, t]
        c = estimate.covariance[t]
        spread = np.sqrt(np.maximum(c[a, a] + c[b, b] - 2 * c[a, b], 0))
        gap = estimate.values[a, t] - estimate.values[b, t]
        # what rounding alone can do is no difference
        apart[:, t] = gap > np.maximum(limits[t] * spread, 1e-9 * np.abs(estimate.values[:, t]).max())
    return ranking, apart


def of_background(alone: np.ndarray, only: np.ndarray, base: np.ndarray, full: np.ndarray) -> np.ndarray:
    """Return the standard error of every phi that comes from the drawing of the background rows.

    Per background row b, phi_i = [v_b(i) - v_b(0)] / 2 + [v(N) - v_b(N - i)] / 2, shifted to
    efficiency: exact for interactions of two members, and the leading part otherwise. Their deviation
    over the B rows, over the root of B.

    Parameters
    ----------
    alone : Float["d B t"], one feature hidden. only : Float["d B t"], one kept. base : Float["B t"].
    full : Float["t"].

    Returns
    -------
    Float["d t"]
    """
    each = (only - base + full - alone) / 2
    each = each + (full - base - each.sum(axis=0)) / len(each)
    return np.asarray(each.std(axis=1, ddof=1) / np.sqrt(each.shape[1]))
