"""Searches that add or rank: forward greedy, and the shortest prefix of the leave-one-out ranking."""

from __future__ import annotations

import numpy as np

from blackbox.searches.steps import CELLS, Ask, Found, Group, Search, only, sweep, table


def forward(group: Group, kept: np.ndarray, most: np.ndarray | None = None) -> Search[list[Found | None]]:
    """Add the feature that raises the score most until the threshold is reached.

    Parameters
    ----------
    kept : Bool[np.ndarray, "k d"], what may be added, game by game. most : Int[np.ndarray, "k"],
        give up (None) beyond so many members.

    Returns
    -------
    Members in the order added; the stack is that order undone. ``bound`` is 2 when no single feature
    suffices, because the first step asked them all. About m n candidates for m members of n.
    """
    most = kept.sum(axis=1) if most is None else np.minimum(most, kept.sum(axis=1))
    current, free = np.zeros(kept.shape, dtype=bool), kept.copy()
    order: list[list[int]] = [[] for _ in kept]
    scores: list[list[float]] = [[] for _ in kept]
    going, size = np.flatnonzero(most > 0), 0
    while len(going):
        which, features = np.nonzero(free[going])
        gained = yield from sweep(group.some(going), current[going], which, features)
        gains = table((len(going), kept.shape[1]), which, features, gained)
        best = gains.argmax(axis=1)
        top = gains[np.arange(len(going)), best]
        current[going, best], free[going, best] = True, False
        for game, feature, score in zip(going.tolist(), best.tolist(), top.tolist(), strict=True):
            order[game].append(feature)
            scores[game].append(score)
        size += 1
        short = (top < group.threshold[going]) & group.some(going).playing
        going = going[short & (most[going] > size)]
    return [_added(*one) for one in zip(order, scores, group.threshold.tolist(), strict=True)]


def _added(members: list[int], scores: list[float], threshold: float) -> Found | None:
    if not scores or scores[-1] < threshold:
        return None
    # without the first member nothing is left, whose score this search never asks
    stack = members[:0:-1], scores[-2::-1]
    return Found(members, stack, bound=min(2, len(members)))


def ranked(group: Group, order: np.ndarray, counts: np.ndarray) -> Search[list[list[int] | None]]:
    """Return the shortest prefix of every ranking that reaches the threshold, or None.

    Parameters
    ----------
    order : Int[np.ndarray, "k d"], feature numbers, most important first (SIS calls it "sufficient
        LIME" and the like when the ranking comes from another method). counts : Int[np.ndarray, "k"],
        how many of them are in the ranking.
    """
    d = order.shape[1]
    rank = np.argsort(order, axis=1)
    found = np.zeros(len(order), dtype=np.int64)
    going, start = np.flatnonzero(counts > 0), 0
    while len(going):
        step = max(1, CELLS // (d * len(going)))
        sizes = np.arange(start + 1, min(start + step, int(counts[going].max())) + 1)
        which, place = np.nonzero(sizes <= counts[going][:, None])
        masks = rank[going][which] < sizes[place][:, None]
        scores = yield Ask(masks, group.numbers[going[which]])
        passing = table((len(going), len(sizes)), which, place, scores) >= group.threshold[going][:, None]
        done = passing.any(axis=1)
        found[going[done]] = sizes[passing[done].argmax(axis=1)]
        start = int(sizes[-1])
        going = going[~done & (counts[going] > start) & group.some(going).playing]
    return [one[:size].tolist() if size else None for one, size in zip(order, found.tolist(), strict=True)]


def by_leave_one_out(group: Group, kept: np.ndarray) -> Search[list[Found | None]]:
    """Rank by what each feature's loss costs, then take the shortest sufficient prefix: 2 n candidates."""
    rows, features = np.nonzero(kept)
    lost = yield from sweep(group, kept, rows, features)
    order = np.argsort(-table(kept.shape, rows, features, -lost), axis=1, kind="stable")
    members = yield from ranked(group, order, kept.sum(axis=1))
    return [None if some is None else Found(some, ([], [])) for some in members]


def prune(group: Group, members: list[list[int]], d: int) -> Search[list[tuple[list[int], list[float]]]]:
    """Drop members while the rest still reaches the threshold, the least missed one first.

    Returns
    -------
    Per game the members left, in their order, and the score with each of them left out in turn: all
    below the threshold, so the subset is irreducible (which does not make it the smallest there is).
    """
    order, there = _padded(members)
    kept, left_out = only(members, d), np.full(order.shape, -np.inf)
    going = np.flatnonzero(there.any(axis=1))
    while len(going):
        rows, place = np.nonzero(there[going])
        flat = yield from sweep(group.some(going), kept[going], rows, order[going[rows], place])
        left_out[going] = table((len(going), order.shape[1]), rows, place, flat)
        best = left_out[going].argmax(axis=1)
        more = there[going].sum(axis=1) > 1
        more &= left_out[going, best] >= group.threshold[going]
        going, best = going[more], best[more]
        there[going, best] = kept[going, order[going, best]] = False
    return [
        (one[some].tolist(), scores[some].tolist())
        for one, some, scores in zip(order, there, left_out, strict=True)
    ]


def _padded(members: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Put lists in rows: Int["k longest"], and where they are filled."""
    sizes = np.array([len(some) for some in members])
    there = np.arange(sizes.max(initial=0)) < sizes[:, None]
    order = np.zeros(there.shape, dtype=np.int64)
    order[there] = [member for some in members for member in some]
    return order, there
