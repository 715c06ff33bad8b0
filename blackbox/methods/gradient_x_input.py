"""Gradient times input, and whether the model is one for which it means more than a first-order guess."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from blackbox.derivatives import Asked, differentiate
from blackbox.displacements import towards
from blackbox.explanation import Explanation, Outcome
from blackbox.game import Game
from blackbox.gradients import gradient_record, homogeneity
from blackbox.settings import shared


@dataclass(frozen=True)
class GradientXInput:
    """The gradient of the score times the input, summed over the cells of each feature.

    value_i = sum over the feature's cells of x d score / d x. On a network of ReLUs without biases the
    score is homogeneous, f(a x) = a f(x) for a >= 0, so that the values sum to f(x) and equal LRP-0,
    integrated gradients from zero and DeepLIFT-Rescale from zero. Ask on the scale ``raw`` for
    that: a log-probability is never homogeneous.

    Parameters
    ----------
    gradient_step, input_range, budget : see ``blackbox.Caso``; the step is a share of each feature's
        own values.

    Cost in rows, for k features that are not zero: 2k + 66 at the most, base and full score included.

    ``lower_bounds``, ``upper_bounds`` : from noise, step and kinks, as measured.

    details
    -------
    ``homogeneous`` : the two passes f(0) = 0 and f(2x) = 2 f(x) hold within a thousandth of the score's
    size; ``homogeneity_error`` : by how much of it they fail. ``sum`` : of the values, and as of
    ``blackbox.Saliency``.

    outcome : DONE; FLAT or SATURATED, with NaN for every value.

    Raises
    ------
    RequestError : an input that is not floating-point or outside the range, or zero everywhere; a budget
    that does not suffice.

    References
    ----------
    Shrikumar, Greenside and Kundaje 2017, arXiv 1704.02685; Ancona, Ceolini, Oztireli and Gross 2018,
    arXiv 1711.06104.

    Examples
    --------
    >>> import blackbox as bb
    >>> e = bb.explain(lambda x: 3 * x[:, 0] - x[:, 1], [2.0, 1.0], method=bb.GradientXInput())
    >>> e.values.round(3).tolist(), e.details["homogeneous"]
    ([6.0, -1.0], True)
    """

    name: ClassVar[str] = "gradient-x-input"
    scale: ClassVar[str] = "log-probability"
    one_target: ClassVar[bool] = True

    gradient_step: float | None = None
    input_range: tuple[float, float] | None = None
    budget: int | None = None

    def __post_init__(self) -> None:
        shared(Asked, self).check()

    def explain(self, game: Game, rng: np.random.Generator) -> Explanation:
        """Play the game; ``rng`` draws the probes."""
        settings = dataclasses.asdict(self)
        found = differentiate(game, shared(Asked, self), rng, towards(game, game.x))
        if isinstance(found, Outcome):
            return game.explanation(self.name, settings, np.full((game.d, 1), np.nan), found)
        off = homogeneity(game)
        values = -found.space.slopes_of(found.gradient)
        errors = found.space.errors_of(found.gradient_errors, slopes=True)
        details = {"homogeneous": off <= 1e-3, "homogeneity_error": off, "sum": float(values.sum())}
        return gradient_record(self.name, settings, found, values, errors, details)
