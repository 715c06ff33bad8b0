"""Integrated gradients: the gradient of the score, averaged along the way from a baseline."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from blackbox.derivatives import Asked, derivatives_at, differentiate
from blackbox.displacements import require_floats, towards
from blackbox.explanation import Explanation, Outcome
from blackbox.game import Game
from blackbox.gradients import gradient_record, homogeneity
from blackbox.settings import shared, whole


@dataclass(frozen=True)
class IntegratedGradients:
    """What every feature adds on the straight way from the baseline to the input.

    value_i = sum over the feature's cells of (x - b) times the integral of d score / d x at
    b + a (x - b), a from 0 to 1. The baseline b is the mean of the background rows. The values sum to
    score(x) - score(b), up to the completeness error, which is always reported.

    Parameters
    ----------
    points : of Gauss-Legendre quadrature. Where the score is homogeneous (see
        ``blackbox.GradientXInput``) and the baseline is zero, the gradient is the same all along and
        one point is asked.
    gradient_step, input_range, budget : see ``blackbox.Caso``; the step is a share of x - b.

    Cost in rows, for k features that differ from the baseline: 2k + 67 + points (2k + 1), or 2k + 67
    where one gradient suffices; base and full score included.

    ``lower_bounds``, ``upper_bounds`` : from noise, step and kinks as measured, and an equal share of
    the completeness error.

    details
    -------
    ``completeness_error`` : sum of the values minus score(x) + score(b). ``baseline_score``. ``points`` :
    gradients that were taken. ``homogeneous``, ``homogeneity_error`` : as of ``blackbox.GradientXInput``.

    outcome : DONE; FLAT or SATURATED, with NaN for every value.

    Raises
    ------
    RequestError : an input that is not floating-point or outside the range, or equal to the baseline; a
    budget that does not suffice.

    References
    ----------
    Sundararajan, Taly and Yan 2017, arXiv 1703.01365.

    Examples
    --------
    >>> import blackbox as bb
    >>> e = bb.explain(lambda x: x[:, 0] * x[:, 1], [2.0, 3.0], method=bb.IntegratedGradients())
    >>> e.values.round(3).tolist(), round(e.details["completeness_error"], 3) == 0
    ([3.0, 3.0], True)
    """

    name: ClassVar[str] = "integrated-gradients"
    scale: ClassVar[str] = "log-probability"
    one_target: ClassVar[bool] = True

    points: int = 16
    gradient_step: float | None = None
    input_range: tuple[float, float] | None = None
    budget: int | None = None

    def __post_init__(self) -> None:
        whole("points", self.points, 1)
        shared(Asked, self).check()

    def explain(self, game: Game, rng: np.random.Generator) -> Explanation:
        """Play the game; ``rng`` draws the probes."""
        settings = dataclasses.asdict(self)
        require_floats(game)
        way = _way(game)
        found = differentiate(game, shared(Asked, self), rng, towards(game, way), copies=self.points)
        if isinstance(found, Outcome):
            return game.explanation(self.name, settings, np.full((game.d, 1), np.nan), found)
        off = homogeneity(game)
        moved = (game.features.labels[name] >= 0 for name in way)
        from_zero = all(
            not (game.x[name] - way[name])[cells].any() for name, cells in zip(way, moved, strict=True)
        )
        places, weights = np.polynomial.legendre.leggauss(self.points)
        if off <= 1e-3 and from_zero:
            taken, weights = [found], np.array([2.0])
        else:
            backs = [{name: (place - 1) / 2 * step for name, step in way.items()} for place in places]
            taken = [derivatives_at(found, back) for back in backs]
        slopes = np.array([one.gradient for one in taken])
        values = -found.space.slopes_of(weights / 2 @ slopes)
        baseline = float(game.score({name: (game.x[name] - way[name])[None] for name in way})[0, 0])
        missing = float(values.sum() - game.full()[0] + baseline)
        errors = found.space.errors_of(found.gradient_errors, slopes=True)
        errors = errors + np.where(errors > 0, abs(missing) / found.space.k, 0)
        details = {
            "completeness_error": missing, "baseline_score": baseline, "points": len(taken),
            "homogeneous": off <= 1e-3, "homogeneity_error": off,
        }  # fmt: skip
        return gradient_record(self.name, settings, found, values, errors, details)


def _way(game: Game) -> dict[str, np.ndarray]:
    """From the mean of the background rows to the input, in the cells of features."""
    means = {name: rows.mean(axis=0) for name, rows in game.background.rows.items()}
    labels = game.features.labels
    return {name: np.where(labels[name] >= 0, array - means[name], 0) for name, array in game.x.items()}
