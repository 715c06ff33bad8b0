"""RISE: the score under random soft masks, averaged per pixel or regressed on the mask's cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from blackbox.errors import RequestError
from blackbox.explanation import Explanation, Outcome
from blackbox.features import picture_axes, pixel_means
from blackbox.game import Game
from blackbox.numerics.soft_masks import INTERPOLATIONS, enlarging, mean_crop, smooth_masks
from blackbox.settings import choice, number, whole

FORMS = ("regression", "published")

CHUNK = 64
"""Masks made and held at once, so that memory does not grow with their number."""


@dataclass(frozen=True)
class Rise:
    """Random soft masks over a picture, and how the score goes with what they keep.

    Every mask is a grid of cells, each kept with a probability, enlarged smoothly and shifted at
    random; hidden parts fade into the background. ``published``: a pixel's value is
    1/(N p) sum_i v(M_i) M_i. ``regression``: v is regressed on the N grids with an intercept, and
    the coefficients are enlarged like the grids: the same question without the noise that comes from
    cells being kept together by chance. On an input that is no picture the masks keep whole features.

    Parameters
    ----------
    masks : how many. cells : per side of the grid. keep : probability that a cell is kept.
    form : ``regression`` or ``published``. interpolation : ``linear`` (published) or ``cubic``
        (OpenVINO: ``Rise(masks=5000, cells=8, interpolation="cubic", form="published")``).

    details
    -------
    ``map`` (pictures) : Float[np.ndarray, "height width t"], the value of every pixel; a feature's value
    is the mean over its pixels. ``masks`` : how many were asked.

    outcome : CONSTANT when no mask changed the score, else DONE.

    Raises
    ------
    RequestError : a picture that is not floating-point, or smaller than its grid.

    References
    ----------
    Petsiuk, Das and Saenko 2018, arXiv 1806.07421.

    Examples
    --------
    >>> import blackbox as bb
    >>> e = bb.explain(lambda x: 2 * x[:, 0] - x[:, 1], [3.0, 1.0], method=bb.Rise(masks=50))
    >>> e.values.round(6).tolist()
    [6.0, -1.0]
    """

    name: ClassVar[str] = "rise"
    scale: ClassVar[str] = "raw"
    one_target: ClassVar[bool] = False

    masks: int = 4000
    cells: int = 7
    keep: float = 0.5
    form: str = "regression"
    interpolation: str = "linear"

    def __post_init__(self) -> None:
        whole("masks", self.masks, 2)
        whole("cells", self.cells, 2)
        number("keep", self.keep, 0.0, strict=True)
        if self.keep >= 1:
            raise RequestError(f"keep must be below 1; got {self.keep!r}.")
        choice("form", self.form, FORMS)
        choice("interpolation", self.interpolation, INTERPOLATIONS)

    def explain(self, game: Game, rng: np.random.Generator) -> Explanation:
        """Play the game; ``rng`` draws the grids and their shifts."""
        arrays = list(game.x.values())
        axes = picture_axes(arrays[0].shape) if len(arrays) == 1 else None
        if axes is None:
            values, moved = self._features(game, rng)
            details: dict[str, object] = {"masks": self.masks}
        else:
            drawn, moved = self._picture(game, rng, (arrays[0].shape[axes[0]], arrays[0].shape[axes[1]]))
            drawn = drawn if moved else np.zeros_like(drawn)
            values, details = _per_feature(game, drawn, axes), {"map": drawn, "masks": self.masks}
        outcome = Outcome.DONE if moved else Outcome.CONSTANT
        values = values if moved else np.zeros_like(values)
        return game.explanation(self.name, dataclasses.asdict(self), values, outcome, details)

    def _features(self, game: Game, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
        """Hard masks over any features, answered from memory where they can be."""
        sums = _Sums(game.d, len(game.output_names), game.full())
        for start in range(0, self.masks, 16 * CHUNK):
            kept = rng.random((min(16 * CHUNK, self.masks - start), game.d)) < self.keep
            sums.add(kept.astype(float), game(kept))
        return sums.slopes() if self.form == "regression" else sums.means(self.keep), sums.moved

    def _picture(
        self, game: Game, rng: np.random.Generator, size: tuple[int, int]
    ) -> tuple[np.ndarray, bool]:
        ((name, array),) = game.x.items()
        fades = array.dtype.kind == "f" or array.dtype == np.uint8  # bytes are rounded
        if not fades or min(size) < self.cells:
            raise RequestError(
                f"RISE needs a floating-point or byte picture of at least {self.cells} x {self.cells} "
                f"pixels; the input is {name} {array.shape} of {array.dtype.name}."
            )
        down, across = (enlarging(self.cells, side, self.interpolation) for side in size)
        shifts = [-(-side // self.cells) for side in size]
        sums = _Sums(self.cells**2, len(game.output_names), game.full())
        pixels = np.zeros((*size, len(game.output_names)))
        grids: list[np.ndarray] = []
        masks: list[np.ndarray] = []

        def soft() -> Iterator[np.ndarray]:
            for start in range(0, self.masks, CHUNK):
                n = min(CHUNK, self.masks - start)
                grids.append(rng.random((n, self.cells, self.cells)) < self.keep)
                masks.append(smooth_masks(grids[-1], rng.integers(0, shifts, (n, 2)), down, across, size))
                yield masks[-1]

        for scores in game.blend(soft()):
            sums.add(grids.pop().reshape(len(scores), -1).astype(float), scores)
            shown = masks.pop()
            if self.form == "published":
                pixels += np.einsum("nhw,nt->hwt", shown, scores)
        if self.form == "published":
            return pixels / (self.masks * self.keep), sums.moved
        slopes = sums.slopes().reshape(self.cells, self.cells, -1)
        crops = [mean_crop(w, side, n) for w, side, n in zip((down, across), size, shifts, strict=True)]
        return np.einsum("hs,stk,wt->hwk", crops[0], slopes, crops[1], optimize=True), sums.moved


@dataclass
class _Sums:
    """Running sums of masks and scores, so that neither is held."""

    d: int
    targets: int
    full: np.ndarray
    count: int = 0
    moved: bool = False
    gram: np.ndarray = field(init=False)
    cross: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.gram = np.zeros((self.d + 1, self.d + 1))
        self.cross = np.zeros((self.d + 1, self.targets))

    def add(self, kept: np.ndarray, scores: np.ndarray) -> None:
        x = np.column_stack([kept, np.ones(len(kept))])
        self.gram += x.T @ x
        self.cross += x.T @ scores
        self.count += len(kept)
        self.moved = self.moved or bool(np.any(scores != self.full))

    def slopes(self) -> np.ndarray:
        """Least squares of the scores on the masks, of minimal norm where masks leave a choice."""
        return np.asarray(np.linalg.lstsq(self.gram, self.cross, rcond=1e-10)[0][:-1])

    def means(self, keep: float) -> np.ndarray:
        """1/(N p) sum_i v(M_i) M_i."""
        return np.asarray(self.cross[:-1] / (self.count * keep))


def _per_feature(game: Game, pixels: np.ndarray, axes: tuple[int, int]) -> np.ndarray:
    ((name, _),) = game.x.items()
    return pixel_means(pixels, game.features.labels[name], axes, game.d)
