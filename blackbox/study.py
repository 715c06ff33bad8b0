"""The checks of a plan that are about the whole: played once before the cases, and once after them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blackbox import seeds
from blackbox.checks import AUDIT, MODEL, Check, Context, Drift, Finding, Reviewer, Study, Surveyor
from blackbox.errors import BudgetSpent, ModelError
from blackbox.materials import Materials, reopened
from blackbox.score import Ledger

if TYPE_CHECKING:  # importing pydantic takes longer than the command line's help may
    from blackbox.plan import Plan

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
