"""BackSelect and FindSIS, as published: the exact backward order, and the subset read off its end."""

from __future__ import annotations

import numpy as np

from blackbox.searches.steps import Found, Group, Search, Stack, sweep, table


def back_select(
    group: Group, kept: np.ndarray, idle: np.ndarray | None = None, score: np.ndarray | None = None
) -> Search[list[list[tuple[int, float]]]]:
    """Search the order in which features are given up: always the one whose loss leaves most score.

    Parameters
    ----------
    kept : Bool[np.ndarray, "k d"], the features that are still there, game by game.
    idle : Bool[np.ndarray, "k d"], features that equal the background: removing one leaves the score
        as it is, so none is asked. score : Float[np.ndarray, "k"], of ``kept`` itself; needed only
        where some are idle.

    Returns
    -------
    Per game (feature, score after its removal) in the order of removal; ties give up the lowest
    position; empty when nothing is kept. Candidates: sum of the features left that are not idle.
    """
    stacks = yield from removals(group, kept, idle, score)
    return [list(zip(*stack, strict=True)) for stack in stacks]


def removals(
    group: Group, kept: np.ndarray, idle: np.ndarray | None = None, score: np.ndarray | None = None
) -> Search[list[Stack]]:
    """Search as ``back_select`` and return what it found as stacks."""
    kept = kept.copy()
    idle = np.zeros(kept.shape, dtype=bool) if idle is None else idle
    last = np.full(len(kept), np.nan) if score is None else np.array(score, dtype=float)
    active, still = kept & ~idle, kept & idle
    scores, fresh = np.full(kept.shape, -np.inf), np.ones(len(kept), dtype=bool)
    counts = kept.sum(axis=1)
    most = int(counts.max(initial=0))
    order, left = np.zeros((len(kept), most), dtype=np.int64), np.zeros((len(kept), most))
    for step in range(most):
        rows = np.flatnonzero((counts > step) & group.playing)
        asked = rows[fresh[rows]]
        if len(asked):
            scores[asked] = yield from _losses(group.some(asked), kept[asked], active[asked])
        np.copyto(scores, last[:, None], where=still)
        best = scores[rows].argmax(axis=1)  # argmax takes the first of equals: the published tie rule
        last[rows] = left[rows, step] = scores[rows, best]
        order[rows, step] = best
        scores[rows, best] = -np.inf
        kept[rows, best] = active[rows, best] = still[rows, best] = False
        fresh[rows] = ~idle[rows, best]  # without an idle feature every other loss is what it was
    return [
        (some[:count], after[:count])
        for some, after, count in zip(order.tolist(), left.tolist(), counts.tolist(), strict=True)
    ]


def _losses(group: Group, kept: np.ndarray, active: np.ndarray) -> Search[np.ndarray]:
    """Score every game's features without each of the active ones; -inf elsewhere."""
    rows, features = np.nonzero(active)
    scores = yield from sweep(group, kept, rows, features)
    return table(active.shape, rows, features, scores)


def find_sis(order: list[tuple[int, float]], threshold: float) -> list[int]:
    """Take features back, last removed first, until the rest of the order reaches the threshold.

    Raises
    ------
    ValueError : the order is empty.
    """
    if not order:
        raise ValueError("BackSelect returned no order")
    return taken_back(([feature for feature, _ in order], [score for _, score in order]), threshold)


def taken_back(stack: Stack, threshold: float) -> list[int]:
    """Return the end of a stack as ``find_sis`` does, the last removed first."""
    features, scores = stack
    for place in range(len(scores) - 1, -1, -1):
        if scores[place] >= threshold:
            return features[:place:-1]
    return features[::-1]


def by_back_select(
    group: Group, kept: np.ndarray, idle: np.ndarray, score: np.ndarray
) -> Search[list[Found]]:
    """Find subsets as published: 1 + n (n + 1) / 2 candidates for n features that are not idle."""
    stacks = yield from removals(group, kept, idle, score)
    return [
        Found(taken_back(stack, threshold), stack)
        for stack, threshold in zip(stacks, group.threshold.tolist(), strict=True)
    ]
