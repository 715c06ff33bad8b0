"""KernelSHAP: Shapley values by enumeration, or by a weighted regression over drawn coalitions."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from blackbox.errors import RequestError
from blackbox.explanation import Explanation, Outcome
from blackbox.game import Game
from blackbox.numerics.coalitions import every_coalition, exact_shapley, kernel_design
from blackbox.numerics.least_squares import efficient_regression
from blackbox.settings import whole

CHUNK = 2**16
"""Coalitions enumerated at once, so that memory does not grow with their number."""


@dataclass(frozen=True)
class KernelShap:
    """Shapley values phi of the game, all of them, summing to full score - base score.

    phi_i = sum_{S without i} |S|! (d-|S|-1)! / d! [v(S+i) - v(S)]. Exact by enumeration when the
    2^m - 2 coalitions of the m features that differ from the background fit the budget; otherwise
    the weighted regression of KernelExplainer: paired coalitions, efficiency as a constraint, no
    regularisation and no feature dropped. A feature that equals every background row gets 0.

    Parameters
    ----------
    budget : masks asked of the game, the empty and the full one not counted; at least 2 m unless
        enumeration fits. None = 2 m + 2048, SHAP's own rule. Rows are masks x background rows.

    details
    -------
    ``masks`` : how many were asked besides the empty and the full one.
    ``residual`` : Float[np.ndarray, "t"], full - base - sum of values (rounding).

    outcome : EXACT when enumerated, CONSTANT when the score never changes, else DONE.

    Raises
    ------
    RequestError : the budget cannot determine every feature.

    References
    ----------
    Lundberg and Lee 2017, arXiv 1705.07874.

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

    budget: int | None = None

    def __post_init__(self) -> None:
        if self.budget is not None:
            whole("budget", self.budget, 1)

    def explain(self, game: Game, rng: np.random.Generator) -> Explanation:
        """Play the game; ``rng`` draws the coalitions that are not enumerated."""
        base, full = game.base(), game.full()
        playing = np.flatnonzero(game.in_play)
        values = np.zeros((game.d, len(base)))
        found, asked, outcome = self._shapley(game, playing, base, full, rng)
        values[playing] = found
        residual = full - base - values.sum(axis=0)
        details = {"masks": asked, "residual": residual}
        return game.explanation(self.name, dataclasses.asdict(self), values, outcome, details)

    def _shapley(
        self, game: Game, playing: np.ndarray, base: np.ndarray, full: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, int, Outcome]:  # fmt: skip
        m = len(playing)
        if m == 0:
            return np.zeros((0, len(base))), 0, Outcome.CONSTANT
        budget = self.budget or 2 * m + 2048
        if 2**m - 2 <= budget:
            found, moved = _exact(game, playing)
            return found, 2**m - 2, Outcome.EXACT if moved else Outcome.CONSTANT
        if budget < 2 * m:
            raise RequestError(
                f"A budget of {budget} masks cannot determine {m} features: give at least {2 * m}."
            )
        masks, weights = kernel_design(m, budget, rng)
        scores = game(_spread(masks, playing, game.d))
        try:
            found = efficient_regression(masks, weights, scores, base, full)
        except np.linalg.LinAlgError:
            raise RequestError(
                f"The {budget} masks drawn do not determine all {m} features: raise the budget."
            ) from None
        return found, len(masks), Outcome.DONE if np.ptp(scores, axis=0).any() else Outcome.CONSTANT


def _exact(game: Game, playing: np.ndarray) -> tuple[np.ndarray, bool]:
    """Gather the Shapley values over all coalitions, chunk by chunk; say whether any score differs."""
    total: np.ndarray = np.zeros(0)
    base, moved = game.base(), False
    for start in range(0, 2 ** len(playing), CHUNK):
        masks = every_coalition(len(playing), start, start + CHUNK)
        scores = game(_spread(masks, playing, game.d))
        part = exact_shapley(masks, scores)
        total = part if total.size == 0 else total + part
        moved = moved or bool(np.any(scores != base))
    return total, moved


def _spread(masks: np.ndarray, playing: np.ndarray, d: int) -> np.ndarray:
    """Put masks over the features in play into masks over all of them."""
    if len(playing) == d:
        return masks
    spread = np.ones((len(masks), d), dtype=bool)
    spread[:, playing] = masks
    return spread
