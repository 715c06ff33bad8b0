"""The files that a plan names, and the first of them that is not there."""

from __future__ import annotations

from pathlib import Path

from blackbox.errors import RequestError
from blackbox.model import missing_file
from blackbox.plan import Plan


def named_files(plan: Plan) -> dict[str, str]:
    """Return what a plan names: role -> path or address as it stands there."""
    reasons = plan.reasons
    whom = reasons.background if reasons is not None else None
    named = {
        "model": plan.model.path,
        "data": plan.data.path,
        "background": plan.background.path,
        "labels": plan.features.labels,
        "class names": plan.model.classes,
        "code table": reasons.codes if reasons is not None else None,
        "applicants": whom.path if whom is not None else None,
    }
    return {role: path for role, path in named.items() if isinstance(path, str)}


def missing(plan: Plan, folder: Path) -> RequestError | None:
    """Return the error for the first file that a plan names and that is not there; None = all are."""
    for role, path in named_files(plan).items():
        if "://" not in path and not (folder / path).exists():
            return missing_file(folder / path, role)
    return None
