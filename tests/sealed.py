"""Small bundles in the sealed format, written straight from docs/evidence-format.md, for the tests of evidence."""

from __future__ import annotations

import hashlib
import json

from blackbox.canonical import canonical
from blackbox.evidence import merkle

RUN = {"started": "2026-01-05T09:00:00Z", "ended": "2026-01-05T09:00:07Z", "workers": 1}
INPUTS = {"model": {"scores.onnx": "5" * 64}, "data": {"people.csv": "7" * 64}}
NAMES = ["income", "age", "debts"]
WORDS = {"income": "yearly income", "age": "age in years", "debts": "open debts"}


def records(cases):
    """The lines of ``cases`` people, two methods each; the second method failed for the second person."""
    for number in range(1, cases + 1):
        about = {"schema": "blackbox.record/1", "number": number, "case": f"A-{number:03d}", "row": number - 1,
                 "target": "approved"}  # fmt: skip
        held = [20000 + 7 * number, 30 + number % 40, number % 3]
        values = [0.25, -0.125 / number, -0.3]
        yield canonical(about | {"kind": "case", **case_part(number, held, values)})
        told = {"method": "occlusion", "feature_names": NAMES, "values": values, "rows": 8}
        yield canonical(about | {"kind": "explanation", "method": "occlusion", "explanation": told})
        if number == 2:
            error = {"type": "ModelError", "message": "The model's answer holds NaN <&> \u00fc \U0001f600."}
            yield canonical(about | {"kind": "failure", "method": "lime", "error": error})
        else:
            yield canonical(about | {"kind": "explanation", "method": "lime", "explanation": told | {"method": "lime"}})


def decision(held):
    reason = {"feature": "debts", "label": "open debts", "held": held[2], "value": 0.3, "lower": 0.28, "upper": 0.32,
              "code": "R04", "text": "There are open debts", "apart": True, "sentence": f"R04 There are open debts ({held[2]})"}  # fmt: skip
    return {
        "favourable": "approved", "adverse": True, "score": 0.375, "passing": 0.5, "method": "occlusion", "confidence": 0.95,
        "compared": "40 of 100 people who just passed", "footing": "SHORTENED", "footing_text": "Only what can be told is given.",
        "reasons": [reason], "close": ["age in years"], "overlooked": ["sex"], "uncoded": [], "proxy": {},
        "sentence": "The score for approved is 0.375.",
    }  # fmt: skip


def case_part(number, held, values):
    reasons = [
        {"feature": name, "label": WORDS[name], "held": h, "value": v, "sentence": f"{WORDS[name]} ({h}): {v:+.3g}"}
        for name, h, v in zip(NAMES, held, values, strict=True)
    ]
    return {
        "input": {"privacy": "keep", "sha256": hashlib.sha256(repr(held).encode()).hexdigest(), "values": held},
        "features": {"names": NAMES, "labels": [WORDS[name] for name in NAMES], "rule": "one feature per column"},
        "output": {"name": "probabilities", "names": ["declined", "approved"], "values": [0.625, 0.375]},
        "predicted": "declined",
        "findings": [{"check": "additivity", "case": f"A-{number:03d}", "status": "passed",
                      "sentence": "The parts sum to the whole.", "value": 0, "threshold": 0.01}],
        "reasons": {"target": "approved", "method": "occlusion", "decision": decision(held),
                    "supporting": [r for r in reasons if r["value"] > 0],
                    "opposing": [r for r in reasons if r["value"] < 0]},
        "rows": 16, "calls": 2,
    }  # fmt: skip


def write_bundle(folder, cases=3, inputs=INPUTS):
    """Write an unsigned bundle and return its folder."""
    folder.mkdir()
    (folder / "figures").mkdir()
    with (folder / "records.jsonl").open("wb") as file:
        for line in records(cases):
            file.write(line + b"\n")
    (folder / "plan.yaml").write_text("model: {path: scores.onnx}\n")
    (folder / "findings.json").write_text("[]\n")
    (folder / "report.html").write_text("<!doctype html><title>Audit</title>\n")
    (folder / "figures" / "case-1.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>\n")
    (folder / "explanations.parquet").write_bytes(b"PAR1" + bytes(range(64)) + b"PAR1")
    (folder / "run.json").write_bytes(canonical(RUN))
    write_manifest(folder, cases, inputs)
    return folder


def write_manifest(folder, cases, inputs=INPUTS):
    outside = {"manifest.json", "run.json", "statement.intoto.json", "statement.dsse.json"}
    files = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    manifest = {
        "schema": "blackbox.bundle/1", "tool": "blackbox 0.1.0", "passed": True, "cases": cases, "inputs": inputs,
        "checks": {"additivity": {"passed": cases, "warned": 0, "failed": 0},
                   "agreement": {"passed": cases - 1, "warned": 1, "failed": 0}},
        "records": {"count": 3 * cases, "merkle_root": merkle.root(records(cases)).hex()},
        "files": {
            name: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}
            for name, path in files.items() if name not in outside
        },
    }  # fmt: skip
    (folder / "manifest.json").write_bytes(canonical(manifest))


def read(path):
    return json.loads(path.read_bytes())
