"""Occlusion: hide one feature (or one window of a picture or series) and see how far the score falls."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
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
    """Leave-one-feature-out, or a window slid over a picture or a series.

    Leave one out: value_i = v(N) - v(N without i). With a window, the drop of every position is
    shared out to the pixels under it: a pixel's value is the mean drop over the windows that cover
    it, and a feature's value is the mean over its pixels (all channels are hidden together).

    Parameters
    ----------
    window : (height, width) in pixels of the sliding window, or a number of steps along the first axis of a
        series (all its channels are hidden together); None = leave one feature out.
    stride : (down, across) in pixels, or steps; None = the window's own size, so that windows do not
        overlap.

    Cost: d masks, or (floor((H-h)/s)+1) (floor((W-w)/s)+1) windows, floor((T-w)/s)+1 on a series; the base
    and the full score come on top.

    details
    -------
    ``drops`` (with a window) : Float[np.ndarray, "down across t"], or "places t" on a series, the fall of
    the score per window position; cells that no window covers get 0.

    Raises
    ------
    RequestError : a window on an input that is no single floating-point picture or series, or larger
        than it.

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

    window: int | tuple[int, int] | None = None
    stride: int | tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.stride is not None and self.window is None:
            raise RequestError("stride needs a window; without one, features are left out one by one.")
        for name, sizes in (("window", self.window), ("stride", self.stride)):
            if isinstance(sizes, (tuple, list)) and len(sizes) != 2:
                raise RequestError(f"{name} needs two numbers, height and width, or one; got {sizes!r}.")
            for side in () if sizes is None else sizes if isinstance(sizes, (tuple, list)) else (sizes,):
                whole(name, side, 1)
        if self.stride is not None and isinstance(self.stride, int) != isinstance(self.window, int):
            raise RequestError(
                f"window and stride need as many numbers as each other: one along a series, two in a "
                f"picture; got {self.window!r} and {self.stride!r}."
            )

    def explain(self, game: Game, rng: np.random.Generator) -> Explanation:
        """Play the game; nothing is drawn from ``rng``."""
        settings = dataclasses.asdict(self)
        if self.window is None:
            values = game.full() - game(leave_one_out(game.d))
            return game.explanation(self.name, settings, values, _outcome(game, values))
        axes, window = _window(game, self.window)
        stride = window if self.stride is None else _sizes(self.stride)
        values, drops = _slide(game, axes, window, stride)
        return game.explanation(self.name, settings, values, _outcome(game, drops), {"drops": drops})


def _sizes(given: int | tuple[int, int]) -> tuple[int, ...]:
    return (given,) if isinstance(given, int) else tuple(given)


def _slide(
    game: Game, axes: tuple[int, ...], window: tuple[int, ...], stride: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Values Float["d t"], and the drop at every place of the window."""
    (array,) = game.x.values()
    size = tuple(array.shape[axis] for axis in axes)
    starts = [range(0, s - w + 1, step) for s, w, step in zip(size, window, stride, strict=True)]
    places = [
        tuple(slice(start, start + w) for start, w in zip(corner, window, strict=True))
        for corner in product(*starts)
    ]
    drops = game.full() - np.concatenate(list(game.blend(_windows(places, size), axes)))
    total, covered = np.zeros((*size, drops.shape[1])), np.zeros((*size, 1))
    for place, drop in zip(places, drops, strict=True):
        total[place] += drop
        covered[place] += 1
    ((name, _),) = game.x.items()
    values = pixel_means(total / np.maximum(covered, 1), game.features.labels[name], axes, game.d)
    return values, drops.reshape(*(len(s) for s in starts), -1)


def _outcome(game: Game, drops: np.ndarray) -> Outcome:
    moved = np.any(drops) or np.any(game.full() != game.base())
    return Outcome.DONE if moved else Outcome.CONSTANT


def _window(game: Game, window: int | tuple[int, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the axes that a window slides along, and its size."""
    arrays = list(game.x.values())
    series = isinstance(window, int)
    fits = len(arrays) == 1 and arrays[0].dtype.kind == "f" and arrays[0].ndim > 0
    axes = (0,) if series and fits else picture_axes(arrays[0].shape) if fits else None
    if axes is None:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in game.x.items())
        what = "series" if series else "picture"
        raise RequestError(f"A window needs one floating-point {what}; the input is {shapes}.")
    size = tuple(arrays[0].shape[axis] for axis in axes)
    if any(w > s for w, s in zip(_sizes(window), size, strict=True)):
        what = f"series ({size[0]} steps)" if series else f"picture ({size[0]} x {size[1]})"
        raise RequestError(f"The window {window} is larger than the {what}.")
    return axes, _sizes(window)


def _windows(places: list[tuple[slice, ...]], size: tuple[int, ...]) -> Iterator[np.ndarray]:
    for start in range(0, len(places), CHUNK):
        part = places[start : start + CHUNK]
        kept = np.ones((len(part), *size))
        for mask, place in zip(kept, part, strict=True):
            mask[place] = 0
        yield kept
