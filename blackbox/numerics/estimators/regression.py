"""The paired weighted regression: Leverage SHAP, with leave-one-out errors and the covariance of a sample."""

from __future__ import annotations

import numpy as np

from blackbox.numerics.estimators.estimate import Estimate, Pairs
from blackbox.numerics.estimators.odd_kernel import Nugget
from blackbox.numerics.least_squares import is_regular


def kernel_weights(pairs: Pairs) -> np.ndarray:
    """Return w(S) / chance(S) per pair, scaled to mean 1: w = 1 / (C(d, s) s (d - s)), in logarithms."""
    from scipy.special import gammaln

    d = pairs.d
    s = pairs.halves.sum(axis=1).astype(float)
    binomial = gammaln(d + 1) - gammaln(s + 1) - gammaln(d - s + 1)
    logs = -binomial - np.log(s * (d - s)) - np.log(pairs.chances)
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / weights.mean())


def leverage_regression(pairs: Pairs) -> Estimate:
    """Fit h(S) = 1/2 sum_i z_i phi_i with weights w(S) / chance(S), subject to sum phi = 2 h(N).

    The regression of KernelSHAP on half-differences: with complements in the design the even part of
    the game drops out, which equals a fit of order 2 (Fumagalli et al. 2026, PolySHAP).

    What it misses e(S) is no noise but part of a finite population: with every pair asked the regression is
    the definition, phi_i = sum_S c_i(S) h(S), and with some it weighs them by a_i(S) instead. The error is
    sum_asked (a_i - c_i) e - sum_others c_i e, and its covariance

    sum_asked (a - c)(a - c)' e^2 / (1 - leverage) + s^2 sum_others c c',

    residuals taken for independent, each squared one divided by what fitting left of its expectation (HC2),
    s^2 the mean of these over the drawn pairs. What the drawn pairs do to the weights of the fixed start is
    in the first sum, and nothing is left in either when all are asked.

    Raises
    ------
    np.linalg.LinAlgError : the pairs do not determine every feature.

    References
    ----------
    Musco and Witter 2024, arXiv 2410.01917. Covert and Lee 2021, arXiv 2012.01536, whose released
    code has the wrong sign in the projection of the covariance. Royall 1970, doi 10.1093/biomet/57.2.377
    (errors of predicted finite populations). MacKinnon and White 1985, doi 10.1016/0304-4076(85)90158-7.
    """
    x = pairs.signs / 2
    design = x[:, :-1] - x[:, -1:]
    y = pairs.odd - x[:, -1:] * 2 * pairs.ends
    weights = kernel_weights(pairs)
    root = np.sqrt(weights)[:, None]
    gram = (design * root).T @ (design * root)
    if not is_regular(gram):
        raise np.linalg.LinAlgError("the pairs do not determine every feature")
    inverse = np.linalg.inv(gram)
    free = inverse @ (design.T @ (weights[:, None] * y))
    values = np.concatenate([free, (2 * pairs.ends - free.sum(axis=0))[None]])
    lever = np.einsum("nd,nd->n", design @ inverse, design) * weights
    # a pair that alone decides a feature has leverage 1: nothing is left to judge it by
    left = np.maximum(1 - lever, 1e-6)[:, None]
    missed = y - design @ free
    judges = slice(pairs.start if len(pairs) > pairs.start else 0, None)
    influence = (design * weights[:, None]) @ inverse
    return Estimate(
        "leverage", values, _covariance(influence, missed**2 / left, pairs, judges),
        float(max(1, len(pairs) - design.shape[1])), ((missed / left)[judges] ** 2).mean(axis=0),
    )  # fmt: skip


def _covariance(free: np.ndarray, squares: np.ndarray, pairs: Pairs, judges: slice) -> np.ndarray:
    """Float["t d d"] from a_i(S) of all features but the last, "n d-1", and squared residuals "n t"."""
    if len(pairs) < pairs.d + 2:
        return np.full((squares.shape[1], pairs.d, pairs.d), np.nan)
    everyone = Nugget(pairs.d)
    wanted = everyone.shapley(pairs.signs)
    off = np.concatenate([free, -free.sum(axis=1, keepdims=True)], axis=1) - wanted
    others = everyone.prior() - wanted.T @ wanted
    size = squares[judges].mean(axis=0)
    return np.stack([(off * e[:, None]).T @ off + s * others for e, s in zip(squares.T, size, strict=True)])
