"""One design of pairs and one factorisation for many rows: Shapley values as a matrix product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blackbox.numerics.estimators.choices import (
    FREE,
    NOISES,
    STRENGTHS,
    Choice,
    Data,
    blended,
    capped,
    trimmed,
)
from blackbox.numerics.estimators.estimate import Estimate, Pairs, efficient
from blackbox.numerics.estimators.freedom import of_dependent, of_heavy
from blackbox.numerics.estimators.odd_kernel import Kernel, Product
from blackbox.numerics.estimators.symmetric import inverse_of, inverse_root
from blackbox.numerics.threads import one_thread


@dataclass(frozen=True)
class Operator:
    """What a design and a kernel say about any game on the same features.

    halves : Bool[np.ndarray, "n d"]. inverse : Float["n+1 n+1"], of the kernel matrix with noise, the full
    mask first. reach : Float["n+1 d"], Cov(phi, h). covariance : Float["d d"], posterior per unit of scale.
    share : Float["n+1"], how much each row counts for the scale. freedom : of that scale, for normal errors.
    """

    halves: np.ndarray
    inverse: np.ndarray
    reach: np.ndarray
    covariance: np.ndarray
    share: np.ndarray
    freedom: float
    kernel: Kernel

    def __call__(self, odd: np.ndarray, ends: np.ndarray) -> Estimate:
        """Estimate from half-differences Float["n t"] in the design's order.

        The scale of the covariance is the row's own, its mean squared standardised leave-one-out error, and
        so is what the tails of these errors leave of the degrees of freedom.
        """
        y = np.concatenate([ends[None], odd])
        alpha, diagonal = self.inverse @ y, np.diag(self.inverse)[:, None]
        scale, error = self.share @ (alpha**2 / diagonal), self.share @ (alpha / diagonal) ** 2
        judged = self.share > 0
        freedom = of_heavy(self.freedom, alpha[judged] / np.sqrt(diagonal[judged]))
        return Estimate(
            "odd-kernel", efficient(self.reach.T @ alpha, ends), scale[:, None, None] * self.covariance,
            freedom, error,
        )  # fmt: skip


@one_thread
def operator(pairs: Pairs) -> Operator:
    """Choose one kernel for the games of several rows, and factorise once.

    Parameters
    ----------
    pairs : their ``odd`` and ``ends`` hold one column per row and target.
    """
    data = Data.of(pairs)
    chosen: Choice = choose_together(trimmed(data, pairs))
    gram = chosen.kernel.gram(data.z, data.z)
    inverse, reach = inverse_of(gram, chosen.noise), chosen.reach(data.z)
    centre = np.eye(pairs.d) - 1 / pairs.d
    covariance = centre @ (chosen.prior(pairs.d) - reach.T @ inverse @ reach) @ centre
    covariance = (covariance + covariance.T) / 2
    np.fill_diagonal(covariance, np.maximum(np.diag(covariance), 0.0))
    judges = np.flatnonzero(data.share)
    freedom = of_dependent(inverse[np.ix_(judges, judges)])
    return Operator(pairs.halves, inverse, reach, covariance, data.share, freedom, chosen.kernel)


def choose_together(data: Data) -> Choice:
    """Return one choice for all columns: least sum of their errors, each in units of its own mean square."""
    size = np.sqrt((data.y**2).mean(axis=0))
    data = Data(data.z, data.y / np.where(size > 0, size, 1.0), data.share)
    d = data.z.shape[1]
    best = Choice(Product(np.full(d, 1 / d)), 1.0, np.inf)
    even = [Product(np.full(d, s / d), free) for s in STRENGTHS for free in (FREE, 0.0)]
    best = _least(data, best, even)
    assert isinstance(best.kernel, Product)
    alpha = inverse_of(best.kernel.gram(data.z, data.z), best.noise) @ data.y
    size = np.abs(best.kernel.shapley(data.z).T @ alpha).mean(axis=1)
    shape = np.maximum(size / max(size.mean(), 1e-300), 0.02)
    strength, linear = float(best.kernel.theta.sum()), best.kernel.linear
    tried = [
        capped(shape**e / (shape**e).sum() * strength * factor)
        for e in (0.5, 1.0, 1.5) for factor in (0.5, 1.0, 2.0) if strength * factor < 30
    ]  # fmt: skip
    return blended(_least(data, best, [Product(theta, linear) for theta in tried]))


def _left_out(gram: np.ndarray, noise: float, data: Data) -> float:
    """Return all columns' mean squared leave-one-out errors, added up; infinite where there is no inverse."""
    root = inverse_root(gram, noise)
    if not np.isfinite(root[0, 0]):
        return float(np.inf)
    alpha, diagonal = root.T @ (root @ data.y), np.einsum("ij,ij->j", root, root)
    return float((data.share @ (alpha / diagonal[:, None]) ** 2).sum())


def _least(data: Data, best: Choice, kernels: Sequence[Product]) -> Choice:
    for kernel in kernels:
        gram = kernel.gram(data.z, data.z)
        for noise in NOISES:
            error = _left_out(gram, noise, data)
            if error < best.error:
                best = Choice(kernel, noise, error)
    return best
