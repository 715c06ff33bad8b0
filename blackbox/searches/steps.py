"""What every search is made of: games played as arrays, sweeps of single changes, what is handed back."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

T = TypeVar("T")


@dataclass(frozen=True)
class Ask:
    """Masks to be scored, and the game that each belongs to.

    given : Bool[np.ndarray, "n d"], the masks. games : Int[np.ndarray, "n"], ascending. In a sweep most
    masks differ in one feature from another: then ``given`` holds Bool["k d"] of those, and mask i is
    ``given[rows[i]]`` with feature ``flips[i]`` flipped; rows ascend.
    """

    given: np.ndarray
    games: np.ndarray
    rows: np.ndarray | None = None
    flips: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.games)

    @cached_property
    def masks(self) -> np.ndarray:
        """Return Bool[np.ndarray, "n d"], every mask for itself."""
        if self.rows is None or self.flips is None:
            return self.given
        some: np.ndarray = self.given[self.rows]
        # one feature per row: its place in the flattened masks
        some.reshape(-1)[self.flips + np.arange(0, some.size, some.shape[1])] ^= True
        return some

    def some(self, which: slice | np.ndarray) -> Ask:
        """Return the masks at these positions, which ascend."""
        if self.rows is None or self.flips is None:
            return Ask(self.given[which], self.games[which])
        return Ask(self.given, self.games[which], self.rows[which], self.flips[which])


Search = Generator[Ask, np.ndarray, T]
"""Yields masks of any number of games, receives Float[np.ndarray, "n"], returns what it found.

A game that has ended early (its budget is spent, its model failed) is answered with -inf from then on."""

Stack = tuple[list[int], list[float]]
"""Features in the order of their removal, and the score after each: two lists, since many inputs have so many
removals that an object for each is felt."""

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
    games = group.numbers[rows]

    def flipped(start: int, stop: int) -> Ask:
        return Ask(masks, games[start:stop], rows[start:stop], features[start:stop])

    return (yield from in_chunks(len(rows), masks.shape[1], flipped))


def in_chunks(count: int, d: int, make: Callable[[int, int], Ask]) -> Search[np.ndarray]:
    """Score masks a few mebibytes at a time.

    Parameters
    ----------
    count : how many there are. make : from, to -> these masks.

    Returns
    -------
    Float[np.ndarray, "n"]
    """
    step = max(1, CELLS // d)
    scores: list[np.ndarray] = []
    for start in range(0, count, step):
        part = yield make(start, min(start + step, count))
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
