"""Checks that explain once more: with another seed, and an input that is a little different."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from blackbox import seeds
from blackbox.case import Case
from blackbox.checks.finding import GATES, Finding, Subject, judge, rankings, skip
from blackbox.explanation import Outcome
from blackbox.numerics.ranks import rank_correlation
from blackbox.settings import choice, number, whole


@dataclass(frozen=True)
class Stability:
    """Another seed gives the same ranking, where a method draws anything: Spearman correlation.

    Default at least 0.9: below it, a reader of the first list would be told another story by the second.
    Costs each drawing method once more.
    """

    name: ClassVar[str] = "stability"
    least: float = 0.9
    gate: str = "warn"

    def __post_init__(self) -> None:
        number("least", self.least, -1.0)
        choice("gate", self.gate, GATES)

    def examine(self, subject: Subject) -> list[Finding]:
        found = []
        for name in ("lime", "kernelshap", "rise"):
            values = rankings(subject).get(name)
            if values is None or subject.explanations[name].outcome is Outcome.EXACT or len(values) < 3:
                continue
            method, scale = subject.asked[name]
            again = subject.case.explain(method, subject.target, scale, subject.seed + 1)
            same = rank_correlation(values, again.values)
            sentence = f"{name} with another seed ranks the features alike: rank correlation {same:.2f}."
            found.append(judge(self, subject, same >= self.least, sentence, same, self.least))
        return found


@dataclass(frozen=True)
class Sensitivity:
    """A small change of the input leaves the ranking as it is: lowest Spearman correlation.

    Every cell that can vary (floating-point, more than ``values`` different values in the background, so that
    flags, counts and one-hot columns stay possible) moves by a uniform draw of at most ``radius`` of its
    deviation over the background; every method that hides features explains the moved input with the same
    seed, ``draws`` times, and the lowest correlation counts (a ranking's form of max-sensitivity, Yeh et
    al. 2019). Defaults: 0.05 of a deviation, which nobody would call another applicant, and at least 0.8.
    Costs draws x each method once more.

    References: Yeh, Hsieh, Suggala, Inouye and Ravikumar 2019, arXiv 1901.09392.
    """

    name: ClassVar[str] = "sensitivity"
    radius: float = 0.05
    draws: int = 1
    values: int = 10
    least: float = 0.8
    gate: str = "warn"

    def __post_init__(self) -> None:
        number("radius", self.radius, 0.0, strict=True)
        whole("draws", self.draws, 1)
        whole("values", self.values, 1)
        number("least", self.least, -1.0)
        choice("gate", self.gate, GATES)

    def examine(self, subject: Subject) -> list[Finding]:
        asked = {n: v for n, v in rankings(subject).items() if len(v) >= 3}
        moved = list(self._moved(subject))
        if not asked:
            return []
        if not moved:
            why = (
                f"No cell holds more than {self.values} different values in the background, so none is moved."
            )
            return [skip(self, subject.id, why)]
        found = []
        for name, values in asked.items():
            method, scale = subject.asked[name]
            target = list(subject.explanations[name].provenance["targets"])
            others = (case.explain(method, target, scale, subject.seed).values for case in moved)
            same = min(rank_correlation(values, other.reshape(-1)) for other in others)
            sentence = (
                f"{name} ranks the features of a slightly changed input alike: rank correlation {same:.2f}."
            )
            found.append(judge(self, subject, same >= self.least, sentence, same, self.least))
        return found

    def _moved(self, subject: Subject) -> Iterator[Case]:
        """The case with its input moved, every time with a memory of its own."""
        case = subject.case
        rng = seeds.generator(subject.seed, self.name, len(case.features))
        for _ in range(self.draws):
            rows = {name: self._one(array, case.background.rows[name], rng) for name, array in case.x.items()}
            if any((rows[name] != array).any() for name, array in case.x.items()):
                yield dataclasses.replace(case, x=rows, memories={}, answers=[])

    def _one(self, x: np.ndarray, lent: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if x.dtype.kind != "f":
            return x
        step = rng.uniform(-self.radius, self.radius, x.shape) * lent.std(axis=0, dtype=float)
        several = np.array([len(np.unique(column)) for column in lent.reshape(len(lent), -1).T])
        free = several.reshape(x.shape) > self.values
        return np.where(free, x + step, x).astype(x.dtype)
