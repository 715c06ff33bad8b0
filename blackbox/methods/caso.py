"""CASO: a sparse second-order explanation of the loss, from forward passes alone."""

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
class Caso:
    """The direction that raises the loss most, with its curvature, sparsity and size accounted for.

    maximise g.D + 1/2 D'HD - lambda1 ||D||_1 - (w/2) ||D||_2^2,  w = largest eigenvalue(H) + lambda2,
    where g and H are the gradient and the Hessian of the loss: the cross-entropy -log p of the
    target class, or minus the target output of a regression. With the Jacobian J of all logits, which
    costs 2k rows, g = J'(p - e_y) and H = J'(diag p - pp')J + Hess[(p - e_y) . logits]. The first part
    costs nothing more and is all there is where the logits are piecewise linear; the second is
    differenced where it can be resolved. The variables are the features: all cells of a feature move
    together; several table columns in one feature (a one-hot group) have no common derivative and
    are held fixed.

    Parameters
    ----------
    sparsity : share of features to leave at zero, between 0 and 1; sets lambda1, which is then None.
    lambda1 : weight of the L1 norm, None = 0; larger is sparser. lambda2 : margin of the quadratic
        penalty. relative : lambda2 is a share of the largest eigenvalue (where that is positive), so that
        inputs can be compared.
    hessian : ``auto`` decides from the curvature of the logits along random directions and, where the
        model shows its operators, from the graph; ``closed-form`` and ``finite-difference`` take
        the first part alone, or both; ``none`` is CAFO.
    groups : one number per feature; features of a group are kept or left out together.
    smooth : samples of Gaussian noise around the input over which g and H are averaged; None = none.
        They need the closed form. smooth_width : standard deviation, as a share of the input's range.
    unit : ``input`` = the model's own units, as published; ``deviation`` = standard deviations of
        the background's columns, for tables whose columns have different units.
    gradient_step, curvature_step : steps as a share of each feature's scale (the background's
        standard deviation where it has one, else the largest value of a picture or the value of a
        column, else 1), at most 0.1; None = measured: the step at which the slopes (the second
        differences) agree best with those at a third of it.
    difference : ``central`` (2k rows) or ``forward`` (k rows).
    frequencies : a picture moves along so many cosines down and across, per channel, instead of along
        its features. input_range : (lowest, highest) value the model takes; others are refused.
    budget : rows at the most. surrogate : width, as a share of the scale, of the Gaussian
        whose mean is differentiated where the model itself is flat.
    iterations : of FISTA at the most; tolerance : relative change at which it counts as settled, and
        the square of the eigenvector's residual. step : first trial step of every FISTA iteration, as
        a multiple of 1 / (w - smallest eigenvalue); it is halved as needed.

    Cost in rows, for k features that move: 2k + 64 at the most in closed form, base and full score
    included; a differenced Hessian costs 2k^2 + 8k more up to 32 features, 4k per product above
    that (10 to 25 products, at most 60), three times as many for a network with kinks and smooth gates.
    lambda1, lambda2 and the sparsity cost no rows.

    ``values`` : minus the solution, so that positive means: raising the feature supports the target.
    ``lower_bounds``, ``upper_bounds`` : from the measured errors of the slopes and of the Hessian.

    details
    -------
    ``delta``, ``gradient`` : Float[np.ndarray, "d"], the solution and the gradient of the loss, per
    ``unit``. ``gradient_error`` : bounds of its error. ``largest_eigenvalue`` : of H. ``quadratic`` : w.
    ``lambda1``. ``objective`` : at the solution. ``iterations``. ``hessian`` : the form that was used;
    ``hessian_reason``; ``hessian_error`` : of the largest eigenvalue, as a share of it;
    ``curvature_test`` : what second differences of the logits showed. ``second_order`` : probability,
    cosine of the leading eigenvector and the gradient, second over first eigenvalue, normalised
    difference of CASO and CAFO; ``second_order_text`` reads them. ``fixed`` : positions of the features
    held fixed. ``steps`` : Float[np.ndarray, "d"], the gradient's steps in input units; ``step``,
    ``step_disagreement``, ``noise``, ``basis``.

    outcome : DONE; FLAT when the score does not change in proportion to the step (tree ensembles,
    rounded inputs), SATURATED when a probability is within 1e-6 of 1: then every value is NaN and
    nothing else is reported; UNRESOLVED when curvature that matters could not be measured;
    NOT_CONVERGED.

    Raises
    ------
    RequestError : an input that is not floating-point or outside the range, no feature that can move, a
    budget that does not suffice.

    References
    ----------
    Singla, Wallace, Feng and Feizi 2019, arXiv 1902.00407; steps: More and Wild 2011, doi
    10.1137/100786125; FISTA: Beck and Teboulle 2009, doi 10.1137/080716542.

    Examples
    --------
    >>> import blackbox as bb
    >>> e = bb.explain(lambda x: 3 * x[:, 0] - x[:, 1], [1.0, 1.0], method=bb.Caso(lambda2=2.0))
    >>> [round(float(v), 3) for v in e.values]
    [1.5, -0.5]
    """

    name: ClassVar[str] = "caso"
    scale: ClassVar[str] = "log-probability"
    one_target: ClassVar[bool] = True

    sparsity: float | None = None
    lambda1: float | None = None
    lambda2: float = 20.0
    relative: bool = False
    hessian: str = "auto"
    groups: tuple[int, ...] | None = None
    smooth: int | None = None
    smooth_width: float = 0.15
    unit: str = "input"
    gradient_step: float | None = None
    curvature_step: float | None = None
    difference: str = "central"
    frequencies: int | None = None
    input_range: tuple[float, float] | None = None
    budget: int | None = None
    surrogate: float | None = None
    step: float = 1.0
    iterations: int = 1000
    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        shared(Form, self).check()
        shared(Asked, self).check()

    def explain(self, game: Game, rng: np.random.Generator) -> Explanation:
        """Play the game; ``rng`` draws the probes and the smoothing noise."""
        return play(self.name, dataclasses.asdict(self), game, shared(Asked, self), shared(Form, self), rng)
