"""What a check is, the three things that it may look at, and the finding that it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from blackbox.backgrounds import Background
from blackbox.case import Case
from blackbox.explanation import Explanation
from blackbox.features import Features
from blackbox.methods import Method
from blackbox.model import Model, Rows
from blackbox.score import Ledger

Status = Literal["passed", "warned", "failed", "skipped"]
"""``skipped`` = asked for, and could not be made here: the sentence says why. It never fails an audit."""

GATES = ("warn", "fail")

MODEL = "the model"
"""What stands for the case in a finding that was made before the cases."""

AUDIT = "all cases"
"""What stands for the case in a finding that was made after the cases."""


@dataclass(frozen=True)
class Finding:
    """One check of one case: its status, the sentence a person reads, and the number behind it.

    case : the case's name, or ``MODEL`` or ``AUDIT``.
    """

    check: str
    case: str
    status: Status
    sentence: str
    value: float | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class Subject:
    """A case with what its methods answered, for one target.

    asked : the methods as they were set. reasons : the features that were stated as reasons, the first
        one first. overlooked : features that would have been among them and were excluded by declaration.
    """

    id: str
    case: Case
    explanations: Mapping[str, Explanation]
    asked: Mapping[str, tuple[Method, str | None]]
    target: int | str | None
    seed: int
    reasons: tuple[str, ...] = ()
    overlooked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """What an audit is about, before its first case.

    rows : the inputs to explain, one array per input name with a leading axis. features : those of the
        first input (of all, unless features depend on the picture). columns : the names of the cells where
        they have names. coded : features and columns that a reason's code table knows; None = there is no
        table. excluded : feature or column -> why it can be no reason. reopen : opens the same model on
        another device; None where it cannot be opened again. ledger : counts the rows that surveys spend.
    """

    model: Model
    rows: Rows
    background: Background
    features: Features
    columns: tuple[str, ...] = ()
    coded: frozenset[str] | None = None
    excluded: Mapping[str, str] = field(default_factory=dict)
    reopen: Callable[[str], Model] | None = None
    seed: int = 0
    ledger: Ledger = field(default_factory=Ledger, repr=False)


@dataclass(frozen=True)
class Context:
    """What a review knows beside the records.

    baseline : the folder of an earlier audit, if one was named. digest : the SHA-256 of its manifest.
    """

    baseline: Path | None = None
    digest: str = ""


class Check(Protocol):
    """Settings with one verb or more; ``gate`` says whether not holding fails the audit or only warns.

    Which of ``examine``, ``survey`` and ``review`` a check has says when it is played: after the methods
    of every case, once before the cases, once after them.
    """

    name: ClassVar[str]

    @property
    def gate(self) -> str:
        """``fail`` or ``warn``."""


@runtime_checkable
class Examiner(Protocol):
    """A check of every case."""

    def examine(self, subject: Subject) -> list[Finding]:
        """Return one finding per statement; none where the check does not apply."""


@runtime_checkable
class Surveyor(Protocol):
    """A check of the model, the data and the background, played once before the cases."""

    def survey(self, study: Study) -> list[Finding]:
        """Return one finding per statement; none where the check does not apply."""


@runtime_checkable
class Reviewer(Protocol):
    """A check of all cases together, played once on the finished records."""

    def review(self, records: Iterable[Mapping[str, Any]], context: Context) -> list[Finding]:
        """Return one finding per statement, in memory that does not grow with the records.

        Parameters
        ----------
        records : in case order. Every one has ``kind``, ``case`` and ``target``. A ``case`` has
            ``reasons``, as ``Reasons.to_dict`` gives them, or null; an ``explanation`` has ``method`` and
            ``explanation``, as ``Explanation.to_json`` gives it.
        """


def judge(
    check: Check, subject: Subject | str, holds: bool, sentence: str, value: float | None,
    threshold: float | None,
) -> Finding:  # fmt: skip
    """Write a finding whose status follows from the check's gate."""
    broken: Status = "failed" if check.gate == "fail" else "warned"
    case = subject if isinstance(subject, str) else subject.id
    return Finding(check.name, case, "passed" if holds else broken, sentence, value, threshold)


def skip(check: Check, case: str, why: str) -> Finding:
    """Write a finding for a check that was asked for and cannot be made here."""
    return Finding(check.name, case, "skipped", why)


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
