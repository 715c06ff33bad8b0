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

    def put(self, key: bytes, value: np.ndarray) -> None:
        """Remember one mask's value, unless it is known or the memory is full."""
        if key not in self.index:
            self.put_many([key], value[None])

    def put_many(self, keys: Sequence[bytes], values: np.ndarray) -> None:
        """Remember new masks' values, as many as fit; the keys differ from each other and from known ones."""
        # a dictionary entry with its bytes object costs about 120 bytes beside key and value
        cost = 120 + len(keys[0]) + values[0].nbytes
        place = len(self.index)
        fits = min(len(keys), max(0, self.most_bytes // cost - place))
        self._reserve(place + fits, values.shape[1])
        self.index.update(zip(keys[:fits], range(place, place + fits), strict=True))
        self.values[place : place + fits] = values[:fits]

    def _reserve(self, count: int, width: int) -> None:
        if count > len(self.values):
            grown = np.empty((max(1024, 2 * count), width))
            grown[: len(self.index)] = self.values[: len(self.index)] if len(self.index) else 0
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
