"""Which estimator answers from the pairs that were asked: by name, or by leave-one-out error."""

from __future__ import annotations

import dataclasses

import numpy as np

from blackbox.numerics.estimators.adjusted import MOST, adjusted_regression
from blackbox.numerics.estimators.choices import STARTERS, likely
from blackbox.numerics.estimators.estimate import Estimate, Pairs
from blackbox.numerics.estimators.gaussian import odd_kernel
from blackbox.numerics.estimators.regression import leverage_regression
from blackbox.numerics.threads import one_thread

MARGIN = 0.4
"""The regression's error has to be this much lower: at 0.66 to 0.8 of the kernel's, its values were still 1.3
to 3 times worse."""


@one_thread
def from_pairs(name: str, pairs: Pairs, before: Estimate | None = None) -> Estimate:
    """Return the named estimate; ``auto`` takes the kernel, or the regression where it is clearly better.

    The comparison uses the mean squared leave-one-out error of h over the drawn pairs, summed over
    the targets' shares; a regression that the pairs do not determine is no candidate. Beyond 1,536 pairs
    every kernel learns from the first ones and a regression takes the rest, in bounded memory.

    Parameters
    ----------
    before : the estimate from the first of these pairs, whose choice of kernels may still stand.

    Raises
    ------
    np.linalg.LinAlgError : ``leverage`` on pairs that do not determine every feature.
    """
    if name == "leverage":
        return leverage_regression(pairs)
    family = "cubic" if name == "cubic-kernel" else "product"
    if len(pairs) > MOST:
        return adjusted_regression(pairs, family, before)
    kernel = odd_kernel(pairs, family, before)
    if name != "auto" or kernel.covariance is None or len(pairs) <= pairs.d + 1:
        return kernel
    if pairs.start > STARTERS:  # the kernel was judged with less than the regression would see
        return kernel
    try:
        judged = leverage_regression(judging(pairs)).error
        better = judged < MARGIN * kernel.error
        return _per_target(kernel, leverage_regression(pairs), better) if better.any() else kernel
    except np.linalg.LinAlgError:
        return kernel


def judging(pairs: Pairs) -> Pairs:
    """Keep the pairs by which a large design is judged, so that both errors are of the same sample."""
    rows = np.concatenate([np.arange(pairs.start), pairs.start + likely(len(pairs) - pairs.start)])
    return dataclasses.replace(
        pairs, halves=pairs.halves[rows], odd=pairs.odd[rows], chances=pairs.chances[rows]
    )


def _per_target(kernel: Estimate, regression: Estimate, better: np.ndarray) -> Estimate:
    """Take the regression for the targets where it is clearly better."""
    assert kernel.covariance is not None
    assert regression.covariance is not None
    covariance = np.where(better[:, None, None], regression.covariance, kernel.covariance)
    names = [("leverage" if b else "odd-kernel") for b in better]
    return Estimate(
        "leverage" if better.all() else ", ".join(names), np.where(better, regression.values, kernel.values),
        covariance, min(kernel.freedom, regression.freedom), np.minimum(kernel.error, regression.error),
        dict(kernel.notes), kernel.chosen,
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
