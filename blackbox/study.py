"""The checks of a plan that are about the whole: played once before the cases, and once after them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackbox.checks import AUDIT, MODEL, Check, Context, Finding, Reviewer, Study, Surveyor
from blackbox.errors import BudgetSpent, ModelError
from blackbox.materials import Materials, reopened
from blackbox.score import Ledger

if TYPE_CHECKING:  # importing pydantic takes longer than the command line's help may
    from blackbox.plan import Plan


def study_of(plan: Plan, materials: Materials, folder: Path, ledger: Ledger) -> Study:
    """Lay out what the surveys look at.

    Parameters
    ----------
    folder : what the plan's paths are relative to. ledger : counts the rows that they spend.
    """
    data = materials.data
    features = materials.features(plan.features, data.row(0))
    return Study(
        materials.model, data.rows, materials.background, features, data.columns,
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
    """Play the plan's reviews.

    Parameters
    ----------
    records : called once per review; see ``Reviewer.review`` for what they hold.
    """
    found: list[Finding] = []
    for check in plan.parsed_checks():
        if isinstance(check, Reviewer):
            found.extend(_tried(check, AUDIT, lambda check=check: check.review(records(), context)))  # type: ignore[misc]
    return found


def has_reviews(plan: Plan) -> bool:
    """Tell whether anything is to be done after the cases."""
    return any(isinstance(check, Reviewer) for check in plan.parsed_checks())


def _tried(check: Check, case: str, play: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return play()
    except (ModelError, BudgetSpent) as error:
        return [Finding(check.name, case, "failed", f"The check could not be made: {error}")]
