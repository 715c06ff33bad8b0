"""An audit: every case x every method x every check of a plan, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from blackbox import api, study
from blackbox.case import Case
from blackbox.checks import Context, Examiner, Finding, Subject
from blackbox.errors import BlackboxError, BudgetSpent, ModelError
from blackbox.explanation import Explanation
from blackbox.materials import Materials, gather
from blackbox.plan import Plan
from blackbox.reasons import Reasons, principal
from blackbox.score import Ledger
from blackbox.watcher import Watcher

Target = int | str | None


@dataclass(frozen=True)
class Failure:
    """A method that could not answer one case, and why."""

    method: str
    error: BlackboxError


@dataclass(frozen=True)
class CaseResult:
    """What was found about one case and one target.

    id, row : its name and its number in the data. target : the name of the output asked about.
    case : the input with its features and background.
    """

    id: str
    row: int
    target: str
    case: Case
    explanations: Mapping[str, Explanation]
    failures: tuple[Failure, ...]
    findings: tuple[Finding, ...]
    reasons: Reasons | None

    @property
    def outputs(self) -> np.ndarray:
        """Float[np.ndarray, "c"], the model's raw answer to the input; empty when it gave none."""
        return np.asarray(self.case.answers[0][0]) if self.case.answers else np.zeros(0)


@dataclass(frozen=True)
class AuditResult:
    """A played audit. rows : forward rows really spent. general : findings about the whole."""

    plan: Plan
    materials: Materials
    cases: tuple[CaseResult, ...]
    rows: int
    general: tuple[Finding, ...] = ()

    @property
    def findings(self) -> list[Finding]:
        """All findings: those about the whole, then case after case."""
        return [*self.general, *(finding for case in self.cases for finding in case.findings)]

    def count(self, status: str) -> int:
        """Return how many findings have a status: passed, warned, failed or skipped."""
        return sum(finding.status == status for finding in self.findings)

    @property
    def passed(self) -> bool:
        """No gate failed."""
        return self.count("failed") == 0


def run(plan: Plan, folder: Path, watcher: Watcher | None = None) -> AuditResult:
    """Play a plan.

    Parameters
    ----------
    plan : as ``load_plan`` returns it. folder : what its paths are relative to.

    Raises
    ------
    RequestError : the plan does not fit the model or the data, or every question was refused.
    ModelError : the model cannot be loaded, or answered no question.
    """
    watcher = watcher or Watcher()
    materials = gather(plan, folder)
    positions, targets = _positions(plan, materials), plan.target_list()
    watcher.total(len(positions) * len(targets) * (len(plan.methods) + 1))
    ledger = Ledger(most=plan.budget, observer=watcher.rows)
    before = study.surveyed(plan, study.study_of(plan, materials, folder, ledger))
    cases = tuple(
        _case(plan, materials, ledger, watcher, position, target)
        for position in positions
        for target in targets
    )
    if not any(case.explanations for case in cases):
        raise cases[0].failures[0].error
    after = study.reviewed(plan, lambda: _records(cases), Context())
    return AuditResult(plan, materials, cases, ledger.rows, (*before, *after))


def _records(cases: tuple[CaseResult, ...]) -> Iterator[dict[str, Any]]:
    """What a review reads of every case."""
    for case in cases:
        about = {"case": case.id, "target": case.target}
        yield {"kind": "case", **about, "reasons": None}
        for name, explanation in case.explanations.items():
            told = json.loads(explanation.to_json())
            yield {"kind": "explanation", **about, "method": name, "explanation": told}


def _positions(plan: Plan, materials: Materials) -> list[int]:
    asked = range(len(materials.data)) if plan.data.rows is None else plan.data.rows
    return [materials.data.position(which) for which in asked][: plan.data.first]


def _case(
    plan: Plan, materials: Materials, ledger: Ledger, watcher: Watcher, position: int, target: Target
) -> CaseResult:
    name, x = materials.data.ids[position], materials.data.row(position)
    features = materials.features(plan.features, x)
    case = api.case(materials.model, x, features, materials.background, ledger)
    explanations: dict[str, Explanation] = {}
    failures: list[Failure] = []
    asked = plan.parsed_methods()
    for method_name, (method, scale) in asked.items():
        watcher.step(f"{name}: {method_name}")
        try:
            explanations[method_name] = case.explain(method, target, scale, plan.seed)
        except BlackboxError as error:
            failures.append(Failure(method_name, error))
    watcher.step(f"{name}: checks")
    subject = Subject(name, case, explanations, asked, target, plan.seed)
    findings = tuple(_findings(plan, subject, failures))
    case.memories.clear()  # nobody asks this case again, and a memory may hold 128 MiB
    return CaseResult(
        name, position, _target_name(explanations, target), case, explanations, tuple(failures),
        findings, _reasons(plan, materials, explanations),
    )  # fmt: skip


def _findings(plan: Plan, subject: Subject, failures: list[Failure]) -> list[Finding]:
    found = [
        Finding("answers", subject.id, "failed", f"{failure.method} gave no answer: {failure.error}")
        for failure in failures
    ]
    if not subject.explanations:
        return found
    for check in plan.parsed_checks():
        if not isinstance(check, Examiner):
            continue
        try:
            found.extend(check.examine(subject))
        except (ModelError, BudgetSpent) as error:
            found.append(Finding(check.name, subject.id, "failed", f"The check could not be made: {error}"))
    return found


def _target_name(explanations: Mapping[str, Explanation], target: Target) -> str:
    return next((e.output_names[0] for e in explanations.values()), str(target))


def _reasons(plan: Plan, materials: Materials, explanations: Mapping[str, Explanation]) -> Reasons | None:
    if plan.reasons is None or plan.reasons.method not in explanations:
        return None
    return principal(explanations[plan.reasons.method], plan.reasons.count, materials.labels)
