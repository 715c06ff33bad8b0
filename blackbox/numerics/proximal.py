"""The accelerated proximal gradient method for a concave quadratic with a sparse solution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Operator = Callable[[np.ndarray], np.ndarray]


def soft(z: np.ndarray, level: float) -> np.ndarray:
    """Soft threshold: sign(z) max(|z| - level, 0), the proximal map of level ||.||_1."""
    return np.asarray(np.sign(z) * np.maximum(np.abs(z) - level, 0.0))


def shrink(z: np.ndarray, level: float, groups: np.ndarray | None = None) -> np.ndarray:
    """Soft threshold of single entries, or of the lengths of groups of them.

    Parameters
    ----------
    groups : Int[np.ndarray, "d"], a number per entry; the penalty is then level times the sum of
        the groups' 2-norms, so that a group is kept or left out as a whole.
    """
    if groups is None:
        return soft(z, level)
    lengths = np.sqrt(np.bincount(groups, weights=z**2))
    factor = np.maximum(1 - level / np.maximum(lengths, 1e-300), 0.0)
    return np.asarray(z * factor[groups])


def norm1(z: np.ndarray, groups: np.ndarray | None = None) -> float:
    """Return the sum of sizes, of entries or of groups."""
    return float(np.abs(z).sum() if groups is None else np.sqrt(np.bincount(groups, weights=z**2)).sum())


@dataclass(frozen=True)
class Solution:
    """point : Float[np.ndarray, "d"]; objective at it; iterations made; settled or not."""

    point: np.ndarray
    objective: float
    iterations: int
    settled: bool


def quadratic_fista(
    gradient: np.ndarray, apply: Operator, quadratic: float, lambda1: float, step: float,
    iterations: int, tolerance: float, groups: np.ndarray | None = None,
) -> Solution:  # fmt: skip
    """Maximise g.D + 1/2 D'HD - lambda1 ||D||_1 - (quadratic/2) ||D||^2 by FISTA.

    Momentum (k-2)/(k+1) for k = 1, 2, ...; the step starts anew at ``step`` in every iteration and
    is halved until the quadratic upper bound holds. H is applied once per trial step; the product
    at every point follows by linearity.

    Parameters
    ----------
    gradient : Float[np.ndarray, "d"], g; apply : v -> H v; quadratic : largest eigenvalue of H
        plus lambda2, so that the objective is concave; step : first trial step.
    iterations : at the most; tolerance : stop when the point moves by less than this share of
        its length. groups : a number per entry, for a penalty on the lengths of groups.

    References
    ----------
    Beck and Teboulle 2009, doi 10.1137/080716542; the objective: Singla et al. 2019,
    arXiv 1902.00407.
    """
    b = b_before = hb = hb_before = np.zeros_like(gradient)
    for k in range(1, iterations + 1):
        momentum = max((k - 2) / (k + 1), 0.0)
        v, hv = b + momentum * (b - b_before), hb + momentum * (hb - hb_before)
        b_before, hb_before = b, hb
        move, h_move = _trial(v, quadratic * v - gradient - hv, apply, quadratic, lambda1, step, groups)
        b, hb = v + move, hv + h_move
        if np.linalg.norm(b - b_before) <= tolerance * max(float(np.linalg.norm(b)), 1e-12):
            return Solution(b, _objective(b, hb, gradient, quadratic, lambda1, groups), k, True)
    return Solution(b, _objective(b, hb, gradient, quadratic, lambda1, groups), iterations, False)


def _trial(
    v: np.ndarray, slope: np.ndarray, apply: Operator, quadratic: float, lambda1: float, step: float,
    groups: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Take one proximal step from v, halving it until the smooth part lies under its upper bound.

    The smooth part is quadratic, so the bound reads m'(wI - H)m <= m'm / step for the move m. H is
    applied to the move, not to the new point: the noise of a differenced product then shrinks with
    the move, and the comparison has nothing to cancel.
    """
    for _ in range(40):
        move = shrink(v - step * slope, step * lambda1, groups) - v
        h_move = apply(move)
        length = float(move @ move)
        if quadratic * length - float(move @ h_move) <= length / step * (1 + 1e-9):
            break
        step /= 2
    return move, h_move


def _objective(
    b: np.ndarray, hb: np.ndarray, gradient: np.ndarray, quadratic: float, lambda1: float,
    groups: np.ndarray | None,
) -> float:  # fmt: skip
    smooth = gradient @ b + b @ hb / 2 - quadratic / 2 * b @ b
    return float(smooth - lambda1 * norm1(b, groups))
