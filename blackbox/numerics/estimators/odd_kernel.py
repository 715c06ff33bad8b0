"""Odd kernels: Gaussian-process regression on the odd part of a game, with Shapley values in closed form.

A game's odd part is a sum of characters chi_T(z) = prod_{i in T} z_i over odd |T|, z_i = +1 where i is
kept and -1 where it is hidden; phi_i = sum_{T with i} 2 beta_T / |T|. A kernel gives every character a
prior variance w_T; the posterior mean and covariance of all phi follow without further passes.
"""

from __future__ import annotations

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
        k = (a * self.theta) @ b.T
        np.sinh(k, out=k)
        k /= np.sinh(self.theta.sum())
        if self.linear:
            k += self.linear / a.shape[1] * (a @ b.T)
        return np.asarray(k)

    def shapley(self, z: np.ndarray) -> np.ndarray:
        """Return Cov(phi_i, f(z_j)) as Float["n d"].

        2 a_i z_i int_0^1 even part of prod_{k != i} (1 + t a_k z_k) dt, in units of K(z, z).
        """
        a, found = np.tanh(self.theta), np.zeros(z.shape)
        scale = 0.5 * np.log1p(-(a**2)).sum() + _log_sinh(self.theta.sum())
        for node, weight in zip(NODES, WEIGHTS, strict=True):
            at, logs = np.arctanh(node * a), 0.5 * np.log1p(-((node * a) ** 2))
            rest = (z @ at)[:, None] - z * at
            found += weight * np.exp(logs.sum() - logs - scale) * np.cosh(rest)
        found *= 2 * a * z
        return np.asarray(found + 2 * self.linear / z.shape[1] * z)

    def prior(self) -> np.ndarray:
        """Return Cov(phi_i, phi_j) = sum_{T with i, j} 4 w_T / |T|^2 as Float["d d"]."""
        a, d = np.tanh(self.theta), len(self.theta)
        scale = 0.5 * np.log1p(-(a**2)).sum() + _log_sinh(self.theta.sum())
        found, alone = np.zeros((d, d)), np.zeros(d)
        for q, weight in squares():
            at, logs = np.arctanh(q * a), 0.5 * np.log1p(-((q * a) ** 2))
            both = np.exp(logs.sum() - logs[:, None] - logs - scale)
            found += weight * q * both * np.sinh(at.sum() - at[:, None] - at)
            alone += weight * np.exp(logs.sum() - logs - scale) * np.cosh(at.sum() - at)
        found *= 4 * np.outer(a, a)
        np.fill_diagonal(found, 4 * a * alone + 4 * self.linear / d)
        return found


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

    first: Product
    second: Product
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


Kernel = Product | Cubic | Blend


def _log_sinh(x: float) -> float:
    return float(x + np.log1p(-np.exp(-2 * x)) - np.log(2))


def squares() -> list[tuple[float, float]]:
    """Nodes q = s t and weights of the double integral that makes 1/k^2 of q^(k-1)."""
    nodes, weights = (part / 2 for part in np.polynomial.legendre.leggauss(8))
    nodes = nodes + 0.5
    return [
        (s * t, w * u)
        for s, w in zip(nodes, weights, strict=True)
        for t, u in zip(nodes, weights, strict=True)
    ]
