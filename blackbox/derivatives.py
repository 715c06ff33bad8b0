"""What a game's derivatives are: the one Jacobian that CAFO, CASO and the gradient family read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from blackbox import operators
from blackbox.displacements import Displacements, displacements
from blackbox.errors import RequestError
from blackbox.explanation import Outcome
from blackbox.game import Game
from blackbox.numerics.curvature import cross_entropy_slope
from blackbox.numerics.differences import Jacobian, jacobian, smoothed_slopes
from blackbox.numerics.links import PROBABILITIES
from blackbox.numerics.steps import (
    KINKED,
    RESOLVED,
    Probe,
    Step,
    choose_step,
    is_flat,
    kinked_axes,
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

    Costs 2k + 62 rows at the most for k variables (k + 62 forward): 55 for noise, step and curvature, 6 more
    where inputs are rounded, or else for variables whose kinks are near.

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
    if _saturated(game, found.here) and not is_flat(found):
        return Outcome.SATURATED
    if is_flat(found, _resolution(game, found.here)):
        return _surrogate(game, space, found, asked, rng)
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
    smooth, kinked = _kinked(game, loss)
    step = choose_step(found, kinked)
    length = asked.gradient_step or step.length
    lengths, central = np.full(space.k, length), asked.difference == "central"
    taken = jacobian(space, found.here, lengths, central)
    if central and not smooth and asked.gradient_step is None:
        step, taken, lengths = _off_kinks(space, found.here, step, taken, lengths, PROBES - found.rows - 2)
    errors = slope_errors(step, taken.asymmetry, lengths) / space.scale
    loss_step = step_at(loss, length, step.kinked)
    loss_errors = np.maximum(
        slope_errors(loss_step, weights[None] @ taken.asymmetry, lengths)[0] / space.scale,
        0.0 if step.kinked else np.sqrt(weights**2 @ errors**2),
    )
    slopes = taken.slopes / space.scale
    record = {
        "basis": space.basis, "step": length, "steps": space.moves_of(lengths * space.scale * space.unit),
        "noise": float(np.sqrt(np.mean(step.noise**2))), "step_disagreement": step.disagreement,
        "fixed": space.fixed,
    }  # fmt: skip
    return Derivatives(
        space, found, step, found.here, slopes, errors, weights, slopes.T @ weights, loss_errors,
        y, classifier, record,
    )  # fmt: skip


def _off_kinks(
    space: Displacements, here: np.ndarray, step: Step, taken: Jacobian, lengths: np.ndarray, rows: int
) -> tuple[Step, Jacobian, np.ndarray]:
    """Ask the axes with the nearest kinks again at a tenth of the step, as far as the rows go.

    Returns
    -------
    the step, known to be among kinks where there are any; the slopes; the length used on every axis.
    """
    axes = kinked_axes(step, taken.asymmetry, lengths)
    if not len(axes):
        return step, taken, lengths
    worst, lengths = axes[: max(0, rows) // 2], lengths.copy()
    lengths[worst] /= 10
    again = jacobian(lambda part: space(part @ np.eye(space.k)[worst]), here, lengths[worst])
    slopes, bends = taken.slopes.copy(), taken.asymmetry.copy()
    slopes[:, worst], bends[:, worst] = again.slopes, again.asymmetry
    return dataclasses.replace(step, kinked=True), Jacobian(slopes, bends), lengths


def _resolution(game: Game, here: np.ndarray) -> np.ndarray | float:
    """What float32 probabilities tell apart on the log scale: eps / p, as where p is one minus another."""
    if not (game.score.classifies and game.score.readout.kind == PROBABILITIES):
        return 0.0
    return np.asarray(float(np.finfo(np.float32).eps) * np.exp(np.minimum(-here, 80.0)))


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


def _kinked(game: Game, loss: Probe) -> tuple[bool, bool]:
    """Tell from the graph, or else from second differences, whether slopes change smoothly or at kinks.

    Returns
    -------
    smooth, kinked : both are False where nothing was seen and nothing is known.
    """
    offered = (getattr(game.score.model, "traits", None) or {}).get("operators")
    if offered is None:
        verdict = read_bend(loss).verdict
        return verdict == RESOLVED, verdict == KINKED
    kinked = not operators.KINKS.isdisjoint(offered)
    return not kinked, kinked


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
