"""What every search is made of: sweeps of single changes, the order found, and what is handed back."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np

T = TypeVar("T")

Search = Generator[np.ndarray, np.ndarray, T]
"""Yields Bool[np.ndarray, "n d"], receives Float[np.ndarray, "n"], returns what it found."""

Stack = list[tuple[int, float]]
"""(feature, score after its removal), in the order of removal."""

CELLS = 2**22
"""Booleans in one chunk of masks (4 MiB): candidates stream, so memory does not grow with d squared."""


@dataclass(frozen=True)
class Found:
    """A sufficient subset before it is certified.

    members : in the order in which they were added. stack : the order of removal, as far as the
    search has one. bound : every set of fewer features was asked and does not suffice.
    """

    members: list[int]
    stack: Stack
    bound: int = 1


def sweep(mask: np.ndarray, groups: Sequence[np.ndarray] | np.ndarray) -> Search[np.ndarray]:
    """Score ``mask`` with each group of features flipped in turn, chunk by chunk.

    Parameters
    ----------
    mask : Bool[np.ndarray, "d"]. groups : feature numbers, or one array of them per change.

    Returns
    -------
    Float[np.ndarray, "len(groups)"]
    """
    step = max(1, CELLS // len(mask))
    if len(groups) <= step:
        return (yield _flipped(mask, groups)) if len(groups) else np.zeros(0)
    scores = []
    for start in range(0, len(groups), step):
        part = yield _flipped(mask, groups[start : start + step])
        scores.append(part)
    return np.concatenate(scores)


def _flipped(mask: np.ndarray, groups: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    masks = np.empty((len(groups), len(mask)), dtype=bool)
    masks[:] = mask
    if isinstance(groups, np.ndarray):
        # one feature per row: its place in the flattened masks
        masks.reshape(-1)[groups + _starts(len(groups), len(mask))] = ~mask[groups]
    else:
        for row, group in zip(masks, groups, strict=True):
            row[group] ^= True
    return masks


@lru_cache(maxsize=256)
def _starts(count: int, d: int) -> np.ndarray:
    """Where each of ``count`` rows of ``d`` cells starts; the same few are needed at every step."""
    return np.arange(0, count * d, d)


def only(members: Sequence[int] | np.ndarray, d: int) -> np.ndarray:
    """Return Bool[np.ndarray, "d"] with only these features kept."""
    mask = np.zeros(d, dtype=bool)
    mask[np.asarray(members, dtype=np.int64)] = True
    return mask


def prefixes(mask: np.ndarray, order: np.ndarray, counts: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield chunks of masks in which the first so many features of an order are flipped."""
    step = max(1, CELLS // len(mask))
    for start in range(0, len(counts), step):
        masks = np.repeat(mask[None], len(counts[start : start + step]), axis=0)
        for row, count in zip(masks, counts[start : start + step], strict=True):
            row[order[:count]] ^= True
        yield masks
