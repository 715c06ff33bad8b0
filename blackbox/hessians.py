"""Which Hessian a loss gets: closed form, differences, or both, by what the model shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from blackbox import operators as known
from blackbox.derivatives import Derivatives
from blackbox.errors import RequestError
from blackbox.numerics.curvature import Learnt, closed_root
from blackbox.numerics.differences import dense_hessian, hessian_vector
from blackbox.numerics.quadratic import Problem, Symmetric
from blackbox.numerics.steps import RESOLVED, STRAIGHT, Bend, read_bend

Margin = Callable[[float], float]
"""Largest eigenvalue -> lambda2."""

AUTO, DIFFERENCES, CLOSED, MIXED, NONE = "auto", "finite-difference", "closed-form", "mixed", "none"
CHOICES = (AUTO, DIFFERENCES, CLOSED, NONE)

DENSE = 32
"""Up to so many variables every pair is differenced (2 k^2 rows); above, products are (4 k rows each)."""

PRODUCTS = 60
"""Products with the Hessian at the most; 10 to 25 settle the eigenvalue and the solution."""

MOST = 2048
"""Variables at the most for a differenced Hessian."""

TRUSTED = 0.1
"""Error, as a share of the largest eigenvalue, above which a network with kinks and gates is unresolved."""

NEGLIGIBLE = 0.02
"""A differenced part that is this small with its error, as a share, is left out without regret."""

SPREAD = (0.0316, 0.0178, 0.01, 0.0056)
"""Steps over which products of a network with kinks are taken. Their median is used; half their range is
the error, since the kinks that a step crosses bend all longer steps the same way."""

RUNGS = (0.1, 0.0316, 0.01, 0.00316)
"""Steps at which a product of a smooth network is tried; the best agreeing pair gives the step."""


@dataclass(frozen=True)
class Hessian:
    """A loss's Hessian per unit of the variables, how it was found and how far it may be off.

    used : the form. reason : a sentence. error : of the largest eigenvalue, as a share of it; NaN
    where nothing tells. settled : the eigenvalue search ended. trusted : nothing was left out that
    is known to matter. bend : what second differences of the logits showed.
    """

    matrix: Symmetric
    used: str
    reason: str
    error: float
    settled: bool
    trusted: bool
    bend: Bend


def hessian(
    found: Derivatives, wanted: str, margin: Margin, length: float | None, tolerance: float
) -> Hessian:
    """Find the Hessian of the loss at the point of the derivatives.

    With A = diag p - p p^T and m = (p - e_y) . logits at fixed p, H = J^T A J + Hess m. The first part
    costs no rows; the second is zero where the logits are piecewise linear.

    Parameters
    ----------
    wanted : ``auto``, ``finite-difference``, ``closed-form`` or ``none``. margin : lambda2 by the largest
        eigenvalue, of the problem that the Hessian is for, whose solution the products follow.
        length : step of second differences as a share of the scale, None = measured.
        tolerance : relative, of the largest eigenvalue.
    """
    bend = read_bend(found.found.seen(found.weights[:, None]))
    root = closed_root(found.jacobian, found.z) if found.classifier else np.zeros((found.space.k, 0))
    if wanted == NONE:
        return Hessian(
            Symmetric.square(root[:, :0]), NONE, "no second order was asked for", 0.0, True, True, bend
        )
    used, reason = decide(bend, traits(found)) if wanted == AUTO else (wanted, "asked for")
    closed = Symmetric.square(root)
    if used == CLOSED:
        return Hessian(closed, used, reason, _closed_error(found, closed), True, True, bend)
    if found.space.k > MOST:
        raise RequestError(
            f"A differenced Hessian of {found.space.k:,} variables needs about {80 * found.space.k:,} rows; "
            f"more than {MOST:,} variables are refused: use fewer features, low frequencies, or hessian "
            "closed-form."
        )
    if used == MIXED:
        return _mixed(found, closed, root, reason, (margin, tolerance), bend)
    return _differenced(found, root, reason, length, (margin, tolerance), bend)


def decide(bend: Bend, operators: frozenset[str] | None) -> tuple[str, str]:
    """Choose the form from what was observed and, where it is known, the graph.

    Parameters
    ----------
    operators : operator types on the way from the inputs to the logits, None where not offered.

    Returns
    -------
    the form and a sentence that says why.
    """
    smooth = sorted(operators - known.STRAIGHT) if operators is not None else []
    if operators is not None and not smooth:
        return CLOSED, "every operator of the graph is affine or piecewise linear"
    if bend.verdict == STRAIGHT:
        return CLOSED, "the logits' own curvature is below the noise at every step"
    if operators is not None and not operators & known.KINKS:
        return DIFFERENCES, f"the graph has smooth operators and no kinks ({', '.join(smooth[:4])})"
    if bend.verdict == RESOLVED and not smooth:
        return DIFFERENCES, "the logits' own curvature is the same at three steps and above the noise"
    if smooth:
        return MIXED, f"the graph has kinks and smooth operators ({', '.join(smooth[:4])})"
    return CLOSED, "second differences of the logits change with the step, as those of kinks do"


def traits(found: Derivatives) -> frozenset[str] | None:
    """Return the operators between the inputs and the logits, None where the model does not offer them."""
    score = found.space.game.score
    offered = getattr(score.model, "traits", None)
    if not offered or not (found.classifier or score.readout.scale == "raw"):
        return None
    link = {offered["link"]} - {""}
    # the last softmax is what the loss undoes; it counts where the output itself is differentiated
    return frozenset(offered["operators"]) | (link if not found.classifier else set())


def _closed_error(found: Derivatives, closed: Symmetric) -> float:
    """Return what the Jacobian's errors do to the largest eigenvalue, as a share of it."""
    if not found.classifier or closed.largest <= 0:
        return 0.0
    root, mix = closed_root(found.jacobian, found.z), closed_root(np.eye(len(found.z)), found.z)
    top = mix @ (root.T @ closed.leading)
    spread = np.sqrt(top**2 @ ((found.errors / 2) ** 2 @ closed.leading**2))
    return float(4 * spread / closed.largest)


