"""Interactions of all pairs of features from the even part of a game, by Gaussian-process regression.

The odd part of a game decides its Shapley values, the even part its second-order interaction indices:
a character chi_T with |T| even adds 4 beta_T / (|T| - 1) to every I_ij with i, j in T. Complementary pairs
give both parts at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blackbox.numerics.estimators.choices import NOISES, STRENGTHS, capped, likely
from blackbox.numerics.estimators.estimate import Pairs
from blackbox.numerics.estimators.gaussian import ENOUGH
from blackbox.numerics.estimators.odd_kernel import NODES, WEIGHTS, squares
from blackbox.numerics.estimators.symmetric import inverse_of
from blackbox.numerics.threads import one_thread

FREE = 100.0
"""Prior variance of the constant, which the data alone decides."""
QUADRATIC = 0.03
"""A strength at which orders beyond the second hardly weigh: the least one that is tried."""
MOST_WIDTHS = 5000
"""Pairs of features up to which intervals are worked out: each costs a product with the whole design."""


@dataclass(frozen=True)
class Even:
    """All even orders: K(z, z') = cosh(sum_i theta_i z_i z'_i) / cosh(sum_i theta_i) + a free constant.

    theta : Float[np.ndarray, "d"], how strongly a feature takes part in interactions.
    """

    theta: np.ndarray

    def gram(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return K between Float["n d"] and Float["m d"] of signs."""
        return np.asarray(np.cosh((a * self.theta) @ b.T) / np.cosh(self.theta.sum()) + FREE)

    def interactions(self, z: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        """Return sum_n alpha_n Cov(I_ij, f(z_n)) as Float["d d"].

        4 a_i a_j z_i z_j int_0^1 even part of prod_{k != i, j} (1 + t a_k z_k) dt, in units of K(z, z).
        """
        a, found = np.tanh(self.theta), np.zeros((z.shape[1], z.shape[1]))
        for weight, sides in self._nodes(z):
            for product, member in sides:
                found += weight * (member.T * (alpha * product)) @ member
        found *= np.outer(a, a)
        np.fill_diagonal(found, 0.0)
        return found

    def reach(self, z: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Return Cov(I_ij, f(z_n)) for some pairs i, j as Float["n pairs"]."""
        a, found = np.tanh(self.theta), np.zeros((len(z), len(i)))
        for weight, sides in self._nodes(z):
            for product, member in sides:
                found += weight * product[:, None] * member[:, i] * member[:, j]
        return np.asarray(found * a[i] * a[j])

    def prior(self) -> np.ndarray:
        """Return Var(I_ij) = sum_{T with i, j} 16 w_T / (|T| - 1)^2 as Float["d d"]."""
        a, found = np.tanh(self.theta), np.zeros((len(self.theta), len(self.theta)))
        for q, weight in squares():
            for sign in (1.0, -1.0):
                logs = np.log1p(sign * q * a)
                found += 8 * weight * np.exp(logs.sum() - logs[:, None] - logs - self._scale())
        found *= np.outer(a, a)
        np.fill_diagonal(found, 0.0)
        return found

    def _nodes(self, z: np.ndarray) -> list[tuple[float, list[tuple[np.ndarray, np.ndarray]]]]:
        """Per node of the integral: its weight and, for +t and -t, prod_k (1 + t a_k z_k) and its parts."""
        a, found = np.tanh(self.theta), []
        for node, weight in zip(NODES, WEIGHTS, strict=True):
            sides = []
            for sign in (1.0, -1.0):
                factors = 1 + sign * node * a * z
                sides.append((np.exp(np.log(factors).sum(axis=1) - self._scale()), z / factors))
            found.append((2 * float(weight), sides))
        return found

    def _scale(self) -> float:
        a, total = np.tanh(self.theta), float(self.theta.sum())
        return float(0.5 * np.log1p(-(a**2)).sum() + total + np.log1p(np.exp(-2 * total)) - np.log(2))


@one_thread
def pair_interactions(
    pairs: Pairs, middle: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Estimate the Shapley interaction index of all pairs of features from complementary pairs of masks.

    Strength, noise and how far a feature's part in interactions follows its own effect minimise the
    leave-one-out error of the even part, per target; the posterior is scaled so that standardised
    leave-one-out errors have mean square 1.

    Parameters
    ----------
    pairs : with their even parts. middle : Float["t"], half of v(N) + v(empty). size : Float["d t"],
        |phi|.

    Returns
    -------
    values : Float["d d t"], symmetric, zero on the diagonal. deviations : Float["d d t"], standard
    deviations; None beyond 5,000 pairs of features or where too little was drawn.

    References
    ----------
    Grabisch and Roubens 1999, doi 10.1007/s001820050125; Rasmussen and Williams 2006, chapter 5.
    """
    assert pairs.even is not None
    z = np.concatenate([np.ones((1, pairs.d)), pairs.signs])
    share = np.zeros(len(z))
    drawn = len(pairs) - pairs.start
    share[1 + pairs.start if drawn >= 3 else 1 :] = 1.0
    found = [
        _one(z, np.concatenate([middle[[t]], pairs.even[:, t]]), share / share.sum(), size[:, t])
        for t in range(len(middle))
    ]
    values = np.stack([one[0] for one in found], axis=2)
    deviations = [one[1] for one in found]
    if drawn < ENOUGH or any(one is None for one in deviations):
        return values, None
    return values, np.stack([one for one in deviations if one is not None], axis=2)


def _one(
    z: np.ndarray, y: np.ndarray, share: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    d = z.shape[1]
    kernel, noise = _chosen(z, y, share, size)
    inverse = inverse_of(kernel.gram(z, z), noise)
    alpha, diagonal = inverse @ y, np.diag(inverse)
    values = kernel.interactions(z, alpha)
    if d * (d - 1) // 2 > MOST_WIDTHS:
        return values, None
    scale = float(share @ (alpha**2 / diagonal))
    i, j = np.triu_indices(d, 1)
    reach = kernel.reach(z, i, j)
    left = kernel.prior()[i, j] - np.einsum("np,np->p", reach, inverse @ reach)
    deviations = np.zeros((d, d))
    deviations[i, j] = deviations[j, i] = np.sqrt(scale * np.maximum(left, 0.0))
    return values, deviations


def _chosen(z: np.ndarray, y: np.ndarray, share: np.ndarray, size: np.ndarray) -> tuple[Even, float]:
    """Return the kernel and noise of least leave-one-out error over at most 128 drawn pairs."""
    d = z.shape[1]
    drawn = np.flatnonzero(share)
    judges = np.concatenate([np.flatnonzero(share == 0), drawn[likely(len(drawn))]])
    z, y, share = z[judges], y[judges], share[judges]
    shape = np.maximum(size / size.mean(), 0.02) if size.any() else np.ones(d)
    best = (Even(np.full(d, 1 / d)), NOISES[-1], np.inf)
    for e in (0.0, 0.5, 1.0):
        for strength in (QUADRATIC, *STRENGTHS):
            kernel = Even(capped(shape**e / (shape**e).sum() * strength))
            gram = kernel.gram(z, z)
            for noise in NOISES:
                inverse = inverse_of(gram, noise)
                error = float(share @ ((inverse @ y) / np.diag(inverse)) ** 2)
                if error < best[2]:
                    best = (kernel, noise, error)
    return best[0], best[1]
