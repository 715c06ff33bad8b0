"""Which features a sparse linear model keeps: LIME's published rules."""

from __future__ import annotations

import numpy as np

from blackbox.numerics.least_squares import weighted_ridge

RULES = ("auto", "forward", "highest_weights", "lasso_path", "none")


def select(rule: str, design: np.ndarray, weights: np.ndarray, values: np.ndarray, most: int) -> np.ndarray:
    """Return the positions of at most ``most`` features.

    ``auto`` is forward selection up to 6 features and highest weights beyond.

    Parameters
    ----------
    design : Float[np.ndarray, "n d"], row 0 the input's own; weights, values : Float[np.ndarray, "n"].

    Returns
    -------
    Int[np.ndarray, "k"], in the order in which they were chosen where the rule has one.
    """
    d = design.shape[1]
    if rule == "none" or (most >= d and rule == "auto"):
        return np.arange(d)
    if rule == "forward" or (rule == "auto" and most <= 6):
        return _forward(design, weights, values, most)
    if rule == "lasso_path":
        return _lasso_path(design, weights, values, most)
    strength = weighted_ridge(design, weights, values[:, None], 0.01).coefficients[:, 0] * design[0]
    return np.argsort(-np.abs(strength), kind="stable")[:most]


def _forward(design: np.ndarray, weights: np.ndarray, values: np.ndarray, most: int) -> np.ndarray:
    """Add, one at a time, the feature that raises the weighted R2 of least squares the most."""
    chosen: list[int] = []
    for _ in range(most):
        rest = [k for k in range(design.shape[1]) if k not in chosen]
        fits = [weighted_ridge(design[:, [*chosen, k]], weights, values[:, None], 0.0).r2[0] for k in rest]
        chosen.append(rest[int(np.argmax(fits))])
    return np.array(chosen)


def _lasso_path(design: np.ndarray, weights: np.ndarray, values: np.ndarray, most: int) -> np.ndarray:
    """Walk the lasso path back from its end to the first step with at most ``most`` features."""
    from sklearn.linear_model import lars_path

    share, root = weights / weights.sum(), np.sqrt(weights)
    x = (design - share @ design) * root[:, None]
    y = (values - share @ values) * root
    _, _, path = lars_path(x, y, method="lasso")
    for step in path.T[:0:-1]:
        if (step != 0).sum() <= most:
            return np.flatnonzero(step)
    return np.zeros(0, dtype=int)
