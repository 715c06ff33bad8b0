"""CASO: a sparse second-order explanation of the loss, from finite differences alone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from blackbox.errors import RequestError
from blackbox.explanation import Explanation, Outcome
from blackbox.game import Game
from blackbox.numerics.differences import Slopes, central_slopes, hessian_vector
from blackbox.numerics.proximal import extreme_eigenvalues, quadratic_fista
from blackbox.settings import choice, number, whole

PRODUCTS = 50
"""Products with H that the eigenvalue search may cost; it settles in 5 to 20 on real models."""


@dataclass(frozen=True)
class Caso:
    """The direction that raises the loss most, with its curvature, sparsity and size accounted for.

    maximise g.D + 1/2 D'HD - lambda1 ||D||_1 - (w/2) ||D||_2^2,  w = largest eigenvalue(H) + lambda2,
    where g and H are the gradient and the Hessian of the loss: the cross-entropy -log p of the
    target class, or minus the target output of a regression. g comes from central differences, H D
    from differences of such gradients. The variables are the features: all cells of a feature move
    together; several table columns in one feature (a one-hot group) have no common derivative and
    are held fixed.

    Parameters
    ----------
    lambda1 : weight of the L1 norm; larger is sparser. lambda2 : margin of the quadratic penalty.
    unit : ``input`` = the model's own units, as published; ``deviation`` = standard deviations of
        the background's columns, for tables whose columns have different units.
    gradient_step, curvature_step : steps as a share of each feature's scale (the background's
        standard deviation where it has one, else the largest value of a picture or the value of a
        column, else 1). A longer curvature step drowns less in the noise of float32 and blurs a steep
        network more: on tanh networks 0.03 and 0.1 put the eigenvalue 0.04 % and 0.4 % off.
    iterations : of FISTA at the most; tolerance : relative change at which it, and the eigenvalue,
        count as settled. step : first trial step of every FISTA iteration, as a multiple of
        1 / (w - smallest eigenvalue); it is halved as needed.

    Cost in rows, for k features that move: 4 k + 1 for the gradient and its flatness test, 4 k for
    every product with H.

    ``values`` : minus the solution, so that positive means: raising the feature supports the target.

    details
    -------
    ``delta``, ``gradient`` : Float[np.ndarray, "d"], the solution and the gradient of the loss, per
    ``unit``. ``largest_eigenvalue`` : of H. ``quadratic`` : w. ``objective`` : at the solution.
    ``iterations``. ``fixed`` : positions of the features held fixed. ``steps`` : Float[np.ndarray,
    "d"], the gradient's steps in input units.

    outcome : DONE; FLAT when the score does not change in proportion to the step (tree ensembles,
    saturated outputs): then every value is NaN and nothing else is reported; NOT_CONVERGED.

    Raises
    ------
    RequestError : an input that is not floating-point, or no feature that can move.

    References
    ----------
    Singla, Wallace, Feng and Feizi 2019, arXiv 1902.00407.

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

    lambda1: float = 0.0
    lambda2: float = 20.0
    unit: str = "input"
    gradient_step: float = 0.03
    curvature_step: float = 0.05
    step: float = 1.0
    iterations: int = 100
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        number("lambda1", self.lambda1, 0.0)
        for name in ("lambda2", "gradient_step", "curvature_step", "step", "tolerance"):
            number(name, getattr(self, name), 0.0, strict=True)
        whole("iterations", self.iterations, 1)
        choice("unit", self.unit, ("input", "deviation"))

    def explain(self, game: Game, rng: np.random.Generator) -> Explanation:
        """Play the game; ``rng`` draws the eigenvalue search's first vector."""
        _require_floats(game)
        basis = _Basis.of(game, self.unit)
        loss = _Loss(game, basis)
        slopes = central_slopes(loss, self.gradient_step * basis.scale)
        settings = dataclasses.asdict(self)
        if _is_flat(slopes):
            nothing = np.full((game.d, 1), np.nan)
            return game.explanation(self.name, settings, nothing, Outcome.FLAT, {"fixed": basis.fixed})
        delta, details, settled = self._solve(loss, slopes.gradient, basis, rng)
        outcome = Outcome.DONE if settled else Outcome.NOT_CONVERGED
        return game.explanation(self.name, settings, -delta[:, None], outcome, details)

    def _solve(
        self, loss: _Loss, gradient: np.ndarray, basis: _Basis, rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, object], bool]:
        reach = self.curvature_step * float(np.exp(np.mean(np.log(basis.scale))))
        steps = self.curvature_step * basis.scale

        def apply(vector: np.ndarray) -> np.ndarray:
            return hessian_vector(loss, vector, steps, reach)

        start = rng.uniform(-0.5, 0.5, len(gradient))
        spectrum = extreme_eigenvalues(apply, start, PRODUCTS, self.tolerance)
        weight = spectrum.largest + self.lambda2
        first_step = self.step / (weight - spectrum.smallest)
        solution = quadratic_fista(
            gradient, apply, weight, self.lambda1, first_step, self.iterations, self.tolerance
        )
        delta = basis.spread(solution.point)
        details = {
            "delta": delta,
            "gradient": basis.spread(gradient),
            "largest_eigenvalue": spectrum.largest,
            "quadratic": weight,
            "objective": solution.objective,
            "iterations": solution.iterations,
            "fixed": basis.fixed,
            "steps": basis.spread(self.gradient_step * basis.scale * basis.unit),
        }
        return delta, details, spectrum.settled and solution.settled


