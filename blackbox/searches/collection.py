"""A collection: disjoint subsets one after the other, each with its certificate, within a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from blackbox.errors import BudgetSpent
from blackbox.searches.backselect import by_back_select
from blackbox.searches.batched import LAST, SHARE, WIDE, by_batches
from blackbox.searches.exact import smallest
from blackbox.searches.greedy import by_leave_one_out, forward, prune
from blackbox.searches.steps import Found, Search, Stack, only

T = TypeVar("T")

SEARCHES = ("auto", "backselect", "batched", "greedy", "ranked", "exact")

FEW = 16
"""Up to so many features BackSelect costs at most 137 candidates, so nothing cheaper is needed."""

MANY = 256
"""Beyond so many, forward greedy (k n candidates) costs more than large backward steps."""

SMALL_SHARE, SMALL_LAST = 0.4, 8
"""Of "auto" up to MANY features, where forward greedy has the second word."""

WIDE_BUDGET = 20_000
"""Candidates that "auto" spends at the most on an input of more than WIDE features in play."""

EXACT_BUDGET = 2**20
"""Candidates of the enumeration: every subset of 20 features."""


@dataclass(frozen=True)
class Wanted:
    """What is searched for, in scores whose sign makes larger better.

    threshold, full : in those scores. idle : Bool[np.ndarray, "d"], features equal to the
    background. budget : candidates that may be asked; None = the search's own rule.
    """

    threshold: float
    full: float
    idle: np.ndarray
    search: str = "auto"
    share: float | None = None
    max_subsets: int | None = None
    budget: int | None = None


@dataclass(frozen=True)
class Certificate:
    """What was asked about one subset, so that anybody can ask it again.

    score : with only the subset kept. left_out : the score with each member left out in turn; None
    where the budget ended before. irreducible : every one of them is below the threshold; None
    where that was not asked. bound : every smaller set than this was asked and does not suffice;
    minimal : the subset has that size, so none is smaller.
    """

    score: float
    left_out: list[float] | None
    irreducible: bool | None
    bound: int
    minimal: bool


@dataclass
class Collection:
    """What was found so far. spent : a budget ended the search."""

    subsets: list[list[int]] = field(default_factory=list)
    stacks: list[Stack] = field(default_factory=list)
    certificates: list[Certificate] = field(default_factory=list)
    spent: bool = False


@dataclass
class _Meter:
    """Counts candidates and keeps the smallest sufficient one of the present search."""

    threshold: float
    left: float
    last: tuple[np.ndarray, np.ndarray] | None = None

    def note(self, masks: np.ndarray, scores: np.ndarray) -> None:
        """Keep the latest masks of which some suffice: every search moves towards smaller ones."""
        if scores.max() >= self.threshold:
            self.last = (masks, scores)

    def smallest(self) -> tuple[np.ndarray, float] | None:
        """Return the smallest sufficient mask among those kept, with its score."""
        if self.last is None:
            return None
        masks, scores = self.last
        sizes = np.where(scores >= self.threshold, masks.sum(axis=1), masks.shape[1] + 1)
        best = int(np.argmin(sizes))
        return masks[best], float(scores[best])


def collect(wanted: Wanted) -> Search[Collection]:
    """Find one subset, hide it for good, and repeat while what is left reaches the threshold.

    A budget that ends midway, the caller's own or one thrown in as ``BudgetSpent``, keeps what is
    certified; of the search that it interrupts it keeps the smallest set that was seen to suffice.

    Raises
    ------
    BudgetSpent : thrown in before anything was found.
    """
    found = Collection()
    meter = _Meter(wanted.threshold, np.inf if wanted.budget is None else wanted.budget)
    available = np.ones(len(wanted.idle), dtype=bool)
    try:
        yield from _metered(_collect(wanted, found, available, meter), meter)
    except BudgetSpent:
        members, score = _rescued(meter, available, wanted.idle)
        if not members and not found.subsets and meter.left >= 0:
            raise
        if members:
            found.subsets.append(members)
            found.stacks.append([])
            found.certificates.append(Certificate(score, None, None, 1, len(members) == 1))
        found.spent = True
    return found


def _rescued(meter: _Meter, available: np.ndarray, idle: np.ndarray) -> tuple[list[int], float]:
    """Take the smallest set that was seen to suffice, if it is smaller than all that is available."""
    seen = meter.smallest()
    if seen is None or (seen[0] & ~idle).sum() >= (available & ~idle).sum():
        return [], float("nan")
    return [int(i) for i in np.flatnonzero(seen[0] & ~idle)], seen[1]


def _metered(search: Search[T], meter: _Meter) -> Search[T]:
    """Pass masks on while the budget lasts; a spent budget arrives inside the search."""
    masks = next(search)
    while True:
        try:
            if len(masks) > meter.left:
                meter.left = -1
                raise BudgetSpent("The search's own budget of masks is spent.")
            scores = yield masks
        except BudgetSpent as spent:
            search.throw(spent)
            raise
        meter.left -= len(masks)
        meter.note(masks, scores)
        try:
            masks = search.send(scores)
        except StopIteration as stop:
            result: T = stop.value
            return result


def _collect(wanted: Wanted, found: Collection, available: np.ndarray, meter: _Meter) -> Search[None]:
    most = wanted.max_subsets or len(available)
    score = wanted.full
    while True:
        meter.last = None
        first = yield from _one(wanted, available, score)
        members, left_out = yield from prune(first.members, wanted.threshold, len(available))
        alone = float((yield only(members, len(available))[None])[0])
        below = bool((left_out < wanted.threshold).all())
        found.subsets.append(members)
        found.stacks.append(first.stack)
        found.certificates.append(
            Certificate(alone, left_out.tolist(), below, first.bound, len(members) <= first.bound)
        )
        available[members] = False
        meter.last = None
        if len(found.subsets) >= most:
            return
        score = float((yield available[None])[0])
        if score < wanted.threshold:
            return


def _one(wanted: Wanted, available: np.ndarray, score: float) -> Search[Found]:
    """Find one subset among the available features with the search that was asked for."""
    active = available & ~wanted.idle
    threshold, share = wanted.threshold, wanted.share
    if wanted.search == "backselect":
        return (yield from by_back_select(available, wanted.idle, threshold, score))
    if wanted.search == "batched":
        return (yield from by_batches(active, threshold, share or SHARE))
    if wanted.search in ("greedy", "ranked"):
        how: Callable[..., Search[Found | None]] = forward if wanted.search == "greedy" else by_leave_one_out
        found = yield from how(active, threshold)
        # only scores that contradict themselves leave nothing: all active features together suffice
        return found or Found([int(i) for i in np.flatnonzero(active)], [])
    first = yield from _auto(wanted, available, score)
    if wanted.search == "auto":
        return first
    members, _ = yield from prune(first.members, threshold, len(available))
    budget = EXACT_BUDGET if wanted.budget is None else wanted.budget
    better, bound = yield from smallest(active, threshold, len(members), budget)
    return Found(better or members, first.stack, bound if better is None else len(better))


def _auto(wanted: Wanted, available: np.ndarray, score: float) -> Search[Found]:
    """Choose by the number of features in play: BackSelect, small steps and forward greedy, large steps."""
    active = available & ~wanted.idle
    count = int(active.sum())
    if count <= FEW:
        return (yield from by_back_select(available, wanted.idle, wanted.threshold, score))
    if count > MANY:
        return (yield from by_batches(active, wanted.threshold, wanted.share or SHARE, LAST))
    back = yield from by_batches(active, wanted.threshold, wanted.share or SMALL_SHARE, SMALL_LAST)
    ahead = yield from forward(active, wanted.threshold, most=max(1, len(back.members) - 1))
    if ahead is not None and len(ahead.members) < len(back.members):
        return ahead
    # forward greedy asked every single feature before it gave up
    return Found(back.members, back.stack, min(2, len(back.members)))


def budget_for(search: str, in_play: int, budget: int | None) -> int | None:
    """Return the budget that applies: the caller's, or the rule of "auto" on a wide input."""
    return WIDE_BUDGET if budget is None and search == "auto" and in_play > WIDE else budget
