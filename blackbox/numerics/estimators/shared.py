"""One design of pairs and one factorisation for many rows: Shapley values as a matrix product."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blackbox.numerics.estimators.estimate import Estimate, Pairs, efficient
from blackbox.numerics.estimators.gaussian import Choice, Data, choose_together, inverse_of, trimmed
from blackbox.numerics.estimators.odd_kernel import Kernel


@dataclass(frozen=True)
class Operator:
    """What a design and a kernel say about any game on the same features.

    halves : Bool[np.ndarray, "n d"]. inverse : Float["n+1 n+1"], of the kernel matrix with noise, the full
    mask first. reach : Float["n+1 d"], Cov(phi, h). covariance : Float["d d"], posterior per unit of scale.
    """

    halves: np.ndarray
    inverse: np.ndarray
    reach: np.ndarray
    covariance: np.ndarray
    share: np.ndarray
    kernel: Kernel

    def __call__(self, odd: np.ndarray, ends: np.ndarray) -> Estimate:
        """Estimate from half-differences Float["n t"] in the design's order.

        The scale of the covariance is the row's own: its mean squared standardised leave-one-out error.
        """
        y = np.concatenate([ends[None], odd])
        alpha, diagonal = self.inverse @ y, np.diag(self.inverse)[:, None]
        scale, error = self.share @ (alpha**2 / diagonal), self.share @ (alpha / diagonal) ** 2
        drawn = float((self.share > 0).sum())
        return Estimate(
            "odd-kernel", efficient(self.reach.T @ alpha, ends), scale[:, None, None] * self.covariance,
            max(1.0, drawn - 1), error,
        )  # fmt: skip


def operator(pairs: Pairs) -> Operator:
    """Choose one kernel for the games of several rows, and factorise once.

    Parameters
    ----------
    pairs : their ``odd`` and ``ends`` hold one column per row and target.
    """
    data = Data.of(pairs)
    chosen: Choice = choose_together(trimmed(data, pairs))
    gram = chosen.kernel.gram(data.z, data.z)
    inverse, reach = inverse_of(gram, chosen.noise), chosen.kernel.shapley(data.z)
    centre = np.eye(pairs.d) - 1 / pairs.d
    covariance = centre @ (chosen.kernel.prior() - reach.T @ inverse @ reach) @ centre
    covariance = (covariance + covariance.T) / 2
    np.fill_diagonal(covariance, np.maximum(np.diag(covariance), 0.0))
    return Operator(pairs.halves, inverse, reach, covariance, data.share, chosen.kernel)
