"""Which estimator answers from the pairs that were asked: by name, or by leave-one-out error."""

from __future__ import annotations

import numpy as np

from blackbox.numerics.estimators.estimate import Estimate, Pairs
from blackbox.numerics.estimators.gaussian import odd_kernel
from blackbox.numerics.estimators.regression import leverage_regression

MOST = 6000
"""Pairs beyond which ``auto`` keeps to the regression: a kernel's factorisation grows with their cube."""


def from_pairs(name: str, pairs: Pairs) -> Estimate:
    """Return the named estimate; ``auto`` takes the kernel or the regression, whose error is lower.

    The comparison uses the mean squared leave-one-out error of h over the drawn pairs, summed over
    the targets' shares; a regression that the pairs do not determine is no candidate.

    Raises
    ------
    np.linalg.LinAlgError : ``leverage`` on pairs that do not determine every feature.
    """
    if name == "leverage" or (name == "auto" and len(pairs) > MOST):
        return leverage_regression(pairs)
    kernel = odd_kernel(pairs, "cubic" if name == "cubic-kernel" else "product")
    if name != "auto" or kernel.covariance is None or len(pairs) <= pairs.d + 1:
        return kernel
    try:
        return _per_target(kernel, leverage_regression(pairs))
    except np.linalg.LinAlgError:
        return kernel


def _per_target(kernel: Estimate, regression: Estimate) -> Estimate:
    """Take, target by target, what has the lower leave-one-out error."""
    better = regression.error < kernel.error
    if not better.any():
        return kernel
    assert kernel.covariance is not None
    assert regression.covariance is not None
    covariance = np.where(better[:, None, None], regression.covariance, kernel.covariance)
    names = [("leverage" if b else "odd-kernel") for b in better]
    return Estimate(
        "leverage" if better.all() else ", ".join(names), np.where(better, regression.values, kernel.values),
        covariance, min(kernel.freedom, regression.freedom), np.minimum(kernel.error, regression.error),
        dict(kernel.notes),
    )  # fmt: skip


def second_order(pairs: Pairs, rounding: float = 1e-6) -> Estimate | None:
    """Return phi_i = h(N) - h(N - i), shifted to efficiency, if every pair agrees with it; else None.

    Exact on a game whose interactions have at most two members, because its odd part is linear. The
    start alone gives one equation more than unknowns, and drawn pairs one each: a game that passes
    them all and is of higher order would have to be odd-linear wherever it was asked.

    Parameters
    ----------
    pairs : the first d are those that leave one feature out. rounding : disagreement that counts as
        rounding, as a share of the largest |h|; the models answer in float32.
    """
    first = pairs.ends - pairs.odd[: pairs.start]
    gap = np.abs(2 * pairs.ends - first.sum(axis=0))
    scale = np.maximum(np.abs(pairs.odd).max(axis=0), np.abs(pairs.ends)) * rounding
    if np.any(gap > scale * pairs.d):
        return None
    values = first + (2 * pairs.ends - first.sum(axis=0)) / pairs.d
    off = np.abs(pairs.odd - pairs.signs @ values / 2)
    if np.any(off > scale * np.sqrt(pairs.d)):
        return None
    witnessed = len(pairs) > pairs.start  # the start alone agrees by one equation only
    zero = np.zeros((len(pairs.ends), pairs.d, pairs.d)) if witnessed else None
    return Estimate("second-order", values, zero, np.inf, (off**2).mean(axis=0))
