"""The question itself: what is the score if only these features are kept?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from blackbox.backgrounds import Background
from blackbox.explanation import Explanation, Outcome
from blackbox.features import Features, picture_axes
from blackbox.model import Rows
from blackbox.score import Score

Masks = np.ndarray | Iterable[np.ndarray]
"""Bool[np.ndarray, "n d"], True = kept; or an iterable of such chunks."""


@dataclass
class Memory:
    """What has been asked of one case: packed masks and their values, under a cap of bytes."""

    most_bytes: int = 128 * 2**20
    index: dict[bytes, int] = field(default_factory=dict, repr=False)
    values: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)), repr=False)

    def put(self, key: bytes, value: np.ndarray) -> None:
        """Remember one mask's value, unless the memory is full."""
        # a dictionary entry with its bytes object costs about 120 bytes beside key and value
        full = (len(self.index) + 1) * (120 + len(key) + value.nbytes) > self.most_bytes
        if key in self.index or full:
            return
        place = len(self.index)
        if place >= len(self.values):
            grown = np.zeros((max(1024, 2 * place), len(value)))
            if place:
                grown[:place] = self.values
            self.values = grown
        self.index[key] = place
        self.values[place] = value


@dataclass
class Tally:
    """Which remembered masks this play has already asked, and how many rows memory saved it."""

    seen: set[int] = field(default_factory=set)
    shared: int = 0


