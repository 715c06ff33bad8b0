"""Derivatives of a function that can only be evaluated, by differences of nearby values.

Points that are subtracted from each other stand next to each other and are part of one call, so that
they see the same batch and the same noise. All functions work at the origin of a space of
displacements; what a displacement means is the caller's business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]
"""Float64[np.ndarray, "n k"] displacements -> Float64[np.ndarray, "n c"] values."""

Scalar = Callable[[np.ndarray], np.ndarray]
"""Float64[np.ndarray, "n k"] displacements -> Float64[np.ndarray, "n"] values."""

AXES = 256
"""Axes differentiated per call, so that no more than 512 displacements are held at once."""


@dataclass(frozen=True)
class Jacobian:
    """slopes : Float[np.ndarray, "c k"]. asymmetry : Float[np.ndarray, "c k"], forward minus backward
    slope, zeros for forward differences: h f'' where f is smooth, the change of slope at a kink."""

    slopes: np.ndarray
    asymmetry: np.ndarray


def jacobian(f: Function, here: np.ndarray, steps: np.ndarray, central: bool = True) -> Jacobian:
    """Differentiate every output along every axis.

    Central: J_ci = [f_c(h_i e_i) - f_c(-h_i e_i)] / (2 h_i), 2k evaluations. Forward:
    J_ci = [f_c(h_i e_i) - f_c(0)] / h_i, k evaluations besides f(0).

    Parameters
    ----------
    here : Float[np.ndarray, "c"], f(0). steps : Float[np.ndarray, "k"], positive step per axis.

    Examples
    --------
    >>> found = jacobian(lambda t: t @ np.array([[1.0, 0.0], [2.0, 3.0]]), np.zeros(2), np.full(2, 0.1))
    >>> found.slopes.round(9).tolist()
    [[1.0, 2.0], [0.0, 3.0]]
    """
    k, slopes, bends = len(steps), [], []
    for start in range(0, k, AXES):
        stop = min(start + AXES, k)
        wide = np.zeros((stop - start, k))
        wide[np.arange(stop - start), np.arange(start, stop)] = steps[start:stop]
        h = steps[start:stop, None]
        if central:
            up, down = f(together(wide, -wide)).reshape(stop - start, 2, -1).transpose(1, 0, 2) - here
        else:
            up = f(wide) - here
            down = -up
        slopes.append((up - down) / (2 * h))
        bends.append((up + down) / h)
    return Jacobian(np.concatenate(slopes).T, np.concatenate(bends).T)


def directional(f: Function, directions: np.ndarray, length: float) -> np.ndarray:
    """Differentiate every output along directions: [f(h v) - f(-h v)] / (2 h), 2 evaluations each.

    Parameters
    ----------
    directions : Float[np.ndarray, "m k"]; length : h.

    Returns
    -------
    Float[np.ndarray, "m c"]
    """
    up, down = (
        f(together(length * directions, -length * directions)).reshape(len(directions), 2, -1).swapaxes(0, 1)
    )
    return np.asarray((up - down) / (2 * length))


def hessian_vector(f: Scalar, vector: np.ndarray, steps: np.ndarray, reach: float) -> np.ndarray:
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
    move, product = reach * vector / length, np.empty_like(vector)
    for start in range(0, len(steps), AXES):
        part = slice(start, min(start + AXES, len(steps)))
        wide = np.diag(steps)[part]
        a, b, c, e = f(together(move + wide, move - wide, -move + wide, -move - wide)).reshape(-1, 4).T
        product[part] = (a - b - c + e) / (4 * reach * steps[part]) * length
    return product


def second_differences(f: Scalar, directions: np.ndarray, length: float, here: float) -> np.ndarray:
    """Differentiate twice along directions: [f(h v) + f(-h v) - 2 f(0)] / h^2, 2 evaluations each.

    Parameters
    ----------
    directions : Float[np.ndarray, "m k"]; length : h; here : f(0).
    """
    up, down = f(together(length * directions, -length * directions)).reshape(-1, 2).T
    return np.asarray((up + down - 2 * here) / length**2)


def dense_hessian(f: Scalar, steps: np.ndarray, here: float) -> np.ndarray:
    """Differentiate twice along all pairs of axes: Float[np.ndarray, "k k"], 2 k^2 evaluations.

    Four points per pair, two per axis. For a subspace, pass a function of its coordinates.

    Parameters
    ----------
    steps : Float[np.ndarray, "k"]; here : f(0).
    """
    k = len(steps)
    wide, hessian = np.diag(steps), np.empty((k, k))
    hessian[np.diag_indices(k)] = second_differences(f, wide, 1.0, here)
    for i in range(k - 1):
        others = wide[i + 1 :]
        a, b, c, e = (
            f(together(wide[i] + others, wide[i] - others, others - wide[i], -wide[i] - others))
            .reshape(-1, 4)
            .T
        )
        hessian[i, i + 1 :] = hessian[i + 1 :, i] = (a - b - c + e) / 4
    return np.asarray(hessian / np.outer(steps, steps))


def smoothed_slopes(
    f: Function, k: int, width: float, pairs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Differentiate the mean of f under Gaussian noise, which exists where f itself is flat.

    The gradient of E f(width u), u normal, is the best linear fit of f to its noise. The fit is made
    by least squares over antithetic pairs: [f(width u) - f(-width u)] / 2 on width u.

    Parameters
    ----------
    pairs : at least 2k. Costs 2 evaluations each.

    Returns
    -------
    slopes : Float[np.ndarray, "c k"]; errors : Float[np.ndarray, "c k"], standard errors of the fit.

    References
    ----------
    Nesterov and Spokoiny 2017, doi 10.1007/s10208-015-9296-2.
    """
    points = width * rng.standard_normal((pairs, k))
    up, down = f(together(points, -points)).reshape(pairs, 2, -1).transpose(1, 0, 2)
    odd = (up - down) / 2
    slopes = np.linalg.lstsq(points, odd, rcond=None)[0]
    left = ((odd - points @ slopes) ** 2).sum(axis=0) / max(1, pairs - k)
    spread = np.diag(np.linalg.inv(points.T @ points))
    return slopes.T, np.sqrt(left[:, None] * spread[None])


def together(*points: np.ndarray) -> np.ndarray:
    """Put the points that are subtracted from each other next to each other."""
    return np.stack(points, axis=1).reshape(-1, points[0].shape[1])
