"""What a check is, what it looks at, and the finding that it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np

from blackbox.case import Case
from blackbox.explanation import Explanation
from blackbox.methods import Method

Status = Literal["passed", "warned", "failed"]
GATES = ("warn", "fail")


@dataclass(frozen=True)
class Finding:
    """One check of one case: its status, the sentence a person reads, and the number behind it."""

    check: str
    case: str
    status: Status
    sentence: str
    value: float | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class Subject:
    """A case with what its methods answered, for one target. asked : the methods as they were set."""

    id: str
    case: Case
    explanations: Mapping[str, Explanation]
    asked: Mapping[str, tuple[Method, str | None]]
    target: int | str | None
    seed: int


class Check(Protocol):
    """Settings with one verb; ``gate`` says whether not holding fails the audit or only warns."""

    name: ClassVar[str]

    @property
    def gate(self) -> str:
        """``fail`` or ``warn``."""

    def examine(self, subject: Subject) -> list[Finding]:
        """Return one finding per statement; none where the check does not apply."""


def judge(
    check: Check, subject: Subject, holds: bool, sentence: str, value: float | None, threshold: float | None
) -> Finding:
    """Write a finding whose status follows from the check's gate."""
    broken: Status = "failed" if check.gate == "fail" else "warned"
    return Finding(check.name, subject.id, "passed" if holds else broken, sentence, value, threshold)


def rankings(subject: Subject) -> dict[str, np.ndarray]:
    """Return the attributions of the methods that hide features, where they tell features apart."""
    return {
        name: values
        for name, values in attributions(subject).items()
        if subject.asked[name][0].scale == "raw" and np.ptp(values) > 0
    }


def attributions(subject: Subject) -> dict[str, np.ndarray]:
    """Return the values of every method that gave each feature a number of its own."""
    return {
        name: explanation.values
        for name, explanation in subject.explanations.items()
        if name != "sis" and np.isfinite(explanation.values).all()
    }
