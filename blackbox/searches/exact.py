"""The smallest subset, proven: every set, in order of size, until one suffices."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, combinations, islice
from math import comb

import numpy as np

from blackbox.searches.steps import Ask, Group, Search

CHUNK = 4096


def smallest(group: Group, kept: np.ndarray, below: int, most: float) -> Search[tuple[list[int] | None, int]]:
    """Look for a sufficient set of fewer than ``below`` features, smallest first.

    A score need not rise with the features kept, so no set can be skipped because of another one;
    what prunes is ``below``, the size that a search has reached already.

    Parameters
    ----------
    group : one game. kept : Bool[np.ndarray, "d"], the features to choose from. most : candidates
        that may be asked.

    Returns
    -------
    The first sufficient set in lexicographic order, or None, and the size below which every set was
    asked and does not suffice.
    """
    features = np.flatnonzero(kept)
    for size in range(1, below):
        most -= comb(len(features), size)
        if most < 0:
            return None, size
        for sets in _chunks(features, size):
            masks = np.zeros((len(sets), len(kept)), dtype=bool)
            np.put_along_axis(masks, sets, True, axis=1)
            scores = yield Ask(masks, np.repeat(group.numbers, len(sets)))
            if not group.playing.any():
                return None, size
            if (scores >= group.threshold).any():
                return [int(i) for i in sets[int(np.argmax(scores >= group.threshold))]], size
    return None, below


def _chunks(features: np.ndarray, size: int) -> Iterator[np.ndarray]:
    every = combinations(features.tolist(), size)
    while len(chunk := np.fromiter(chain.from_iterable(islice(every, CHUNK)), dtype=np.int64)):
        yield chunk.reshape(-1, size)
