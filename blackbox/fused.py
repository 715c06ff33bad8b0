"""Masks played by the model itself, where it offers that, with their rows counted like filled ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blackbox.model import Hidden, Hide, Hiding
from blackbox.score import Score

FILLED = "rows filled by NumPy"
"""How features are hidden where the model offers nothing else."""


@dataclass(frozen=True)
class Fused:
    """A model's own hiding.

    count : background rows. hide : what the model offered; its ``run`` is there.
    """

    score: Score
    count: int
    hide: Hide

    def __call__(self, masks: np.ndarray, apart: bool) -> Hidden | None:
        """Play masks in one pass; None where an answer is no number, which filled rows then name.

        Parameters
        ----------
        masks : Bool[np.ndarray, "n d"]. apart : whether the scores per background row are wanted.

        Raises
        ------
        BudgetSpent : the pass would exceed the rows allowed. ModelError : the model failed.
        """
        assert self.hide.run is not None
        self.score.ledger.spend(len(masks) * self.count)
        answer = self.hide.run(masks, apart)
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
