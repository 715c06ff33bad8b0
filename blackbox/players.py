"""Players: a game narrowed to the features in play, asked in rounds of complementary pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from blackbox.errors import RequestError
from blackbox.game import Game
from blackbox.numerics import designs, intervals
from blackbox.numerics.coalitions import every_coalition, exact_shapley
from blackbox.numerics.estimators import (
    Estimate,
    Operator,
    Pairs,
    antithetic_permutations,
    from_pairs,
    operator,
    pair_interactions,
    second_order,
)
from blackbox.numerics.informative import InformativePairs
from blackbox.numerics.interactions import exact_interactions

CHUNK = 2**16
"""Coalitions enumerated at once, so that memory does not grow with their number."""

WITNESSES = 8
"""Drawn pairs that must agree before a game is taken to be of second order."""

SOONEST = 16
"""Drawn pairs before a tolerance may be met: where 8 were enough, intervals held in 70 to 86 % only."""


@dataclass(frozen=True)
class Players:
    """A game narrowed to the m features in play; a feature that equals every background row is in none.

    playing : their positions. base, full : Float[np.ndarray, "t"].
    """

    game: Game
    playing: np.ndarray
    base: np.ndarray
    full: np.ndarray

    @classmethod
    def of(cls, game: Game) -> Players:
        """Ask the base and the full score."""
        return cls(game, np.flatnonzero(game.in_play), game.base(), game.full())

    @property
    def m(self) -> int:
        """Number of players."""
        return len(self.playing)

    def __call__(self, masks: np.ndarray) -> np.ndarray:
        return self.game(self.spread(masks))

    def once(self, masks: np.ndarray) -> np.ndarray:
        """Score masks that nobody will ask again."""
        return self.game.once(self.spread(masks))

    def spread(self, masks: np.ndarray) -> np.ndarray:
        """Put masks over the features in play into masks over all of them."""
        if self.m == self.game.d:
            return masks
        spread = np.ones((len(masks), self.game.d), dtype=bool)
        spread[:, self.playing] = masks
        return spread

    def wide(self, values: np.ndarray) -> np.ndarray:
        """Give the features out of play a zero: Float["m t"] -> Float["d t"]."""
        found = np.zeros((self.game.d, *values.shape[1:]))
        found[self.playing] = values
        return found

    def wide_pairs(self, values: np.ndarray) -> np.ndarray:
        """Float["m m t"] -> Float["d d t"], or "d d" for one target."""
        found = np.zeros((self.game.d, self.game.d, values.shape[2]))
        found[np.ix_(self.playing, self.playing)] = values
        return found[:, :, 0] if len(self.base) == 1 else found

    def widened(self, estimate: Estimate) -> Estimate:
        """Add the features out of play to an estimate: values and variances of zero."""
        if self.m == self.game.d:
            return estimate
        covariance = estimate.covariance
        if covariance is not None:
            wide = np.zeros((len(covariance), self.game.d, self.game.d))
            wide[:, self.playing[:, None], self.playing] = covariance
            covariance = wide
        return dataclasses.replace(estimate, values=self.wide(estimate.values), covariance=covariance)

    def enumerated(self, interactions: bool) -> tuple[np.ndarray, np.ndarray | None, bool]:
        """Gather values (and interactions) over all coalitions in chunks; say whether any score differs."""
        values = np.zeros((self.m, len(self.base)))
        pairs = np.zeros((self.m, self.m, len(self.base))) if interactions else None
        moved = False
        for start in range(0, 2**self.m if self.m else 0, CHUNK):
            masks = every_coalition(self.m, start, start + CHUNK)
            scores = self(masks)
            values += exact_shapley(masks, scores)
            if pairs is not None:
                pairs += exact_interactions(masks, scores)
            moved = moved or bool(np.any(scores != self.base))
        return values, pairs, moved

    def background_errors(self) -> np.ndarray | None:
        """Standard errors of phi from the drawing of the background, Float["m t"]; None where unknown."""
        if len(self.game.background) < 2 or self.m < 1:
            return None
        alone = self.game.per_row(self.spread(~np.eye(self.m, dtype=bool)))
        only = self.game.per_row(self.spread(np.eye(self.m, dtype=bool)))
        base = self.game.per_row(self.spread(np.zeros((1, self.m), dtype=bool)))
        if self.m == 1 or alone is None or only is None or base is None:
            return None
        return intervals.of_background(alone, only, base[0], self.full)


Rounds = Iterator[tuple[Estimate, int, bool, Pairs | None]]
"""After every round: the estimate, the masks asked so far, whether any score has differed, the pairs."""


@dataclass(frozen=True)
class Goal:
    """How narrow the intervals are to be: the widest half-width over the range of the values."""

    tolerance: float
    confidence: float

    def short(self, estimate: Estimate) -> float:
        """Return how many times the design so far is expected to reach the goal; infinite where unknown."""
        halves = intervals.half_widths(estimate, self.confidence)
        return (intervals.relative_width(estimate.values, halves) / self.tolerance) ** 2


RUNG, FAR = 2**0.25, 2.0
"""Designs that are looked at grow by powers of the first, and by the second at most between two looks.

