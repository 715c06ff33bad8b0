"""Masks played by the model itself, where it offers that, with their rows counted like filled ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blackbox.model import Hidden, Hide, Hiding, Pass
from blackbox.score import Score

FILLED = "rows filled by NumPy"
"""How features are hidden where the model offers nothing else."""

TOGETHER = 16
"""Passes that are handed over at once: enough to keep a device busy, few enough to tell of progress."""


@dataclass(frozen=True)
class Fused:
    """A model's own hiding.

    count : background rows. hide : what the model offered; its ``run`` is there.
    """

    score: Score
    count: int
    hide: Hide

    def __call__(self, passes: Sequence[Pass]) -> list[Hidden | None]:
        """Play passes; None where an answer is no number, which filled rows then name.

        Raises
        ------
        BudgetSpent : a pass would exceed the rows allowed. ModelError : the model failed.
        """
        # where the rows may run out, no pass is noted that is not made
        step = 1 if self.score.ledger.limited else TOGETHER
        groups = [passes[start : start + step] for start in range(0, len(passes), step)]
        return [answer for group in groups for answer in self._play(group)]

    def _play(self, passes: Sequence[Pass]) -> list[Hidden | None]:
        assert self.hide.run is not None
        for masks, _ in passes:
            self.score.ledger.spend(len(masks) * self.count)
        return [self._checked(answer) for answer in self.hide.run(passes)]

    def _checked(self, answer: Hidden) -> Hidden | None:
        if not (answer.finite and np.isfinite(answer.scores).all()):
            return None
        self.score.ledger.floored += answer.floored
        return answer


def fused(score: Score, hiding: Hiding) -> Fused | str:
    """Ask a score's model to hide by itself; a sentence says why it does not."""
    offered = getattr(score.model, "hide", None)
    if offered is None:
        return FILLED
    hide: Hide = offered(hiding, score.readout)
    if hide.run is None:
        return hide.how
    return Fused(score, len(next(iter(hiding.background.values()))), hide)
