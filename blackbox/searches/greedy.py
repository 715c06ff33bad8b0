"""Searches that add or rank: forward greedy, and the shortest prefix of the leave-one-out ranking."""

from __future__ import annotations

import numpy as np

from blackbox.searches.steps import Found, Search, only, prefixes, sweep


def forward(kept: np.ndarray, threshold: float, most: int | None = None) -> Search[Found | None]:
    """Add the feature that raises the score most until the threshold is reached.

    Parameters
    ----------
    kept : Bool[np.ndarray, "d"], what may be added. most : give up (None) beyond so many members.

    Returns
    -------
    Members in the order added; the stack is that order undone. ``bound`` is 2 when no single feature
    suffices, because the first step asked them all. About k n candidates for k members of n.
    """
    current = np.zeros(len(kept), dtype=bool)
    members: list[int] = []
    scores: list[float] = []
    while not scores or scores[-1] < threshold:
        free = np.flatnonzero(kept & ~current)
        if len(members) == (len(kept) if most is None else most) or len(free) == 0:
            return None
        gained = yield from sweep(current, free)
        best = int(np.argmax(gained))
        members.append(int(free[best]))
        scores.append(float(gained[best]))
        current[free[best]] = True
    after = [np.nan, *scores[:-1]]
    stack = [(m, s) for m, s in zip(members[::-1], after[::-1], strict=True) if s == s]
    return Found(members, stack, bound=min(2, len(members)))


def ranked(kept: np.ndarray, threshold: float, order: np.ndarray) -> Search[list[int] | None]:
    """Return the shortest prefix of a ranking that reaches the threshold, or None.

    Parameters
    ----------
    order : feature numbers, most important first (SIS calls it "sufficient LIME" and the like when
        the ranking comes from another method).
    """
    counts = list(range(1, len(order) + 1))
    for number, masks in enumerate(prefixes(np.zeros(len(kept), dtype=bool), order, counts)):
        scores = yield masks
        if (scores >= threshold).any():
            first = number * len(masks) + int(np.argmax(scores >= threshold))
            return [int(feature) for feature in order[: first + 1]]
    return None


def by_leave_one_out(kept: np.ndarray, threshold: float) -> Search[Found | None]:
    """Rank by what each feature's loss costs, then take the shortest sufficient prefix: 2 n candidates."""
    candidates = np.flatnonzero(kept)
    lost = yield from sweep(kept, candidates)
    order = candidates[np.argsort(lost, kind="stable")]
    members = yield from ranked(kept, threshold, order)
    return None if members is None else Found(members, [])


def prune(members: list[int], threshold: float, d: int) -> Search[tuple[list[int], np.ndarray]]:
    """Drop members while the rest still reaches the threshold, the least missed one first.

    Returns
    -------
    The members left, in their order, and the score with each of them left out in turn: all below
    the threshold, so the subset is irreducible (which does not make it the smallest there is).
    """
    while True:
        scores = yield from sweep(only(members, d), np.array(members, dtype=np.int64))
        best = int(np.argmax(scores))
        if len(members) == 1 or scores[best] < threshold:
            return members, scores
        members = [member for place, member in enumerate(members) if place != best]
