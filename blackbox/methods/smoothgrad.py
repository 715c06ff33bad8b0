"""SmoothGrad: the gradient of the score, averaged over noisy copies of the input."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from blackbox.derivatives import Asked, derivatives_at, differentiate
from blackbox.explanation import Explanation, Outcome
from blackbox.game import Game
from blackbox.gradients import cell_noise, gradient_record
from blackbox.settings import number, shared, whole


@dataclass(frozen=True)
class SmoothGrad:
    """The mean gradient of the score over inputs with Gaussian noise.

    value_i = mean over samples of d log p_y / d x_i at x + e, e normal with standard deviation width
    times the range of the input.

    Parameters
    ----------
    samples : noisy copies. width : share of the input's range.
    unit, gradient_step, input_range, budget : see ``blackbox.Caso``; the step is measured at the input
        itself.

    Cost in rows, for k features that move: 2k + 64 at the most for the gradient at the input itself, base and
    full score included, and samples (2k + 1).

    ``lower_bounds``, ``upper_bounds`` : two standard errors over the samples and the slopes' own errors.

    details
    -------
    ``gradient`` : at the input itself, and as of ``blackbox.Saliency``.

    outcome : DONE; FLAT or SATURATED, with NaN for every value.

    Raises
    ------
    RequestError : an input that is not floating-point or outside the range, no feature that can move, a
    budget that does not suffice.

    References
    ----------
    Smilkov, Thorat, Kim, Viegas and Wattenberg 2017, arXiv 1706.03825.

    Examples
    --------
    >>> import blackbox as bb
    >>> e = bb.explain(lambda x: 3 * x[:, 0] - x[:, 1], [1.0, 2.0], method=bb.SmoothGrad(samples=4))
    >>> e.values.round(3).tolist()
    [3.0, -1.0]
    """

    name: ClassVar[str] = "smoothgrad"
    scale: ClassVar[str] = "log-probability"
    one_target: ClassVar[bool] = True

    samples: int = 16
    width: float = 0.15
    unit: str = "input"
    gradient_step: float | None = None
    input_range: tuple[float, float] | None = None
    budget: int | None = None

    def __post_init__(self) -> None:
        whole("samples", self.samples, 2)
        number("width", self.width, 0.0, strict=True)
        shared(Asked, self).check()

    def explain(self, game: Game, rng: np.random.Generator) -> Explanation:
        """Play the game; ``rng`` draws the probes and the noise."""
        settings, found = (
            dataclasses.asdict(self),
            differentiate(game, shared(Asked, self), rng, copies=self.samples),
        )
        if isinstance(found, Outcome):
            return game.explanation(self.name, settings, np.full((game.d, 1), np.nan), found)
        drawn = [derivatives_at(found, cell_noise(game, self.width, rng)) for _ in range(self.samples)]
        gradients = np.array([one.gradient for one in drawn])
        errors = np.sqrt(np.mean([one.gradient_errors**2 for one in drawn], axis=0))
        errors = errors + 2 * gradients.std(axis=0, ddof=1) / np.sqrt(self.samples)
        values = -found.space.slopes_of(gradients.mean(axis=0))
        details = {"gradient": -found.space.slopes_of(found.gradient)}
        return gradient_record(
            self.name, settings, found, values, found.space.errors_of(errors, slopes=True), details
        )