Few looks, so that stopping at the first that seems narrow enough does not spoil coverage, and little time
goes into solving; fixed sizes, so that a last bit does not move them.
"""


def _next(count: int, first: int, last: int, short: float) -> int:
    """Return after how many pairs (or orders) to look next: where the goal is expected, if not too far.

    A sample's error falls with the root of its number, the kernels' down to its inverse: the goal is expected
    after the root of what the first rate asks for, so that hardly a pass is wasted.
    """
    wanted, rung = count * min(short**0.5, FAR), 0
    while (found := round(first * RUNG**rung)) <= count or found < wanted * (1 - 1e-3) - 0.5:
        rung += 1
    # what would be left over is not worth a look of its own
    return last if found * 6 > last * 5 else found


def paired(
    players: Players, limit: int, rng: np.random.Generator, name: str, goal: Goal | None, settle: bool = True
) -> Rounds:
    """The start, a look at whether it settles the game (unless all is to be asked), then drawn pairs."""
    m, ends = players.m, (players.full - players.base) / 2
    design = _design(name, m, limit // 2 - m, rng)
    pairs = Pairs(designs.singles(m), np.zeros((0, len(ends))), ends, np.ones(m), m)
    scores = players(designs.asked(pairs.halves))
    moved = bool(np.ptp(np.concatenate([scores, players.base[None]]), axis=0).any())
    pairs = dataclasses.replace(pairs, odd=designs.odd_part(scores), even=designs.even_part(scores))
    if settle and (second_order(pairs) is not None or name == "exact"):
        pairs, more = _extended(players, pairs, design, WITNESSES)
        moved = moved or more
        settled = second_order(pairs)
        if settled is not None:
            yield settled, 2 * len(pairs), moved, pairs
            return
    first = min(len(design), max(SOONEST, m // 2, len(pairs) - m))
    estimate, last = None, m + len(design)
    count = last if goal is None else _next(0, m + first, last, 0.0)
    while True:
        pairs, more = _extended(players, pairs, design, count - m)
        moved = moved or more
        try:
            estimate = from_pairs("odd-kernel" if name == "exact" else name, pairs, estimate)
        except np.linalg.LinAlgError:
            raise RequestError(
                f"The masks drawn do not determine all {m} features: raise the budget."
            ) from None
        yield estimate, 2 * len(pairs), moved, pairs
        if name == "exact" or goal is None or count == last:
            return
        count = _next(count, m + first, last, goal.short(estimate))


def _design(name: str, m: int, count: int, rng: np.random.Generator) -> designs.Design:
    """Leverage scores for their own estimator, and for a few witnesses; for kernels what informs most."""
    if name in ("leverage", "exact"):
        return designs.Drawn(*designs.leverage_pairs(m, count, rng, smallest=2))
    return InformativePairs(m, count, rng)


def _extended(players: Players, pairs: Pairs, design: designs.Design, count: int) -> tuple[Pairs, bool]:
    """Ask the first ``count`` pairs of a design; say whether any new score differs from the base score."""
    drawn, chances = design.first(count)
    halves = drawn[len(pairs) - pairs.start :]
    if not len(halves):
        return pairs, False
    scores = players(designs.asked(halves))
    assert pairs.even is not None
    return dataclasses.replace(
        pairs,
        even=np.concatenate([pairs.even, designs.even_part(scores)]),
        halves=np.concatenate([pairs.halves, halves]),
        odd=np.concatenate([pairs.odd, designs.odd_part(scores)]),
        chances=np.concatenate([np.ones(pairs.start), chances]),
    ), bool(np.any(scores != players.base))


def permuted(players: Players, limit: int, rng: np.random.Generator, goal: Goal | None) -> Rounds:
    """Antithetic orders: 2 (m - 1) masks each."""
    m, ends = players.m, (players.full - players.base) / 2
    orders, halves = designs.chains(m, limit // (2 * (m - 1)), rng)
    odd, moved = np.zeros((0, m - 1, len(ends))), False
    last, first = len(orders), min(4, len(orders))
    count = last if goal is None else _next(0, first, last, 0.0)
    while True:
        new = halves[len(odd) : count]
        if len(new):
            scores = players(designs.asked(new.reshape(-1, m)))
            moved = moved or bool(np.any(scores != players.base))
            odd = np.concatenate([odd, designs.odd_part(scores).reshape(len(new), m - 1, -1)])
        estimate = antithetic_permutations(orders[:count], odd, ends)
        yield estimate, 2 * (m - 1) * count, moved, None
        if goal is None or count == last:
            return
        count = _next(count, first, last, goal.short(estimate))


def estimated_interactions(
    players: Players, pairs: Pairs, estimate: Estimate, confidence: float
) -> dict[str, np.ndarray]:
    """Return the interaction indices of all features, and the half-widths of their intervals where known."""
    middle = (players.full + players.base) / 2
    values, deviations = pair_interactions(pairs, middle, np.abs(estimate.values))
    found = {"interactions": players.wide_pairs(values)}
    if deviations is not None:
        # as for the values: half of what was drawn chooses, half judges
        freedom = max(2.0, (len(pairs) - pairs.start - 1) / 2)
        wide = players.wide_pairs(deviations)
        found["interaction_half_widths"] = intervals.quantile(confidence, freedom) * wide
    return found


POOL = 8
"""Rows whose games choose the kernel that all rows share."""


@dataclass(frozen=True)
class Shared:
    """One design and one factorisation for every row with the same number of players.

    masks : Bool[np.ndarray, "n m"]. answered : scores of the first rows, by the identity of their players,
    until they are asked for.
    """

    masks: np.ndarray
    solve: Operator
    answered: dict[int, np.ndarray]

    @classmethod
    def of(cls, several: Sequence[Players], masks: int, rng: np.random.Generator) -> Shared:
        """Draw the design, ask it of the first rows, and choose their common kernel."""
        m = several[0].m
        wanted = max(0, masks // 2 - m)
        drawn, chances = InformativePairs(m, wanted, rng).first(wanted)
        halves = np.concatenate([designs.singles(m), drawn])
        asked = designs.asked(halves)
        scores = [one.once(asked) for one in several]
        odd = np.concatenate([designs.odd_part(some) for some in scores], axis=1)
        ends = np.concatenate([(one.full - one.base) / 2 for one in several])
        solve = operator(Pairs(halves, odd, ends, np.concatenate([np.ones(m), chances]), m))
        return cls(asked, solve, {id(one): some for one, some in zip(several, scores, strict=True)})

    def __call__(self, players: Players) -> tuple[Estimate, bool]:
        """Ask one row; return its estimate and whether any score differed."""
        scores = self.answered.pop(id(players), None)
        if scores is None:
            scores = players.once(self.masks)
        estimate = self.solve(designs.odd_part(scores), (players.full - players.base) / 2)
        return estimate, bool(np.any(scores != players.base))
