"""Checks on the question: may any attribution of this model and these features be trusted?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from blackbox.checks.finding import GATES, Finding, Subject, attributions, judge
from blackbox.errors import RequestError, unknown
from blackbox.explanation import Outcome
from blackbox.settings import choice, number, whole


@dataclass(frozen=True)
class Determinism:
    """The model gives the same input the same score: asked again, and among other rows.

    max |f(x) - f(x)'| over x alone, x repeated and x in a batch with the background, as a share of
    max(1, |f(x)|). Default 1e-5: float32 arithmetic in another order moves less. Costs 2 + B rows.
    """

    name: ClassVar[str] = "determinism"
    tolerance: float = 1e-5
    gate: str = "fail"

    def __post_init__(self) -> None:
        number("tolerance", self.tolerance, 0.0)
        choice("gate", self.gate, GATES)

    def examine(self, subject: Subject) -> list[Finding]:
        score = subject.case.game(subject.target, "raw").score
        alone = {name: array[None] for name, array in subject.case.x.items()}
        rows = subject.case.background.rows
        mixed = {name: np.concatenate([alone[name], rows[name]]) for name in alone}
        answers = np.array([score(alone)[0, 0], score(alone)[0, 0], score(mixed)[0, 0]])
        worst = float(np.ptp(answers)) / max(1.0, float(np.abs(answers).max()))
        holds = worst <= self.tolerance
        sentence = (
            "The model gave the same score when asked again and among other rows."
            if holds
            else f"The model's score moved by {worst:.2g} when asked again or among other rows."
        )
        return [judge(self, subject, holds, sentence, worst, self.tolerance)]


@dataclass(frozen=True)
class Omission:
    """Every input cell belongs to a feature, unless it is declared as never hidden. No pass."""

    name: ClassVar[str] = "omission"
    gate: str = "fail"

    def __post_init__(self) -> None:
        choice("gate", self.gate, GATES)

    def examine(self, subject: Subject) -> list[Finding]:
        features = subject.case.features
        labels = features.labels.values()
        declared = len(features.never_hidden)
        left_out = sum(int((array < 0).sum()) for array in labels) - declared
        cells = sum(array.size for array in labels)
        sentence = (
            f"All {cells} input cells belong to one of the {len(features)} features"
            + (f", but for {declared} declared as never hidden." if declared else ".")
            if not left_out
            else f"{left_out} of {cells} input cells belong to no feature: they were never hidden."
        )
        return [judge(self, subject, not left_out, sentence, float(left_out), 0.0)]


@dataclass(frozen=True)
class Outcomes:
    """Every method came to an answer; one that abstained (flat, not converged, ...) is named."""

    name: ClassVar[str] = "outcomes"
    gate: str = "warn"
    answered: ClassVar[tuple[Outcome, ...]] = (
        Outcome.DONE, Outcome.EXACT, Outcome.SECOND_ORDER, Outcome.REACHED, Outcome.SPENT, Outcome.POOR_FIT,
    )  # fmt: skip

    def __post_init__(self) -> None:
        choice("gate", self.gate, GATES)

    def examine(self, subject: Subject) -> list[Finding]:
        silent = [e for e in subject.explanations.values() if e.outcome not in self.answered]
        if not silent:
            return [judge(self, subject, True, "Every method came to an answer.", 0.0, 0.0)]
        return [judge(self, subject, False, f"{e.method}: {e.outcome}", 1.0, 0.0) for e in silent]


@dataclass(frozen=True)
class Protected:
    """No protected feature is among the ``top`` strongest of any method (by size). No pass."""

    name: ClassVar[str] = "protected"
    features: tuple[str, ...] = ()
    top: int = 4
    gate: str = "fail"

    def __post_init__(self) -> None:
        whole("top", self.top, 1)
        choice("gate", self.gate, GATES)
        if not self.features:
            raise RequestError("The check 'protected' needs the names of the protected features.")

    def examine(self, subject: Subject) -> list[Finding]:
        names = list(subject.case.features.names)
        for feature in self.features:
            if feature not in names:
                raise unknown("feature in check protected:", feature, names)
        found = []
        for name, values in attributions(subject).items():
            size = np.abs(values)
            # ties at the cut count as in: nobody can say which of them is the stronger
            strongest = {n for n, v in zip(names, size, strict=True) if v > 0 and (size > v).sum() < self.top}
            there = [feature for feature in self.features if feature in strongest]
            sentence = (
                f"{name}: {', '.join(there)} {'is' if len(there) == 1 else 'are'} among the {self.top} "
                "strongest features."
                if there
                else f"{name}: no protected feature is among the {self.top} strongest."
            )
            found.append(judge(self, subject, not there, sentence, float(len(there)), 0.0))
        return found
