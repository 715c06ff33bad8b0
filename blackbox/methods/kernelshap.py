"""KernelSHAP: Shapley values by enumeration, or from few coalitions with error bars."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import numpy as np

from blackbox.errors import RequestError
from blackbox.explanation import Explanation, Outcome
from blackbox.game import Game
from blackbox.numerics import intervals
from blackbox.numerics.coalitions import kernel_design
from blackbox.numerics.estimators import MOST, Estimate
from blackbox.numerics.least_squares import efficient_regression
from blackbox.owen import divided
from blackbox.players import POOL, WITNESSES, Goal, Players, Shared, estimated_interactions, paired, permuted
from blackbox.settings import choice, number, whole

ESTIMATORS = ("auto", "exact", "kernel", "leverage", "permutation", "odd-kernel", "cubic-kernel")

ENOUGH = 0.02
"""The tolerance of ``budget="auto"``: 2 % of the range is less than a plot shows."""

FEW_ROWS = 20
"""Background rows below which their own sampling error is hardly known."""


@dataclass(frozen=True)
class KernelShap:
    """Shapley values phi of the game with error bars, all of them, summing to full score - base score.

    phi_i = sum_{S without i} |S|! (d-|S|-1)! / d! [v(S+i) - v(S)]. Exact by enumeration when the
    2^m - 2 coalitions of the m features that differ from the background fit the budget. Otherwise
    complementary pairs are asked: first the 2 m masks that hide or keep one feature, which settle a
    game whose interactions have at most two members, then the pairs that leave the least unknown about phi
    (for ``leverage``: pairs of uniform sizes, without replacement).
    No feature is dropped; one that equals every background row gets 0.

    Parameters
    ----------
    budget : masks asked of the game at the most, the empty and the full one not counted; at least 2 m
        unless enumeration fits. Rows are masks x background rows. None = 2 m + 2048, SHAP's own
        rule. ``auto`` = the same as a cap, with a tolerance of 0.02.
    estimator : ``exact`` (refused where it does not fit the budget), ``kernel`` (KernelExplainer's masks
        and regression, for parity; no interval), ``leverage`` (paired weighted regression),
        ``permutation`` (antithetic orders), ``odd-kernel`` and ``cubic-kernel`` (Gaussian process on the
        odd part: all orders with a share per feature; orders 1 and 3), ``auto`` (exact where it
        fits, else per target the odd kernel or the regression, by leave-one-out error).
    confidence : of every interval, and of all rank claims together.
    tolerance : stop when every interval's half-width is at most this share of the range of the
        values; None = spend the budget.
    interactions : 2 adds the Shapley interaction index of all pairs, from the same passes: exact where
        the game is enumerated, else by Gaussian-process regression on the even part of the pairs, whose
        budget is then spent in full.
    hierarchy : divides the score down a tree of groups instead (Owen values): nested lists of names or
        positions of features, ``correlation`` (clustered over the background rows) or ``position``
        (halved by place); None = no tree.

    details
    -------
    ``masks`` : how many were asked besides the empty and the full one. ``residual`` :
    Float[np.ndarray, "t"], full - base - sum of values (rounding). ``estimator`` : what answered.
    ``ranking`` : positions from the highest value down; ``rank_separable`` : d - 1 booleans per target,
    neighbours that differ, all claims together at the confidence. ``relative_width`` : widest
    half-width over the range; ``forecast_masks`` : masks in all that the tolerance is expected to take.
    ``background_half_widths`` : half-widths that include the drawing of the background rows as well
    (several rows only; ``lower_bounds`` and ``upper_bounds`` take the rows as given);
    ``background_note`` where they are too few to tell. ``interactions`` : Float["d d"] per target, I_ij
    = sum_{S without i, j} |S|! (d-|S|-2)! / (d-1)! [v(S+i+j) - v(S+i) - v(S+j) + v(S)];
    ``interaction_half_widths`` of their intervals where they are estimated (up to 5,000 pairs).

    With a hierarchy: ``hierarchy``, the tree in names; ``groups``, per inner node its ``members`` and
    ``values``, their sum. A group that the budget did not divide is split equally, without interval.

    outcome : EXACT when enumerated (or the tree was divided down to every feature), SECOND_ORDER when
        settled by the first masks, REACHED or SPENT with a tolerance, CONSTANT when the score never
        changes, else DONE.

    Raises
    ------
    RequestError : the budget cannot determine every feature, or does not cover what was asked; the
        hierarchy leaves a feature out or names one twice.

    References
    ----------
    Lundberg and Lee 2017, arXiv 1705.07874. Musco and Witter 2024, arXiv 2410.01917. Covert and Lee
    2021, arXiv 2012.01536. Goldwasser and Hooker 2024, arXiv 2401.15800. Grabisch and Roubens 1999,
    doi 10.1007/s001820050125.

    Examples
    --------
    >>> import blackbox as bb
    >>> e = bb.explain(lambda x: x[:, 0] * x[:, 1], [2.0, 3.0], method="kernelshap")
    >>> e.values.tolist(), e.outcome.name
    ([3.0, 3.0], 'EXACT')
    """

    name: ClassVar[str] = "kernelshap"
    scale: ClassVar[str] = "raw"
    one_target: ClassVar[bool] = False

    budget: int | str | None = "auto"
    estimator: str = "auto"
    confidence: float = 0.95
    tolerance: float | None = None
    interactions: int = 1
    hierarchy: str | tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        if self.budget is not None and self.budget != "auto":
            whole("budget", self.budget, 1)
        choice("estimator", self.estimator, ESTIMATORS)
        number("confidence", self.confidence, 0.0, strict=True)
        if self.confidence >= 1:
            raise RequestError(f"confidence must be below 1; got {self.confidence!r}.")
        if self.tolerance is not None:
            number("tolerance", self.tolerance, 0.0, strict=True)
            if self.estimator == "kernel":
                raise RequestError("The kernel estimator has no intervals, so it takes no tolerance.")
        if self.interactions not in (1, 2):
            raise RequestError(f"interactions must be 1 or 2; got {self.interactions!r}.")
        if self.interactions == 2 and self.estimator in ("kernel", "permutation"):
            raise RequestError(f"The {self.estimator} estimator asks no pairs, so it takes no interactions.")
        if self.hierarchy is not None and (self.estimator != "auto" or self.interactions == 2):
            raise RequestError(
                "A hierarchy has a way of its own to divide the score: leave estimator at auto and "
                "interactions at 1."
            )

    def explain(self, game: Game, rng: np.random.Generator) -> Explanation:
        """Play the game; ``rng`` draws the coalitions that are not enumerated."""
        if self.hierarchy is not None:
            values, outcome, details = divided(game, self.hierarchy, self._limit(game.d))
            return game.explanation(self.name, dataclasses.asdict(self), values, outcome, details)
        players = Players.of(game)
        limit = self._limit(players.m)
        if players.m <= 1 or (self.estimator in ("auto", "exact") and 2**players.m - 2 <= limit):
            estimate, asked, outcome, more = self._everything(players)
        else:
            estimate, asked, outcome, more = self._some(players, limit, rng)
        return self._record(players, estimate, asked, outcome, more)

    def explain_all(
        self, games: Iterable[Game], stream: Callable[[Game], np.random.Generator]
    ) -> Iterator[Explanation]:
        """Explain many rows with one design of masks and one factorisation per number of players.

        The first rows choose one odd kernel for all; with a tolerance, the first row decides how many masks
        every row is asked. Rows that can be enumerated are, and estimators other than ``auto`` and
        ``odd-kernel`` explain row by row. Nothing is kept of a row that was answered.
        """
        shared: dict[int, Shared] = {}
        waiting = iter(games)
        while pool := list(islice(waiting, POOL)):
            several = [Players.of(game) for game in pool]
            for one in several:
                yield self._one_of(one, several, shared, stream)

    def _one_of(
        self, one: Players, several: Sequence[Players], shared: dict[int, Shared],
        stream: Callable[[Game], np.random.Generator],
    ) -> Explanation:  # fmt: skip
        limit = self._limit(one.m)
        alone = self.estimator not in ("auto", "odd-kernel") or self.interactions == 2 or self.hierarchy
        few, many = limit < 2 * one.m + 2 * WITNESSES, limit > 2 * MOST
        if alone or few or many or one.m == 0 or 2**one.m - 2 <= limit:
            return self.explain(one.game, stream(one.game))
        if one.m not in shared:
            alike = [other for other in several if other.m == one.m]
            masks = limit
            if self._wanted() is not None:
                masks = max(2 * one.m + 2 * WITNESSES, self._some(one, limit, stream(one.game))[1])
            shared[one.m] = Shared.of(alike, masks, stream(one.game))
        estimate, moved = shared[one.m](one)
        asked, wanted = len(shared[one.m].masks), self._wanted()
        width = intervals.relative_width(estimate.values, intervals.half_widths(estimate, self.confidence))
        more: dict[str, Any] = {"relative_width": width if np.isfinite(width) else None, "pooled": True}
        if wanted is not None:
            more["forecast_masks"] = asked if width <= wanted else intervals.forecast(asked, width, wanted)
        return self._record(one, estimate, asked, _outcome(estimate, moved, wanted, width), more)

    def _limit(self, m: int) -> int:
        return self.budget if isinstance(self.budget, int) else 2 * m + 2048

    def _wanted(self) -> float | None:
        """The tolerance in force; the kernel estimator has none."""
        automatic = self.budget == "auto" and self.tolerance is None and self.estimator != "kernel"
        return ENOUGH if automatic else self.tolerance

    def _everything(self, players: Players) -> tuple[Estimate, int, Outcome, dict[str, Any]]:
        values, pairs, moved = players.enumerated(self.interactions == 2)
        zero = np.zeros((len(players.base), players.m, players.m))
        estimate = Estimate("exact", values, zero, np.inf, np.zeros(len(players.base)))
        more = {} if pairs is None else {"interactions": players.wide_pairs(pairs)}
        return estimate, max(0, 2**players.m - 2), Outcome.EXACT if moved else Outcome.CONSTANT, more

    def _some(
        self, players: Players, limit: int, rng: np.random.Generator
    ) -> tuple[Estimate, int, Outcome, dict[str, Any]]:
        m = players.m
        if limit < 2 * m:
            raise RequestError(
                f"A budget of {limit} masks cannot determine {m} features: give at least {2 * m}."
            )
        if self.estimator == "kernel":
            return _kernel(players, limit, rng)
        wanted = self._wanted() if self.interactions == 1 else None
        goal = None if wanted is None else Goal(wanted, self.confidence)
        rounds = (
            permuted(players, limit, rng, goal)
            if self.estimator == "permutation"
            else paired(players, limit, rng, self.estimator, goal, self.interactions == 1)
        )
        for estimate, asked, moved, pairs in rounds:  # noqa: B007 - the last round is the answer
            width = intervals.relative_width(
                estimate.values, intervals.half_widths(estimate, self.confidence)
            )
            if wanted is not None and width <= wanted:
                break
        if self.estimator == "exact" and estimate.name != "second-order":
            raise RequestError(
                f"Enumeration of {m} features takes {2**m - 2:,} masks, the budget is {limit:,}, "
                "and the game has interactions of more than two features: raise the budget, or take "
                "another estimator."
            )
        more: dict[str, Any] = {"relative_width": width if np.isfinite(width) else None}
        if wanted is not None:
            more["forecast_masks"] = asked if width <= wanted else intervals.forecast(asked, width, wanted)
        if self.interactions == 2:
            assert pairs is not None
            more.update(estimated_interactions(players, pairs, estimate, self.confidence))
        return estimate, asked, _outcome(estimate, moved, wanted, width), more

    def _record(
        self, players: Players, estimate: Estimate, asked: int, outcome: Outcome, more: dict[str, Any]
    ) -> Explanation:
        values = players.wide(estimate.values)
        halves = intervals.half_widths(estimate, self.confidence)
        ranking, apart = intervals.ranks_apart(players.widened(estimate), self.confidence)
        one = len(players.base) == 1
        details = {
            "masks": asked, "residual": players.full - players.base - values.sum(axis=0),
            "estimator": estimate.name, **estimate.notes,
            "ranking": ranking[:, 0] if one else ranking, "rank_separable": apart[:, 0] if one else apart,
            **more, **self._background(players, estimate),
        }  # fmt: skip
        wide = None if halves is None else players.wide(halves)
        settings = dataclasses.asdict(self)
        return players.game.explanation(self.name, settings, values, outcome, details, wide)

    def _background(self, players: Players, estimate: Estimate) -> dict[str, Any]:
        """Half-widths that include the drawing of the background rows, where there are several."""
        rows, errors = len(players.game.background), players.background_errors()
        halves = intervals.half_widths(estimate, self.confidence)
        if rows == 1 or errors is None or halves is None:
            return {}
        wide = players.wide(np.hypot(halves, intervals.quantile(self.confidence, rows - 1.0) * errors))
        found: dict[str, Any] = {"background_half_widths": wide[:, 0] if wide.shape[1] == 1 else wide}
        if rows < FEW_ROWS:
            found["background_note"] = (
                f"The background has {rows} rows: too few to know how much another draw would change."
            )
        return found


def _outcome(estimate: Estimate, moved: bool, wanted: float | None, width: float) -> Outcome:
    if not moved:
        return Outcome.CONSTANT
    if estimate.name == "second-order" and estimate.covariance is not None:
        return Outcome.SECOND_ORDER
    if wanted is None:
        return Outcome.DONE
    return Outcome.REACHED if width <= wanted else Outcome.SPENT


def _kernel(
    players: Players, limit: int, rng: np.random.Generator
) -> tuple[Estimate, int, Outcome, dict[str, Any]]:
    """KernelExplainer's own masks, weights and regression."""
    masks, weights = kernel_design(players.m, limit, rng)
    scores = players(masks)
    try:
        values = efficient_regression(masks, weights, scores, players.base, players.full)
    except np.linalg.LinAlgError:
        raise RequestError(
            f"The {limit} masks drawn do not determine all {players.m} features: raise the budget."
        ) from None
    outcome = Outcome.DONE if np.ptp(scores, axis=0).any() else Outcome.CONSTANT
    return Estimate("kernel", values, None, 0.0, np.full(len(players.base), np.nan)), len(masks), outcome, {}