@dataclass(frozen=True)
class _Basis:
    """The features that move: their positions, unit and typical size (``scale``) in that unit."""

    d: int
    moving: np.ndarray
    unit: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, game: Game, unit: str) -> _Basis:
        size, deviation, moves = _feature_scales(game)
        if not moves.any():
            raise RequestError("Every feature is a group of table columns; caso needs single columns.")
        units = deviation if unit == "deviation" else np.ones(game.d)
        if unit == "deviation" and not (deviation[moves] > 0).any():
            raise RequestError("unit 'deviation' needs a background of several different rows.")
        moves &= units > 0
        return cls(game.d, np.flatnonzero(moves), units[moves], (size / np.where(units > 0, units, 1))[moves])

    @property
    def fixed(self) -> list[int]:
        """Positions of the features that are held fixed."""
        return sorted(set(range(self.d)) - set(self.moving.tolist()))

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Put values of the moving features in their places, 0 elsewhere."""
        spread = np.zeros(self.d)
        spread[self.moving] = values
        return spread


@dataclass(frozen=True)
class _Loss:
    """Minus the score at displacements of the moving features, in their units."""

    game: Game
    basis: _Basis

    def __call__(self, displacements: np.ndarray) -> np.ndarray:
        most = self.game.score.model.limits.rows_per_run
        # points that are subtracted from each other stand together in fours: keep them in one run
        most = max(4, most - most % 4)
        pieces = [self._part(displacements[k : k + most]) for k in range(0, len(displacements), most)]
        return np.concatenate(pieces)

    def _part(self, displacements: np.ndarray) -> np.ndarray:
        moves = np.zeros((len(displacements), self.basis.d + 1))
        moves[:, self.basis.moving] = displacements * self.basis.unit
        rows = {
            name: array + moves[:, self.game.features.labels[name]]  # label -1 is the extra column of zeros
            for name, array in self.game.x.items()
        }
        return np.asarray(-self.game.score(rows)[:, 0])


def _feature_scales(game: Game) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per feature: typical size of its cells, their deviation over the background, may it move."""
    size, deviation = np.zeros(game.d), np.zeros(game.d)
    table_cells = np.zeros(game.d, dtype=int)
    for name, array in game.x.items():
        labels = game.features.labels[name]
        spread = game.background.rows[name].std(axis=0, dtype=float)
        reference = np.abs(array).max() if array.ndim > 1 else np.abs(array)
        typical = np.where(spread > 0, spread, np.where(reference > 0, reference, 1.0))
        for cell in np.argwhere(labels >= 0):
            spot, feature = tuple(cell), labels[tuple(cell)]
            size[feature] = max(size[feature], typical[spot])
            deviation[feature] = max(deviation[feature], spread[spot])
            table_cells[feature] += array.ndim <= 1
    return size, deviation, table_cells <= 1


def _is_flat(slopes: Slopes) -> bool:
    """No feature moves the score, or at least half of those that do move it by jumps."""
    return not slopes.moves.any() or bool(slopes.jumps[slopes.moves].mean() >= 0.5)


def _require_floats(game: Game) -> None:
    for tensor in game.score.model.signature.inputs:
        if not tensor.dtype.startswith(("float", "double", "bfloat")):
            raise RequestError(
                f"Input {tensor.name!r} is {tensor.dtype}; derivatives need floating-point inputs. "
                "Use occlusion, kernelshap, lime or sis."
            )
