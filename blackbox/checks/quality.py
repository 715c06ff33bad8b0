"""Checks on the answers: do they add up, hold when tried, and agree with each other?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np

from blackbox.checks.finding import GATES, Finding, Subject, judge, rankings
from blackbox.game import Game
from blackbox.numerics.ranks import rank_correlation
from blackbox.settings import choice, number, whole


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
    """Every certificate of a sufficient subset holds when it is asked again.

    For every subset S: v(S) reaches the threshold, equals the recorded score, and where S is recorded as
    irreducible no v(S without i) reaches it. Value: the least v(S) - threshold (with direction ``below``
    its negative); default at least 0, as certified. Recorded and asked scores may differ by 1e-6 of
    max(1, |v|), rounding. Costs no pass beyond SIS: the case's memory holds what SIS asked.
    """

    name: ClassVar[str] = "sufficiency"
    gate: str = "fail"

    def __post_init__(self) -> None:
        choice("gate", self.gate, GATES)

    def examine(self, subject: Subject) -> list[Finding]:
        e = subject.explanations.get("sis")
        if e is None or not e.details["subsets"]:
            return []
        threshold = float(e.details["threshold"])
        sign = -1.0 if dict(e.settings).get("direction") == "below" else 1.0
        method, scale = subject.asked["sis"]
        game = subject.case.game(subject.target, scale or method.scale)
        margins, wrong = [], 0
        told = zip(e.details["subsets"], e.details["subset_scores"], e.details["certificates"], strict=True)
        for members, recorded, certificate in told:
            alone, left_out = _certified(game, members)
            margins.append(sign * (alone - threshold))
            wrong += abs(alone - recorded) > 1e-6 * max(1.0, abs(alone))
            wrong += certificate["irreducible"] and bool((sign * (left_out - threshold) >= 0).any())
        count, least = len(margins), min(margins)
        sentence = (
            f"{'The sufficient subset' if count == 1 else f'Each of the {count} sufficient subsets'}, asked "
            f"alone, is at least {least:.3g} beyond the threshold of {threshold:.3g}, and its certificate "
            "holds."
            if not wrong and least >= 0
            else f"{max(wrong, sum(margin < 0 for margin in margins))} of {count} certificates of sufficient "
            f"subsets do not hold when asked again (threshold {threshold:.3g}, least margin {least:.3g})."
        )
        return [judge(self, subject, not wrong and least >= 0, sentence, least, 0.0)]


def _certified(game: Game, members: list[int]) -> tuple[float, np.ndarray]:
    """The score with only these features kept, and with each of them left out of them."""
    masks = np.zeros((1 + len(members), game.d), dtype=bool)
    masks[:, members] = True
    masks[np.arange(1, len(masks)), members] = False
    scores = game(masks)[:, 0]
    return float(scores[0]), scores[1:]


@dataclass(frozen=True)
class Fidelity:
    """Hiding the features a method ranks highest lowers the score more than hiding the lowest ones.

    v(N - bottom k) - v(N - top k) >= 0 for k = a quarter of the features, per method that hides
    features. The default 0 is what a ranking by chance gives. Costs at most 2 masks a method.
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
    """The methods that hide features order them alike, and name the same ones first.

    Lowest pairwise Spearman rank correlation of the values, at least ``least``; and the lowest share of
    common features among the ``top`` of largest |value|, at least ``shared``. Defaults 0.3 and 0.25:
    methods answer different questions, so only a plain contradiction is flagged; one in four is what
    chance gives on 16 features. No pass. Derivatives are left out: they look at small changes, not at
    presence.
    """

    name: ClassVar[str] = "agreement"
    least: float = 0.3
    top: int = 4
    shared: float = 0.25
    gate: str = "warn"

    def __post_init__(self) -> None:
        number("least", self.least, -1.0)
        whole("top", self.top, 1)
        number("shared", self.shared, 0.0)
        choice("gate", self.gate, GATES)

    def examine(self, subject: Subject) -> list[Finding]:
        hiding = rankings(subject)
        d = len(next(iter(hiding.values()), ()))
        if len(hiding) < 2 or d < 3:
            return []
        found = [self._ranks(subject, hiding)]
        return [*found, self._tops(subject, hiding)] if d > 2 * self.top else found

    def _ranks(self, subject: Subject, hiding: Mapping[str, np.ndarray]) -> Finding:
        pairs = {(a, b): rank_correlation(hiding[a], hiding[b]) for a, b in combinations(hiding, 2)}
        (a, b), lowest = min(pairs.items(), key=lambda item: item[1])
        sentence = f"{a} and {b} agree least among the methods: rank correlation {lowest:.2f}."
        return judge(self, subject, lowest >= self.least, sentence, lowest, self.least)

    def _tops(self, subject: Subject, hiding: Mapping[str, np.ndarray]) -> Finding:
        tops = {
            name: set(np.argsort(-np.abs(values), kind="stable")[: self.top].tolist())
            for name, values in hiding.items()
        }
        pairs = {(a, b): len(tops[a] & tops[b]) for a, b in combinations(tops, 2)}
        (a, b), common = min(pairs.items(), key=lambda item: item[1])
        share = common / self.top
        sentence = (
            f"{a} and {b} share {common} of their {self.top} strongest features, the fewest of all pairs."
        )
        return judge(self, subject, share >= self.shared, sentence, share, self.shared)


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
