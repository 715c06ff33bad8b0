"""LIME: a sparse weighted linear model of the score around one input."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from blackbox.errors import RequestError
from blackbox.explanation import Explanation, Outcome
from blackbox.game import Game
from blackbox.numerics import selection
from blackbox.numerics.intervals import quantile
from blackbox.numerics.least_squares import Fit, sandwich_errors, weighted_ridge
from blackbox.numerics.neighbourhood import Column, sample_columns, weighted_masks
from blackbox.settings import choice, number, whole

FORMS = ("auto", "table", "masks")
SAMPLINGS = ("weighted", "lime")


@dataclass(frozen=True)
class Lime:
    """A ridge regression of the score on interpretable features of perturbed inputs.

    Samples count by exp(-D^2 / (2 w^2)), D their distance from the input: by default they are drawn
    from that weighted distribution and weigh the same (GLIME); ``sampling="lime"`` draws evenly and
    weights, as published, with the same expectation and more noise. Features are selected, then a
    ridge model with intercept is fitted to them. Features that were not selected get the value 0. Row
    0 is always the input itself.

    Table form: columns are drawn from the background's own distribution. With ``discretize`` the
    interpretable feature is "in the same quartile", and values are drawn from a truncated normal of
    that quartile; without it, from a normal with the column's mean and deviation, and the feature is
    the scaled value. A feature of several columns (a one-hot group), of text, or with two values at the
    most is drawn as one of the background's combinations, and its interpretable feature is "the same
    combination". D is Euclidean.

    Mask form (pictures, or any features): every feature is hidden with probability 1/2, or, in the
    default, a number of kept features k is drawn by C(d, k) exp(-D_k^2 / (2 w^2)) and then a subset; D is
    the cosine distance of the mask from the full one, 1 - sqrt(k / d).

    Parameters
    ----------
    form : ``table``, ``masks``, or ``auto``: table when every input is a row of columns and the
        background has at least two rows.
    samples : None = 5,000 (table) or 1,000 (masks). features : how many are kept at the most, None =
        10 (table) or all (masks). kernel_width : None = 0.75 sqrt(d) (table) or 0.25 (masks).
    selection : ``auto`` (forward selection up to 6 features, else the highest |coefficient x
        input| of a ridge with penalty 0.01), ``forward``, ``highest_weights``, ``lasso_path``, ``none``.
    sampling : ``weighted`` or ``lime``. least_fit : R2 below which the outcome says that no linear model
        fits. confidence : of the intervals.
    ridge : penalty of the final model. discretize, around_input : of the table form; the latter
        centres undiscretised columns on the input instead of the mean.

    details
    -------
    ``form``, ``kernel_width``, ``samples``. ``local_fit`` : Float[np.ndarray, "t"], weighted R2.
    ``intercept``, ``local_prediction`` : Float[np.ndarray, "t"]. ``selected`` : feature positions
    per target.

    ``lower_bounds``, ``upper_bounds`` : Student's t times a sandwich standard error (HC3) of the final
    model, given the features that were selected; they say how far the samples leave the linear model open,
    not how well a linear model fits. Features that were not selected have none (zero width).

    outcome : POOR_FIT where some target's R2 is below ``least_fit``, CONSTANT, else DONE.

    Raises
    ------
    RequestError : the table form without a background of at least two rows, or on pictures.

    References
    ----------
    Ribeiro, Singh and Guestrin 2016, arXiv 1602.04938. Tan, Tian and Li 2023 (GLIME), arXiv 2311.15722.
    MacKinnon and White 1985, doi 10.1016/0304-4076(85)90158-7.

    Examples
    --------
    >>> import blackbox as bb
    >>> e = bb.explain(lambda x: 2 * x[:, 0] + x[:, 1], [1.0, 1.0], method=bb.Lime(ridge=0.0))
    >>> e.values.round(6).tolist(), float(e.details["local_fit"][0].round(6))
    ([2.0, 1.0], 1.0)
    """

    name: ClassVar[str] = "lime"
    scale: ClassVar[str] = "raw"
    one_target: ClassVar[bool] = False

    form: str = "auto"
    samples: int | None = None
    features: int | None = None
    kernel_width: float | None = None
    selection: str = "auto"
    ridge: float = 1.0
    discretize: bool = True
    around_input: bool = False
    sampling: str = "weighted"
    least_fit: float = 0.5
    confidence: float = 0.95

    def __post_init__(self) -> None:
        choice("form", self.form, FORMS)
        choice("selection", self.selection, selection.RULES)
        choice("sampling", self.sampling, SAMPLINGS)
        number("ridge", self.ridge, 0.0)
        number("least_fit", self.least_fit, 0.0)
        number("confidence", self.confidence, 0.0, strict=True)
        if self.confidence >= 1:
            raise RequestError(f"confidence must be below 1; got {self.confidence!r}.")
        if self.kernel_width is not None:
            number("kernel_width", self.kernel_width, 0.0, strict=True)
        for name, value, least in (("samples", self.samples, 2), ("features", self.features, 1)):
            if value is not None:
                whole(name, value, least)

    def explain(self, game: Game, rng: np.random.Generator) -> Explanation:
        """Play the game; ``rng`` draws the samples."""
        form = self._form(game)
        width = self.kernel_width or (0.75 * np.sqrt(game.d) if form == "table" else 0.25)
        drawn = None if self.sampling == "lime" else width
        design, distance, scores = (self._table if form == "table" else self._masks)(game, rng, drawn)
        weights = np.ones(len(design)) if drawn else np.exp(-(distance**2) / (2 * width**2))
        most = min(self.features or (10 if form == "table" else game.d), game.d)
        values, halves, details = self._fit(design, weights, scores, most)
        details |= {"form": form, "kernel_width": width, "samples": len(design)}
        if not np.ptp(scores, axis=0).any():
            none = np.zeros_like(values)  # the fit of a constant leaves rounding behind
            settings = dataclasses.asdict(self)
            return game.explanation(self.name, settings, none, Outcome.CONSTANT, details, none)
        poor = np.any(np.asarray(details["local_fit"]) < self.least_fit)
        outcome = Outcome.POOR_FIT if poor else Outcome.DONE
        return game.explanation(self.name, dataclasses.asdict(self), values, outcome, details, halves)

    def _form(self, game: Game) -> str:
        rows = all(array.ndim == 1 for array in game.x.values())
        fits = rows and len(game.background) > 1
        if self.form == "table" and not fits:
            raise RequestError(
                "LIME's table form draws from the background's distribution: it needs rows of columns "
                "and a background of at least two rows. Give a background, or set form to masks."
            )
        return ("table" if fits else "masks") if self.form == "auto" else self.form

    def _masks(
        self, game: Game, rng: np.random.Generator, width: float | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n = self.samples or 1000
        masks = rng.random((n, game.d)) < 0.5 if width is None else weighted_masks(game.d, n, width, rng)
        masks[0] = True
        distance = 1 - np.sqrt(masks.mean(axis=1))  # cosine distance of 0/1 vectors from all ones
        return masks.astype(float), distance, game(masks)

    def _table(
        self, game: Game, rng: np.random.Generator, width: float | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        columns, n = _columns(game), self.samples or 5000
        drawn = sample_columns(columns, n, rng, self.discretize, self.around_input, width)
        rows = _rows(game, drawn.cells)
        away = drawn.design - drawn.design[0]
        distance = np.sqrt(np.einsum("nd,nd->n", away, away))
        return drawn.design, distance, game.score(rows)

    def _fit(
        self, design: np.ndarray, weights: np.ndarray, scores: np.ndarray, most: int
    ) -> tuple[np.ndarray, np.ndarray, dict[str, object]]:
        values, halves = np.zeros((2, design.shape[1], scores.shape[1]))
        chosen, intercepts, fits, predictions = [], [], [], []
        for target, score in enumerate(scores.T):
            kept = selection.select(self.selection, design, weights, score, most)
            fit = weighted_ridge(design[:, kept], weights, score[:, None], self.ridge)
            values[kept, target] = fit.coefficients[:, 0]
            errors = sandwich_errors(
                design[:, kept], weights, score - _predicted(design[:, kept], fit), self.ridge
            )
            halves[kept, target] = quantile(self.confidence, max(1.0, len(score) - len(kept) - 1.0)) * errors
            chosen.append(sorted(kept.tolist()))
            intercepts.append(fit.intercept[0])
            fits.append(fit.r2[0])
            predictions.append(design[0, kept] @ fit.coefficients[:, 0] + fit.intercept[0])
        return (
            values,
            halves,
            {
                "local_fit": np.array(fits),
                "intercept": np.array(intercepts),
                "local_prediction": np.array(predictions),
                "selected": chosen,
            },
        )


def _predicted(design: np.ndarray, fit: Fit) -> np.ndarray:
    return np.asarray(design @ fit.coefficients[:, 0] + fit.intercept[0])


def _columns(game: Game) -> list[Column]:
    """Gather, per feature, its cells in the input and in the background."""
    labels = np.concatenate([game.features.labels[name] for name in game.x])
    x = np.concatenate([array.astype(object) for array in game.x.values()])
    rows = np.concatenate([game.background.rows[name].astype(object) for name in game.x], axis=1)
    return [Column(x[labels == k], rows[:, labels == k]) for k in range(game.d)]


def _rows(game: Game, drawn: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Put drawn cells, feature by feature, back into the model's inputs."""
    rows = {}
    for name, array in game.x.items():
        cells = array.astype(float if array.dtype.kind == "f" else object)
        filled = np.repeat(cells[None], len(drawn[0]), axis=0)
        rows[name] = filled
    taken = dict.fromkeys(range(game.d), 0)
    for name in game.x:
        for cell, label in enumerate(game.features.labels[name].tolist()):
            if label >= 0:
                rows[name][:, cell] = drawn[label][:, taken[label]]
                taken[label] += 1
    return {name: rows[name].astype(array.dtype) for name, array in game.x.items()}