@dataclass(frozen=True)
class Game:
    """A score, an input, its features and a background.

    Called with masks it returns Float64[np.ndarray, "n t"]: background rows are put in the hidden
    cells and the score is averaged over them. Masks asked before cost no pass. A feature whose
    cells equal the background's everywhere is never in play: with it or without it is one mask.
    """

    score: Score
    x: Rows
    features: Features
    background: Background
    memory: Memory
    output_names: tuple[str, ...]
    tally: Tally = field(default_factory=Tally)

    @property
    def d(self) -> int:
        """Number of features."""
        return len(self.features)

    @property
    def rows(self) -> int:
        """Forward rows of this play, counted as if it had run alone."""
        return self.score.ledger.rows + self.tally.shared

    @cached_property
    def in_play(self) -> np.ndarray:
        """Return Bool[np.ndarray, "d"]: the features that differ from some background row."""
        differs = np.zeros(self.d, dtype=bool)
        for name, array in self.x.items():
            labels = self.features.labels[name]
            unequal = (self.background.rows[name] != array).any(axis=0) & (labels >= 0)
            differs[labels[unequal]] = True
        return differs

    def __call__(self, masks: Masks) -> np.ndarray:
        chunks = [masks] if isinstance(masks, np.ndarray) else masks
        answers = [self._answer(np.asarray(chunk, dtype=bool)) for chunk in chunks]
        return np.concatenate(answers) if answers else np.zeros((0, len(self.output_names)))

    def base(self) -> np.ndarray:
        """Return Float[np.ndarray, "t"], the score of the fully hidden input."""
        return np.asarray(self(np.zeros((1, self.d), dtype=bool))[0])

    def full(self) -> np.ndarray:
        """Return Float[np.ndarray, "t"], the score of the input itself."""
        return np.asarray(self(np.ones((1, self.d), dtype=bool))[0])

    def blend(self, weights: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Score soft masks over the pixels of a picture, chunk by chunk; never remembered.

        Every weight chunk is Float[np.ndarray, "n height width"] in [0, 1]: 1 keeps the input's
        pixel, 0 puts the background's there. Yields Float64[np.ndarray, "n t"] per chunk.

        Raises
        ------
        ValueError : the input is not one picture (callers check ``picture_axes`` first).
        """
        ((name, array),) = self.x.items()
        axes = picture_axes(array.shape)
        if axes is None:
            raise ValueError("blend needs a picture")
        frame = [array.shape[axis] if axis in axes else 1 for axis in range(array.ndim)]
        rows = self.background.rows[name]
        for chunk in weights:
            soft = chunk.reshape(len(chunk), 1, *frame)
            mixed = (soft * array + (1 - soft) * rows[None]).astype(array.dtype)
            scores = self.score({name: mixed.reshape(-1, *array.shape)})
            yield scores.reshape(len(chunk), len(rows), -1).mean(axis=1)

    def explanation(
        self, method: str, settings: Mapping[str, Any], values: np.ndarray, outcome: Outcome,
        details: Mapping[str, Any] | None = None,
    ) -> Explanation:  # fmt: skip
        """Write the record of this play.

        Parameters
        ----------
        values : Float[np.ndarray, "d t"]. details : arrays whose last axis is t lose it, like
            ``values``, when there is one target and the method says so by passing them ready.
        """
        base, full = self.base(), self.full()
        one = len(self.output_names) == 1
        return Explanation(
            method=method,
            settings=dict(settings),
            values=np.array(values[:, 0] if one else values, dtype=float),
            base_values=base[0] if one else base,
            full_values=full[0] if one else full,
            feature_names=self.features.names,
            output_names=self.output_names,
            data=self.features.data(self.x),
            rows=self.rows,
            rows_shared=self.tally.shared,
            outcome=outcome,
            details=dict(details or {}),
            scale=self.score.readout.scale,
        )

    def _answer(self, masks: np.ndarray) -> np.ndarray:
        """Look masks up, ask the new ones, and put both together."""
        keys = pack(masks | ~self.in_play)
        known = self.memory.index
        new = {key: row for row, key in enumerate(keys) if key not in known}
        self._note([known[key] for key in dict.fromkeys(keys) if key in known])
        fresh = self._evaluate(masks[list(new.values())]) if new else np.zeros((0, 0))
        position = {key: row for row, key in enumerate(new)}
        for key, value in zip(new, fresh, strict=True):
            self.memory.put(key, value)
        self.tally.seen.update(known[key] for key in new if key in known)
        if len(position) == len(keys):
            return fresh
        values = np.empty((len(keys), len(self.output_names)))
        for row, key in enumerate(keys):
            values[row] = fresh[position[key]] if key in position else self.memory.values[known[key]]
        return values

    def _note(self, places: list[int]) -> None:
        """Count remembered masks that this play asks for the first time as shared rows."""
        first = [place for place in places if place not in self.tally.seen]
        self.tally.seen.update(first)
        self.tally.shared += len(first) * len(self.background)

    def _evaluate(self, masks: np.ndarray) -> np.ndarray:
        """Score masks in runs of at most the model's limit, mask after mask."""
        most, count = self.score.model.limits.rows_per_run, len(self.background)
        if count > most:
            return np.concatenate([self._over_background(mask[None], most) for mask in masks])
        step = max(1, most // count)
        chunks = [masks[start : start + step] for start in range(0, len(masks), step)]
        means = [self.score(self.fill(chunk)).reshape(len(chunk), count, -1).mean(axis=1) for chunk in chunks]
        return means[0] if len(means) == 1 else np.concatenate(means)

    def _over_background(self, mask: np.ndarray, most: int) -> np.ndarray:
        count = len(self.background)
        pieces = [slice(start, start + most) for start in range(0, count, most)]
        total = np.sum([self.score(self.fill(mask, piece)).sum(axis=0) for piece in pieces], axis=0)
        return np.asarray(total[None] / count)

    def fill(self, masks: np.ndarray, piece: slice = slice(None)) -> dict[str, np.ndarray]:
        """Put background rows in the hidden cells: n masks x B rows, mask after mask.

        This is the definition of hiding; whatever is faster has to agree with it.
        """
        rows = {}
        for name, array in self.x.items():
            labels, background = self.features.labels[name], self.background.rows[name][piece]
            kept = (masks[:, labels] | (labels < 0))[:, None]
            filled = np.where(kept, array, background[None])
            rows[name] = filled.reshape(-1, *array.shape)
        return rows


def pack(masks: np.ndarray) -> list[bytes]:
    """Turn boolean rows into hashable keys."""
    packed = np.ascontiguousarray(np.packbits(masks, axis=1))
    width = packed.shape[1]
    flat = packed.tobytes()
    return [flat[start : start + width] for start in range(0, len(flat), width)]
