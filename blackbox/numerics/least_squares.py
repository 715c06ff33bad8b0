"""Weighted linear models with several targets at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Fit:
    """A weighted linear model: ``values ~ design @ coefficients + intercept``.

    coefficients : Float[np.ndarray, "d t"]; intercept : Float[np.ndarray, "t"];
    r2 : Float[np.ndarray, "t"], the weighted coefficient of determination (1 where the values
    are constant and fitted exactly).
    """

    coefficients: np.ndarray
    intercept: np.ndarray
    r2: np.ndarray


def efficient_regression(
    masks: np.ndarray, weights: np.ndarray, values: np.ndarray, base: np.ndarray, full: np.ndarray
) -> np.ndarray:
    """Fit an additive game whose parts sum to ``full - base``.

    Minimise sum_S w(S) (v(S) - base - sum_{i in S} phi_i)^2 subject to sum_i phi_i = full - base,
    by eliminating the last feature through the constraint (Lundberg and Lee 2017, section 4.1).

    Parameters
    ----------
    masks : Bool[np.ndarray, "n d"], neither empty nor full.
    weights : Float[np.ndarray, "n"].
    values : Float[np.ndarray, "n t"].
    base, full : Float[np.ndarray, "t"].

    Returns
    -------
    Float[np.ndarray, "d t"]

    Raises
    ------
    np.linalg.LinAlgError : the masks do not determine every feature.
    """
    last = masks[:, -1:].astype(float)
    root = np.sqrt(weights)[:, None]
    design = (masks[:, :-1] - last) * root
    response = (values - base - last * (full - base)) * root
    gram = design.T @ design  # one array on both sides: BLAS computes half of a symmetric product
    if not is_regular(gram):
        raise np.linalg.LinAlgError("the masks do not determine every feature")
    free = np.linalg.solve(gram, design.T @ response)
    return np.concatenate([free, (full - base - free.sum(axis=0))[None]])


def is_regular(gram: np.ndarray) -> bool:
    """Tell whether a Gram matrix has full rank, by its Cholesky factor: ten times cheaper than a spectrum.

    A squared pivot below 1e-10 of the largest is rounding: masks give Gram matrices of small whole
    numbers, or of their weighted sums, whose true pivots are far above.
    """
    try:
        pivots = np.diag(np.linalg.cholesky(gram)) ** 2
    except np.linalg.LinAlgError:
        return False
    return bool(len(pivots) == 0 or pivots.min() > 1e-10 * pivots.max())


def weighted_ridge(design: np.ndarray, weights: np.ndarray, values: np.ndarray, alpha: float) -> Fit:
    """Fit ridge regression with an unpenalised intercept.

    Minimise sum_j w_j (y_j - x_j.b - c)^2 + alpha ||b||^2: centre by the weighted means, then
    solve the normal equations of whichever side is smaller.

    Parameters
    ----------
    design : Float[np.ndarray, "n d"]; weights : Float[np.ndarray, "n"], not all zero;
    values : Float[np.ndarray, "n t"]; alpha : penalty, 0 for least squares of minimal norm.
    """
    share = weights / weights.sum()
    centre_x, centre_y = share @ design, share @ values
    root = np.sqrt(weights)[:, None]
    x, y = design - centre_x, (values - centre_y) * root
    x *= root
    coefficients = _ridge(x, y, alpha)
    total = (y**2).sum(axis=0)
    missed = ((y - x @ coefficients) ** 2).sum(axis=0)
    # centring a constant leaves rounding behind: that much variation is none
    varies = total > (1e-14 * np.abs(values).max(initial=0.0)) ** 2 * weights.sum()
    r2 = 1 - np.divide(missed, total, out=np.zeros_like(total), where=varies)
    return Fit(coefficients, centre_y - centre_x @ coefficients, r2)


def _ridge(x: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
    n, d = x.shape
    if alpha == 0:
        return np.asarray(np.linalg.lstsq(x, y, rcond=None)[0])
    if d <= n:
        gram = x.T @ x
        gram.flat[:: d + 1] += alpha
        return np.asarray(np.linalg.solve(gram, x.T @ y))
    return np.asarray(x.T @ np.linalg.solve(x @ x.T + alpha * np.eye(n), y))


def sandwich_errors(design: np.ndarray, weights: np.ndarray, missed: np.ndarray, alpha: float) -> np.ndarray:
    """Return the standard errors of a weighted ridge regression whose errors differ in size (HC3).

    With x centred by the weighted mean, A = X'WX + alpha I and leverages l_j: the root of the diagonal of
    A^-1 [sum_j w_j^2 (e_j / (1 - l_j))^2 x_j x_j'] A^-1.

    Parameters
    ----------
    design : Float[np.ndarray, "n d"]; weights, missed : Float[np.ndarray, "n"], e = y - prediction.

    Returns
    -------
    Float[np.ndarray, "d"]

    References
    ----------
    MacKinnon and White 1985, doi 10.1016/0304-4076(85)90158-7.
    """
    x = design - weights @ design / weights.sum()
    weighted = x * weights[:, None]
    inverse = np.linalg.pinv(weighted.T @ x + alpha * np.eye(x.shape[1]), hermitian=True)
    influence = weighted @ inverse
    lever = np.einsum("nd,nd->n", influence, x) + weights / weights.sum()
    influence *= (missed / np.maximum(1 - lever, 1e-6))[:, None]
    return np.asarray(np.sqrt((influence**2).sum(axis=0)))
