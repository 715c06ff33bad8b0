"""Saliency: the gradient of the score, from forward passes alone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from blackbox.derivatives import Asked, differentiate
from blackbox.explanation import Explanation, Outcome
from blackbox.game import Game
from blackbox.gradients import gradient_record
from blackbox.settings import shared


@dataclass(frozen=True)
class Saliency:
    """The gradient of the score: how much it rises per unit of each feature.

    value_i = d log p_y / d x_i (of the output itself for a regression, or on the scale ``raw``), by
    differences of the logits; all cells of a feature move together.

    Parameters
    ----------
    unit, gradient_step, difference, frequencies, input_range, budget, surrogate : see
        ``blackbox.Caso``.

    Cost in rows, for k features that move: 2k + 64 at the most, base and full score included.

    ``lower_bounds``, ``upper_bounds`` : from noise, step and kinks, as measured.

    details
    -------
    ``step``, ``steps``, ``step_disagreement``, ``noise``, ``basis``, ``fixed``.

    outcome : DONE; FLAT or SATURATED, with NaN for every value.

    Raises
    ------
    RequestError : an input that is not floating-point or outside the range, no feature that can move, a
    budget that does not suffice.

    References
    ----------
    Simonyan, Vedaldi and Zisserman 2014, arXiv 1312.6034.

    Examples
    --------
    >>> import blackbox as bb
    >>> e = bb.explain(lambda x: 3 * x[:, 0] - x[:, 1], [1.0, 1.0], method=bb.Saliency())
    >>> e.values.round(3).tolist()
    [3.0, -1.0]
    """

    name: ClassVar[str] = "saliency"
    scale: ClassVar[str] = "log-probability"
    one_target: ClassVar[bool] = True

    unit: str = "input"
    gradient_step: float | None = None
    difference: str = "central"
    frequencies: int | None = None
    input_range: tuple[float, float] | None = None
    budget: int | None = None
    surrogate: float | None = None

    def __post_init__(self) -> None:
        shared(Asked, self).check()

    def explain(self, game: Game, rng: np.random.Generator) -> Explanation:
        """Play the game; ``rng`` draws the probes."""
        settings, found = dataclasses.asdict(self), differentiate(game, shared(Asked, self), rng)
        if isinstance(found, Outcome):
            return game.explanation(self.name, settings, np.full((game.d, 1), np.nan), found)
        values = -found.space.slopes_of(found.gradient)
        errors = found.space.errors_of(found.gradient_errors, slopes=True)
        return gradient_record(self.name, settings, found, values, errors, {})
