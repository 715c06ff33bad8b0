"""Checks on the question: may any attribution of this model and these features be trusted?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from blackbox.checks.finding import GATES, MODEL, Finding, Study, Subject, judge, skip
from blackbox.errors import BlackboxError
from blackbox.explanation import Outcome
from blackbox.features import Features
from blackbox.score import forward
from blackbox.settings import choice, number


@dataclass(frozen=True)
class Determinism:
    """The model gives the same input the same score: asked again, among other rows, on another device.

    max |f(x) - f(x)'| over x alone, x repeated and x in a batch with the background, as a share of
    max(1, |f(x)|). Default 1e-5: float32 arithmetic in another order moves less. Costs 2 + B rows a case.
    Once an audit, all answers to at most 64 inputs on the CPU against a GPU where a session starts on one,
    as a share of max(1, max |f|); default 1e-3: kernels differ, TF32 is off. Costs 64 rows on each;
    ``devices: null`` leaves it out.
    """

    name: ClassVar[str] = "determinism"
    tolerance: float = 1e-5
    devices: float | None = 1e-3
    gate: str = "fail"

    def __post_init__(self) -> None:
        number("tolerance", self.tolerance, 0.0)
        if self.devices is not None:
            number("devices", self.devices, 0.0)
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

    def survey(self, study: Study) -> list[Finding]:
        here = study.model.identity.device
        if self.devices is None or study.reopen is None or not here.startswith(("cpu", "cuda")):
            return []
        there = "cuda" if here.startswith("cpu") else "cpu"
        try:
            other = study.reopen(there)
        except BlackboxError:
            other = None
        # a model that may fall back to the CPU opens, and runs where it ran before
        if other is None or not other.identity.device.startswith(there):
            return [skip(self, MODEL, f"The model ran on {here} alone: no session starts on {there} here.")]
        rows = {name: array[:64] for name, array in study.rows.items()}
        answer = study.model.signature.answer
        one, two = (forward(m, rows, answer, study.ledger).astype(float) for m in (study.model, other))
        worst = float(np.abs(one - two).max()) / max(1.0, float(np.abs(one).max()))
        sentence = (
            f"The model's answers on {here} and {other.identity.device} differ by {worst:.2g} at the most."
        )
        return [judge(self, MODEL, worst <= self.devices, sentence, worst, self.devices)]


@dataclass(frozen=True)
class Omission:
    """Nothing is left out: every input cell belongs to a feature, and every column to a reason.

    Per case, cells that belong to no feature and are not declared as never hidden; and features that
    were declared to be no reasons but would be among the stated ones. Once an audit whose plan has a code
    table: columns of which neither they nor their feature has a code, is excluded by declaration, or is
    never hidden. The default is none: what is left out
    silently is what nobody looks for. No pass.
    """

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
        found = [judge(self, subject, not left_out, sentence, float(left_out), 0.0)]
        if subject.overlooked:
            names = ", ".join(subject.overlooked)
            told = f"Excluded by declaration, but among what hurt the most: {names}."
            found.append(judge(self, subject, False, told, float(len(subject.overlooked)), 0.0))
        return found

    def survey(self, study: Study) -> list[Finding]:
        if study.coded is None:
            return []
        features = study.features
        known = study.coded | set(study.excluded) | set(features.never_hidden)
        columns = study.columns or features.names
        owners = _owners(features) if study.columns else list(features.names)
        open_ones = [
            c for c, owner in zip(columns, owners, strict=True) if c not in known and owner not in known
        ]
        excluded = [name for name in study.excluded if name in (*columns, *features.names)]
        sentence = (
            f"Each of the {len(columns)} input columns has a reason code"
            + (f" or is excluded by declaration ({', '.join(excluded)})." if excluded else ".")
            if not open_ones
            else f"{len(open_ones)} of {len(columns)} input columns have no reason code and are not excluded "
            f"by declaration: {', '.join(open_ones[:12])}."
        )
        return [judge(self, MODEL, not open_ones, sentence, float(len(open_ones)), 0.0)]


def _owners(features: Features) -> list[str]:
    """The name of the feature of every cell; empty where a cell belongs to none."""
    labels = np.concatenate([array.ravel() for array in features.labels.values()])
    return [features.names[k] if k >= 0 else "" for k in labels]


@dataclass(frozen=True)
class Outcomes:
    """Every method came to an answer; one that abstained (flat, not converged, ...) is named.

    The number of methods that did not is at most 0: the default gate only warns, because an abstention is
    honest. No pass.
    """

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
