"""Which Hessian a loss gets: closed form, differences, or both, by what the model shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from blackbox.derivatives import KINKS, Derivatives
from blackbox.errors import RequestError
from blackbox.numerics.curvature import Learnt, closed_root
from blackbox.numerics.differences import dense_hessian, hessian_vector
from blackbox.numerics.quadratic import Problem, Symmetric
from blackbox.numerics.steps import KINKED, LADDER, RESOLVED, STRAIGHT, Bend, read_bend

AUTO, DIFFERENCES, CLOSED, MIXED, NONE = "auto", "finite-difference", "closed-form", "mixed", "none"
CHOICES = (AUTO, DIFFERENCES, CLOSED, NONE)

DENSE = 32
"""Up to so many variables every pair is differenced (2 k^2 rows); above, products are (4 k rows each)."""

PRODUCTS = 60
"""Products with the Hessian at the most; 10 to 25 settle the eigenvalue and the solution."""

MOST = 2048
"""Variables at the most for a differenced Hessian."""

TRUSTED = 0.3
"""A differenced part whose error exceeds this share of the largest eigenvalue is not used."""

SHIFTS = (1.0, 0.8, 0.6)
"""Shares of the longest step over which the products of a network with kinks are averaged."""

STRAIGHT_OPERATORS = frozenset(
    "Abs Add And ArgMax ArgMin ArrayFeatureExtractor AveragePool BatchNormalization Cast CastLike Ceil Clip Compress Concat "
    "Constant ConstantOfShape CumSum DepthToSpace DequantizeLinear Dropout "
    "Equal Expand EyeLike Flatten Floor Gather GatherElements GatherND GlobalAveragePool "
    "GlobalMaxPool Greater GreaterOrEqual Hardmax HardSigmoid Identity If LeakyRelu Less LessOrEqual Max "
    "MaxPool MaxUnpool Mean Min Neg Not OneHot Or PRelu Pad QuantizeLinear Range ReduceMax ReduceMean "
    "ReduceMin ReduceSum Relu Reshape Resize Round ScatterElements ScatterND Shape Shrink Sign Size Slice "
    "SpaceToDepth Split Squeeze Sub Sum ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where "
    "ZipMap Scaler Imputer FeatureVectorizer LinearRegressor LabelEncoder "
    "Mul(constant) Div(constant) MatMul(constant) Gemm(constant) Conv(constant) ConvTranspose(constant)".split()
)
"""Operators that are affine or piecewise linear. A product counts where all but one factor are constants,
as the adapter says; HardSwish written as Clip x Mul does not."""

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


def hessian(found: Derivatives, wanted: str, lambda2: float, length: float | None, tolerance: float) -> Hessian:
    """Find the Hessian of the loss at the point of the derivatives.

    With A = diag p - p p^T and m = (p - e_y) . logits at fixed p, H = J^T A J + Hess m. The first part
    costs no rows; the second is zero where the logits are piecewise linear.

    Parameters
    ----------
    wanted : ``auto``, ``finite-difference``, ``closed-form`` or ``none``. lambda2 : of the problem that
        the Hessian is for, whose solution the products follow. length : step of second differences
        as a share of the scale, None = measured. tolerance : relative, of the largest eigenvalue.
    """
    bend = read_bend(found.found.seen(found.weights[:, None]))
    root = closed_root(found.jacobian, found.z) if found.classifier else np.zeros((found.space.k, 0))
    if wanted == NONE:
        return Hessian(Symmetric.square(root[:, :0]), NONE, "no second order was asked for", 0.0, True, True, bend)
    used, reason = decide(bend, traits(found)) if wanted == AUTO else (wanted, "asked for")
    closed = Symmetric.square(root)
    if used == CLOSED:
        return Hessian(closed, used, reason, _closed_error(found, closed, bend), True, True, bend)
    lengths = [length or bend.length] if used == DIFFERENCES else [(length or LADDER[0]) * s for s in SHIFTS]
    return _differenced(found, closed, root, (used, reason), lengths, lambda2, tolerance, bend)


def decide(bend: Bend, operators: frozenset[str] | None) -> tuple[str, str]:
    """Choose the form from what was observed and, where it is known, the graph.

    Parameters
    ----------
    operators : operator types on the way from the inputs to the logits, None where not offered.

    Returns
    -------
    the form and a sentence that says why.
    """
    smooth = sorted(operators - STRAIGHT_OPERATORS) if operators is not None else []
    if operators is not None and not smooth:
        return CLOSED, "every operator of the graph is affine or piecewise linear"
    if bend.verdict == RESOLVED and not (smooth and operators is not None and operators & KINKS):
        return DIFFERENCES, "the logits' own curvature is the same at three steps and above the noise"
    if bend.verdict == STRAIGHT:
        return CLOSED, "the logits' own curvature is below the noise at every step"
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


def _closed_error(found: Derivatives, closed: Symmetric, bend: Bend) -> float:
    """Return the logits' own curvature as a share of the closed part's, along the same directions."""
    directions = found.found.directions
    units = directions * found.space.scale
    size = np.sqrt(np.mean([float(v @ closed(v)) ** 2 for v in units]))
    return float(bend.size / size) if size > 0 else float("nan")


def _differenced(
    found: Derivatives, closed: Symmetric, root: np.ndarray, why: tuple[str, str], lengths: list[float],
    lambda2: float, tolerance: float, bend: Bend,
) -> Hessian:  # fmt: skip
    k = found.space.k
    if k > MOST:
        raise RequestError(
            f"A differenced Hessian of {k:,} variables needs about {4 * k * 20:,} rows and more than "
            f"{MOST:,} variables are refused: use fewer features, low frequencies, or hessian closed-form."
        )
    product = _product(found, lengths)
    if k <= DENSE and why[0] == DIFFERENCES:
        matrix = Symmetric.of(root @ root.T + _dense(found, lengths[0]))
        settled = True
    else:
        matrix, settled = _learnt(found, root, product, lambda2, tolerance)
    error = _difference_error(found, matrix, product, lengths)
    if why[0] == MIXED and error > TRUSTED:
        return Hessian(closed, CLOSED, f"{why[1]}, whose curvature could not be resolved", error, True, False, bend)
    return Hessian(matrix, *why, error, settled, True, bend)


def _scalar(found: Derivatives) -> Callable[[np.ndarray], np.ndarray]:
    return lambda variables: np.asarray(found.space(variables) @ found.weights)


def _dense(found: Derivatives, length: float) -> np.ndarray:
    here = float(found.z @ found.weights)
    bends = dense_hessian(_scalar(found), np.full(found.space.k, length), here)
    return np.asarray(bends / np.outer(found.space.scale, found.space.scale))


def _product(found: Derivatives, lengths: list[float]) -> Callable[[np.ndarray], np.ndarray]:
    """Products with Hess m per unit, averaged over the lengths."""
    scale, m = found.space.scale, _scalar(found)

    def product(vector: np.ndarray) -> np.ndarray:
        each = [hessian_vector(m, vector / scale, np.full(len(scale), h), h) for h in lengths]
        return np.asarray(np.mean(each, axis=0) / scale)

    return product


def _learnt(
    found: Derivatives, root: np.ndarray, product: Callable[[np.ndarray], np.ndarray], lambda2: float,
    tolerance: float,
) -> tuple[Symmetric, bool]:  # fmt: skip
    """Learn Hess m where it counts: along the leading eigenvector, then along the solution."""
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
        solution = Problem(found.gradient, matrix, lambda2).solve(0.0).point
        unknown = [v for v in (matrix.leading, solution) if _share(learnt, v) > 0.02]
        if not unknown or len(learnt.vectors) >= min(PRODUCTS, found.space.k):
            return matrix, (settled or len(learnt.vectors) == found.space.k) and not unknown
        for vector in unknown:
            learnt.learn(vector)


def _share(learnt: Learnt, vector: np.ndarray) -> float:
    return float(np.linalg.norm(learnt.outside(vector)) / max(float(np.linalg.norm(vector)), 1e-300))


def _difference_error(
    found: Derivatives, matrix: Symmetric, product: Callable[[np.ndarray], np.ndarray], lengths: list[float]
) -> float:
    """Ask the product along the leading eigenvector once more, at half the step, and compare."""
    u = matrix.leading
    again = _product(found, [length / 2 for length in lengths])
    size = max(abs(matrix.largest), abs(matrix.smallest), 1e-300)
    return float(np.linalg.norm(product(u) - again(u)) / size)
