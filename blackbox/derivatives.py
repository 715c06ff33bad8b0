"""What a game's derivatives are: the one Jacobian that CAFO, CASO and the gradient family read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from blackbox import operators
from blackbox.displacements import Displacements, displacements
from blackbox.errors import RequestError
from blackbox.explanation import Explanation, Outcome
from blackbox.game import Game
from blackbox.numerics.curvature import cross_entropy_slope
from blackbox.numerics.differences import jacobian, smoothed_slopes
from blackbox.numerics.links import PROBABILITIES
from blackbox.numerics.steps import (
    KINKED,
    Probe,
    Step,
    choose_step,
    is_flat,
    probe,
    read_bend,
    slope_errors,
    step_at,
)
from blackbox.settings import choice, number, whole

LEAST_DOUBT = 1e-6
"""A probability closer to 1 than this carries no derivative in float32."""

PROBES = 64
"""Rows for noise, step and curvature at the most, the base and the full score included."""


@dataclass(frozen=True)
class Asked:
    """How derivatives are taken; the settings that all methods of derivatives share.

    unit : ``input`` or ``deviation``. gradient_step : share of each variable's scale; None = measured.
    difference : ``central`` (2k rows) or ``forward`` (k rows). frequencies : a cosine basis of a
    picture instead of its features. input_range : (lowest, highest) value that the model takes.
    budget : rows at the most. surrogate : width, as a share of the scale, of the Gaussian whose mean
    is differentiated where the model itself is flat.
    """

    unit: str = "input"
    gradient_step: float | None = None
    difference: str = "central"
    frequencies: int | None = None
    input_range: tuple[float, float] | None = None
    budget: int | None = None
    surrogate: float | None = None

    def check(self) -> None:
        """Refuse settings that mean nothing."""
        choice("unit", self.unit, ("input", "deviation"))
        choice("difference", self.difference, ("central", "forward"))
        for name in ("gradient_step", "surrogate"):
            if getattr(self, name) is not None:
                number(name, getattr(self, name), 0.0, strict=True)
        for name in ("frequencies", "budget"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name), 1)
        if self.input_range is not None:
            low, high = self.input_range
            if not low < high:
                raise RequestError(f"input_range needs a lower and a higher number; got {self.input_range}.")


@dataclass(frozen=True)
class Derivatives:
    """The logits' Jacobian at a game's input, and what was measured on the way.

    z : Float[np.ndarray, "c"], logits. jacobian : Float[np.ndarray, "c k"] and errors likewise, per
    unit of the variables. weights : Float[np.ndarray, "c"], slope of the loss in the logits, so that
    ``gradient`` = J^T weights. y : the target's place among the logits. classifier : the loss is the
    cross-entropy -log p_y; otherwise minus the score. record : what ``details`` report.
    """

    space: Displacements
    found: Probe
    step: Step
    z: np.ndarray
    jacobian: np.ndarray
    errors: np.ndarray
    weights: np.ndarray
    gradient: np.ndarray
    gradient_errors: np.ndarray
    y: int
    classifier: bool
    record: Mapping[str, object] = field(default_factory=dict)

    @property
    def probability(self) -> float:
        """Probability of the target, NaN for a regression."""
        return float(np.exp(self.z[self.y] - np.logaddexp.reduce(self.z))) if self.classifier else np.nan


def differentiate(
    game: Game, asked: Asked, rng: np.random.Generator, space: Displacements | None = None,
    copies: int = 0,
) -> Derivatives | Outcome:  # fmt: skip
    """Measure noise and step, then the Jacobian of all logits.

    Costs 2k + 59 rows for k variables (k + 59 forward), at most 8 more where inputs are rounded.

    Parameters
    ----------
    space : None = the features, or the frequencies, that were asked for. copies : further Jacobians that
        the caller is going to take, for the budget.

    Returns
    -------
    Derivatives; or FLAT where the model moves by jumps or not at all (and no surrogate was asked),
    SATURATED where a probability is too close to 1.

    Raises
    ------
    RequestError : inputs that cannot move, lie outside the range, or more variables than the budget.
    """
    _require_range(game, asked)
    space = space or displacements(game, asked.unit, asked.frequencies)
    _require_budget(space, asked, copies)
    found = probe(space, space.k, rng)
    if is_flat(found):
        return _surrogate(game, space, found, asked, rng)
    if _saturated(game, found.here):
        return Outcome.SATURATED
    return _slopes(game, space, found, asked)


def derivatives_at(base: Derivatives, shift: Mapping[str, np.ndarray]) -> Derivatives:
    """Return the derivatives at another input with the step that was measured at the first one."""
    space = base.space.at(shift)
    here = space(np.zeros((1, space.k)))[0]
    taken = jacobian(space, here, np.full(space.k, base.step.length))
    weights = cross_entropy_slope(here, base.y) if base.classifier else base.weights
    slopes = taken.slopes / space.scale
    return Derivatives(
        space, base.found, base.step, here, slopes, base.errors, weights, slopes.T @ weights,
        base.gradient_errors, base.y, base.classifier, base.record,
    )  # fmt: skip


def _slopes(game: Game, space: Displacements, found: Probe, asked: Asked) -> Derivatives:
    classifier = game.score.classifies
    y = game.score.readout.indices[0] if classifier else 0
    weights = cross_entropy_slope(found.here, y) if classifier else np.array([-1.0])
    loss = found.seen(weights[:, None])
    kinked = read_bend(loss).verdict == KINKED or _has_kinks(game)
    step = choose_step(found, kinked)
    length = asked.gradient_step or step.length
    taken = jacobian(space, found.here, np.full(space.k, length), asked.difference == "central")
    bends = taken.asymmetry
    errors = slope_errors(step, bends) / space.scale
    loss_errors = np.maximum(
        slope_errors(step_at(loss, length, kinked), weights[None] @ bends)[0] / space.scale,
        0.0 if kinked else np.sqrt(weights**2 @ errors**2),
    )
    slopes = taken.slopes / space.scale
    record = {
        "basis": space.basis, "step": length, "steps": space.moves_of(length * space.scale * space.unit),
        "noise": float(np.sqrt(np.mean(step.noise**2))), "step_disagreement": step.disagreement,
        "fixed": space.fixed,
    }  # fmt: skip
    return Derivatives(
        space, found, step, found.here, slopes, errors, weights, slopes.T @ weights, loss_errors,
        y, classifier, record,
    )  # fmt: skip


def _surrogate(
    game: Game, space: Displacements, found: Probe, asked: Asked, rng: np.random.Generator
) -> Derivatives | Outcome:
    if asked.surrogate is None:
        return Outcome.FLAT
    pairs = max(4 * space.k, 64)
    slopes, errors = smoothed_slopes(space, space.k, asked.surrogate, pairs, rng)
    classifier = game.score.classifies
    y = game.score.readout.indices[0] if classifier else 0
    weights = cross_entropy_slope(found.here, y) if classifier else np.array([-1.0])
    if not (np.abs(slopes) > 0).any():
        return Outcome.FLAT
    step = Step(asked.surrogate, 1.0, np.sqrt(np.mean(errors**2, axis=1)), found.noise, False)
    record = {
        "basis": space.basis, "surrogate": f"mean under a Gaussian of width {asked.surrogate:g} of the scale",
        "surrogate_width": space.moves_of(asked.surrogate * space.scale * space.unit),
        "surrogate_pairs": pairs, "fixed": space.fixed,
    }  # fmt: skip
    loss_errors = 2 * np.sqrt(weights**2 @ errors**2) / space.scale
    slopes = slopes / space.scale
    return Derivatives(
        space, found, step, found.here, slopes, 2 * errors / space.scale, weights, slopes.T @ weights,
        loss_errors, y, classifier, record,
    )  # fmt: skip


def _has_kinks(game: Game) -> bool:
    offered = getattr(game.score.model, "traits", None) or {}
    return not operators.KINKS.isdisjoint(offered.get("operators", ()))


def _saturated(game: Game, here: np.ndarray) -> bool:
    if not game.score.classifies or game.score.readout.kind != PROBABILITIES:
        return False
    y = game.score.readout.indices[0]
    others = np.delete(here, y)
    return bool(np.exp(np.logaddexp.reduce(others) - np.logaddexp.reduce(here)) < LEAST_DOUBT)


def _require_range(game: Game, asked: Asked) -> None:
    if asked.input_range is None:
        return
    low, high = asked.input_range
    for name, array in game.x.items():
        if array.min() < low or array.max() > high:
            raise RequestError(
                f"Input {name!r} holds values from {array.min():.4g} to {array.max():.4g}, outside the "
                f"model's range {low:g} to {high:g}: scale it as the model was trained."
            )


def _require_budget(space: Displacements, asked: Asked, copies: int) -> None:
    needed = (2 if asked.difference == "central" else 1) * space.k + PROBES + copies * (2 * space.k + 1)
    if asked.budget is not None and needed > asked.budget:
        raise RequestError(
            f"{space.k:,} variables need {needed:,} rows, more than the budget of {asked.budget:,}: raise "
            "it, or use fewer features (patches, superpixels, groups of columns) or low frequencies."
        )


def gradient_record(
    name: str, settings: dict[str, object], found: Derivatives, values: np.ndarray, errors: np.ndarray,
    details: Mapping[str, object],
) -> Explanation:  # fmt: skip
    """Write the record of a first-order method, with the interval of every value.

    Parameters
    ----------
    values, errors : Float[np.ndarray, "d"].
    """
    record = {**found.record, **details}
    written = found.space.game.explanation(name, settings, values[:, None], Outcome.DONE, record)
    return dataclasses.replace(written, lower_bounds=values - errors, upper_bounds=values + errors)


def homogeneity(game: Game) -> float:
    """Return by how much f(0) = 0 and f(2x) = 2 f(x) fail, as a share of the score's size; 2 rows."""
    moved = {name: np.where(game.features.labels[name] >= 0, array, 0) for name, array in game.x.items()}
    rows = {name: np.stack([array - moved[name], array + moved[name]]) for name, array in game.x.items()}
    zero, double = game.score(rows)[:, 0]
    full = float(game.full()[0])
    size = max(abs(full), abs(double) / 2, 1e-300)
    return float(max(abs(zero), abs(double - 2 * full)) / size)


def cell_noise(game: Game, width: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw Gaussian noise of a share of the input's range for every cell that belongs to a feature."""
    return {
        name: np.where(
            game.features.labels[name] >= 0,
            width * (float(np.ptp(array)) or 1.0) * rng.standard_normal(array.shape), 0.0,
        )
        for name, array in game.x.items()
    }  # fmt: skip
