"""Collections: disjoint subsets one after the other, each with its certificate, within a budget."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from blackbox.errors import BudgetSpent
from blackbox.searches.backselect import by_back_select
from blackbox.searches.batched import LAST, SHARE, WIDE, by_batches
from blackbox.searches.exact import smallest
from blackbox.searches.greedy import by_leave_one_out, forward, prune
from blackbox.searches.meter import Meter
from blackbox.searches.steps import Ask, Found, Group, Search, Stack, only

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
    """What is searched for in games of equally many features, in scores whose sign makes larger better.

    threshold, full : Float[np.ndarray, "G"], in those scores. idle : Bool[np.ndarray, "G d"], features
    equal to the background. budget : candidates that may be asked, per game; None = the search's own
    rule. place : Int[np.ndarray, "d axes"], where features lie; None = in a row. limited : somebody
    may throw ``BudgetSpent`` into the search.
    """

    threshold: np.ndarray
    full: np.ndarray
    idle: np.ndarray
    search: str = "auto"
    share: float | None = None
    max_subsets: int | None = None
    budget: int | None = None
    place: np.ndarray | None = None
    limited: bool = True


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


def collect(wanted: Wanted) -> Search[list[Collection | BudgetSpent]]:
    """Find one subset, hide it for good, and repeat while what is left reaches the threshold, game by game.

    A budget that ends midway, the caller's own or one thrown in as ``BudgetSpent``, keeps what is
    certified; of the search that it interrupts it keeps the smallest set that was seen to suffice.

    Returns
    -------
    Per game what was found; the ``BudgetSpent`` that was thrown in before anything was.
    """
    group = Group.of(wanted.threshold.tolist())
    budgets = [budget_for(wanted.search, int(n), wanted.budget) for n in (~wanted.idle).sum(axis=1)]
    left = np.array([np.inf if budget is None else budget for budget in budgets])
    meter = Meter(group, left, wanted.limited or bool(np.isfinite(left).any()))
    found = [Collection() for _ in budgets]
    available = np.ones(wanted.idle.shape, dtype=bool)
    yield from meter.run(_collect(wanted, group, found, available, meter))
    return [_ended(*game, meter) for game in enumerate(zip(found, available & ~wanted.idle, strict=True))]


def _ended(number: int, game: tuple[Collection, np.ndarray], meter: Meter) -> Collection | BudgetSpent:
    """Close one game: if a budget ended it, with the smallest set that was seen to suffice."""
    found, active = game
    spent = meter.spent.get(number)
    if spent is None:
        return found
    mask, score = meter.seen.get(number, (active, np.nan))
    members = np.flatnonzero(mask & active).tolist()
    if len(members) < active.sum():
        found.subsets.append(members)
        found.stacks.append(([], []))
        found.certificates.append(Certificate(score, None, None, 1, len(members) == 1))
    elif not found.subsets and np.isinf(meter.left[number]):
        return spent
    found.spent = True
    return found


def _collect(
    wanted: Wanted, group: Group, found: list[Collection], available: np.ndarray, meter: Meter
) -> Search[None]:
    d = available.shape[1]
    most = wanted.max_subsets or d
    going, score = np.arange(len(found)), wanted.full.astype(float)
    while len(going):
        meter.forget()
        some = group.some(going)
        first = yield from _one(wanted, some, available[going], wanted.idle[going], score)
        pruned = yield from prune(some, [one.members for one in first], d)
        alone = yield Ask(only([members for members, _ in pruned], d), some.numbers)
        for game, one, (members, left_out), own in zip(
            going.tolist(), first, pruned, alone.tolist(), strict=True
        ):
            if group.out[game]:
                continue
            found[game].subsets.append(members)
            found[game].stacks.append(one.stack)
            below = max(left_out) < group.threshold[game]
            found[game].certificates.append(
                Certificate(own, left_out, bool(below), one.bound, len(members) <= one.bound)
            )
            available[game, members] = False
        meter.forget()
        going = going[some.playing & np.array([len(found[game].subsets) < most for game in going])]
        if len(going):
            score = yield Ask(available[going], going)
            more = (score >= group.threshold[going]) & group.some(going).playing
            going, score = going[more], score[more]


def _one(
    wanted: Wanted, group: Group, available: np.ndarray, idle: np.ndarray, score: np.ndarray
) -> Search[list[Found]]:
    """Find one subset of every game among its available features with the search that was asked for."""
    active = available & ~idle
    if wanted.search == "backselect":
        return (yield from by_back_select(group, available, idle, score))
    if wanted.search == "batched":
        return (yield from by_batches(group, active, wanted.share or SHARE, LAST, wanted.place))
    if wanted.search in ("greedy", "ranked"):
        how = forward if wanted.search == "greedy" else by_leave_one_out
        found = yield from how(group, active)
        # only scores that contradict themselves leave nothing: all active features together suffice
        return [
            one or Found(np.flatnonzero(features).tolist(), ([], []))
            for one, features in zip(found, active, strict=True)
        ]
    first = yield from _auto(wanted, group, available, idle, score)
    if wanted.search == "auto":
        return first
    return (yield from _proven(wanted, group, active, first))


def _proven(wanted: Wanted, group: Group, active: np.ndarray, first: list[Found]) -> Search[list[Found]]:
    """Ask every smaller set than the one that was found, game by game: their chunks are full anyway."""
    pruned = yield from prune(group, [one.members for one in first], active.shape[1])
    budget = EXACT_BUDGET if wanted.budget is None else wanted.budget
    found = []
    for row, ((members, _), one) in enumerate(zip(pruned, first, strict=True)):
        alone = group.some(np.array([row]))
        better, bound = yield from smallest(alone, active[row], len(members), budget)
        found.append(Found(better or members, one.stack, bound if better is None else len(better)))
    return found


def _auto(
    wanted: Wanted, group: Group, available: np.ndarray, idle: np.ndarray, score: np.ndarray
) -> Search[list[Found]]:
    """Choose by the number of features in play: BackSelect, small steps and forward greedy, large steps."""
    active = available & ~idle
    counts = active.sum(axis=1)
    found: dict[int, Found] = {}
    few, wide = np.flatnonzero(counts <= FEW), np.flatnonzero(counts > MANY)
    if len(few):
        back = yield from by_back_select(group.some(few), available[few], idle[few], score[few])
        found |= zip(few.tolist(), back, strict=True)
    if len(wide):
        share = wanted.share or SHARE
        back = yield from by_batches(group.some(wide), active[wide], share, LAST, wanted.place)
        found |= zip(wide.tolist(), back, strict=True)
    between = np.flatnonzero((counts > FEW) & (counts <= MANY))
    if len(between):
        both = yield from _both_ways(group.some(between), active[between], wanted.share or SMALL_SHARE)
        found |= zip(between.tolist(), both, strict=True)
    return [found[row] for row in range(len(active))]


def _both_ways(group: Group, active: np.ndarray, share: float) -> Search[list[Found]]:
    """Small steps backwards, then forward greedy as long as it can end with fewer."""
    back = yield from by_batches(group, active, share, SMALL_LAST)
    most = np.array([max(1, len(one.members) - 1) for one in back])
    ahead = yield from forward(group, active, most)
    return [
        more
        if more is not None and len(more.members) < len(one.members)
        # forward greedy asked every single feature before it gave up
        else Found(one.members, one.stack, min(2, len(one.members)))
        for one, more in zip(back, ahead, strict=True)
    ]


def budget_for(search: str, in_play: int, budget: int | None) -> int | None:
    """Return the budget that applies: the caller's, or the rule of "auto" on a wide input."""
    return WIDE_BUDGET if budget is None and search == "auto" and in_play > WIDE else budget
