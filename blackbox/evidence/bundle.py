"""The bundle: everything that an audit found, as files whose digests stand in one manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blackbox import api, study
from blackbox.canonical import canonical
from blackbox.case import Case
from blackbox.checks import Finding, context_of
from blackbox.errors import ModelError, RequestError
from blackbox.evidence import merkle
from blackbox.evidence.findings import OpenFindings, write_findings, write_junit, write_sarif
from blackbox.evidence.table import TableWriter
from blackbox.files import check_folder, sha256
from blackbox.materials import Materials
from blackbox.model import told
from blackbox.plan import Plan
from blackbox.report import figures, pictures
from blackbox.report.page import Told, render
from blackbox.tally import STATUSES, Tally
from blackbox.yamls import write_yaml

MANIFEST = "manifest.json"
SCHEMA = "blackbox.bundle/1"
FACTS = (
    "bytes", "ir_version", "opsets", "producer", "operators", "constants", "providers", "session",
    "custom_ops",
)  # fmt: skip
"""What the manifest tells of a model's file and of how it was run, where an adapter knows it."""

OUTSIDE = ("run.json", "statement.intoto.json", "statement.dsse.json")
"""Files of a bundle that its manifest does not list: what depends on the clock, and what is signed later."""


@dataclass(frozen=True)
class Sealing:
    """What a bundle is made of.

    effective : the plan with every default filled in. inputs : role -> file name -> SHA-256. records : begins
    the stream of all records anew. general : findings of the checks made before the cases. probe : what the
    model did before any attribution, None where it was not asked. rows : forward rows of the probe, the
    checks and the cases. features : the names of the features, one JSON list per kind of case. baseline :
    the folder of an earlier audit to compare with.
    """

    plan: Plan
    effective: Mapping[str, Any]
    materials: Materials
    inputs: Mapping[str, Mapping[str, str]]
    tool: str
    runtime: str
    device: str
    rows_per_run: int
    records: Callable[[], Iterator[bytes]]
    general: Sequence[Mapping[str, Any]]
    probe: Mapping[str, Any] | None
    rows: int
    features: Sequence[str]
    baseline: Path | None = None


def write_bundle(inside: Path, sealing: Sealing) -> dict[str, Any]:
    """Write a bundle into an empty folder and return its manifest.

    The same records give the same bytes, whoever played them and when; memory does not grow with them.

    Raises
    ------
    RequestError, ModelError : no method answered about any case; told as the first one told it.
    OSError : the folder cannot be written.
    """
    tally = Tally(sealing.plan.outputs.cases)
    found = OpenFindings(inside.parent / "open.jsonl")
    found.path.unlink(missing_ok=True)
    survey = [Finding(**finding) for finding in sealing.general]
    tally.note(survey)
    found.add(sealing.general)
    root = _write_records(inside, sealing, tally, found)
    _refuse_silence(tally)
    general = (*survey, *_reviews(inside, sealing, tally, found))
    _write_reports(inside, sealing, tally, found, general)
    manifest = _manifest(inside, sealing, tally, root)
    (inside / MANIFEST).write_bytes(canonical(manifest))
    found.path.unlink(missing_ok=True)
    return manifest


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
    return {MANIFEST, *OUTSIDE, *map(str, listed)}


def _write_records(inside: Path, sealing: Sealing, tally: Tally, found: OpenFindings) -> bytes:
    """Pass the records on to every file that tells of all of them; return the root of their tree."""
    table = TableWriter(inside / "explanations.parquet", sealing.features)

    def passing() -> Iterator[bytes]:
        with (inside / "records.jsonl").open("wb") as file:
            for line in sealing.records():
                file.write(line + b"\n")
                record = json.loads(line)
                tally.add(record)
                if record["kind"] == "explanation":
                    table.add(record)
                if record["kind"] == "case":
                    found.add(record["findings"])
                yield line

    root = merkle.root(passing())
    tally.close()
    table.close()
    return root


def _refuse_silence(tally: Tally) -> None:
    """A question that no method could answer about any case was a wrong one, or the model's fault."""
    if tally.explained == 0 and tally.first_error is not None:
        kind, message = tally.first_error
        raise (ModelError if kind == "ModelError" else RequestError)(message)


def _reviews(inside: Path, sealing: Sealing, tally: Tally, found: OpenFindings) -> list[Finding]:
    def records() -> Iterator[Mapping[str, Any]]:
        with (inside / "records.jsonl").open("rb") as file:
            yield from map(json.loads, file)

    findings = study.reviewed(sealing.plan, records, context_of(sealing.baseline))
    tally.note(findings)
    found.add([vars(finding) for finding in findings])
    return findings


def _write_reports(
    inside: Path, sealing: Sealing, tally: Tally, found: OpenFindings, general: Sequence[Finding]
) -> None:
    model = sealing.materials.model.identity.source.replace("\\", "/").rsplit("/", 1)[-1]
    write_findings(inside / "findings.json", tally, general, found)
    write_junit(inside / "junit.xml", tally, found)
    write_sarif(inside / "findings.sarif", tally, found, model, sealing.tool)
    (inside / "plan.yaml").write_text(write_yaml(dict(sealing.effective)), encoding="utf-8")
    shown = Told(
        sealing.plan, sealing.materials, tally, tuple(general), sealing.rows, _pictures(sealing, tally),
        sealing.tool, sealing.runtime, sealing.device, sealing.rows_per_run,
        sealing.probe,
    )  # fmt: skip
    (inside / "report.html").write_text(render(shown), encoding="utf-8")
    (inside / "figures").mkdir()
    for name, drawn in figures.draw(shown):
        (inside / "figures" / name).write_bytes(drawn)


def _pictures(sealing: Sealing, tally: Tally) -> dict[int, Case]:
    """The cases whose pictures the report may show: none where the plan withholds what inputs hold."""
    materials, plan = sealing.materials, sealing.plan
    if plan.privacy != "keep":
        return {}
    found = {}
    for dossier in tally.shown:
        x = materials.data.row(dossier.row)
        case = api.case(materials.model, x, materials.features(plan.features, x), materials.background)
        if not pictures.is_picture(case):
            return {}
        found[dossier.number] = case
    return found


def _manifest(inside: Path, sealing: Sealing, tally: Tally, root: bytes) -> dict[str, Any]:
    files = sorted(path for path in inside.rglob("*") if path.is_file())
    model = sealing.materials.model
    endpoint = model.identity.facts.get("endpoint")
    return {
        "schema": SCHEMA,
        "tool": sealing.tool,
        "passed": tally.passed,
        "findings": {status: tally.count(status) for status in STATUSES},
        "checks": {
            name: {status: check.counts[status] for status in STATUSES}
            for name, check in tally.checks.items()
        },
        "cases": tally.cases,
        "explanations": tally.explained,
        "rows": sealing.rows,
        "rows_per_run": sealing.rows_per_run,
        "model": told(model.signature)
        | {name: model.identity.facts[name] for name in FACTS if name in model.identity.facts},
        "sandbox": model.identity.facts.get("sandbox"),
        **({"endpoint": endpoint} if endpoint else {}),
        "runtime": sealing.runtime,
        "device": sealing.device,
        "probe": sealing.probe,
        "seed": sealing.plan.seed,
        "privacy": sealing.plan.privacy,
        "inputs": {role: dict(digests) for role, digests in sealing.inputs.items()},
        "records": {"count": tally.records, "merkle_root": root.hex()},
        "files": {
            path.relative_to(inside).as_posix(): {"sha256": sha256(path), "bytes": path.stat().st_size}
            for path in files
        },
    }
