"""Occlusion: hide one feature (or one window of a picture) and see how far the score falls."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from blackbox.errors import RequestError
from blackbox.explanation import Explanation, Outcome
from blackbox.features import picture_axes, pixel_means
from blackbox.game import Game
from blackbox.numerics.coalitions import leave_one_out
from blackbox.settings import whole

CHUNK = 64
"""Windows held at once, so that memory does not grow with their number."""


@dataclass(frozen=True)
class Occlusion:
    """Leave-one-feature-out, or a window slid over a picture.

    Leave one out: value_i = v(N) - v(N without i). With a window, the drop of every position is
    shared out to the pixels under it: a pixel's value is the mean drop over the windows that cover
    it, and a feature's value is the mean over its pixels (all channels are hidden together).

    Parameters
    ----------
    window : (height, width) in pixels of the sliding window; None = leave one feature out.
    stride : (down, across) in pixels; None = the window's own size, so that windows do not overlap.

    Cost: d masks, or (floor((H-h)/s)+1) (floor((W-w)/s)+1) windows; the base and the full score
    come on top.

    details
    -------
    ``drops`` (with a window) : Float[np.ndarray, "down across t"], the fall of the score per window
    position; pixels that no window covers get 0.

    Raises
    ------
    RequestError : a window on an input that is no single floating-point picture, or larger than it.

    References
    ----------
    Zeiler and Fergus 2014, arXiv 1311.2901.

    Examples
    --------
    >>> import blackbox as bb
    >>> e = bb.explain(lambda x: 2 * x[:, 0] - x[:, 1], [3.0, 1.0], method=bb.Occlusion())
    >>> e.values.tolist(), e.rows
    ([6.0, -1.0], 4)
    """

    name: ClassVar[str] = "occlusion"
    scale: ClassVar[str] = "raw"
    one_target: ClassVar[bool] = False

    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.stride is not None and self.window is None:
            raise RequestError("stride needs a window; without one, features are left out one by one.")
        for name, pair in (("window", self.window), ("stride", self.stride)):
            if pair is not None and (not isinstance(pair, (tuple, list)) or len(pair) != 2):
                raise RequestError(f"{name} needs two numbers, height and width; got {pair!r}.")
            for side in pair or ():
                whole(name, side, 1)

    def explain(self, game: Game, rng: np.random.Generator) -> Explanation:
        """Play the game; nothing is drawn from ``rng``."""
        settings = dataclasses.asdict(self)
        if self.window is None:
            values = game.full() - game(leave_one_out(game.d))
            return game.explanation(self.name, settings, values, _outcome(game, values))
        values, drops = self._slide(game, self.window, self.stride or self.window)
        return game.explanation(self.name, settings, values, _outcome(game, drops), {"drops": drops})

    def _slide(
        self, game: Game, window: tuple[int, int], stride: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        height, width = _picture_size(game, window)
        tops = np.arange(0, height - window[0] + 1, stride[0])
        lefts = np.arange(0, width - window[1] + 1, stride[1])
        corners = [(int(top), int(left)) for top in tops for left in lefts]
        scores = np.concatenate(list(game.blend(_windows(corners, window, (height, width)))))
        drops = game.full() - scores
        total = np.zeros((height, width, drops.shape[1]))
        covered = np.zeros((height, width, 1))
        for (top, left), drop in zip(corners, drops, strict=True):
            total[top : top + window[0], left : left + window[1]] += drop
            covered[top : top + window[0], left : left + window[1]] += 1
        values = _per_feature(game, total / np.maximum(covered, 1))
        return values, drops.reshape(len(tops), len(lefts), -1)


def _outcome(game: Game, drops: np.ndarray) -> Outcome:
    moved = np.any(drops) or np.any(game.full() != game.base())
    return Outcome.DONE if moved else Outcome.CONSTANT


def _picture_size(game: Game, window: tuple[int, int]) -> tuple[int, int]:
    arrays = list(game.x.values())
    axes = picture_axes(arrays[0].shape) if len(arrays) == 1 else None
    if axes is None or arrays[0].dtype.kind != "f":
        shapes = ", ".join(f"{name} {array.shape}" for name, array in game.x.items())
        raise RequestError(f"A window needs one floating-point picture; the input is {shapes}.")
    height, width = arrays[0].shape[axes[0]], arrays[0].shape[axes[1]]
    if window[0] > height or window[1] > width:
        raise RequestError(f"The window {window} is larger than the picture ({height} x {width}).")
    return height, width


def _windows(
    corners: list[tuple[int, int]], window: tuple[int, int], size: tuple[int, int]
) -> Iterator[np.ndarray]:
    for start in range(0, len(corners), CHUNK):
        part = corners[start : start + CHUNK]
        kept = np.ones((len(part), *size))
        for mask, (top, left) in zip(kept, part, strict=True):
            mask[top : top + window[0], left : left + window[1]] = 0
        yield kept


def _per_feature(game: Game, pixels: np.ndarray) -> np.ndarray:
    ((name, array),) = game.x.items()
    axes = picture_axes(array.shape) or (0, 1)
    return pixel_means(pixels, game.features.labels[name], axes, game.d)
