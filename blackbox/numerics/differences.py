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
    """gradient : Float[np.ndarray, "k"]; responds : Bool[np.ndarray, "k"], where the score changes
    in proportion to the step, as a derivative requires; moves : where it changes at all."""

    gradient: np.ndarray
    responds: np.ndarray
    moves: np.ndarray


def central_slopes(f: Function, steps: np.ndarray) -> Slopes:
    """Differentiate along each axis by central differences, and test that slopes exist.

    g_i = [f(h_i e_i) - f(-h_i e_i)] / (2 h_i). The same is asked at a tenth of the step: a change
    that vanishes or keeps its size there is a jump between flat pieces, not a slope. Costs 4k + 1
    evaluations for k axes.

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
    responds = _responds(up, up_near, noise) | _responds(down, down_near, noise)
    return Slopes((up - down) / (2 * steps), responds, moves)


def _responds(far: np.ndarray, near: np.ndarray, noise: float) -> np.ndarray:
    """A tenth of the step gives a clearly smaller change that is not nothing.

    Where a tenth of the far change could not be told from noise, the far change alone speaks.
    """
    moved = np.abs(far) > noise
    hidden = np.abs(far) < 20 * noise
    scaled = (np.abs(near) > np.abs(far) / 100) & (np.abs(near) < np.abs(far) / 2)
    return np.asarray(moved & (scaled | (hidden & (np.abs(near) < np.abs(far)))))


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
