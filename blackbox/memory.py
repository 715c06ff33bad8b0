"""What has been asked of a case: masks as keys, their values, and what memory saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np


@dataclass
class Memory:
    """What has been asked of one case: packed masks and their values, under a cap of bytes."""

    most_bytes: int = 128 * 2**20
    index: dict[bytes, int] = field(default_factory=dict, repr=False)
    values: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)), repr=False)
    apart: dict[bytes, np.ndarray] = field(default_factory=dict, repr=False)
    """Scores per background row, Float["B t"], of the masks that keep or hide at most one feature."""

    def put(self, key: bytes, value: np.ndarray) -> int | None:
        """Remember one mask's value unless it is known; return its place, None where the memory is full."""
        place = self.index.get(key)
        if place is None and len(self.index) < self._most(key, value):
            place = self.index[key] = len(self.index)
            self._reserve(place + 1, len(value), 4)  # games in lockstep remember two and no more
            self.values[place] = value
        return place

    def put_many(self, keys: Sequence[bytes], values: np.ndarray) -> None:
        """Remember new masks' values, as many as fit; the keys differ from each other and from known ones."""
        place = len(self.index)
        fits = min(len(keys), max(0, self._most(keys[0], values[0]) - place))
        self._reserve(place + fits, values.shape[1], 1024)
        self.index.update(zip(keys[:fits], range(place, place + fits), strict=True))
        self.values[place : place + fits] = values[:fits]

    def _most(self, key: bytes, value: np.ndarray) -> int:
        # a dictionary entry with its bytes object costs about 120 bytes beside key and value
        return self.most_bytes // (120 + len(key) + value.nbytes)

    def _reserve(self, count: int, width: int, least: int) -> None:
        if count > len(self.values):
            grown = np.empty((max(least, 2 * count), width))
            if len(self.values):
                grown[: len(self.values)] = self.values
            self.values = grown


@dataclass
class Tally:
    """Which remembered masks this play has already asked, and how many rows memory saved it."""

    seen: set[int] = field(default_factory=set)
    shared: int = 0


@cache
def whole(d: int) -> bytes:
    """The key of the mask that keeps everything."""
    return np.packbits(np.ones(d, dtype=bool)).tobytes()


def pack(masks: np.ndarray) -> list[bytes]:
    """Turn boolean rows into hashable keys."""
    packed = np.packbits(masks, axis=1)
    return list(packed.view(f"V{packed.shape[1]}").ravel().tolist())
