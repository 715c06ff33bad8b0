"""The kernel of a Gaussian process on the odd part: chosen by leave-one-out error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from blackbox.numerics.estimators.estimate import Pairs
from blackbox.numerics.estimators.odd_kernel import Blend, Cubic, Kernel, Nugget, Product, Spread
from blackbox.numerics.estimators.refining import by_evidence, refined
from blackbox.numerics.estimators.symmetric import inverse_of

STRENGTHS = (0.3, 0.7, 1.2, 2.0, 3.0, 4.5, 7.0, 10.0)
"""Sums of theta: interactions of order k weigh strength^k / k!, so this runs from additive to order 10."""
NOISES = (1e-8, 1e-4, 1e-2)
FREE = 100.0
"""Prior variance of a linear part that the data alone decides."""
STARTERS = 64
"""Pairs of the start that help to choose; wider games keep to an even sample of theirs."""
LIKELY = 128
"""Drawn pairs that choose the hyper-parameters; beyond, a choice changes less than its cost is worth."""
EVEN = 0.02
"""Share of the even kernel in one shaped by feature: without it, intervals of weak features are too short
(coverage 0.79 instead of 0.92 on digits64 at 5 d); with 0.05, boosted trees lose a third of their gain."""


@dataclass(frozen=True)
class Choice:
    """A kernel, its noise, and its weighted mean squared leave-one-out error of one target."""

    kernel: Kernel
    noise: float
    error: float

    def reach(self, z: np.ndarray) -> np.ndarray:
        """Return Cov(phi_i, h(z_j)) as Float["n d"], what the kernel cannot follow included."""
        return self.kernel.shapley(z) + self.noise * Nugget(z.shape[1]).shapley(z)

    def prior(self, d: int) -> np.ndarray:
        """Return Cov(phi_i, phi_j) as Float["d d"]."""
        return self.kernel.prior() + self.noise * Nugget(d).prior()


@dataclass(frozen=True)
class Data:
    """Signs with the full mask first, responses with h(N) first, and how much each row counts."""

    z: np.ndarray
    y: np.ndarray
    share: np.ndarray

    @classmethod
    def of(cls, pairs: Pairs) -> Data:
        """Let the drawn pairs judge; the fixed start does only where hardly anything was drawn."""
        drawn = len(pairs) - pairs.start
        share = np.ones(len(pairs) + 1)
        share[0] = 0
        if drawn >= 3:
            share[1 : 1 + pairs.start] = 0
        return cls(
            np.concatenate([np.ones((1, pairs.d)), pairs.signs]),
            np.concatenate([pairs.ends[None], pairs.odd]),
            share / share.sum(),
        )

    def part(self, rows: np.ndarray) -> Data:
        """Keep some rows."""
        share = self.share[rows]
        return Data(self.z[rows], self.y[rows], share / share.sum())


def blended(one: Choice) -> Choice:
    """Mix a little of the even kernel into one shaped by feature."""
    kernel = one.kernel
    if not isinstance(kernel, Product | Spread) or np.ptp(kernel.theta) == 0:
        return one
    even = type(kernel)(np.full(len(kernel.theta), kernel.theta.mean()), kernel.linear)
    return Choice(Blend(kernel, even, EVEN), one.noise, one.error)


def trimmed(data: Data, pairs: Pairs) -> Data:
    """Keep the rows that choose."""
    return data.part(_judges(pairs))


def _judges(pairs: Pairs) -> np.ndarray:
    """Rows that choose: the full mask, at most 64 of the start, at most 128 drawn."""
    start = np.linspace(0, pairs.start - 1, min(STARTERS, pairs.start)).astype(int) + 1
    return np.concatenate([[0], start, pairs.start + 1 + likely(len(pairs) - pairs.start)])


def likely(drawn: int) -> np.ndarray:
    """Return which of the drawn pairs choose: all up to 128, of 256 every second, of 512 every fourth, ...

    The first pairs of an informative design are of middle sizes and unlike its later ones: chosen by the
    first 128 of a thousand, a kernel had a quarter more error. Between two such numbers the same choose.
    """
    stride = 1 << max(0, (drawn // LIKELY).bit_length() - 1)
    return np.arange(0, min(drawn, LIKELY * stride), stride)


def choose(data: Data, family: str) -> list[Choice]:
    """Return the choice per target: the least leave-one-out error, then the steepest way down from there."""
    d = data.z.shape[1]
    even = np.full(d, 1 / d)
    best = [Choice(Product(even), 1.0, np.inf)] * data.y.shape[1]
    first: list[Kernel]
    if family == "cubic" and d >= 3:
        first = [Cubic(d, q, free) for q in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0) for free in (0.0, FREE)]
        return _best(data, best, [(k, n) for k in first for n in (*NOISES, 0.1)])
    best = _best(data, best, [(Product(s * even, FREE), n) for s in STRENGTHS for n in NOISES[::2]])
    if d < 3:  # nothing to shape
        return _best(data, best, [(Product(s * even), n) for s in STRENGTHS for n in NOISES[::2]])
    judged = int((data.share > 0).sum()) < len(data.share) - 1
    return [_refined(data, one, t, judged) for t, one in enumerate(best)]


def _best(data: Data, best: Sequence[Choice], tried: Iterable[tuple[Kernel, float]]) -> list[Choice]:
    """Try kernels on all targets at once."""
    found, last, gram = list(best), None, np.zeros((0, 0))
    for kernel, noise in tried:
        if kernel is not last:
            last, gram = kernel, kernel.gram(data.z, data.z)
        errors = left_out(gram, noise, data)[0]
        for t, error in enumerate(errors):
            if error < found[t].error:
                found[t] = Choice(kernel, noise, float(error))
    return found


def left_out(gram: np.ndarray, noise: float, data: Data) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean squared leave-one-out errors "t", alpha "n t" and the inverse's diagonal "n"."""
    inverse = inverse_of(gram, noise)
    alpha, diagonal = inverse @ data.y, np.diag(inverse)
    errors = data.share @ (alpha / diagonal[:, None]) ** 2
    return np.where(np.isfinite(errors), errors, np.inf), alpha, diagonal


def _refined(data: Data, best: Choice, t: int, judged: bool) -> Choice:
    """Descend to a share per feature: by the drawn pairs from the values found so far, or by evidence."""
    y, kernel = data.y[:, t], best.kernel
    assert isinstance(kernel, Product)
    alpha = inverse_of(kernel.gram(data.z, data.z), best.noise) @ y
    phi = kernel.shapley(data.z).T @ alpha
    if not np.isfinite(best.error) or best.error == 0 or not phi.any():
        return best
    start = (float(kernel.theta.sum()), kernel.linear, best.noise)
    if judged:
        found, noise = refined(data.z, y, data.share, phi, start)
    else:
        found, noise = by_evidence(data.z, y)
    error = left_out(found.gram(data.z, data.z), noise, Data(data.z, y[:, None], data.share))[0]
    return Choice(found, noise, float(error[0]))


def capped(theta: np.ndarray) -> np.ndarray:
    """Keep atanh finite: at 4, a feature's presence already multiplies every interaction by 0.9993."""
    return np.asarray(np.minimum(theta, 4.0))
