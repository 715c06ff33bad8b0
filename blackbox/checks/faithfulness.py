"""Checks that put every explanation to the model: does what it ranks highest matter most?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from blackbox import seeds
from blackbox.checks import measures
from blackbox.checks.finding import GATES, Finding, Subject, attributions, judge
from blackbox.game import Game
from blackbox.settings import choice, number, whole

Measure = Callable[[Game, np.ndarray], float]


@dataclass(frozen=True)
class Curves:
    """Bringing features back from the highest value down raises the score above hiding them so.

    Insertion AUC - deletion AUC >= 0, per method that hides features (Petsiuk, Das and Saenko 2018);
    ``steps`` is how many steps a curve has at the most. The default 0 is what a random order gives. Costs at
    most 2 x steps masks a method, which methods on the same case share.
    """

    name: ClassVar[str] = "curves"
    steps: int = 20
    gate: str = "warn"

    def __post_init__(self) -> None:
        whole("steps", self.steps, 1)
        choice("gate", self.gate, GATES)

    def examine(self, subject: Subject) -> list[Finding]:
        found = []
        for name, game, values in _hiding(subject):
            step = -(-len(values) // self.steps)
            inserted = measures.insertion_auc(game, values, step)
            deleted = measures.deletion_auc(game, values, step)
            gap = inserted - deleted
            sentence = f"{name}: insertion AUC {inserted:.3g}, deletion AUC {deleted:.3g} ({gap:+.3g})."
            found.append(judge(self, subject, gap >= 0, sentence, gap, 0.0))
        return found


@dataclass(frozen=True)
class Erasure:
    """Hiding the top features lowers the score more than keeping only them does.

    Comprehensiveness - sufficiency >= 0, each the mean over the top 1, 5, 10, 20 and 50 % (DeYoung et
    al. 2020, ERASER), per method that hides features. The default 0 is what a random order gives on average.
    Costs at most 10 masks a method.
    """

    name: ClassVar[str] = "erasure"
    gate: str = "warn"

    def __post_init__(self) -> None:
        choice("gate", self.gate, GATES)

    def examine(self, subject: Subject) -> list[Finding]:
        found = []
        for name, game, values in _hiding(subject):
            without = measures.comprehensiveness(game, values)
            alone = measures.sufficiency(game, values)
            sentence = f"{name}: comprehensiveness {without:.3g}, sufficiency {alone:.3g}."
            found.append(judge(self, subject, without >= alone, sentence, without - alone, 0.0))
        return found


@dataclass(frozen=True)
class Correlation:
    """Summed values of random subsets go with the fall of the score when they are hidden.

    Pearson correlation over ``subsets`` subsets of a quarter of the features (Bhatt, Weller and Moura
    2020). Default at least 0.3: over 100 subsets chance stays below 0.2. Costs the subsets, once for all
    methods.
    """

    name: ClassVar[str] = "correlation"
    subsets: int = 100
    least: float = 0.3
    gate: str = "warn"

    def __post_init__(self) -> None:
        whole("subsets", self.subsets, 3)
        number("least", self.least, -1.0)
        choice("gate", self.gate, GATES)

    def examine(self, subject: Subject) -> list[Finding]:
        found = []
        for name, game, values in _hiding(subject):
            masks = _random_quarters(subject, game, self.subsets)
            same = measures.faithfulness_correlation(game, values, masks)
            sentence = f"{name}: correlation {same:.2f} with hiding random subsets."
            found.append(judge(self, subject, same >= self.least, sentence, same, self.least))
        return found


@dataclass(frozen=True)
class Infidelity:
    """The values predict how the score falls when random subsets are hidden.

    mean (beta I.phi - [v(N) - v(mask)])^2 / mean [v(N) - v(mask)]^2 over ``subsets`` subsets of a quarter of
    the features, with the scale beta fitted (Yeh et al. 2019): 0 = predicted, 1 = no better than
    predicting nothing. Default at most 0.5: more is predicted than missed. Costs the subsets, once for all
    methods and for ``correlation``. A score that never moves is predicted by anything: 0.
    """

    name: ClassVar[str] = "infidelity"
    subsets: int = 100
    most: float = 0.5
    gate: str = "warn"

    def __post_init__(self) -> None:
        whole("subsets", self.subsets, 3)
        number("most", self.most, 0.0)
        choice("gate", self.gate, GATES)

    def examine(self, subject: Subject) -> list[Finding]:
        found = []
        for name, game, values in _hiding(subject):
            masks = _random_quarters(subject, game, self.subsets)
            missed = measures.infidelity(game, values, masks)
            moved = float(((game.full() - game(masks))[:, 0] ** 2).mean())
            share = missed / moved if moved > 0 else 0.0
            sentence = (
                f"{name}: {share:.0%} of the change under hiding random subsets is not predicted "
                f"(infidelity {missed:.2g})."
            )
            found.append(judge(self, subject, share <= self.most, sentence, share, self.most))
        return found


def _random_quarters(subject: Subject, game: Game, subsets: int) -> np.ndarray:
    """The same random subsets for every method and for both checks, so that memory answers them."""
    rng = seeds.generator(subject.seed, "random quarters", game.d)
    return measures.hidden_at_random(game.d, max(1, game.d // 4), subsets, rng)


def _hiding(subject: Subject) -> Iterator[tuple[str, Game, np.ndarray]]:
    """Yield methods that hide features with a game of their own tally and their values."""
    for name, values in attributions(subject).items():
        if subject.asked[name][0].scale == "raw":
            yield name, subject.case.game(subject.target, "raw"), values
