"""The Hessian of a loss of logits: its closed part from one Jacobian, and a part learnt by products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


def cross_entropy_slope(z: np.ndarray, y: int) -> np.ndarray:
    """Return p - e_y, the slope of -log softmax(z)_y: Float[np.ndarray, "c"].

    The entry of y is minus the sum of the others, so that it does not vanish as 1 - p_y underflows.
    """
    slope = np.array(np.exp(z - z.max()))
    slope /= slope.sum()
    slope[y] = 0.0
    slope[y] = -slope.sum()
    return np.asarray(slope)


def closed_root(jacobian: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return B with B B^T = J^T (diag p - p p^T) J: Float[np.ndarray, "k c"].

    B = J^T (diag s - p s^T), s = sqrt p. Exact curvature of the cross-entropy where the logits are
    piecewise linear; log-probabilities serve in their place, since adding the same number to every
    logit changes nothing.

    Parameters
    ----------
    jacobian : Float[np.ndarray, "c k"], of the logits; z : Float[np.ndarray, "c"], the logits.
    """
    p = np.exp(z - z.max())
    p /= p.sum()
    s = np.sqrt(p)
    return np.asarray(jacobian.T * s - np.outer(jacobian.T @ p, s))


@dataclass
class Learnt:
    """A symmetric operator known from its products with some vectors.

    Between them it is exact; elsewhere it is the symmetric completion with the fewest changes,
    Q'C + C'Q - Q'(QC')Q for orthonormal rows Q and their products C.
    """

    product: Callable[[np.ndarray], np.ndarray]
    k: int
    vectors: np.ndarray = field(init=False)
    products: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.vectors, self.products = np.zeros((0, self.k)), np.zeros((0, self.k))

    def outside(self, vector: np.ndarray) -> np.ndarray:
        """Return the part of a vector about which nothing is known."""
        rest = vector - self.vectors.T @ (self.vectors @ vector)
        return np.asarray(rest - self.vectors.T @ (self.vectors @ rest))

    def learn(self, vector: np.ndarray) -> bool:
        """Ask the product with what is unknown of a vector; False where nothing is."""
        rest, length = self.outside(vector), float(np.linalg.norm(vector))
        size = float(np.linalg.norm(rest))
        if len(self.vectors) == self.k or size <= 1e-10 * length or size == 0:
            return False
        self.vectors = np.vstack([self.vectors, rest / size])
        self.products = np.vstack([self.products, self.product(rest / size)])
        return True

    def matrix(self) -> np.ndarray:
        """Return Float[np.ndarray, "k k"]."""
        inner = self.vectors @ self.products.T
        part = self.vectors.T @ (self.products - (inner + inner.T) / 4 @ self.vectors)
        return np.asarray(part + part.T)


@dataclass(frozen=True)
class Impact:
    """How much the second order matters.

    cosine : of the leading eigenvector and the gradient, in [0, 1]. ratio : second over first
    eigenvalue. difference : || a/||a|| - b/||b|| || of the second-order and first-order solutions.
    """

    cosine: float
    ratio: float
    difference: float


def impact(
    gradient: np.ndarray, leading: np.ndarray, values: np.ndarray, a: np.ndarray, b: np.ndarray
) -> Impact:
    """Compare a second-order solution ``a`` with the first-order solution ``b``.

    Parameters
    ----------
    leading : Float[np.ndarray, "k"], eigenvector of the largest eigenvalue; values : eigenvalues,
        largest first.
    """
    ratio = float(values[1] / values[0]) if len(values) > 1 and values[0] > 0 else 0.0
    return Impact(abs(cosine(leading, gradient)), ratio, apart(a, b))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Return the cosine of two vectors, 0 where one of them is zero."""
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length > 0 else 0.0


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """Return the distance of two vectors scaled to length one (zero stays zero)."""
    lengths = [float(np.linalg.norm(v)) or 1.0 for v in (a, b)]
    return float(np.linalg.norm(a / lengths[0] - b / lengths[1]))
