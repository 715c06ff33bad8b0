"""How an input may move: features that move together, or low frequencies of a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from blackbox.errors import RequestError
from blackbox.features import picture_axes
from blackbox.game import Game

FITTING = "occlusion, kernelshap, lime or sis"


@dataclass(frozen=True)
class Displacements:
    """A space of k variables around a game's input, all of them about one in size.

    Called with Float[np.ndarray, "n k"] it returns the model's logits (log-probabilities where it
    gives probabilities, the score itself for a regression): Float64[np.ndarray, "n c"]. Variable i
    counts ``scale[i]`` units of ``unit[i]`` input units.

    moving : Int[np.ndarray, "k"], the features that move, every cell of a feature times its entry in
    ``pattern`` (None = 1). waves : Float[np.ndarray, "k *shape"],
    patterns of amplitude one that move instead, or None. basis : a sentence for the record.
    """

    game: Game
    moving: np.ndarray
    unit: np.ndarray
    scale: np.ndarray
    waves: np.ndarray | None
    basis: str
    pattern: Mapping[str, np.ndarray] | None = None

    @property
    def k(self) -> int:
        """Number of variables."""
        return len(self.scale)

    @property
    def fixed(self) -> list[int]:
        """Positions of the features that are held fixed."""
        return [] if self.waves is not None else sorted(set(range(self.game.d)) - set(self.moving.tolist()))

    def __call__(self, variables: np.ndarray) -> np.ndarray:
        # points that are subtracted from each other stand together in twos and fours: one run each
        most = self.game.score.model.limits.rows_per_run
        most = max(4, most - most % 4)
        moves = variables * (self.scale * self.unit)
        pieces = [self._part(moves[start : start + most]) for start in range(0, len(moves), most)]
        return np.concatenate(pieces)

    def _part(self, moves: np.ndarray) -> np.ndarray:
        if self.waves is not None:
            ((name, array),) = self.game.x.items()
            return self.game.score.logits({name: array + np.tensordot(moves, self.waves, axes=1)})
        labels = self.game.features.labels  # label -1 is the extra column of zeros
        rows = {}
        for name, array in self.game.x.items():
            # in the input's own precision and in place: large pictures spend their time here
            spread = np.zeros((len(moves), self.game.d + 1), dtype=array.dtype)
            spread[:, slice(len(self.moving)) if self._in_order else self.moving] = moves
            cells = np.take(spread, labels[name], axis=1)
            if self.pattern is not None:
                cells *= self.pattern[name]
            cells += array
            rows[name] = cells
        return self.game.score.logits(rows)

    @cached_property
    def _in_order(self) -> bool:
        """Every feature moves, which is written as a whole."""
        return np.array_equal(self.moving, np.arange(self.game.d))

    def at(self, shift: Mapping[str, np.ndarray]) -> Displacements:
        """Return the same space around another input, ``shift`` away from this one."""
        moved = {name: array + shift[name] for name, array in self.game.x.items()}
        return dataclasses.replace(self, game=dataclasses.replace(self.game, x=moved))

    def moves_of(self, values: np.ndarray) -> np.ndarray:
        """Turn a move of the variables, in units, into one value per feature: Float[np.ndarray, "d"]."""
        if self.waves is None:
            return self._placed(values)
        return self._per_feature(np.tensordot(values, self.waves, axes=1))

    def slopes_of(self, values: np.ndarray) -> np.ndarray:
        """Turn slopes along the variables, per unit, into one value per feature: Float[np.ndarray, "d"].

        Along waves the slopes are those of the projection onto them.
        """
        if self.waves is None:
            return self._placed(values)
        norms = (self.waves**2).reshape(self.k, -1).sum(axis=1)
        return self._per_feature(np.tensordot(values / norms, self.waves, axes=1))

    def errors_of(self, errors: np.ndarray, slopes: bool) -> np.ndarray:
        """Turn independent errors of the variables into errors per feature."""
        if self.waves is None:
            return self._placed(errors)
        norms = (self.waves**2).reshape(self.k, -1).sum(axis=1) if slopes else np.ones(self.k)
        spread = np.tensordot((errors / norms) ** 2, self.waves**2, axes=1)
        return np.asarray(np.sqrt(self._per_feature(spread)))

    def _placed(self, values: np.ndarray) -> np.ndarray:
        placed = np.zeros(self.game.d)
        placed[self.moving] = values
        return placed

    def _per_feature(self, cells: np.ndarray) -> np.ndarray:
        ((_, labels),) = self.game.features.labels.items()
        inside = labels >= 0
        count = np.bincount(labels[inside], minlength=self.game.d)
        return np.bincount(labels[inside], weights=cells[inside], minlength=self.game.d) / np.maximum(
            count, 1
        )


def displacements(game: Game, unit: str = "input", frequencies: int | None = None) -> Displacements:
    """Let the features move, or the low frequencies of a picture.

    Several table columns in one feature (a one-hot group) have no common derivative and are held
    fixed, and so is, in units of deviations, a column that never varies.

    Parameters
    ----------
    unit : ``input`` or ``deviation``, standard deviations of the background's columns.
    frequencies : per channel, so many frequencies down and across of the discrete cosine transform.

    Raises
    ------
    RequestError : an input that is no floating-point number, or nothing that can move.
    """
    require_floats(game)
    size, deviation, single = _feature_scales(game)
    if frequencies is not None:
        return _waves(game, frequencies)
    moves = single
    if not moves.any():
        raise RequestError(
            f"Every feature is a group of table columns; derivatives need single columns. Use {FITTING}."
        )
    units = deviation if unit == "deviation" else np.ones(game.d)
    if unit == "deviation" and not (deviation[moves] > 0).any():
        raise RequestError("unit 'deviation' needs a background of several different rows.")
    moves = moves & (units > 0)
    scale = (size / np.where(units > 0, units, 1))[moves]
    basis = f"{moves.sum()} features, all cells of a feature together"
    return Displacements(game, np.flatnonzero(moves), units[moves], scale, None, basis)


def towards(game: Game, pattern: Mapping[str, np.ndarray]) -> Displacements:
    """Let every feature move along its part of a pattern, for example from a baseline to the input.

    One variable counts the whole pattern, so that a slope is the sum over the feature's cells of
    derivative times pattern; columns of a one-hot group move together. Features without any pattern
    stay where they are.
    """
    require_floats(game)
    size = np.zeros(game.d)
    for name, labels in game.features.labels.items():
        inside = labels >= 0
        np.maximum.at(size, labels[inside], np.abs(pattern[name][inside]).astype(float))
    moving = np.flatnonzero(size > 0)
    if not len(moving):
        raise RequestError("Every feature equals its baseline, so there is no way to go along.")
    ones = np.ones(len(moving))
    return Displacements(
        game, moving, ones, ones, None, f"{len(moving)} features along their values", pattern
    )


def _waves(game: Game, frequencies: int) -> Displacements:
    """Cosines along height and width, per channel, lowest first, each with amplitude one."""
    arrays = list(game.x.values())
    axes = picture_axes(arrays[0].shape) if len(arrays) == 1 else None
    if axes is None:
        raise RequestError("frequencies need one picture as the input.")
    shape = arrays[0].shape
    if frequencies > min(shape[axes[0]], shape[axes[1]]):
        raise RequestError(f"frequencies must be at most {min(shape[axes[0]], shape[axes[1]])} here.")
    down, across = (_cosines(shape[axis], frequencies) for axis in axes)
    plane = np.einsum("ah,bw->abhw", down, across).reshape(-1, shape[axes[0]], shape[axes[1]])
    others = [axis for axis in range(len(shape)) if axis not in axes]
    channels = int(np.prod([shape[axis] for axis in others])) if others else 1
    waves = np.zeros((channels, len(plane), channels, *plane.shape[1:]))
    for channel in range(channels):
        waves[channel, :, channel] = plane
    waves = waves.reshape(-1, channels, *plane.shape[1:])
    waves = np.moveaxis(waves, 1, 1 + others[0]) if others else waves[:, 0]
    typical = float(np.abs(arrays[0]).max()) or 1.0
    basis = f"{len(waves)} waves: {frequencies} x {frequencies} cosines in each of {channels} channels"
    ones = np.ones(len(waves))
    return Displacements(game, np.zeros(0, dtype=int), ones, typical * ones, waves, basis)


def _cosines(size: int, count: int) -> np.ndarray:
    places = (np.arange(size) + 0.5) / size
    return np.asarray(np.cos(np.pi * np.arange(count)[:, None] * places))


def _feature_scales(game: Game) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per feature: typical size of its cells, their deviation over the background, may it move."""
    size, deviation = np.zeros(game.d), np.zeros(game.d)
    table_cells = np.zeros(game.d, dtype=int)
    for name, array in game.x.items():
        labels = game.features.labels[name]
        inside = labels >= 0
        spread = game.background.rows[name].std(axis=0, dtype=float)
        reference = np.abs(array).max() if array.ndim > 1 else np.abs(array)
        typical = np.where(spread > 0, spread, np.where(reference > 0, reference, 1.0))
        np.maximum.at(size, labels[inside], typical[inside])
        np.maximum.at(deviation, labels[inside], spread[inside])
        if array.ndim <= 1:
            np.add.at(table_cells, labels[inside], 1)
    return size, deviation, table_cells <= 1


def require_floats(game: Game) -> None:
    """Refuse a model with an input that has no derivatives.

    Raises
    ------
    RequestError : text, or whole numbers.
    """
    for tensor in game.score.model.signature.inputs:
        if not tensor.dtype.startswith(("float", "double", "bfloat")):
            raise RequestError(
                f"Input {tensor.name!r} is {tensor.dtype}; derivatives need floating-point inputs. "
                f"Use {FITTING}."
            )
