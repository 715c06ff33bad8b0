"""What CAFO and CASO share: derivatives in, the concave problem solved, the record out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from blackbox import hessians
from blackbox.derivatives import Asked, Derivatives, derivatives_at, differentiate
from blackbox.errors import RequestError
from blackbox.explanation import Explanation, Outcome
from blackbox.game import Game
from blackbox.gradients import cell_noise
from blackbox.hessians import Hessian
from blackbox.numerics.curvature import Impact, closed_root, impact
from blackbox.numerics.proximal import Solution
from blackbox.numerics.quadratic import Problem, Symmetric
from blackbox.settings import choice, number, whole

DRAWS = 24
"""Random signs of the errors that are sent through the solution for its bounds; costs no rows."""


@dataclass(frozen=True)
class Form:
    """The problem to solve; the settings' meaning stands with ``blackbox.Caso``."""

    sparsity: float | None
    lambda1: float | None
    lambda2: float
    hessian: str
    groups: tuple[int, ...] | None
    smooth: int | None
    smooth_width: float
    curvature_step: float | None = None
    step: float = 1.0
    iterations: int = 1000
    tolerance: float = 1e-6
    relative: bool = False

    def margin(self, largest: float) -> float:
        """Return lambda2, as a share of the largest eigenvalue where that was asked and is positive."""
        return self.lambda2 * largest if self.relative and largest > 0 else self.lambda2

    def check(self) -> None:
        """Refuse settings that mean nothing."""
        if self.lambda1 is not None:
            number("lambda1", self.lambda1, 0.0)
        for name in ("lambda2", "smooth_width", "step", "tolerance"):
            number(name, getattr(self, name), 0.0, strict=True)
        if self.curvature_step is not None:
            number("curvature_step", self.curvature_step, 0.0, strict=True)
        choice("hessian", self.hessian, hessians.CHOICES)
        whole("iterations", self.iterations, 1)
        if self.smooth is not None:
            whole("smooth", self.smooth, 1)
        if self.sparsity is not None:
            number("sparsity", self.sparsity, 0.0, strict=True)
            if self.sparsity >= 1:
                raise RequestError(f"sparsity must be below 1, a share of features; got {self.sparsity!r}.")
            if self.lambda1 is not None:
                raise RequestError("sparsity sets lambda1: give one of them.")


def play(
    name: str, settings: dict[str, Any], game: Game, asked: Asked, form: Form, rng: np.random.Generator
) -> Explanation:
    """Differentiate, solve and write the record; see ``blackbox.Caso``."""
    found = differentiate(game, asked, rng, copies=form.smooth or 0)
    if isinstance(found, Outcome):
        return game.explanation(name, settings, np.full((game.d, 1), np.nan), found)
    curved = hessians.hessian(found, form.hessian, form.margin, form.curvature_step, form.tolerance)
    if form.smooth is not None:
        found, curved = _smoothed(found, curved, form, rng)
    problem = Problem(
        found.gradient, curved.matrix, form.margin(curved.matrix.largest), _groups(found, form), form.step,
        form.iterations, form.tolerance,
    )  # fmt: skip
    lambda1, solution = _solve(problem, form)
    details = _details(found, curved, problem, lambda1, solution)
    errors = _errors(found, curved, problem, solution.point)
    values = -found.space.moves_of(solution.point)
    outcome = _outcome(curved, solution)
    record = game.explanation(name, settings, values[:, None], outcome, details)
    return dataclasses.replace(record, lower_bounds=values - errors, upper_bounds=values + errors)


def _groups(found: Derivatives, form: Form) -> np.ndarray | None:
    if form.groups is None:
        return None
    if found.space.waves is not None or len(form.groups) != found.space.game.d:
        raise RequestError(
            f"groups needs one number per feature, {found.space.game.d} here; got {len(form.groups)}."
        )
    return np.unique(np.array(form.groups)[found.space.moving], return_inverse=True)[1]


def _solve(problem: Problem, form: Form) -> tuple[float, Solution]:
    if form.sparsity is not None:
        return problem.sparse(form.sparsity)
    lambda1 = form.lambda1 or 0.0
    return lambda1, problem.solve(lambda1)


def _outcome(curved: Hessian, solution: Solution) -> Outcome:
    if not curved.trusted:
        return Outcome.UNRESOLVED
    return Outcome.DONE if curved.settled and solution.settled else Outcome.NOT_CONVERGED


