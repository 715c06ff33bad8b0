"""CAFO: a sparse first-order explanation of the loss, from one Jacobian."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from blackbox.derivatives import Asked
from blackbox.explanation import Explanation
from blackbox.game import Game
from blackbox.second_order import Form, play
from blackbox.settings import shared


@dataclass(frozen=True)
class Cafo:
    """The direction that raises the loss most to first order, with its sparsity and size accounted for.

    maximise g.D - lambda1 ||D||_1 - (lambda2/2) ||D||_2^2, so D = soft(g, lambda1) / lambda2, where g is
    the gradient of the loss: the cross-entropy -log p of the target class, or minus the target output
    of a regression. It is CASO without its Hessian.

    Parameters
    ----------
    sparsity : share of features to leave at zero, between 0 and 1; sets lambda1, which is then None.
    lambda1 : weight of the L1 norm, None = 0; larger is sparser. lambda2 : of the quadratic penalty.
    groups : one number per feature; features of a group are kept or left out together.
    smooth : samples of Gaussian noise around the input over which g is averaged; None = none.
    smooth_width : its standard deviation, as a share of the range of the input.
    unit, gradient_step, difference, frequencies, input_range, budget, surrogate : see
        ``blackbox.Caso``.

    Cost in rows, for k features that move: 2k + 64 at the most, base and full score included (k + 64
    with forward differences); 2k + 1 more per smoothing sample.

    ``values`` : minus the solution, so that positive means: raising the feature supports the target.
    ``lower_bounds``, ``upper_bounds`` : from the measured errors of the slopes.

    details
    -------
    As of ``blackbox.Caso``, without what belongs to the second order.

    outcome : DONE; FLAT or SATURATED, with NaN for every value.

    Raises
    ------
    RequestError : an input that is not floating-point or outside the range, no feature that can move, a
    budget that does not suffice.

    References
    ----------
    Singla, Wallace, Feng and Feizi 2019, arXiv 1902.00407.

    Examples
    --------
    >>> import blackbox as bb
    >>> e = bb.explain(lambda x: 3 * x[:, 0] - x[:, 1], [1.0, 1.0], method=bb.Cafo(lambda2=2.0))
    >>> [round(float(v), 3) for v in e.values]
    [1.5, -0.5]
    """

    name: ClassVar[str] = "cafo"
    scale: ClassVar[str] = "log-probability"
    one_target: ClassVar[bool] = True

    sparsity: float | None = None
    lambda1: float | None = None
    lambda2: float = 20.0
    groups: tuple[int, ...] | None = None
    smooth: int | None = None
    smooth_width: float = 0.15
    unit: str = "input"
    gradient_step: float | None = None
    difference: str = "central"
    frequencies: int | None = None
    input_range: tuple[float, float] | None = None
    budget: int | None = None
    surrogate: float | None = None

    def __post_init__(self) -> None:
        shared(Form, self, {"hessian": "none"}).check()
        shared(Asked, self).check()

    def explain(self, game: Game, rng: np.random.Generator) -> Explanation:
        """Play the game; ``rng`` draws the probes and the smoothing noise."""
        return play(
            self.name,
            dataclasses.asdict(self),
            game,
            shared(Asked, self),
            shared(Form, self, {"hessian": "none"}),
            rng,
        )
