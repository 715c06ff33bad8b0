"""The concave problem of CAFO and CASO with a Hessian that is known: no passes, whatever lambda1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blackbox.numerics.proximal import Solution, norm1, quadratic_fista, shrink


@dataclass(frozen=True)
class Symmetric:
    """A symmetric matrix by its eigenpairs, all others being zero.

    vectors : Float[np.ndarray, "k r"], orthonormal columns; values : Float[np.ndarray, "r"],
    largest first.
    """

    vectors: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, matrix: np.ndarray) -> Symmetric:
        """Decompose Float[np.ndarray, "k k"]."""
        values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
        return cls(vectors[:, ::-1], values[::-1])

    @classmethod
    def square(cls, root: np.ndarray) -> Symmetric:
        """Decompose B B^T, for Float[np.ndarray, "k c"]."""
        if not root.size:
            return cls(np.zeros((len(root), 0)), np.zeros(0))
        vectors, sizes, _ = np.linalg.svd(root, full_matrices=False)
        return cls(vectors, sizes**2)

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        return np.asarray(self.vectors @ (self.values * (self.vectors.T @ vector)))

    @property
    def largest(self) -> float:
        """The largest eigenvalue."""
        return float(max(self.values[0], 0.0) if self._partial and len(self.values) else self._end(0))

    @property
    def smallest(self) -> float:
        """The smallest eigenvalue."""
        return float(min(self.values[-1], 0.0) if self._partial and len(self.values) else self._end(-1))

    @property
    def leading(self) -> np.ndarray:
        """Float[np.ndarray, "k"], the eigenvector of the largest eigenvalue; zeros for a matrix of zeros."""
        return self.vectors[:, 0] if len(self.values) else np.zeros(len(self.vectors))

    @property
    def _partial(self) -> bool:
        return len(self.values) < len(self.vectors)

    def _end(self, place: int) -> float:
        return float(self.values[place]) if len(self.values) else 0.0

    def resolve(self, weight: float, vector: np.ndarray) -> np.ndarray:
        """Return (weight I - H)^-1 times Float[np.ndarray, "k"] or "k n"."""
        inside = self.vectors.T @ vector
        known = self.vectors @ (inside.T / (weight - self.values)).T
        return np.asarray(known + (vector - self.vectors @ inside) / weight if self._partial else known)


@dataclass(frozen=True)
class Problem:
    """Maximise g.D + 1/2 D'HD - lambda1 |D| - (w/2) ||D||^2, w = largest eigenvalue(H) + lambda2.

    gradient : Float[np.ndarray, "k"], g. groups : Int[np.ndarray, "k"] or None. step : first trial
    step of FISTA, as a multiple of 1 / (w - smallest eigenvalue).
    """

    gradient: np.ndarray
    hessian: Symmetric
    lambda2: float
    groups: np.ndarray | None = None
    step: float = 1.0
    iterations: int = 1000
    tolerance: float = 1e-6

    @property
    def weight(self) -> float:
        """The quadratic weight w, which makes the objective concave."""
        return self.hessian.largest + self.lambda2

    def solve(self, lambda1: float) -> Solution:
        """Solve for one lambda1: directly where it is 0, else by FISTA and a last, exact step."""
        if lambda1 == 0:
            point = self.hessian.resolve(self.weight, self.gradient)
            return Solution(point, self.objective(point, 0.0), 0, True)
        if len(self.hessian.values) == 0:
            point = shrink(self.gradient, lambda1, self.groups) / self.weight
            return Solution(point, self.objective(point, lambda1), 0, True)
        step = self.step / (self.weight - self.hessian.smallest)
        found = quadratic_fista(
            self.gradient, self.hessian, self.weight, lambda1, step, self.iterations, self.tolerance,
            self.groups,
        )  # fmt: skip
        return found if self.groups is not None else self._polished(found, lambda1)

    def sparse(self, share: float) -> tuple[float, Solution]:
        """Find the lambda1 that leaves a share of the entries (or groups) at zero, by bisection."""
        low, high = 0.0, self._highest()
        best = (high, self.solve(high))
        count = len(self.gradient) if self.groups is None else int(self.groups.max()) + 1
        for _ in range(40):
            middle = (low + high) / 2
            found = self.solve(middle)
            zeros = self._zeros(found.point)
            if zeros >= share:
                high, best = middle, (middle, found)
            else:
                low = middle
            if abs(zeros - share) * count < 0.5 and zeros >= share:
                break
        return best

    def objective(self, point: np.ndarray, lambda1: float) -> float:
        """Return what is maximised, at a point."""
        smooth = self.gradient @ point + point @ self.hessian(point) / 2 - self.weight / 2 * point @ point
        return float(smooth - lambda1 * norm1(point, self.groups))

    def sensitivity(self, active: np.ndarray, changes: np.ndarray) -> np.ndarray:
        """Return how the solution moves with the gradient: Float "n k" -> Float "n k"; 0 where inactive."""
        moved = np.zeros_like(changes)
        places = np.flatnonzero(active)
        if len(places) == len(active):
            return np.asarray(self.hessian.resolve(self.weight, changes.T).T)
        if len(places):
            moved[:, places] = np.linalg.solve(self._within(places), changes[:, places].T).T
        return moved

    def _within(self, places: np.ndarray) -> np.ndarray:
        part = self.hessian.vectors[places]
        return np.asarray(self.weight * np.eye(len(places)) - (part * self.hessian.values) @ part.T)

    def _highest(self) -> float:
        if self.groups is None:
            return float(np.abs(self.gradient).max())
        return float(np.sqrt(np.bincount(self.groups, weights=self.gradient**2)).max())

    def _zeros(self, point: np.ndarray) -> float:
        if self.groups is None:
            return float(np.mean(point == 0))
        return float(np.mean(np.bincount(self.groups, weights=point**2) == 0))

    def _polished(self, found: Solution, lambda1: float) -> Solution:
        """Solve exactly with the zeros and signs that FISTA found, and keep it where they are right."""
        places = np.flatnonzero(found.point)
        if len(places) == 0 or len(places) > 2048:
            return found
        signs, point = np.sign(found.point[places]), np.zeros_like(found.point)
        point[places] = np.linalg.solve(self._within(places), self.gradient[places] - lambda1 * signs)
        slope = self.gradient + self.hessian(point)
        slope[places] = 0
        if (np.sign(point[places]) != signs).any() or np.abs(slope).max() > lambda1 * (1 + 1e-6):
            return found
        return Solution(point, self.objective(point, lambda1), found.iterations, found.settled)
