"""What a search may still ask: budgets game by game, who has ended early, what was seen to suffice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from blackbox.errors import BudgetSpent
from blackbox.searches.steps import Ask, Group, Search

T = TypeVar("T")


@dataclass
class Meter:
    """Stands between a search and those who answer it.

    left : Float[np.ndarray, "G"], candidates that each game may still ask. watching : a budget may end
    the search, so the smallest sufficient masks of the latest answer that had any are kept: every
    search moves towards smaller ones.
    """

    group: Group
    left: np.ndarray
    watching: bool
    spent: dict[int, BudgetSpent] = field(default_factory=dict)
    seen: dict[int, tuple[np.ndarray, float]] = field(default_factory=dict)

    def run(self, search: Search[T]) -> Search[T]:
        """Pass masks on while budgets last; who has none left is answered with -inf.

        Rows that come back as NaN belong to games whose model has failed; those end as well. A
        ``BudgetSpent`` thrown in ends all.
        """
        try:
            ask = next(search)
            while True:
                scores = yield from self._answered(ask)
                if self.watching:
                    self._note(ask, scores)
                ask = search.send(scores)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def forget(self) -> None:
        """Start a new subset: what sufficed for the last one says nothing about the next."""
        self.seen = {game: one for game, one in self.seen.items() if self.group.out[game]}

    def _answered(self, ask: Ask) -> Search[np.ndarray]:
        self._charge(ask)
        open_ones = ~self.group.out[ask.games]
        whole = bool(open_ones.all())
        if not open_ones.any():
            return np.full(len(open_ones), -np.inf)
        try:
            scores = yield ask if whole else ask.some(np.flatnonzero(open_ones))
        except BudgetSpent as spent:
            playing = np.flatnonzero(~self.group.out)
            self.spent |= dict.fromkeys(playing.tolist(), spent)
            self.group.out[:] = True
            return np.full(len(open_ones), -np.inf)
        failed = np.isnan(scores)
        if whole and not failed.any():
            return scores
        full = np.full(len(open_ones), -np.inf)
        full[open_ones] = np.where(failed, -np.inf, scores)
        self.group.out[ask.games[open_ones][failed]] = True
        return full

    def _charge(self, ask: Ask) -> None:
        if not np.isfinite(self.left).any():
            return
        count = np.bincount(ask.games, minlength=len(self.left))
        for game in np.flatnonzero((count > self.left) & ~self.group.out).tolist():
            self.spent[game] = BudgetSpent("The search's own budget of masks is spent.")
            self.group.out[game] = True
        self.left -= np.where(self.group.out, 0, count)

    def _note(self, ask: Ask, scores: np.ndarray) -> None:
        rows = np.flatnonzero(scores >= self.group.threshold[ask.games])
        masks = ask.some(rows).masks
        order = np.lexsort((masks.sum(axis=1), ask.games[rows]))
        games, first = np.unique(ask.games[rows][order], return_index=True)
        for game, place in zip(games.tolist(), order[first].tolist(), strict=True):
            self.seen[game] = (masks[place].copy(), float(scores[rows[place]]))
