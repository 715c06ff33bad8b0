"""Gaussian-process regression with an odd kernel: settings by leave-one-out error, posterior of phi."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blackbox.numerics.estimators.choices import Choice, Data, blended, choose, trimmed
from blackbox.numerics.estimators.estimate import Estimate, Pairs, efficient
from blackbox.numerics.estimators.odd_kernel import Blend, Cubic, Kernel, Spread
from blackbox.numerics.estimators.symmetric import TIES, inverse_of

ENOUGH = 6
"""Drawn pairs below which a leave-one-out error says nothing about the next pair."""
FEW = 600
"""Up to so many pairs the leave-one-out scale uses all of them."""


@dataclass(frozen=True)
class Chosen:
    """What the judging pairs chose per target, and what that choice adds to the error.

    judged : how many rows chose; designs only grow, so as many rows are the same rows. halves : per target,
        what either half of the judging pairs chose.
    """

    family: str
    judged: int
    kernels: Sequence[Choice]
    halves: Sequence[Sequence[Choice]]
    factors: np.ndarray
    between: np.ndarray


def odd_kernel(pairs: Pairs, family: str = "product", before: Estimate | None = None) -> Estimate:
    """Estimate Shapley values as the posterior mean of a Gaussian process on the odd part.

    phi_i = sum_j alpha_j Cov(phi_i, h(S_j)), alpha = (K + noise)^-1 h, then the gap to efficiency is
    spread equally. Strength, noise and the freedom of the linear part minimise leave-one-out error
    alpha_j / [(K + noise)^-1]_jj; then every feature's share in interactions descends from |phi_i|^e to the
    least leave-one-out log predictive density. What the kernel cannot follow counts with the weight of the
    coalitions where it was met. Up to 600 pairs the values are averaged over three choices of the
    hyper-parameters: half by all judging pairs, a quarter by either half of them. The posterior
    covariance is scaled so that standardised leave-one-out errors have mean square 1.

    Parameters
    ----------
    family : ``product`` (all odd orders, a share per feature) or ``cubic`` (orders 1 and 3). before : the
        estimate from the same design's first pairs; where as many rows judged, its choice stands.

    References
    ----------
    Rasmussen and Williams 2006, chapter 5; Shapley values of odd characters: the module's docstring.
    """
    data = Data.of(pairs)
    small = trimmed(data, pairs)
    chosen, words = kernels(small, family, before)
    found = [_posterior(data, small, one, t) for t, one in enumerate(chosen.kernels)]
    values = efficient(np.stack([f[0] for f in found], axis=1), pairs.ends)
    if len(data.y) <= FEW:
        values = _averaged(values, data, chosen.halves)
    drawn = len(pairs) - pairs.start
    covariance = np.stack([f[1] for f in found]) * chosen.factors[:, None, None] + chosen.between
    return Estimate(
        f"{'cubic' if family == 'cubic' else 'odd'}-kernel", values,
        covariance if drawn >= ENOUGH else None,
        # half of what was drawn chooses, half judges
        max(2.0, (drawn - 1) / 2),
        np.array([f[2] for f in found]) * chosen.factors, words, chosen,
    )  # fmt: skip


def kernels(small: Data, family: str, before: Estimate | None) -> tuple[Chosen, dict[str, object]]:
    """Choose a kernel per target by the judging pairs, unless they have chosen before; say it in words."""
    known = before.chosen if before is not None else None
    stands = isinstance(known, Chosen) and (known.family, known.judged) == (family, len(small.y))
    chosen = known if stands else _decided(small, family)
    assert isinstance(chosen, Chosen)
    return chosen, {"kernels": [_words(one.kernel) for one in chosen.kernels]}


def _decided(small: Data, family: str) -> Chosen:
    kernels = [blended(one) for one in choose(small, family)]
    return Chosen(family, len(small.y), kernels, *_doubt(small, family, kernels))


def _doubt(
    data: Data, family: str, chosen: Sequence[Choice]
) -> tuple[list[list[Choice]], np.ndarray, np.ndarray]:
    """The halves' choices and what the choice adds to the error: "t" factors of at least 1, and "t d d".

    Each half of the drawn pairs chooses (with the start), the other half judges. The factor is how much
    larger the leave-one-out error is on pairs that did not choose; the covariance is that of phi
    between the choices of the halves and of all.
    """
    drawn, start = np.flatnonzero(data.share > 0), np.flatnonzero(data.share == 0)
    halves: list[list[Choice]] = [[] for _ in chosen]
    d, targets = data.z.shape[1], len(chosen)
    between = np.zeros((targets, d, d))
    if len(drawn) < ENOUGH or len(start) < 2:
        return halves, np.ones(targets), between
    own, found = [_under(data, one, t) for t, one in enumerate(chosen)], np.zeros(targets)
    for choosing, judging in ((drawn[::2], drawn[1::2]), (drawn[1::2], drawn[::2])):
        half = data.part(np.concatenate([start, choosing]))
        for t, one in enumerate(map(blended, choose(half, family))):
            off, phi = _under(data, one, t)
            halves[t].append(one)
            found[t] += (off[judging] ** 2).sum() / len(drawn)
            away = np.where(np.isfinite(phi), phi, 0.0) - own[t][1]
            between[t] += np.outer(away, away) / 2
    errors = np.array([(off[drawn] ** 2).mean() for off, _ in own])
    ratio = np.divide(found, errors, out=np.ones_like(errors), where=errors > 0)
    return halves, np.where(np.isfinite(ratio), np.maximum(ratio, 1.0), 1.0), between


def _averaged(values: np.ndarray, data: Data, halves: Sequence[Sequence[Choice]]) -> np.ndarray:
    """Average with what either half of the judging pairs would have chosen, where that can be solved."""
    found = values.copy()
    for t, others in enumerate(halves):
        phis = [_under(data, one, t)[1] for one in others]
        if phis and np.isfinite(phis).all():
            found[:, t] = values[:, t] / 2 + np.mean(phis, axis=0) / 2
    return found


def _under(data: Data, one: Choice, t: int) -> tuple[np.ndarray, np.ndarray]:
    """Leave-one-out errors "n" and phi "d" of one target under a kernel."""
    inverse = inverse_of(one.kernel.gram(data.z, data.z), one.noise)
    alpha = inverse @ data.y[:, t]
    phi = efficient((one.reach(data.z).T @ alpha)[:, None], data.y[0, [t]])[:, 0]
    return alpha / np.diag(inverse), phi


def _posterior(data: Data, small: Data, chosen: Choice, t: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Return phi "d", covariance "d d" and leave-one-out error, for one target."""
    from scipy.linalg import cho_factor, cho_solve

    kernel, y = chosen.kernel, data.y[:, t]
    gram = kernel.gram(data.z, data.z)
    few = len(y) <= FEW
    judge, judged = (data, gram) if few else (small, kernel.gram(small.z, small.z))
    inverse = inverse_of(judged, chosen.noise)
    alpha, diagonal = inverse @ judge.y[:, t], np.diag(inverse)
    scale = float(judge.share @ (alpha**2 / diagonal))
    error = float(judge.share @ (alpha / diagonal) ** 2)
    reach = chosen.reach(data.z)
    if few:
        phi, known = reach.T @ alpha, reach.T @ inverse @ reach
    else:
        gram.flat[:: len(gram) + 1] += chosen.noise
        gram[0, 0] += TIES - chosen.noise
        factor = cho_factor(gram, lower=True, overwrite_a=True)
        phi, known = reach.T @ cho_solve(factor, y), reach.T @ cho_solve(factor, reach)
    return phi, _positive(scale * (chosen.prior(len(reach.T)) - known)), error


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
