"""Gaussian-process regression with an odd kernel: settings by leave-one-out error, posterior of phi."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blackbox.numerics.estimators.choices import LIKELY, Choice, Data, blended, choose, likely, trimmed
from blackbox.numerics.estimators.estimate import Estimate, Pairs, efficient
from blackbox.numerics.estimators.freedom import of_dependent, of_heavy
from blackbox.numerics.estimators.odd_kernel import Blend, Cubic, Kernel, Spread
from blackbox.numerics.estimators.symmetric import TIES, inverse_of

ENOUGH = 6
"""Drawn pairs below which a leave-one-out error says nothing about the next pair."""
FEW = 600
"""Up to so many pairs all that were drawn judge the scale; beyond, 128 of those that did not choose."""


@dataclass(frozen=True)
class Chosen:
    """What the judging pairs chose per target, and how much smaller that made their own errors.

    judges : Float["n d"], the signs of the pairs that chose. halves : per target, what either half of the
        judging pairs chose. factors : Float["t"], at least 1.
    """

    family: str
    judges: np.ndarray
    kernels: Sequence[Choice]
    halves: Sequence[Sequence[Choice]]
    factors: np.ndarray


@dataclass(frozen=True)
class Posterior:
    """One target under one kernel: phi "d", its covariance "d d", what is known of its scale, its error."""

    phi: np.ndarray
    covariance: np.ndarray
    freedom: float
    error: float


def odd_kernel(pairs: Pairs, family: str = "product", before: Estimate | None = None) -> Estimate:
    """Estimate Shapley values as the posterior mean of a Gaussian process on the odd part.

    phi_i = sum_j alpha_j Cov(phi_i, h(S_j)), alpha = (K + noise)^-1 h, then the gap to efficiency is
    spread equally. Strength, noise and the freedom of the linear part minimise leave-one-out error
    alpha_j / [(K + noise)^-1]_jj; then every feature's share in interactions descends from |phi_i|^e to the
    least leave-one-out log predictive density. What the kernel cannot follow counts with the weight of the
    coalitions where it was met. The values are averaged over three choices of the hyper-parameters: half
    by all judging pairs, a quarter by either half of them.

    The posterior covariance is scaled so that standardised leave-one-out errors have mean square 1, those
    of the at most 128 pairs that chose the kernel after a correction for having chosen; how well that
    scale is known is in ``freedom.py``. The choice itself adds the covariance of phi between what all
    judging pairs chose and what either half of them did, over all pairs: a parameter's variance with half
    the sample is twice that with all of it, so the difference has the variance that all of it leaves
    (half-sample replication).

    Parameters
    ----------
    family : ``product`` (all odd orders, a share per feature) or ``cubic`` (orders 1 and 3). before : the
        estimate from the same design's first pairs; where the same pairs judge, its choice stands.

    References
    ----------
    Rasmussen and Williams 2006, chapter 5; Shapley values of odd characters: the module's docstring.
    McCarthy 1969, doi 10.2307/1402116 (half samples).
    """
    data = Data.of(pairs)
    small = trimmed(data, pairs)
    chosen, words = kernels(small, family, before)
    found = [_posterior(data, small, one, t, chosen.factors[t]) for t, one in enumerate(chosen.kernels)]
    others = [[_under(data, one, t) for one in halves] for t, halves in enumerate(chosen.halves)]
    values = efficient(np.stack([f.phi for f in found], axis=1), pairs.ends)
    between = np.stack([_between(values[:, t], phis) for t, phis in enumerate(others)])
    values = _averaged(values, others)
    return Estimate(
        f"{'cubic' if family == 'cubic' else 'odd'}-kernel", values,
        np.stack([f.covariance for f in found]) + between if len(pairs) - pairs.start >= ENOUGH else None,
        min(f.freedom for f in found),
        np.array([f.error for f in found]) * chosen.factors, words, chosen,
    )  # fmt: skip


def kernels(small: Data, family: str, before: Estimate | None) -> tuple[Chosen, dict[str, object]]:
    """Choose a kernel per target by the judging pairs, unless they have chosen before; say it in words."""
    known = before.chosen if before is not None else None
    if isinstance(known, Chosen) and known.family == family and np.array_equal(known.judges, small.z):
        chosen = known
    else:
        chosen = _decided(small, family)
    return chosen, {"kernels": [_words(one.kernel) for one in chosen.kernels]}


def _decided(small: Data, family: str) -> Chosen:
    kernels = [blended(one) for one in choose(small, family)]
    return Chosen(family, small.z, kernels, *_doubt(small, family, kernels))


def _doubt(data: Data, family: str, chosen: Sequence[Choice]) -> tuple[list[list[Choice]], np.ndarray]:
    """What either half of the drawn pairs would choose, and "t" factors of at least 1.

    Each half chooses (with the start), the other half judges. The factor is how much larger the
    leave-one-out error is on pairs that did not choose.
    """
    drawn, start = np.flatnonzero(data.share > 0), np.flatnonzero(data.share == 0)
    halves: list[list[Choice]] = [[] for _ in chosen]
    if len(drawn) < ENOUGH or len(start) < 2:
        return halves, np.ones(len(chosen))
    own, found = [_left_out(data, one, t) for t, one in enumerate(chosen)], np.zeros(len(chosen))
    for choosing, judging in ((drawn[::2], drawn[1::2]), (drawn[1::2], drawn[::2])):
        half = data.part(np.concatenate([start, choosing]))
        for t, one in enumerate(map(blended, choose(half, family))):
            halves[t].append(one)
            found[t] += (_left_out(data, one, t)[judging] ** 2).sum() / len(drawn)
    errors = np.array([(off[drawn] ** 2).mean() for off in own])
    ratio = np.divide(found, errors, out=np.ones_like(errors), where=errors > 0)
    return halves, np.where(np.isfinite(ratio), np.maximum(ratio, 1.0), 1.0)


def _left_out(data: Data, one: Choice, t: int) -> np.ndarray:
    """Leave-one-out errors "n" of one target under a kernel."""
    inverse = inverse_of(one.kernel.gram(data.z, data.z), one.noise)
    return np.asarray(inverse @ data.y[:, t] / np.diag(inverse))


def _averaged(values: np.ndarray, others: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Average with what either half of the judging pairs would have chosen, where that can be solved."""
    found = values.copy()
    for t, phis in enumerate(others):
        if phis and np.isfinite(phis).all():
            found[:, t] = values[:, t] / 2 + np.mean(phis, axis=0) / 2
    return found


