"""What every search is made of: games played as arrays, sweeps of single changes, what is handed back."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

T = TypeVar("T")


@dataclass(frozen=True)
class Ask:
    """Masks to be scored: Bool[np.ndarray, "n d"], and the game that each belongs to, ascending."""

    masks: np.ndarray
    games: np.ndarray


Search = Generator[Ask, np.ndarray, T]
"""Yields masks of any number of games, receives Float[np.ndarray, "n"], returns what it found.

A game that has ended early (its budget is spent, its model failed) is answered with -inf from then on."""

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


@dataclass(frozen=True)
class Group:
    """Games with equally many features, played as arrays so that a step costs the same for one and for many.

    numbers : Int[np.ndarray, "k"], ascending; threshold : Float[np.ndarray, "k"]. out : which of all
    games have ended early, by number; it changes while they are played.
    """

    numbers: np.ndarray
    threshold: np.ndarray
    out: np.ndarray

    @classmethod
    def of(cls, thresholds: Sequence[float]) -> Group:
        """Number games from 0."""
        count = len(thresholds)
        return cls(np.arange(count), np.array(thresholds, dtype=float), np.zeros(count, dtype=bool))

    def some(self, rows: np.ndarray) -> Group:
        """Return the games at these positions."""
        return Group(self.numbers[rows], self.threshold[rows], self.out)

    @property
    def playing(self) -> np.ndarray:
        """Return Bool[np.ndarray, "k"]: the games that have not ended early."""
        return np.asarray(~self.out[self.numbers])


def sweep(group: Group, masks: np.ndarray, rows: np.ndarray, features: np.ndarray) -> Search[np.ndarray]:
    """Score masks with one feature flipped each, chunk by chunk.

    Parameters
    ----------
    masks : Bool[np.ndarray, "k d"], one per game. rows, features : Int[np.ndarray, "n"], which mask
        and what is flipped in it; rows ascend.

    Returns
    -------
    Float[np.ndarray, "n"]
    """
    d = masks.shape[1]

    def flipped(start: int, stop: int) -> np.ndarray:
        some: np.ndarray = masks[rows[start:stop]]
        # one feature per row: its place in the flattened masks
        some.reshape(-1)[features[start:stop] + np.arange(0, len(some) * d, d)] ^= True
        return some

    return (yield from in_chunks(group, rows, d, flipped))


def in_chunks(
    group: Group, rows: np.ndarray, d: int, make: Callable[[int, int], np.ndarray]
) -> Search[np.ndarray]:
    """Score masks that are made a few mebibytes at a time.

    Parameters
    ----------
    rows : Int[np.ndarray, "n"], which game of the group every mask belongs to. make : from, to ->
        these masks.

    Returns
    -------
    Float[np.ndarray, "n"]
    """
    step = max(1, CELLS // d)
    scores: list[np.ndarray] = []
    for start in range(0, len(rows), step):
        stop = min(start + step, len(rows))
        part = yield Ask(make(start, stop), group.numbers[rows[start:stop]])
        scores.append(part)
    return np.concatenate(scores) if len(scores) != 1 else scores[0]


def table(shape: tuple[int, int], rows: np.ndarray, columns: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Put scores in their places, -inf where nothing was asked."""
    full = np.full(shape, -np.inf)
    full[rows, columns] = scores
    return full


def only(members: Sequence[Sequence[int]], d: int) -> np.ndarray:
    """Return Bool[np.ndarray, "k d"], masks with only these features kept."""
    masks = np.zeros((len(members), d), dtype=bool)
    rows = np.repeat(np.arange(len(members)), [len(some) for some in members])
    masks[rows, [member for some in members for member in some]] = True
    return masks
