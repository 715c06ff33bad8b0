"""The parts of an audit's page that gather over all cases: checks by kind, reasons, and the crosswalk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from blackbox.probe import said
from blackbox.records import Dossier
from blackbox.report.crosswalk import CAUTION, CROSSWALK
from blackbox.tally import STATUSES, CheckTally, Tally

if TYPE_CHECKING:
    from blackbox.report.page import Told

KINDS = {
    "The model and the question": (
        "May any attribution of this model and these features be trusted?",
        ("answers", "determinism", "background", "scaffolding", "randomisation", "omission", "outcomes"),
    ),
    "The answers": (
        "Do they add up, and hold when they are put to the model?",
        (
            "additivity", "sufficiency", "local_fit", "fidelity", "curves", "erasure", "correlation",
            "infidelity",
        ),
    ),
    "Steadiness": (
        "Would another draw, a slightly different input, another method, or more plausible questions say "
        "the same?",
        ("stability", "sensitivity", "agreement", "manifold"),
    ),
    "Fairness and change": (
        "What may a decision not rest on, and what is new since the last audit?",
        ("protected", "protected_share", "drift"),
    ),
}  # fmt: skip
"""Title -> what the kind asks, and its checks."""


def probed(seen: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Say what a probe saw, line by line; none where the plan asked for none."""
    if seen is None:
        return []
    return [("not made", seen["error"])] if "error" in seen else said(seen)


def checks_by_kind(tally: Tally) -> list[dict[str, Any]]:
    """Show the counts of every check and the sentences of the first that did not pass, kind by kind."""
    placed = {name for _, names in KINDS.values() for name in names}
    kinds = {**KINDS, "Other checks": ("", tuple(name for name in tally.checks if name not in placed))}
    found = []
    for title, (asks, names) in kinds.items():
        rows = [_row(name, tally.checks[name]) for name in names if name in tally.checks]
        if rows:
            found.append({"title": title, "asks": asks, "rows": rows})
    return found


def _row(name: str, check: CheckTally) -> dict[str, Any]:
    told = check.quoted[check.worst]
    open_ones = told if check.worst != "passed" else []
    left = sum(check.counts[status] for status in STATUSES if status != "passed") - len(open_ones)
    return {
        "name": name.replace("_", " "), "counts": check.counts, "worst": check.worst,
        "open": open_ones, "more": max(0, left), "example": told[0].sentence,
    }  # fmt: skip


def decisions(told: Told) -> dict[str, Any] | None:
    """Gather the decisions of the cases that are shown; None where the audit states no reasons."""
    rule = told.materials.rule
    if rule is None:
        return None
    shown = [(case, decision) for case in told.tally.shown if (decision := _decision(case))]
    adverse = [(case, decision) for case, decision in shown if decision["adverse"]]
    same = [one["proxy"]["rank_correlation"] for _, one in adverse if one["proxy"]]
    population = rule.population
    return {
        "rule": rule,
        "compared": population.background.rule if population else told.materials.background.rule,
        "digest": (population.background if population else told.materials.background).sha256,
        "rows": population.rows if population else 0,
        "codes": _names(told, "codes"),
        "applicants": _names(told, "applicants") or _names(told, "data"),
        "confidence": next((d["confidence"] for _, d in adverse if d["confidence"] is not None), None),
        "adverse": adverse,
        "favourable": len(shown) - len(adverse),
        "agreement": (float(np.median(same)), min(same)) if same else None,
    }


def _decision(case: Dossier) -> Any:
    return (case.reasons or {}).get("decision")


def _names(told: Told, role: str) -> str:
    return ", ".join(path.name for path in told.materials.files.get(role, ())[:3])


def crosswalk(with_reasons: bool) -> dict[str, Any]:
    """Return the crosswalk's rows as the page shows them."""
    rows: Sequence[dict[str, Any]] = [
        {
            "source": one.source, "place": one.place, "asks": one.asks, "where": one.where(with_reasons),
            "covers": one.told(with_reasons), "leaves": one.leaves,
        }
        for one in CROSSWALK
    ]  # fmt: skip
    return {"rows": rows, "caution": CAUTION}
