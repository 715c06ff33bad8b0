"""Large designs in bounded memory: a kernel learns from some pairs, a regression takes what it missed."""

from __future__ import annotations

import dataclasses

import numpy as np

from blackbox.numerics.estimators.choices import Data, trimmed
from blackbox.numerics.estimators.estimate import Estimate, Pairs
from blackbox.numerics.estimators.gaussian import kernels
from blackbox.numerics.estimators.regression import leverage_regression
from blackbox.numerics.estimators.symmetric import inverse_of

MOST = 1536
"""Pairs that a kernel learns from: its matrix takes 18 MiB, and its factorisation less than a second."""
CHUNK = 1024
"""Further pairs predicted at once."""


def adjusted_regression(pairs: Pairs, family: str, before: Estimate | None = None) -> Estimate:
    """Estimate phi = phi(GP) + phi(regression on h - GP), the GP learnt from at most 1,536 of the pairs.

    Shapley values are linear, so those of the surrogate (known in closed form) and of what it misses
    add up. A pair that the GP learnt from counts with its leave-one-out residual, the others with their
    own, so the regression's covariance is of errors that nothing was fitted to.

    Raises
    ------
    np.linalg.LinAlgError : the pairs do not determine every feature.

    References
    ----------
    Witter et al. 2025 (regression-adjusted estimators), with a Gaussian process as the surrogate.
    """
    learnt = _part(pairs)
    part = dataclasses.replace(
        pairs, halves=pairs.halves[learnt], odd=pairs.odd[learnt], chances=pairs.chances[learnt],
        start=int((learnt < pairs.start).sum()),
    )  # fmt: skip
    data = Data.of(part)
    chosen, words = kernels(trimmed(data, part), family, before)
    others = np.setdiff1d(np.arange(len(pairs)), learnt)
    missed, phi = np.empty(pairs.odd.shape), np.empty((pairs.d, pairs.odd.shape[1]))
    for t, one in enumerate(chosen.kernels):
        inverse = inverse_of(one.kernel.gram(data.z, data.z), one.noise)
        alpha = inverse @ data.y[:, t]
        missed[learnt, t] = (alpha / np.diag(inverse))[1:]
        for start in range(0, len(others), CHUNK):
            some = others[start : start + CHUNK]
            missed[some, t] = pairs.odd[some, t] - one.kernel.gram(pairs.signs[some], data.z) @ alpha
        phi[:, t] = one.kernel.shapley(data.z).T @ alpha
    rest = leverage_regression(dataclasses.replace(pairs, odd=missed, ends=pairs.ends - phi.sum(axis=0) / 2))
    name = f"{'cubic' if family == 'cubic' else 'odd'}-kernel, adjusted"
    return dataclasses.replace(rest, name=name, values=phi + rest.values, notes=words, chosen=chosen)


def _part(pairs: Pairs) -> np.ndarray:
    """Positions to learn from: the start, or an even part of a wide one, then the pairs drawn first."""
    start = np.linspace(0, pairs.start - 1, min(pairs.start, MOST // 2)).astype(int)
    return np.concatenate([start, np.arange(pairs.start, pairs.start + MOST - len(start))])
