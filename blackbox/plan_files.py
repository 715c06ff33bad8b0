"""The files that a plan names, the first of them that is not there, and where they are instead."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from blackbox.errors import RequestError
from blackbox.model import missing_file
from blackbox.plan import Plan

KEYS = {
    "model": ("model", "path"),
    "data": ("data", "path"),
    "background": ("background", "path"),
    "labels": ("features", "labels"),
    "class names": ("model", "classes"),
    "code table": ("reasons", "codes"),
    "applicants": ("reasons", "background", "path"),
}
"""Role -> the key of a plan that may name a file."""


def named_files(plan: Plan) -> dict[str, str]:
    """Return what a plan names: role -> path or address as it stands there."""
    named = {role: _value(plan, key) for role, key in KEYS.items()}
    return {role: path for role, path in named.items() if isinstance(path, str)}


def _value(part: Any, key: Sequence[str]) -> Any:
    for name in key:
        part = getattr(part, name, None)
    return part


def found_nearby(plan: Plan, folder: Path, near: Sequence[Path]) -> Plan:
    """Return a plan whose files that are not there are taken, by their names, from the folders ``near``.

    Parameters
    ----------
    folder : what the plan's paths are relative to. A file that is nowhere stays as it is named.
    """
    for role, path in named_files(plan).items():
        if "://" in path or (folder / path).exists():
            continue
        name = PureWindowsPath(path).name  # a plan of either kind of system
        place = next((place / name for place in near if (place / name).exists()), None)
        if place is not None:
            plan = _with(plan, KEYS[role], str(place.resolve()))
    return plan


def _with(part: Any, key: Sequence[str], value: str) -> Any:
    first, *rest = key
    return part.model_copy(update={first: _with(getattr(part, first), rest, value) if rest else value})


def missing(plan: Plan, folder: Path) -> RequestError | None:
    """Return the error for the first file that a plan names and that is not there; None = all are."""
    for role, path in named_files(plan).items():
        if "://" not in path and not (folder / path).exists():
            return missing_file(folder / path, role)
    return None