def _between(phi: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """Mean square of phi's differences to what others found, "d d"; all of phi where one found nothing."""
    found = np.zeros((len(phi), len(phi)))
    for other in others:
        away = np.where(np.isfinite(other), other, 0.0) - phi
        found += np.outer(away, away) / len(others)
    return found


def _under(data: Data, one: Choice, t: int) -> np.ndarray:
    """Phi "d" of one target under a kernel; not finite where it cannot be solved."""
    gram, y = one.kernel.gram(data.z, data.z), data.y[:, t]
    if len(y) <= FEW:
        alpha = inverse_of(gram, one.noise) @ y
    else:
        try:
            alpha = _solved(gram, one.noise, y)[0]
        except np.linalg.LinAlgError:
            return np.full(data.z.shape[1], np.nan)
    return efficient((one.reach(data.z).T @ alpha)[:, None], data.y[0, [t]])[:, 0]


def _solved(gram: np.ndarray, noise: float, *sides: np.ndarray) -> list[np.ndarray]:
    """Solve (K + noise) x = b for some b, overwriting K: a third of the inverse's work."""
    from scipy.linalg import cho_factor, cho_solve

    gram.flat[:: len(gram) + 1] += noise
    gram[0, 0] += TIES - noise
    factor = cho_factor(gram, lower=True, overwrite_a=True)
    return [cho_solve(factor, side) for side in sides]


def _posterior(data: Data, small: Data, chosen: Choice, t: int, factor: float) -> Posterior:
    """Solve one target; ``factor`` undoes what choosing took off the squared errors of those who chose."""
    y, reach, judges = data.y[:, t], chosen.reach(data.z), np.flatnonzero(data.share)
    gram = chosen.kernel.gram(data.z, data.z)
    chose = np.isin(np.arange(len(judges)), likely(len(judges)))
    if len(y) <= FEW:
        inverse = inverse_of(gram, chosen.noise)
        alpha, inner, columns = inverse @ y, inverse @ reach, inverse[:, judges]
        error = float(data.share @ (alpha / np.diag(inverse)) ** 2)
    else:
        others = np.flatnonzero(~chose)
        some = others[likely(len(others))] if len(others) >= LIKELY else np.arange(len(judges))[-LIKELY:]
        judges, chose = judges[some], chose[some]
        units = np.eye(len(y))[:, judges]
        alpha, inner, columns = _solved(gram, chosen.noise, y, reach, units)
        error = float(small.share @ _left_out(small, chosen, t) ** 2)
    precision = columns[judges]
    standard = alpha[judges] / np.sqrt(np.diag(precision)) * np.where(chose, np.sqrt(factor), 1.0)
    freedom = of_heavy(of_dependent(precision), standard[:, None])[0]
    left = chosen.prior(len(reach.T)) - reach.T @ inner
    return Posterior(reach.T @ alpha, _positive((standard**2).mean() * left), float(freedom), error)


def _positive(covariance: np.ndarray) -> np.ndarray:
    """Make a covariance symmetric and of sum zero (efficiency is exact), variances at least 0."""
    d = len(covariance)
    centre = np.eye(d) - 1 / d
    found = centre @ ((covariance + covariance.T) / 2) @ centre
    np.fill_diagonal(found, np.maximum(np.diag(found), 0.0))
    return np.asarray(found)


def _words(kernel: Kernel) -> str:
    if isinstance(kernel, Cubic):
        return f"cubic, ratio {kernel.ratio:g}, linear {kernel.linear:g}"
    part, how = (kernel.first, "by feature") if isinstance(kernel, Blend) else (kernel, "even")
    name = "spread" if isinstance(part, Spread) else "product"
    return f"{name}, strength {part.theta.sum():.3g} ({how}), linear {part.linear:g}"