def _differenced(
    found: Derivatives,
    root: np.ndarray,
    reason: str,
    length: float | None,
    aim: tuple[Margin, float],
    bend: Bend,
) -> Hessian:
    if length is None:
        length = _choose_length(found)
    if found.space.k <= DENSE:
        matrix, settled = Symmetric.of(root @ root.T + _dense(found, length)), True
    else:
        matrix, settled = _learnt(found, root, lambda v: _products(found, v, (length,))[0], aim)
    u, size = matrix.leading, max(abs(matrix.largest), abs(matrix.smallest), 1e-300)
    pair = _products(found, u, (length, length / 2))
    error = float(np.linalg.norm(pair[0] - pair[1])) / size
    used = dataclasses.replace(bend, length=length)
    return Hessian(matrix, DIFFERENCES, reason, error, settled, True, used)


def _choose_length(found: Derivatives) -> float:
    """Take the step at which the product with the gradient agrees best with that at a third of it.

    Random directions bend less than single variables do, so that they would choose too long a step.
    """
    tried = _products(found, found.gradient, RUNGS)
    apart = [float(np.linalg.norm(a - b)) for a, b in pairwise(tried)]
    return RUNGS[int(np.argmin(apart))]


def _mixed(
    found: Derivatives,
    closed: Symmetric,
    root: np.ndarray,
    reason: str,
    aim: tuple[Margin, float],
    bend: Bend,
) -> Hessian:
    """Add the logits' own curvature, smoothed over kinks, where it can be told from them at all."""
    size, error = _seen(_products(found, closed.leading, SPREAD))
    top = max(closed.largest, 1e-300)
    if size + error <= NEGLIGIBLE * top:
        text = f"{reason}, but the logits' own curvature is below {NEGLIGIBLE:.0%} of the softmax's"
        return Hessian(closed, CLOSED, text, (size + error) / top, True, True, bend)
    if size <= 3 * error or error > TRUSTED * top:
        text = f"{reason}, and the logits' own curvature could not be told from the kinks"
        return Hessian(closed, CLOSED, text, (size + error) / top, True, False, bend)
    matrix, settled = _learnt(found, root, lambda v: np.median(_products(found, v, SPREAD), axis=0), aim)
    error = _seen(_products(found, matrix.leading, SPREAD))[1] / max(matrix.largest, 1e-300)
    if error > TRUSTED:
        text = f"{reason}, and the logits' own curvature could not be told from the kinks"
        return Hessian(closed, CLOSED, text, size / top + error, True, False, bend)
    return Hessian(matrix, MIXED, reason, error, settled, True, bend)


