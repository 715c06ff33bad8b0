"""The kernel of a Gaussian process on the odd part: chosen by leave-one-out error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from blackbox.numerics.estimators.estimate import Pairs
from blackbox.numerics.estimators.odd_kernel import Blend, Cubic, Kernel, Product

STRENGTHS = (0.3, 0.7, 1.2, 2.0, 3.0, 4.5, 7.0, 10.0)
"""Sums of theta: interactions of order k weigh strength^k / k!, so this runs from additive to order 10."""
NOISES = (1e-8, 1e-4, 1e-2)
FREE = 100.0
"""Prior variance of a linear part that the data alone decides."""
TIES = 1e-9
"""Noise on the (empty, full) pair, which is known exactly."""
STARTERS = 64
"""Pairs of the start that help to choose; wider games keep to an even sample of theirs."""
LIKELY = 128
"""Drawn pairs that choose the hyper-parameters; beyond, a choice changes less than its cost is worth."""
EVEN = 0.05
"""Share of the even kernel in one shaped by feature: without it, intervals of weak features are too short
(coverage 0.87 instead of 0.91 on digits64 at 5 d)."""


@dataclass(frozen=True)
class Choice:
    """A kernel, its noise, and its weighted mean squared leave-one-out error of one target."""

    kernel: Kernel
    noise: float
    error: float


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
    if not isinstance(kernel, Product) or np.ptp(kernel.theta) == 0:
        return one
    even = Product(np.full(len(kernel.theta), kernel.theta.mean()), kernel.linear)
    return Choice(Blend(kernel, even, EVEN), one.noise, one.error)


def trimmed(data: Data, pairs: Pairs) -> Data:
    """Keep the rows that choose."""
    return data.part(_judges(pairs))


def _judges(pairs: Pairs) -> np.ndarray:
    """Rows that choose: the full mask, at most 64 of the start, at most 128 drawn."""
    start = np.linspace(0, pairs.start - 1, min(STARTERS, pairs.start)).astype(int) + 1
    drawn = np.arange(pairs.start + 1, min(len(pairs), pairs.start + LIKELY) + 1)
    return np.concatenate([[0], start, drawn])


def choose(data: Data, family: str) -> list[Choice]:
    """Return the choice of least leave-one-out error per target."""
    d = data.z.shape[1]
    even = np.full(d, 1 / d)
    best = [Choice(Product(even), 1.0, np.inf)] * data.y.shape[1]
    first: list[Kernel]
    if family == "cubic" and d >= 3:
        first = [Cubic(d, q, free) for q in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0) for free in (0.0, FREE)]
        return _best(data, best, [(k, n) for k in first for n in (*NOISES, 0.1)])
    best = _best(data, best, [(Product(s * even, FREE), n) for s in STRENGTHS for n in NOISES[::2]])
    near = sorted({s for one in best for s in _around(float(one.kernel.theta.sum()))})  # type: ignore[union-attr]
    best = _best(data, best, [(Product(s * even), n) for s in near for n in NOISES[::2]])
    return [_shaped(data, one, t) for t, one in enumerate(best)]


def _around(strength: float) -> tuple[float, ...]:
    """A strength's neighbours in the list and itself."""
    k = int(np.argmin(np.abs(np.array(STRENGTHS) - strength)))
    return STRENGTHS[max(0, k - 1) : k + 2]


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


def inverse_of(gram: np.ndarray, noise: float) -> np.ndarray:
    """Invert K + noise, with next to none on the full mask; infinite where it cannot be."""
    a = gram.copy()
    a.flat[:: len(a) + 1] += noise
    a[0, 0] += TIES - noise
    return symmetric_inverse(a)


def symmetric_inverse(a: np.ndarray) -> np.ndarray:
    """Invert a positive definite matrix by Cholesky, half a general inverse's work; infinite if it is not."""
    from scipy.linalg.lapack import dpotrf, dpotri

    # column-major, as LAPACK wants it, so that everything happens in one array
    factor, failed = dpotrf(np.array(a.T, order="F", copy=None), lower=1, overwrite_a=1)
    if failed:
        return np.full(a.shape, np.inf)
    found, failed = dpotri(factor, lower=1, overwrite_c=1)
    if failed:
        return np.full(a.shape, np.inf)
    for k in range(len(found) - 1):
        found[k, k + 1 :] = found[k + 1 :, k]
    return np.asarray(found)


def _shaped(data: Data, best: Choice, t: int) -> Choice:
    """Let a feature's part in interactions follow |phi_i|^e while that lowers the error."""
    data = Data(data.z, data.y[:, [t]], data.share)
    d = data.z.shape[1]
    if not np.isfinite(best.error) or best.error == 0:
        return best
    for _ in range(3):
        before, kernel = best.error, best.kernel
        assert isinstance(kernel, Product)
        alpha = left_out(kernel.gram(data.z, data.z), best.noise, data)[1]
        size = np.abs(kernel.shapley(data.z).T @ alpha)[:, 0]
        if not size.any():
            break
        # 0.02 of the mean: a feature without an effect of its own may still interact
        shape = np.maximum(size / size.mean(), 0.02)
        strength = float(kernel.theta.sum())
        tried = [
            (Product(capped(shape**e / (shape**e).sum() * strength * factor), kernel.linear), noise)
            for e in (0.5, 1.0, 1.5) for factor in (0.5, 1.0, 2.0) if strength * factor < 30
            for noise in {best.noise, NOISES[0]}
        ]  # fmt: skip
        (best,) = _best(data, [best], tried)
        (best,) = _best(data, [best], [(best.kernel, noise) for noise in NOISES])
        if best.error >= 0.98 * before or d < 3:
            break
    return best


def capped(theta: np.ndarray) -> np.ndarray:
    """Keep atanh finite: at 4, a feature's presence already multiplies every interaction by 0.9993."""
    return np.asarray(np.minimum(theta, 4.0))
