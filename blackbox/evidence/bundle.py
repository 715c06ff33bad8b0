"""An audit as a folder: one record per explanation, the findings, the report, and a manifest of digests."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import yaml

from blackbox.audit import AuditResult, CaseResult
from blackbox.errors import RequestError
from blackbox.files import check_folder, sha256, written_folder
from blackbox.report.page import render

MANIFEST = "manifest.json"
SCHEMA = "blackbox.audit/1"


def write_bundle(result: AuditResult, folder: Path) -> Path:
    """Write an audit's folder, whole or not at all, and return the path of its report.

    The same audit gives the same bytes: nothing that depends on the clock is in it. An earlier
    audit in ``folder`` is replaced.

    Raises
    ------
    RequestError : ``folder`` holds something that is no earlier audit, or cannot be written.
    """
    check_target(folder)
    with written_folder(folder) as inside:
        (inside / "records").mkdir()
        for number, case in enumerate(result.cases, start=1):
            _write_records(inside / "records", number, case)
        _write(inside / "findings.json", [dataclasses.asdict(finding) for finding in result.findings])
        (inside / "plan.yaml").write_text(_plan_text(result), encoding="utf-8")
        (inside / "report.html").write_text(render(result), encoding="utf-8")
        _write(inside / MANIFEST, _manifest(result, inside))
    return folder / "report.html"


def check_target(folder: Path) -> None:
    """Refuse a folder that an audit could not replace, before the audit is played.

    Raises
    ------
    RequestError : it cannot be written, or holds anything that no earlier audit put there.
    """
    check_folder(folder)
    if not folder.is_dir():
        return
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    if foreign := sorted(there - _listed(folder)):
        raise RequestError(
            f"The folder {folder} holds {foreign[0]}, which is not part of an earlier audit: "
            "name another folder, or move that file."
        )


def _listed(folder: Path) -> set[str]:
    """The files of an earlier audit, by its own manifest."""
    try:
        listed = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {MANIFEST, *map(str, listed)}


def _write_records(folder: Path, number: int, case: CaseResult) -> None:
    about = {"case": case.id, "row": case.row, "target": case.target}
    for name, explanation in case.explanations.items():
        record = {**about, "explanation": json.loads(explanation.to_json())}
        _write(folder / f"{number:05d}-{name}.json", record)
    for failure in case.failures:
        record = {**about, "method": failure.method, "failure": str(failure.error)}
        _write(folder / f"{number:05d}-{failure.method}.json", record)


def _write(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _plan_text(result: AuditResult) -> str:
    """The plan with every default filled in."""
    return yaml.safe_dump(result.plan.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _manifest(result: AuditResult, inside: Path) -> dict[str, Any]:
    from blackbox import __version__

    identity = result.materials.model.identity
    written = sorted(path for path in inside.rglob("*") if path.is_file())
    return {
        "schema": SCHEMA,
        "tool": f"blackbox {__version__}",
        "passed": result.passed,
        "findings": {status: result.count(status) for status in ("passed", "warned", "failed", "skipped")},
        "cases": len(result.cases),
        "rows": result.rows,
        "rows_per_run": result.materials.model.limits.rows_per_run,
        "runtime": identity.runtime,
        "device": identity.device,
        "seed": result.plan.seed,
        "inputs": {
            role: {_name(path, paths[0].parent): sha256(path) for path in paths}
            for role, paths in result.materials.files.items()
        },
        "files": {path.relative_to(inside).as_posix(): sha256(path) for path in written},
    }


def _name(path: Path, folder: Path) -> str:
    """Name a file relative to its role's first one, so that equal names in two folders stay apart."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
