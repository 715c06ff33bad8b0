"""Backward search in large steps: many features at once, then single ones, for pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from blackbox.searches.backselect import removals, taken_back
from blackbox.searches.steps import Ask, Found, Group, Search, Stack, in_chunks, sweep, table

LAST = 32
"""From here on single steps: BackSelect inside the last 32 costs 528 candidates."""

SHARE = 0.175
"""Of the features per round. On 28 x 28 pictures subsets are 2 to 3 % larger than BackSelect's for 1.1 to
1.4 % of its published candidates, at a share of 0.1 1 % larger for 1.9 to 2.3 % (benchmarks/README.md)."""

WIDE, BLOCKS = 1024, 512
"""More than WIDE features are first searched in at most BLOCKS blocks of neighbours, then in finer ones."""


def by_batches(
    group: Group, kept: np.ndarray, share: float, last: int = LAST, place: np.ndarray | None = None
) -> Search[list[Found]]:
    """Give up the least missed share of the features per round, then BackSelect among the last.

    The black-box form of Batched Gradient SIS (Carter et al. 2021, arXiv 2003.08907): a sweep of
    leave-one-out candidates stands in for the gradient. A round that would fall below the threshold
    is halved until it does not, so what survives always suffices.

    Parameters
    ----------
    kept : Bool[np.ndarray, "k d"], which reaches the threshold, game by game. share : of the features
        per round. place : Int[np.ndarray, "d axes"], where features lie, so that blocks are squares
        in a picture; None = in a row.

    Returns
    -------
    The stack holds rounds in their order of removal, with the score after the whole round. About
    n / share + last (last + 1) / 2 candidates for n features up to WIDE.
    """
    kept = kept.copy()
    removed: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    blocks = _Blocks.of(kept, np.arange(kept.shape[1])[:, None] if place is None else place)
    going, stuck = np.arange(len(kept)), np.zeros(len(kept), dtype=bool)
    while len(going):
        going = going[group.some(going).playing & blocks.enough(going, last)]
        if not len(going):
            break
        gone, score = yield from _round(group.some(going), kept[going], blocks, going, share)
        some = gone.any(axis=1)
        removed.append(_give_up(kept, blocks, going[some], gone[some], score[some]))
        stuck[going[~some]] = blocks.side[going[~some]] == 1
        going = np.sort(np.concatenate([going[some], blocks.finer(going[~some])]))
    # where no single feature could go, the rest is irreducible already
    inner = yield from removals(group, kept & ~stuck[:, None])
    return [
        Found(
            taken_back(few, threshold) if few[0] else np.flatnonzero(rest).tolist(),
            (stack[0] + few[0], stack[1] + few[1]),
        )
        for few, rest, stack, threshold in zip(
            inner, kept, _stacks(removed, len(kept)), group.threshold.tolist(), strict=True
        )
    ]


@dataclass
class _Blocks:
    """Which features go together: squares of neighbours on a wide input, else each by itself.

    number : Int[np.ndarray, "k d"], the block of every feature that is still kept, counted from 0
    without gaps (0 elsewhere). counts : Int[np.ndarray, "k"]. side : of the squares; 1 = single features.
    """

    kept: np.ndarray
    place: np.ndarray
    side: np.ndarray
    number: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, kept: np.ndarray, place: np.ndarray) -> _Blocks:
        """Cut what is kept; ``kept`` stays the caller's and is read again whenever blocks get finer."""
        single, counts = np.maximum(np.cumsum(kept, axis=1) - 1, 0), kept.sum(axis=1)
        blocks = cls(kept, place, np.ones(len(kept), dtype=np.int64), single, counts)
        for row in np.flatnonzero(counts > WIDE):
            while blocks.counts[row] > BLOCKS:
                blocks.side[row] += 1
                blocks._renumber(row)
        return blocks

    def enough(self, rows: np.ndarray, last: int) -> np.ndarray:
        """Cut finer where few blocks are left; return where more than ``last`` features are."""
        for row in rows[self.side[rows] > 1]:
            while self.side[row] > 1 and self.counts[row] <= BLOCKS // 4:
                self.finer(np.array([row]))
        return np.asarray(self.counts[rows] > last)

    def finer(self, rows: np.ndarray) -> np.ndarray:
        """Halve the squares' sides; return the rows where that was possible."""
        able = rows[self.side[rows] > 1]
        for row in able:
            self.side[row] //= 2
            self._renumber(row)
        return np.asarray(able)

    def give_up(self, rows: np.ndarray, gone: np.ndarray) -> None:
        """Count the blocks that are left anew."""
        ahead = np.maximum(np.cumsum(~gone, axis=1) - 1, 0)
        self.number[rows] = np.take_along_axis(ahead, self.number[rows], axis=1)
        self.counts[rows] -= gone.sum(axis=1)

    def _renumber(self, row: np.integer[Any]) -> None:
        features = np.flatnonzero(self.kept[row])
        if self.side[row] == 1:
            number, count = np.arange(len(features)), len(features)
        else:
            squares = self.place[features] // self.side[row]
            key = np.ravel_multi_index(tuple(squares.T), tuple(squares.max(axis=0) + 1))
            unique, number = np.unique(key, return_inverse=True)
            count = len(unique)
        self.number[row], self.counts[row] = 0, count
        self.number[row, features] = number


