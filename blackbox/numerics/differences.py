"""Derivatives of a function that can only be evaluated: central differences along given axes.

Every point of a +/- pair is part of one call, so that both see the same batch and the same noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]
"""Float64[np.ndarray, "n k"] displacements -> Float64[np.ndarray, "n"] scores."""

# A float32 forward pass repeats to about 7 machine epsilons of its largest score (measured on
# dense networks); changes below are rounding, not response.
NOISE = 8 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Slopes:
    """gradient : Float[np.ndarray, "k"]; moves : Bool[np.ndarray, "k"], where the score changes at all
    within the step; jumps : where it does so in a jump, so that there is no slope."""

    gradient: np.ndarray
    moves: np.ndarray
    jumps: np.ndarray


def central_slopes(f: Function, steps: np.ndarray) -> Slopes:
    """Differentiate along each axis by central differences, and test that slopes exist.

    g_i = [f(h_i e_i) - f(-h_i e_i)] / (2 h_i). The same is asked at a tenth of the step. A smooth
    function's change falls to between a tenth and, at an extreme, a hundredth of what it was; a change
    that vanishes or keeps its size is a jump between flat pieces. Costs 4k + 1 evaluations for k axes.

    Parameters
    ----------
    f : scores at displacements from the point in question.
    steps : Float[np.ndarray, "k"], positive step per axis.
    """
    wide = np.diag(steps)
    scores = f(np.concatenate([_together(wide, -wide, wide / 10, -wide / 10), np.zeros((1, len(steps)))]))
    here = float(scores[-1])
    up, down, up_near, down_near = scores[:-1].reshape(-1, 4).T - here
    noise = NOISE * max(1.0, abs(here))
    moves = np.maximum(np.abs(up), np.abs(down)) > noise
    jumps = _jumps(up, down, up_near, noise) | _jumps(down, up, down_near, noise)
    return Slopes((up - down) / (2 * steps), moves, moves & jumps)


def _jumps(far: np.ndarray, other: np.ndarray, near: np.ndarray, noise: float) -> np.ndarray:
    """Tell where a change kept its size at a tenth of the step, or vanished although noise is small.

    ``other`` is the change on the other side. At a smooth extreme both sides change alike and fall to
    a hundredth, which may drown in the noise; lopsided changes fall to about a tenth.
    """
    lopsided = np.abs(far - other) > 0.1 * np.abs(far)
    far, near = np.abs(far), np.abs(near)
    vanished = (near <= noise) & ((far > 200 * noise) | ((far > 20 * noise) & lopsided))
    return np.asarray((far > noise) & ((near > 0.9 * far) | vanished))


def hessian_vector(f: Function, vector: np.ndarray, steps: np.ndarray, reach: float) -> np.ndarray:
    """Multiply the Hessian by a vector: the difference of two central-difference gradients.

    (H v)_i = [f(r v + h_i e_i) - f(r v - h_i e_i) - f(-r v + h_i e_i) + f(-r v - h_i e_i)]
    / (4 r h_i). Costs 4k evaluations.

    Parameters
    ----------
    vector : Float[np.ndarray, "k"]; steps : Float[np.ndarray, "k"];
    reach : r, the length of the move along ``vector / ||vector||``.
    """
    length = float(np.linalg.norm(vector))
    if length == 0:
        return np.zeros_like(vector)
    along, wide = reach * vector / length, np.diag(steps)
    scores = f(_together(along + wide, along - wide, -along + wide, -along - wide))
    a, b, c, e = scores.reshape(-1, 4).T
    return np.asarray((a - b - c + e) / (4 * reach * steps) * length)


def _together(*points: np.ndarray) -> np.ndarray:
    """Put the points that are subtracted from each other next to each other."""
    return np.stack(points, axis=1).reshape(-1, points[0].shape[1])