def _seen(products: np.ndarray) -> tuple[float, float]:
    """Length of the median product, and of half the products' range."""
    middle, spread = np.median(products, axis=0), np.ptp(products, axis=0) / 2
    return float(np.linalg.norm(middle)), float(np.linalg.norm(spread))


def _scalar(found: Derivatives) -> Callable[[np.ndarray], np.ndarray]:
    return lambda variables: np.asarray(found.space(variables) @ found.weights)


def _dense(found: Derivatives, length: float) -> np.ndarray:
    here = float(found.z @ found.weights)
    bends = dense_hessian(_scalar(found), np.full(found.space.k, length), here)
    return np.asarray(bends / np.outer(found.space.scale, found.space.scale))


def _products(found: Derivatives, vector: np.ndarray, lengths: Sequence[float]) -> np.ndarray:
    """Products of Hess m, per unit, with one vector at several steps: Float[np.ndarray, "n k"]."""
    scale, m = found.space.scale, _scalar(found)
    each = [hessian_vector(m, vector / scale, np.full(len(scale), h), h) for h in lengths]
    return np.asarray(np.array(each) / scale)


def _learnt(
    found: Derivatives, root: np.ndarray, product: Callable[[np.ndarray], np.ndarray],
    aim: tuple[Margin, float],
) -> tuple[Symmetric, bool]:  # fmt: skip
    """Learn Hess m where it counts: along the leading eigenvector, then along the solution."""
    margin, tolerance = aim
    learnt = Learnt(product, found.space.k)
    learnt.learn(found.gradient)
    learnt.learn(np.random.default_rng(len(found.gradient)).uniform(-0.5, 0.5, found.space.k))
    settled = False
    while len(learnt.vectors) < min(PRODUCTS // 2, found.space.k):
        q = learnt.vectors
        images = learnt.products + (q @ root) @ root.T
        values, vectors = np.linalg.eigh((q @ images.T + images @ q.T) / 2)
        rest = vectors[:, -1] @ images - values[-1] * (vectors[:, -1] @ q)
        settled = float(np.linalg.norm(rest)) <= np.sqrt(tolerance) * float(np.abs(values).max())
        if settled or not learnt.learn(rest):
            break
    closed = root @ root.T
    while True:
        matrix = Symmetric.of(closed + learnt.matrix())
        solution = Problem(found.gradient, matrix, margin(matrix.largest)).solve(0.0).point
        unknown = [v for v in (matrix.leading, solution) if _share(learnt, v) > 0.02]
        if not unknown or len(learnt.vectors) >= min(PRODUCTS, found.space.k):
            return matrix, (settled or len(learnt.vectors) == found.space.k) and not unknown
        for vector in unknown:
            learnt.learn(vector)


def _share(learnt: Learnt, vector: np.ndarray) -> float:
    return float(np.linalg.norm(learnt.outside(vector)) / max(float(np.linalg.norm(vector)), 1e-300))
