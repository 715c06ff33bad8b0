"""Sufficient input subsets: the few features that alone keep the score above a threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from blackbox.errors import BudgetSpent, RequestError
from blackbox.explanation import Explanation, Outcome
from blackbox.game import Game
from blackbox.pool import play
from blackbox.searches.backselect import back_select, find_sis
from blackbox.searches.batched import WIDE
from blackbox.searches.collection import SEARCHES, Collection, Wanted, collect
from blackbox.searches.steps import Search, Stack
from blackbox.settings import choice, number, whole
from blackbox.threshold import Fraction, Quantile, Threshold, parsed

__all__ = ["Begun", "Fraction", "Quantile", "Sis", "Stack", "back_select", "find_sis"]

DIRECTIONS = ("above", "below")


@dataclass(frozen=True)
class Begun:
    """A question whose threshold is known: in score units, and what the two ends score."""

    game: Game
    threshold: float
    base: float
    full: float
    sign: float

    @property
    def uninformative(self) -> bool:
        """The fully hidden input passes already."""
        return self.sign * self.base >= self.sign * self.threshold

    @property
    def passes(self) -> bool:
        """The whole input passes."""
        return self.sign * self.full >= self.sign * self.threshold


@dataclass(frozen=True)
class Sis:
    """Disjoint sufficient input subsets, each with a certificate, by the search that fits.

    A subset suffices when the score with only its features kept reaches the threshold. The
    collection finds one, hides it for good and starts again, while what is left still reaches the
    threshold. Before anything is searched the fully hidden input is asked: it must not pass.

    Parameters
    ----------
    threshold : a number in score units; ``Fraction(0.9)`` (also ``"90%"``) of the way from the fully
        hidden to the full score; ``Quantile(0.9)`` (also ``"q90"``) of a reference set's scores;
        None = Fraction(0.9).
    direction : ``above``, or ``below``: what suffices to keep the score at or under the threshold,
        for example for a rejection.
    search : ``backselect``: as published, 1 + n (n + 1) / 2 masks for the n features that differ from
        the background; ties give up the lowest position. ``batched``: gives up a share of the
        features per round, then BackSelect among the last 32. ``greedy``: adds the best feature
        until it suffices, about k n masks for k members. ``ranked``: shortest prefix of the
        leave-one-out ranking, 2 n masks. ``exact``: ``auto``, then every smaller set in order of
        size, up to 2^20 masks: the smallest there is, where that could be proven.
        ``auto``: up to 16 features in play ``backselect``; up to 256 ``batched`` and ``greedy``,
        the smaller of both; beyond ``batched``, in blocks of neighbours from 1,024 on (squares in a
        picture), where it asks 20,000 masks at the most.
    max_subsets : stop after so many subsets; None = all there are.
    budget : masks that may be asked; None = no limit but that of ``auto`` and ``exact``. A budget
        that ends midway keeps what is certified.
    share : of the features given up per round by ``batched`` and ``auto``; None = 0.175, and for
        ``auto`` up to 256 features 0.4.

    Every search ends with a prune: whatever it found, no single member can go. Such a subset is
    irreducible, which is less than minimal: a smaller one may exist elsewhere.

    ``values`` : 1 for members of the first subset, 0 for the others.

    details
    -------
    ``threshold`` : in score units. ``subsets`` : lists of feature positions, in the order in which
    they were added. ``subset_scores`` : the score with only that subset kept, one per subset.
    ``removal_order``, ``removal_scores`` : one list per subset, the order in which the search gave
    features up (``backselect``: over all that were still there; ``greedy``: its additions undone;
    ``ranked`` has none) and the score after each removal. ``certificates`` : one per subset:
    ``score``, ``left_out`` (the score with each member left out, None where it was not asked),
    ``irreducible``, ``bound`` (every smaller set was asked and does not suffice), ``minimal`` (the
    subset has that size). ``size_lower_bound`` : the first subset's ``bound``.

    outcome : DONE; NO_SUBSET when the whole input is below the threshold; UNINFORMATIVE when the
    fully hidden input already reaches it (the published code returns an empty subset there);
    BUDGET_SPENT.

    References
    ----------
    Carter, Mueller, Jain and Gifford 2019, arXiv 1810.03805; for ``batched`` Carter, Jain, Mueller
    and Gifford 2021, arXiv 2003.08907.

    Examples
    --------
    >>> import blackbox as bb
    >>> e = bb.explain(lambda x: x.sum(axis=1), [5.0, 1.0, 4.0], method=bb.Sis(threshold=8))
    >>> e.details["subsets"], e.details["subset_scores"]
    ([[0, 2]], [9.0])
    >>> e.details["certificates"][0]["left_out"], e.details["certificates"][0]["irreducible"]
    ([4.0, 5.0], True)
    """

    name: ClassVar[str] = "sis"
    scale: ClassVar[str] = "raw"
    one_target: ClassVar[bool] = True

    threshold: Threshold = None
    direction: str = "above"
    search: str = "auto"
    max_subsets: int | None = None
    budget: int | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None:
            object.__setattr__(self, "threshold", parsed(self.threshold))
        choice("direction", self.direction, DIRECTIONS)
        choice("search", self.search, SEARCHES)
        for name, value in (("max_subsets", self.max_subsets), ("budget", self.budget)):
            if value is not None:
                whole(name, value, 1)
        if self.share is not None:
            number("share", self.share, 0.0, strict=True)
            if self.share > 1:
                raise RequestError(f"share must be at most 1; got {self.share!r}.")

    def explain(self, game: Game, rng: np.random.Generator) -> Explanation:
        """Play the game; nothing is drawn from ``rng``."""
        begun = self.begin(game)
        searched = begun.passes and not begun.uninformative
        if not searched:
            return self.record(begun, Collection())
        (found,) = play(game, self.searching([begun]), begun.sign)
        if isinstance(found, BudgetSpent):
            raise found
        return self.record(begun, found)

    def begin(self, game: Game) -> Begun:
        """Ask both ends and put the threshold in score units: two masks, and the reference set if any."""
        base, full = float(game.base()[0]), float(game.full()[0])
        asked = parsed(self.threshold)
        if isinstance(asked, Fraction):
            asked = asked.of(base, full)
        elif isinstance(asked, Quantile):
            asked = asked.of([] if asked.scores else game.score(game.background.rows)[:, 0])
        return Begun(game, asked, base, full, 1.0 if self.direction == "above" else -1.0)

    def searching(self, begun: Sequence[Begun]) -> Search[list[Collection | BudgetSpent]]:
        """Return the search over masks of games of equally many features; it takes scores times ``sign``."""
        sign, games = begun[0].sign, [one.game for one in begun]
        return collect(
            Wanted(
                threshold=sign * np.array([one.threshold for one in begun]),
                full=sign * np.array([one.full for one in begun]),
                idle=~np.array([game.in_play for game in games]),
                search=self.search,
                share=self.share,
                max_subsets=self.max_subsets,
                budget=self.budget,
                place=games[0].features.places() if games[0].d > WIDE else None,
                limited=any(game.score.ledger.limited for game in games),
            )
        )

    def record(
        self, begun: Begun, found: Collection, provenance: Mapping[str, Any] | None = None
    ) -> Explanation:
        """Write down what was found, in score units.

        provenance : what was asked of what, where it is known.
        """
        game, sign = begun.game, begun.sign
        values = np.zeros((game.d, 1))
        values[found.subsets[0] if found.subsets else []] = 1
        certificates = [
            vars(c) | {"score": sign * c.score, "left_out": c.left_out and [sign * s for s in c.left_out]}
            for c in found.certificates
        ]
        details = {
            "threshold": begun.threshold,
            "subsets": found.subsets,
            "subset_scores": [c["score"] for c in certificates],
            "removal_order": [features for features, _ in found.stacks],
            "removal_scores": [[sign * score for score in scores] for _, scores in found.stacks],
            "certificates": certificates,
            "size_lower_bound": certificates[0]["bound"] if certificates else None,
        }
        return game.explanation(
            self.name, vars(self), values, _outcome(begun, found), details, provenance=provenance
        )


def _outcome(begun: Begun, found: Collection) -> Outcome:
    if begun.uninformative:
        return Outcome.UNINFORMATIVE
    if not begun.passes:
        return Outcome.NO_SUBSET
    return Outcome.BUDGET_SPENT if found.spent else Outcome.DONE
