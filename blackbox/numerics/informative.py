"""Which pairs say most about Shapley values, before anything is asked: least posterior variance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blackbox.numerics.designs import leverage_pairs, pair_counts, singles
from blackbox.numerics.estimators.choices import FREE, Choice
from blackbox.numerics.estimators.odd_kernel import Product
from blackbox.numerics.estimators.symmetric import TIES
from blackbox.numerics.threads import one_thread

STRENGTH, NOISE = 3.0, 0.03
"""The prior: every feature alike. Strengths of 1.5 to 6 and noises of 0.01 to 0.1 gave designs as good, and a
second half chosen by the kernel that the first half had found gave no better ones."""
BLOCK = 32
"""Pairs chosen before the posterior is brought up to date by one triangular solve."""
TRIED = 4
"""Candidates per pair of a block."""
POOL = 2
"""Pairs drawn per pair wanted; a candidate that was passed over is tried again later."""
MOST = 1024
"""Pairs, the start included, up to which they are chosen; the choice costs their cube, the rest is drawn."""
ALIKE = 1e-6
"""Gains that differ by less count as equal, so that rounding on another machine chooses no other pair."""


class InformativePairs:
    """Distinct pairs chosen one by one, each the one that lowers the posterior variance of all phi most.

    The prior is an odd Gaussian process in which all features are alike, so the choice needs no scores:
    it is a property of d, as orthogonality is. A pair z lowers the total posterior variance of phi,
    known to sum to 2 h(N), by |Cov(phi, h(z) | asked)|^2 / Var(h(z) | asked). Taken to be asked already: the
    full mask and every pair that leaves one feature out. Candidates are drawn with uniform sizes.

    Parameters
    ----------
    d : number of features. count : pairs wanted; there may be fewer. smallest : least size.

    References
    ----------
    Bayesian A-optimality: Chaloner and Verdinelli 1995, doi 10.1214/ss/1177009939; greedily, by variance
    reduction: Cohn 1996, doi 10.1016/0893-6080(95)00137-9.
    """

    def __init__(self, d: int, count: int, rng: np.random.Generator, smallest: int = 2) -> None:
        self._pool, _ = leverage_pairs(d, POOL * count, rng, 0.0, smallest)
        self._count = min(count, len(self._pool))
        self._waiting, self._found = np.arange(len(self._pool)), np.zeros(0, dtype=np.int64)
        self._asked: _Asked | None = None

    def __len__(self) -> int:
        return self._count

    def first(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the first pairs, whatever is asked for later, and the share of their size that they are.

        All features being alike, a pair of one size is chosen as likely as another.

        Returns
        -------
        halves : Bool[np.ndarray, "count d"]. chances : Float[np.ndarray, "count"].
        """
        while len(self._found) < min(count, self._count):
            self._choose()
        halves, d = self._pool[self._found[:count]], self._pool.shape[1]
        sizes = np.minimum(halves.sum(axis=1), d - halves.sum(axis=1))
        return halves, (np.bincount(sizes, minlength=d // 2 + 1)[1:] / pair_counts(d))[sizes - 1]

    @one_thread
    def _choose(self) -> None:
        """Choose another block; what it passed over waits behind the other candidates."""
        d = self._pool.shape[1]
        if self._asked is None:
            start = np.concatenate([np.ones((1, d)), np.where(singles(d), 1.0, -1.0)])
            self._asked = _Asked.of(start, max(0, min(self._count, MOST - len(start))))
        block = min(BLOCK, self._asked.room, len(self._waiting))
        if block == 0 or len(self._pool) == self._count:
            # too many to choose, or all there are: as they were drawn
            self._found, self._waiting = np.concatenate([self._found, self._waiting]), self._waiting[:0]
            return
        some = self._waiting[: TRIED * block]
        best = self._asked.best(np.where(self._pool[some], 1.0, -1.0), block)
        self._found = np.concatenate([self._found, some[best]])
        self._waiting = np.concatenate([self._waiting[len(some) :], np.delete(some, best)])


@dataclass
class _Asked:
    """What asking n pairs leaves unknown: z, the factor L of K + noise, and L^-1 Cov(h(z), phi).

    The arrays have room for all pairs to come; the first ``n`` rows count.
    """

    prior: Choice
    z: np.ndarray
    factor: np.ndarray
    known: np.ndarray
    n: int = 0

    @classmethod
    def of(cls, z: np.ndarray, room: int) -> _Asked:
        """Ask the first pairs, the full mask before them; keep room for more."""
        n, d = z.shape
        prior = Choice(Product(np.full(d, STRENGTH / d), FREE), NOISE, np.inf)
        gram = prior.kernel.gram(z, z)
        gram.flat[:: n + 1] += prior.noise
        gram[0, 0] += TIES - prior.noise
        room += n
        asked = cls(prior, np.zeros((room, d)), np.zeros((room, room)), np.zeros((room, d)))
        asked._add(z, gram, np.zeros((0, n)), asked._reach(z))
        return asked

    @property
    def room(self) -> int:
        """Return how many pairs may still be asked."""
        return len(self.z) - self.n

    def best(self, z: np.ndarray, count: int) -> np.ndarray:
        """Choose rows of Float["n d"] and count them as asked."""
        from scipy.linalg import solve_triangular

        n, kernel = self.n, self.prior.kernel
        across = solve_triangular(self.factor[:n, :n], kernel.gram(self.z[:n], z), lower=True)
        unknown = kernel.gram(z, z) - across.T @ across
        unknown.flat[:: len(z) + 1] += self.prior.noise
        reach = self._reach(z) - across.T @ self.known[:n]
        rows = _greedy(unknown, reach, count)
        self._add(z[rows], unknown[np.ix_(rows, rows)], across[:, rows], reach[rows])
        return rows

    def _add(self, z: np.ndarray, unknown: np.ndarray, across: np.ndarray, reach: np.ndarray) -> None:
        from scipy.linalg import solve_triangular

        new, own = slice(self.n, self.n + len(z)), np.linalg.cholesky(unknown)
        self.factor[new, : self.n], self.factor[new, new] = across.T, own
        self.known[new] = solve_triangular(own, reach, lower=True)
        self.z[new] = z
        self.n += len(z)

    def _reach(self, z: np.ndarray) -> np.ndarray:
        """Cov(h(z), phi - mean of phi), Float["n d"]: the sum of phi is known."""
        reach = self.prior.reach(z)
        return np.asarray(reach - reach.mean(axis=1, keepdims=True))


def _greedy(unknown: np.ndarray, reach: np.ndarray, count: int) -> np.ndarray:
    """Choose one by one, each given those before it, from their posterior covariance and their reach."""
    unknown, reach, found = unknown.copy(), reach.copy(), np.zeros(count, dtype=np.int64)
    open_ones = np.ones(len(reach), dtype=bool)
    for k in range(count):
        gains = np.where(open_ones, (reach**2).sum(axis=1) / np.diag(unknown), -1.0)
        found[k] = best = int((gains >= (1 - ALIKE) * gains.max()).argmax())
        open_ones[best] = False
        towards = unknown[best] / unknown[best, best]
        reach -= np.outer(towards, reach[best])
        unknown -= np.outer(towards, unknown[best])
        unknown[best, best] = 1.0  # chosen, so never looked at again: only keeps its gain finite
    return found
