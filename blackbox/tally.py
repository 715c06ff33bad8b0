"""What a stream of records comes to: counts, means and the few cases worth showing, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from blackbox.checks import Finding
from blackbox.explanation import Outcome
from blackbox.records import Dossier, dossier

STATUSES = ("passed", "warned", "failed", "skipped")
WORST = ("failed", "warned", "skipped", "passed")
KEPT = 2
"""Findings of one check that are kept to be quoted, per status."""


@dataclass
class CheckTally:
    """What came of one check. quoted : the first findings per status. cases : those it did not hold for."""

    counts: Counter[str] = field(default_factory=Counter)
    quoted: dict[str, list[Finding]] = field(default_factory=dict)
    cases: int = 0

    @property
    def worst(self) -> str:
        """The worst status there is."""
        return next((status for status in WORST if self.counts[status]), "passed")

    def add(self, finding: Finding) -> None:
        """Count a finding."""
        self.counts[finding.status] += 1
        kept = self.quoted.setdefault(finding.status, [])
        if len(kept) < KEPT:
            kept.append(finding)


@dataclass
class Tally:
    """A notebook that is told every record once, in order.

    most : cases that are kept to be shown from the first, and again as many that failed. cases : cases and
    targets seen; explained, failures : methods that answered and that did not; rows_alone : rows that the
    methods would have needed without shared memory; sums : method -> summed sizes of its values, and over
    how many cases; features : names of the first case's features, None once cases differ.
    """

    most: int
    cases: int = 0
    records: int = 0
    explained: int = 0
    rows_alone: int = 0
    checks: dict[str, CheckTally] = field(default_factory=dict)
    shown: list[Dossier] = field(default_factory=list)
    sums: dict[str, tuple[int, np.ndarray]] = field(default_factory=dict)
    features: tuple[str, ...] | None = None
    first_error: tuple[str, str] | None = None
    _members: list[dict[str, Any]] = field(default_factory=list)
    _failing: int = 0

    def add(self, record: dict[str, Any]) -> None:
        """Take one record."""
        self.records += 1
        if record["kind"] == "case":
            self._finish()
        self._members.append(record)
        if record["kind"] == "failure" and self.first_error is None:
            self.first_error = (record["error"]["type"], record["error"]["message"])
        if record["kind"] == "explanation":
            self._explained(record["method"], record["explanation"])

    def close(self) -> None:
        """Take in the last case."""
        self._finish()

    def note(self, findings: Iterable[Finding]) -> None:
        """Count findings, of one case or of the whole."""
        found = list(findings)
        for finding in found:
            self.checks.setdefault(finding.check, CheckTally()).add(finding)
        for check in {finding.check for finding in found if finding.status != "passed"}:
            self.checks[check].cases += 1

    def count(self, status: str) -> int:
        """Return how many findings have a status."""
        return sum(check.counts[status] for check in self.checks.values())

    @property
    def passed(self) -> bool:
        """No gate failed."""
        return self.count("failed") == 0

    def means(self) -> dict[str, np.ndarray]:
        """Return method -> mean size of every feature's value; empty where cases differ in features."""
        if self.features is None:
            return {}
        return {method: total / count for method, (count, total) in self.sums.items()}

    def _finish(self) -> None:
        members, self._members = self._members, []
        if not members:
            return
        case = members[0]
        names = tuple(case["features"]["names"])
        self.features = names if self.cases == 0 or self.features == names else None
        self.cases += 1
        found = [Finding(**finding) for finding in case["findings"]]
        self.note(found)
        failing = any(finding.status == "failed" for finding in found)
        if self.cases <= self.most or (failing and self._failing < self.most):
            self._failing += self.cases > self.most
            self.shown.append(dossier(members))

    def _explained(self, method: str, told: Mapping[str, Any]) -> None:
        self.explained += 1
        self.rows_alone += told["rows"]
        values = np.array(told["values"], dtype=float)
        if method == "sis" or told["outcome"] == Outcome.FLAT.name or not np.isfinite(values).all():
            return
        count, total = self.sums.get(method, (0, np.zeros(0)))
        if count == 0 or total.shape == values.shape:
            self.sums[method] = (count + 1, np.abs(values) + (total if count else 0.0))
