"""What a plan asks about the whole: the probe and the checks before the cases, and the checks after them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blackbox import seeds
from blackbox.checks import AUDIT, MODEL, Check, Context, Drift, Finding, Reviewer, Study, Surveyor
from blackbox.errors import BlackboxError, BudgetSpent, ModelError
from blackbox.materials import Materials, reopened
from blackbox.model import Model
from blackbox.probe import cost, probe, speeds, timing_cost
from blackbox.score import Ledger

if TYPE_CHECKING:  # importing pydantic takes longer than the command line's help may
    from blackbox.plan import Plan

PROBED_ROWS = 64
"""Rows that an audit's probe asks about."""

TIMED_ROWS = 256
"""The largest pass that it times; what the audit's own passes took stands in run.json, too."""

MOST_ROWS = 1000
"""Rows that the surveys look at, at the most: they draw from these, and measure distances between them."""


def study_of(plan: Plan, materials: Materials, folder: Path, ledger: Ledger) -> Study:
    """Lay out what the surveys look at: of very many rows to explain, 1,000 drawn ones.

    Parameters
    ----------
    folder : what the plan's paths are relative to. ledger : counts the rows that they spend.
    """
    data = materials.data
    positions = np.array(materials.positions(plan.data))
    if len(positions) > MOST_ROWS:
        positions = np.sort(seeds.generator(plan.seed, "study").choice(positions, MOST_ROWS, replace=False))
    rows = {name: array[positions] for name, array in data.rows.items()}
    features = materials.features(plan.features, data.row(int(positions[0])))
    rule = materials.rule
    if materials.asked:
        ledger.spend(materials.asked)
    return Study(
        materials.model, rows, materials.background, features, data.columns,
        None if rule is None or rule.codes is None else rule.codes.features,
        {} if rule is None else rule.excluded,
        reopen=partial(reopened, plan, folder), seed=plan.seed, ledger=ledger,
    )  # fmt: skip


def probed(plan: Plan, study: Study) -> dict[str, Any] | None:
    """Ask the model what is looked at before any attribution is trusted; None where the plan does not.

    Returns
    -------
    the fields of ``Probe`` as plain JSON, figures to two digits: they are good to no more. A model that
    fails meanwhile gives ``error``, a sentence, instead.
    """
    if not plan.probe:
        return None
    rows = _first(study)
    try:
        seen = dataclasses.asdict(probe(study.model, rows, _on_the_cpu(study), study.ledger))
    except (ModelError, BudgetSpent) as error:
        return {"error": str(error)}
    elsewhere = seen["elsewhere"]
    told: dict[str, Any] = {name: _two_digits(seen[name]) for name in ("repeat", "alone", "noise")}
    if elsewhere is not None:
        told["elsewhere"] = [_two_digits(elsewhere[0]), elsewhere[1]]
    count = len(next(iter(rows.values())))
    return {"asked_about": f"{count} {'row' if count == 1 else 'rows'} to explain", **seen, **told}


def timed(plan: Plan, study: Study) -> dict[int, float]:
    """Return rows per second against batch size; empty where the plan asks for no probe, where every row
    may cost money, and where the model fails.
    """
    if not plan.probe or metered(study.model):
        return {}
    try:
        return speeds(study.model, _first(study), study.ledger, TIMED_ROWS)
    except (ModelError, BudgetSpent):
        return {}


def probe_cost(plan: Plan, model: Model, rows: int) -> int:
    """Return the forward rows of ``probed`` and ``timed`` together, for so many rows to explain."""
    if not plan.probe:
        return 0
    devices = 2 if model.identity.device.startswith("cuda") else 1
    asked = cost(model, min(rows, PROBED_ROWS), devices)
    return asked if metered(model) else asked + timing_cost(model, TIMED_ROWS)


def metered(model: Model) -> bool:
    """A model that keeps an account, as endpoints do, may charge for every row."""
    return hasattr(model, "account")


def _first(study: Study) -> dict[str, np.ndarray]:
    return {name: array[:PROBED_ROWS] for name, array in study.rows.items()}


def _on_the_cpu(study: Study) -> Model | None:
    """The same model on the CPU, where this one runs elsewhere and can be opened again."""
    if study.reopen is None or not study.model.identity.device.startswith("cuda"):
        return None
    try:
        return study.reopen("cpu")
    except BlackboxError:
        return None


def _two_digits(share: float | None) -> float | None:
    return None if share is None else float(f"{share:.1e}")


def surveyed(plan: Plan, study: Study) -> list[Finding]:
    """Play the plan's surveys. One that the model or the budget ends is a failed finding."""
    found: list[Finding] = []
    for check in plan.parsed_checks():
        if isinstance(check, Surveyor):
            found.extend(_tried(check, MODEL, partial(check.survey, study)))
    return found


def reviewed(
    plan: Plan, records: Callable[[], Iterable[Mapping[str, Any]]], context: Context
) -> list[Finding]:
    """Play the plan's reviews, and the check against an earlier audit where one was named.

    Parameters
    ----------
    records : called once per review; see ``Reviewer.review`` for what they hold.
    """
    found: list[Finding] = []
    checks = plan.parsed_checks()
    if context.baseline is not None and not any(check.name == Drift.name for check in checks):
        checks.append(Drift())
    for check in checks:
        if isinstance(check, Reviewer):
            found.extend(_tried(check, AUDIT, lambda check=check: check.review(records(), context)))  # type: ignore[misc]
    return found


def _tried(check: Check, case: str, play: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return play()
    except (ModelError, BudgetSpent) as error:
        return [Finding(check.name, case, "failed", f"The check could not be made: {error}")]
