"""Checks on the answers: do they add up, hold when tried, and agree with each other?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np

from blackbox.checks.finding import GATES, Finding, Subject, judge, rankings
from blackbox.explanation import Outcome
from blackbox.game import Game
from blackbox.numerics.ranks import rank_correlation
from blackbox.settings import choice, number


@dataclass(frozen=True)
class Additivity:
    """Shapley values sum to full score - base score.

    |full - base - sum of values| as a share of max(1, |full - base|). Default 1e-6: the values are
    solved in float64. Costs no pass.
    """

    name: ClassVar[str] = "additivity"
    tolerance: float = 1e-6
    gate: str = "fail"

    def __post_init__(self) -> None:
        number("tolerance", self.tolerance, 0.0)
        choice("gate", self.gate, GATES)

    def examine(self, subject: Subject) -> list[Finding]:
        if "kernelshap" not in subject.explanations:
            return []
        e = subject.explanations["kernelshap"]
        moved = float(e.full_values - e.base_values)
        gap = abs(moved - float(e.values.sum())) / max(1.0, abs(moved))
        sentence = (
            "The Shapley values account for the whole score."
            if gap <= self.tolerance
            else f"The Shapley values leave {gap:.2g} of the score unaccounted for."
        )
        return [judge(self, subject, gap <= self.tolerance, sentence, gap, self.tolerance)]


@dataclass(frozen=True)
class Sufficiency:
    """Every sufficient subset, asked alone, still reaches the threshold. Costs no pass beyond SIS."""

    name: ClassVar[str] = "sufficiency"
    gate: str = "fail"

    def __post_init__(self) -> None:
        choice("gate", self.gate, GATES)

    def examine(self, subject: Subject) -> list[Finding]:
        e = subject.explanations.get("sis")
        if e is None or not e.details["subsets"]:
            return []
        lowest, threshold = min(e.details["subset_scores"]), float(e.details["threshold"])
        count = len(e.details["subsets"])
        sentence = (
            f"{'The sufficient subset' if count == 1 else f'Each of the {count} sufficient subsets'}, asked "
            f"alone, scores at least {lowest:.3g} (threshold {threshold:.3g})."
        )
        return [judge(self, subject, lowest >= threshold, sentence, lowest, threshold)]


@dataclass(frozen=True)
class Fidelity:
    """Hiding the features a method ranks highest lowers the score more than hiding the lowest ones.

    v(N - bottom k) - v(N - top k) >= 0 for k = a quarter of the features, per method that hides
    features. Costs at most 2 masks a method.
    """

    name: ClassVar[str] = "fidelity"
    gate: str = "warn"

    def __post_init__(self) -> None:
        choice("gate", self.gate, GATES)

    def examine(self, subject: Subject) -> list[Finding]:
        game = subject.case.game(subject.target, "raw")
        return [self._one(subject, game, name, values) for name, values in rankings(subject).items()]

    def _one(self, subject: Subject, game: Game, name: str, values: np.ndarray) -> Finding:
        k = max(1, len(values) // 4)
        order = np.argsort(-values, kind="stable")
        masks = np.ones((2, len(values)), dtype=bool)
        masks[0, order[:k]] = False
        masks[1, order[-k:]] = False
        top, bottom = game(masks)[:, 0]
        gap = float(bottom - top)
        judged = "lowers the score more than" if gap >= 0 else "does not lower the score more than"
        sentence = (
            f"{name}: hiding the {k} features ranked highest {judged} hiding the {k} lowest ({gap:+.3g})."
        )
        return judge(self, subject, gap >= 0, sentence, gap, 0.0)


@dataclass(frozen=True)
class Agreement:
    """The methods that hide features order them alike: lowest pairwise Spearman rank correlation.

    Default 0.3: methods answer different questions, so only a plain contradiction is flagged. No
    pass. Derivatives are left out: they look at small changes, not at presence.
    """

    name: ClassVar[str] = "agreement"
    least: float = 0.3
    gate: str = "warn"

    def __post_init__(self) -> None:
        number("least", self.least, -1.0)
        choice("gate", self.gate, GATES)

    def examine(self, subject: Subject) -> list[Finding]:
        hiding = rankings(subject)
        if len(hiding) < 2 or len(next(iter(hiding.values()))) < 3:
            return []
        pairs = {(a, b): rank_correlation(hiding[a], hiding[b]) for a, b in combinations(hiding, 2)}
        (a, b), lowest = min(pairs.items(), key=lambda item: item[1])
        sentence = f"{a} and {b} agree least among the methods: rank correlation {lowest:.2f}."
        return [judge(self, subject, lowest >= self.least, sentence, lowest, self.least)]


@dataclass(frozen=True)
class LocalFit:
    """LIME's linear model describes the score around the input: weighted R2 of at least ``least``.

    Default 0.5: below it the linear model leaves more unexplained than it explains. No pass.
    """

    name: ClassVar[str] = "local_fit"
    least: float = 0.5
    gate: str = "warn"

    def __post_init__(self) -> None:
        number("least", self.least, 0.0)
        choice("gate", self.gate, GATES)

    def examine(self, subject: Subject) -> list[Finding]:
        if "lime" not in subject.explanations:
            return []
        fit = float(subject.explanations["lime"].details["local_fit"][0])
        judged = "describes" if fit >= self.least else "does not describe"
        sentence = f"LIME's linear model {judged} the score around this input (R2 {fit:.2f})."
        return [judge(self, subject, fit >= self.least, sentence, fit, self.least)]


@dataclass(frozen=True)
class Stability:
    """Another seed gives the same ranking, where a method draws anything: Spearman correlation.

    Default 0.9. Costs each drawing method once more.
    """

    name: ClassVar[str] = "stability"
    least: float = 0.9
    gate: str = "warn"

    def __post_init__(self) -> None:
        number("least", self.least, -1.0)
        choice("gate", self.gate, GATES)

    def examine(self, subject: Subject) -> list[Finding]:
        found = []
        for name in ("lime", "kernelshap"):
            values = rankings(subject).get(name)
            if values is None or subject.explanations[name].outcome is Outcome.EXACT or len(values) < 3:
                continue
            method, scale = subject.asked[name]
            again = subject.case.explain(method, subject.target, scale, subject.seed + 1)
            same = rank_correlation(values, again.values)
            sentence = f"{name} with another seed ranks the features alike: rank correlation {same:.2f}."
            found.append(judge(self, subject, same >= self.least, sentence, same, self.least))
        return found
