"""BackSelect and FindSIS, as published: the exact backward order, and the subset read off its end."""

from __future__ import annotations

import numpy as np

from blackbox.searches.steps import Found, Search, Stack, sweep


def back_select(kept: np.ndarray, idle: np.ndarray | None = None, score: float = np.nan) -> Search[Stack]:
    """Search the order in which features are given up: always the one whose loss leaves most score.

    Parameters
    ----------
    kept : Bool[np.ndarray, "d"], the features that are still there.
    idle : Bool[np.ndarray, "d"], features that equal the background: removing one leaves the score
        as it is, so none is asked. score : of ``kept`` itself; needed only where some are idle.

    Returns
    -------
    (feature, score after its removal) in the order of removal; ties give up the lowest position;
    empty when nothing is kept. Candidates: sum of the features left that are not idle.
    """
    kept, stack = kept.copy(), []
    idle = np.zeros(len(kept), dtype=bool) if idle is None else idle
    scores, known, still = np.full(len(kept), -np.inf), False, kept & idle
    active = np.flatnonzero(kept & ~idle)
    for _ in range(int(kept.sum())):
        if not known:
            scores[active] = yield from sweep(kept, active)
        scores[still] = score
        best = int(scores.argmax())  # argmax takes the first of equals: the published tie rule
        score = float(scores[best])
        scores[best], kept[best] = -np.inf, False
        stack.append((best, score))
        known = bool(idle[best])  # without an idle feature every other loss is what it was
        if known:
            still[best] = False
        else:
            active = active[active != best]
    return stack


def find_sis(stack: Stack, threshold: float) -> list[int]:
    """Take features back, last removed first, until the rest of the order reaches the threshold.

    Raises
    ------
    ValueError : the stack is empty.
    """
    if not stack:
        raise ValueError("BackSelect returned no order")
    subset: list[int] = []
    for feature, score in reversed(stack):
        if score >= threshold:
            break
        subset.append(feature)
    return subset


def by_back_select(kept: np.ndarray, idle: np.ndarray, threshold: float, score: float) -> Search[Found]:
    """Find one subset as published: 1 + n (n + 1) / 2 candidates for n features that are not idle."""
    stack = yield from back_select(kept, idle, score)
    return Found(find_sis(stack, threshold), stack)
