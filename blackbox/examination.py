"""One case of a plan, examined: every method is asked, every check is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from blackbox import api
from blackbox.case import Case
from blackbox.checks import Examiner, Finding, Subject
from blackbox.decisions import Decision, decide
from blackbox.errors import BlackboxError, BudgetSpent, ModelError
from blackbox.explanation import Explanation
from blackbox.materials import Materials
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
class Examined:
    """What was found about one case and one target.

    id, row : its name and its number in the data. target : the name of the output asked about.
    case : the input with its features and background. rows, calls : forward rows and passes spent.
    """

    id: str
    row: int
    target: str
    case: Case
    explanations: Mapping[str, Explanation]
    failures: tuple[Failure, ...]
    findings: tuple[Finding, ...]
    reasons: Reasons | None
    rows: int
    calls: int

    @property
    def outputs(self) -> np.ndarray:
        """Float[np.ndarray, "c"], the model's raw answer to the input; empty when it gave none."""
        return np.asarray(self.case.answers[0][0]) if self.case.answers else np.zeros(0)


def examine(
    plan: Plan, materials: Materials, position: int, target: Target, budget: int | None, watcher: Watcher
) -> Examined:
    """Ask every method of a plan about one case, and make the checks.

    A method that cannot answer is a failure in the result, never an error. Nothing is shared with other
    cases, so a case gives the same answer alone, in any order and in any process.

    Parameters
    ----------
    position : of the row in the data. budget : forward rows that the case may spend; None = no limit.
    """
    name, x = materials.data.ids[position], materials.data.row(position)
    features = materials.features(plan.features, x)
    ledger = Ledger(most=budget, observer=watcher.rows)
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
    decision = _decision(plan, materials, case, explanations, failures)
    subject = Subject(
        name, case, explanations, asked, target, plan.seed,
        tuple(reason.feature for reason in decision.reasons) if decision else (),
        decision.overlooked if decision else (),
    )  # fmt: skip
    findings = tuple(_findings(plan, subject, failures))
    case.memories.clear()  # nobody asks this case again, and a memory may hold 128 MiB
    return Examined(
        name, position, _target_name(explanations, target), case, explanations, tuple(failures),
        findings, _reasons(plan, materials, explanations, decision), ledger.rows, ledger.calls,
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


def _decision(
    plan: Plan, materials: Materials, case: Case, explanations: Mapping[str, Explanation],
    failures: list[Failure],
) -> Decision | None:  # fmt: skip
    """State the reasons for an adverse decision; what the method could not answer is a failure."""
    if materials.rule is None or plan.reasons is None:
        return None
    try:
        return decide(materials.rule, case, explanations.get(plan.reasons.method), plan.seed)
    except BlackboxError as error:
        failures.append(Failure("reasons", error))
        return None


def _reasons(
    plan: Plan, materials: Materials, explanations: Mapping[str, Explanation], decision: Decision | None
) -> Reasons | None:
    if plan.reasons is None or plan.reasons.method not in explanations:
        return None
    found = principal(explanations[plan.reasons.method], plan.reasons.count, materials.labels)
    return replace(found, decision=decision.to_dict() if decision else None)