def _round(
    group: Group, kept: np.ndarray, blocks: _Blocks, going: np.ndarray, share: float
) -> Search[tuple[np.ndarray, np.ndarray]]:
    """Ask which blocks are least missed; return those that can go together, and the score without them."""
    number, counts = blocks.number[going], blocks.counts[going]
    if (blocks.side[going] == 1).all():
        scores = yield from _without_each_feature(group, kept)
    else:
        scores = yield from _without_each(group, kept, number, counts)
    order = np.argsort(-scores, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(order.shape[1])[None], axis=1)
    # most blocks first, then half as many, down to one
    most = np.maximum(1, np.ceil(share * counts)).astype(np.int64)
    tries = most[:, None] >> np.arange(int(most.max()).bit_length())
    rows, halved = np.nonzero(tries)
    place = np.take_along_axis(rank, number, axis=1)

    games = group.numbers[rows]

    def without(start: int, stop: int) -> Ask:
        some, ends = rows[start:stop], tries[rows[start:stop], halved[start:stop]]
        return Ask(kept[some] & (place[some] >= ends[:, None]), games[start:stop])

    flat = yield from in_chunks(len(rows), kept.shape[1], without)
    together = table(tries.shape, rows, halved, flat)
    passing = together >= group.threshold[:, None]
    each, first = np.arange(len(going)), passing.argmax(axis=1)
    ends = np.where(passing.any(axis=1), tries[each, first], 0)
    return rank < ends[:, None], together[each, first]


def _without_each_feature(group: Group, kept: np.ndarray) -> Search[np.ndarray]:
    """Score every game's features without each that is kept: Float["k most"], -inf past the last."""
    rows, features = np.nonzero(kept)
    scores = yield from sweep(group, kept, rows, features)
    counts = kept.sum(axis=1)
    starts = np.cumsum(counts) - counts
    return table((len(kept), int(counts.max())), rows, np.arange(len(rows)) - starts[rows], scores)


def _without_each(
    group: Group, kept: np.ndarray, number: np.ndarray, counts: np.ndarray
) -> Search[np.ndarray]:
    """Score every game's features without each of its blocks: Float["k blocks"], -inf past the last."""
    starts = np.cumsum(counts) - counts
    rows = np.repeat(np.arange(len(kept)), counts)
    owner, features = np.nonzero(kept)
    mask = starts[owner] + number[owner, features]  # which candidate hides this feature

    games = group.numbers[rows]

    def without(start: int, stop: int) -> Ask:
        masks = kept[rows[start:stop]]
        inside = slice(None) if stop - start == len(rows) else (mask >= start) & (mask < stop)
        masks[mask[inside] - start, features[inside]] = False
        return Ask(masks, games[start:stop])

    scores = yield from in_chunks(len(rows), kept.shape[1], without)
    return table((len(kept), int(counts.max())), rows, np.arange(len(rows)) - starts[rows], scores)


def _give_up(
    kept: np.ndarray, blocks: _Blocks, rows: np.ndarray, gone: np.ndarray, score: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hide what a round gives up; return the games, the features and the scores after the round."""
    out = kept[rows] & np.take_along_axis(gone, blocks.number[rows], axis=1)
    kept[rows] &= ~out
    blocks.give_up(rows, gone)
    which, features = np.nonzero(out)
    return rows[which], features, score[which]


def _stacks(removed: list[tuple[np.ndarray, np.ndarray, np.ndarray]], count: int) -> list[Stack]:
    """Sort what all rounds gave up by game: the order of removal of each."""
    if not removed:
        return [([], []) for _ in range(count)]
    games, features, scores = (np.concatenate(part) for part in zip(*removed, strict=True))
    order = np.argsort(games, kind="stable")
    ends = np.cumsum(np.bincount(games, minlength=count)).tolist()
    features, scores = features[order].tolist(), scores[order].tolist()
    return [
        (features[start:end], scores[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]
