"""Odd kernels: Gaussian-process regression on the odd part of a game, with Shapley values in closed form.

A game's odd part is a sum of characters chi_T(z) = prod_{i in T} z_i over odd |T|, z_i = +1 where i is
kept and -1 where it is hidden; phi_i = sum_{T with i} 2 beta_T / |T|. A kernel gives every character a
prior variance w_T; the posterior mean and covariance of all phi follow without further passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NODES, WEIGHTS = (part / 2 for part in np.polynomial.legendre.leggauss(12))
NODES = NODES + 0.5
"""Gauss-Legendre on [0, 1]: exact up to degree 23 of the integrand, whose high orders weigh nothing."""


@dataclass(frozen=True)
class Product:
    """All odd orders: K(z, z') = sinh(sum_i theta_i z_i z'_i) / sinh(sum_i theta_i) + linear z.z'/d.

    The odd part of prod_i (1 + a_i z_i z'_i), theta = atanh(a), scaled to 1 at z = z'.

    theta : Float[np.ndarray, "d"], how strongly a feature takes part in interactions; their sum S
        weighs order k by S^k / k!. linear : extra prior variance of the additive part.
    """

    theta: np.ndarray
    linear: float = 0.0

    def gram(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return K between Float["n d"] and Float["m d"] of signs."""
        return _gram(self.theta, (1.0,), self.linear, a, b)

    def shapley(self, z: np.ndarray) -> np.ndarray:
        """Return Cov(phi_i, f(z_j)) as Float["n d"].

        2 a_i z_i int_0^1 even part of prod_{k != i} (1 + t a_k z_k) dt, in units of K(z, z). With
        u_k = atanh(t a_k), c = sum_k z_k u_k it is cosh(c - z_i u_i) prod_{k != i} (1 - t^2 a_k^2)^(1/2),
        and z cosh(c - z u) = z cosh c cosh u - sinh c sinh u: two products of matrices over the nodes.
        """
        a, u, _, rest = self._at(NODES)
        c, rest = z @ u, 2 * a[:, None] * WEIGHTS * rest
        found = z * (np.cosh(c) @ (rest * np.cosh(u)).T) - np.sinh(c) @ (rest * np.sinh(u)).T
        return np.asarray(found + 2 * self.linear / z.shape[1] * z)

    def prior(self) -> np.ndarray:
        """Return Cov(phi_i, phi_j) = sum_{T with i, j} 4 w_T / |T|^2 as Float["d d"].

        For i != j it is 4 a_i a_j int int q sinh(c - u_i - u_j) prod_{k != i, j} (1 - q^2 a_k^2)^(1/2) ds dt,
        q = s t, and the sinh falls into two products of matrices as above.
        """
        q, weights = (np.array(part) for part in zip(*squares(), strict=True))
        a, u, roots, rest = self._at(q)
        left, own, away = 4 * a[:, None] * weights * q * rest, a[:, None] / roots, u.sum(axis=0) - u
        found = (left * np.sinh(away)) @ (own * np.cosh(u)).T
        found -= (left * np.cosh(away)) @ (own * np.sinh(u)).T
        found = (found + found.T) / 2
        alone = 4 * a * ((rest * np.cosh(away)) @ weights)
        np.fill_diagonal(found, alone + 4 * self.linear / len(a))
        return np.asarray(found)

    def _at(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return a, and per node t: u = atanh(t a), (1 - t^2 a^2)^(1/2), these multiplied without one's own.

        Float["d"] and three times Float["d nodes"], the last in units of K(z, z).
        """
        a = np.tanh(self.theta)
        ta = a[:, None] * t
        logs = 0.5 * np.log1p(-(ta**2))
        scale = _log_sinh(self.theta.sum()) - _log_cosh(self.theta).sum()
        return a, np.arctanh(ta), np.exp(logs), np.exp(logs.sum(axis=0) - logs - scale)


@dataclass(frozen=True)
class Cubic:
    """Orders 1 and 3: K = [s/d + q (s^3 - 3 s d + 2 s) / (d (d-1) (d-2))] / (1 + q), s = z.z'.

    ratio : q, the prior variance of order 3 over that of order 1. linear : as in ``Product``.
    """

    d: int
    ratio: float
    linear: float = 0.0

    def gram(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return K between Float["n d"] and Float["m d"] of signs."""
        s, d = a @ b.T, self.d
        first, third = self._shares()
        return np.asarray(s * (first / d + third * (s**2 - 3 * d + 2) / (d * (d - 1) * (d - 2))))

    def shapley(self, z: np.ndarray) -> np.ndarray:
        """Return Cov(phi_i, f(z_j)): 2 w_1 z_i + (2/3) w_3 z_i ((s - z_i)^2 - (d-1)) / 2."""
        d, (first, third) = self.d, self._shares()
        pairs = ((z.sum(axis=1, keepdims=True) - z) ** 2 - (d - 1)) / 2
        return np.asarray(2 * first / d * z + 2 / 3 * third * 6 / (d * (d - 1) * (d - 2)) * z * pairs)

    def prior(self) -> np.ndarray:
        """Return Cov(phi_i, phi_j) as Float["d d"]."""
        d, (first, third) = self.d, self._shares()
        each = third * 6 / (d * (d - 1) * (d - 2)) * 4 / 9
        found = np.full((d, d), each * (d - 2))
        np.fill_diagonal(found, 4 * first / d + each * (d - 1) * (d - 2) / 2)
        return found

    def _shares(self) -> tuple[float, float]:
        return 1 / (1 + self.ratio) + self.linear, self.ratio / (1 + self.ratio)


@dataclass(frozen=True)
class Blend:
    """A sum of two kernels, ``share`` of it the second: no feature's interactions are ruled out."""

    first: Product | Spread
    second: Product | Spread
    share: float

    def gram(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return K between Float["n d"] and Float["m d"] of signs."""
        k = self.first.gram(a, b)
        k *= 1 - self.share
        even = self.second.gram(a, b)
        even *= self.share
        k += even
        return k

    def shapley(self, z: np.ndarray) -> np.ndarray:
        """Return Cov(phi_i, f(z_j)) as Float["n d"]."""
        return (1 - self.share) * self.first.shapley(z) + self.share * self.second.shapley(z)

    def prior(self) -> np.ndarray:
        """Return Cov(phi_i, phi_j) as Float["d d"]."""
        return (1 - self.share) * self.first.prior() + self.share * self.second.prior()


SPREAD = (0.25, 1.0, 4.0)
"""Strengths of a spread kernel's parts over its own."""


@dataclass(frozen=True)
class Spread:
    """A mean of product kernels of a quarter, one and four times the strength, and a linear part.

    One strength says how fast the weight of the orders falls; games with many small interactions of
    high order, such as saturated networks, have a longer tail than any one strength.
    """

    theta: np.ndarray
    linear: float = 0.0

    def parts(self) -> list[Product]:
        """Return the kernels it is the mean of."""
        return [Product(times * self.theta, self.linear) for times in SPREAD]

    def gram(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return K between Float["n d"] and Float["m d"] of signs."""
        return _gram(self.theta, SPREAD, self.linear, a, b)

    def shapley(self, z: np.ndarray) -> np.ndarray:
        """Return Cov(phi_i, f(z_j)) as Float["n d"]."""
        return np.asarray(sum(part.shapley(z) for part in self.parts()) / len(SPREAD))

    def prior(self) -> np.ndarray:
        """Return Cov(phi_i, phi_j) as Float["d d"]."""
        return np.asarray(sum(part.prior() for part in self.parts()) / len(SPREAD))


@dataclass(frozen=True)
class Nugget:
    """What is peculiar to one coalition: K = 1 where both are the same proper coalition (-1 for complements).

    A game answers the same mask twice with the same number, so what a smooth kernel cannot follow is no
    noise but part of the game: it counts in the Shapley values with the coalition's own weight
    c_i(S) = 2 (p_{s-1} [i in S] - p_s [i not in S]), p_k = k! (d-1-k)! / d!.

    d : number of features.
    """

    d: int

    def shapley(self, z: np.ndarray) -> np.ndarray:
        """Return Cov(phi_i, f(z_j)) = c_i(S_j) as Float["n d"]; 0 for the full and the empty coalition."""
        sizes = (z > 0).sum(axis=1)
        share = self._shares()
        found = np.where(
            z > 0, share[np.maximum(sizes - 1, 0)][:, None], -share[np.minimum(sizes, self.d - 1)][:, None]
        )
        found[(sizes == 0) | (sizes == self.d)] = 0
        return np.asarray(2 * found)

    def prior(self) -> np.ndarray:
        """Return Cov(phi_i, phi_j) = sum over pairs of c_i c_j as Float["d d"].

        Per size s of S: C(d-1, s-1) coalitions hold i, C(d-2, s-2) hold i and j, and so on; with
        C(d-1, k) p_k = 1/d every term is a fraction of p.
        """
        d, share = self.d, self._shares()
        if d == 1:
            return np.zeros((1, 1))
        s = np.arange(1, d)
        joins, stays = share[s - 1], share[s]
        own = ((joins + stays) / d).sum()
        # C(d-2, s-2) p_{s-1} = (s-1) / (d (d-1)), C(d-2, s) p_s = (d-1-s) / (d (d-1)), and the two mixed
        # ones C(d-2, s-1) p_{s-1} = (d-s) / (d (d-1))
        both = ((s - 1) * joins + (d - 1 - s) * stays - 2 * (d - s) * stays).sum() / (d * (d - 1))
        found = np.full((d, d), 2 * both)
        np.fill_diagonal(found, 2 * own)
        return found

    def _shares(self) -> np.ndarray:
        from scipy.special import gammaln

        k = np.arange(self.d)
        return np.asarray(np.exp(gammaln(k + 1) + gammaln(self.d - k) - gammaln(self.d + 1)))


Kernel = Product | Cubic | Blend | Spread


ROOM = 2**15
"""Entries of a kernel matrix that are worked out at once, so that what lies between stays in the cache."""


def _gram(
    theta: np.ndarray, strengths: Sequence[float], linear: float, a: np.ndarray, b: np.ndarray
) -> np.ndarray:
    """Return the mean over r of sinh(r sum_i theta_i a_i b_i) / sinh(r sum_i theta_i), and the linear part.

    Where all theta are one, K depends on a.b alone, which takes d + 1 values: these are looked up.
    """
    d, total = len(theta), float(theta.sum())
    alike = np.ptp(theta) == 0
    found = a @ b.T if alike else (a * theta) @ b.T
    if alike:
        values = np.arange(-d, d + 1.0)
        every = _odd(theta[0] * values, total, strengths) + linear / d * values
    step = max(1, ROOM // max(1, len(b)))
    for start in range(0, len(a), step):
        rows = found[start : start + step]
        rows[:] = every[np.rint(rows).astype(np.intp) + d] if alike else _odd(rows, total, strengths)
    if linear and not alike:
        found += linear / d * (a @ b.T)
    return np.asarray(found)


def _odd(dots: np.ndarray, total: float, strengths: Sequence[float]) -> np.ndarray:
    """Return the mean over r of sinh(r dots) / sinh(r total), of the shape of ``dots``.

    By exponentials, which NumPy takes many at a time, and not by its sinh. A strength that is four times the
    one before takes no further exponential.
    """
    found, down, power, last = np.zeros_like(dots), dots - total, dots, 0.0
    for times in strengths:
        power = np.square(np.square(power)) if times == 4 * last else np.exp(times * down)
        last, gone = times, np.exp(-2 * times * total)
        k = gone / power
        np.subtract(power, k, out=k)
        k /= (1 - gone) * len(strengths)
        found += k
    return found


def _log_sinh(x: float) -> float:
    return float(x + np.log1p(-np.exp(-2 * x)) - np.log(2))


def _log_cosh(x: np.ndarray) -> np.ndarray:
    return np.asarray(x + np.log1p(np.exp(-2 * x)) - np.log(2))


def squares() -> list[tuple[float, float]]:
    """Nodes q = s t and weights of the double integral that makes 1/k^2 of q^(k-1)."""
    nodes, weights = (part / 2 for part in np.polynomial.legendre.leggauss(8))
    nodes = nodes + 0.5
    # s t = t s: either is worked out once
    return [
        (nodes[i] * nodes[k], weights[i] * weights[k] * (1 if i == k else 2))
        for i in range(len(nodes))
        for k in range(i + 1)
    ]