def _details(
    found: Derivatives, curved: Hessian, problem: Problem, lambda1: float, solution: Solution
) -> dict[str, Any]:
    space = found.space
    details = {
        "delta": space.moves_of(solution.point), "gradient": space.slopes_of(found.gradient),
        "gradient_error": space.errors_of(found.gradient_errors, slopes=True), "lambda1": lambda1,
        "lambda2": problem.lambda2,
        "quadratic": problem.weight, "objective": solution.objective, "iterations": solution.iterations,
        **found.record, "hessian": curved.used,
    }  # fmt: skip
    if curved.used == hessians.NONE:
        return details
    plain = Problem(found.gradient, Symmetric.square(np.zeros((space.k, 0))), problem.lambda2, problem.groups)
    first = plain.solve(lambda1 if lambda1 < np.abs(found.gradient).max() else 0.0).point
    read = impact(found.gradient, curved.matrix.leading, curved.matrix.values, solution.point, first)
    return {
        **details, "largest_eigenvalue": curved.matrix.largest, "hessian_reason": curved.reason,
        "hessian_error": curved.error, "curvature_test": dataclasses.asdict(curved.bend),
        "second_order": {"probability": found.probability, **dataclasses.asdict(read)},
        "second_order_text": sentence(found.probability, read),
    }  # fmt: skip


def sentence(probability: float, read: Impact) -> str:
    """Say in one sentence whether the second order changed the answer, and why it would."""
    much = "hardly" if read.difference < 0.1 else "somewhat" if read.difference < 0.5 else "strongly"
    why = "parallel to" if read.cosine > 0.95 else "partly along" if read.cosine > 0.5 else "across"
    sure = "" if np.isnan(probability) else f"at probability {probability:.3g} "
    return (
        f"The second order {much} changes the direction (normalised difference {read.difference:.2g}): "
        f"{sure}the leading eigenvector runs {why} the gradient (cosine {read.cosine:.2g}) and the second "
        f"eigenvalue is {read.ratio:.2g} of the first."
    )


def _errors(found: Derivatives, curved: Hessian, problem: Problem, point: np.ndarray) -> np.ndarray:
    """Bound the error of every value: what random signs of the measured errors do to the solution.

    The objective's first-order change is dg + dH D; both go through the inverse of the curvature on
    the variables that are not zero. Errors of separate slopes are independent, so that the bound is
    three root mean squares over the draws.
    """
    rng = np.random.default_rng(len(point))
    signs = rng.choice([-1.0, 1.0], size=(DRAWS, len(point)))
    changes = signs * found.gradient_errors / 2
    if found.classifier and curved.used != hessians.NONE:
        changes = changes + _hessian_changes(found, point, rng)
    if curved.used not in (hessians.NONE, hessians.CLOSED) and np.isfinite(curved.error):
        bent = np.linalg.norm(curved.matrix(point)) / np.sqrt(len(point))
        changes = changes + curved.error * bent * rng.standard_normal(changes.shape)
    moved = problem.sensitivity(point != 0, changes)
    return found.space.errors_of(3 * np.sqrt(np.mean(moved**2, axis=0)), slopes=False)


def _hessian_changes(found: Derivatives, point: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What errors of the Jacobian do, to first order, to H D minus the leading eigenvalue times D.

    With B = J^T M, an error E of J changes H D by E^T M B^T D + B M^T E D, and the eigenvalue of the
    eigenvector u by 2 (M B^T u) . E u.
    """
    root, mix = closed_root(found.jacobian, found.z), closed_root(np.eye(len(found.z)), found.z)
    lead = Symmetric.square(root).leading
    inner, outer, top = mix @ (root.T @ point), root @ mix.T, mix @ (root.T @ lead)
    rows = []
    for _ in range(DRAWS):
        off = (rng.integers(0, 2, size=found.jacobian.shape) - 0.5) * found.errors
        rows.append(off.T @ inner + outer @ (off @ point) - 2 * float(top @ (off @ lead)) * point)
    return np.array(rows)


def _smoothed(
    found: Derivatives, curved: Hessian, form: Form, rng: np.random.Generator
) -> tuple[Derivatives, Hessian]:
    """Average gradient and Hessian over noisy inputs, as published; the input itself is not among them."""
    if curved.used not in (hessians.NONE, hessians.CLOSED):
        raise RequestError(
            f"smooth needs the closed form, but this model's Hessian is {curved.used}: ask for hessian "
            "closed-form or none."
        )
    gradients, errors, matrix = [], [], np.zeros((found.space.k, found.space.k))
    for _ in range(form.smooth or 0):
        one = derivatives_at(found, cell_noise(found.space.game, form.smooth_width, rng))
        gradients.append(one.gradient)
        errors.append(one.gradient_errors)
        if one.classifier and curved.used == hessians.CLOSED:
            root = closed_root(one.jacobian, one.z)
            matrix += root @ root.T / (form.smooth or 1)
    spread = np.std(gradients, axis=0) / np.sqrt(len(gradients))
    mean = dataclasses.replace(
        found, gradient=np.mean(gradients, axis=0),
        gradient_errors=np.sqrt(np.mean(np.square(errors), axis=0) + (2 * spread) ** 2),
    )  # fmt: skip
    return mean, dataclasses.replace(curved, matrix=Symmetric.of(matrix))
