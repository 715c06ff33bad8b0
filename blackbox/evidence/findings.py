"""Findings for machines: findings.json, JUnit XML and SARIF 2.1.0, all from the same stream."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from blackbox.canonical import canonical
from blackbox.checks import CHECKS, Finding
from blackbox.tally import STATUSES, Tally

SCHEMA = "blackbox.findings/1"
SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

MOST_RESULTS = 5000
"""Results in the SARIF file, and test cases in a JUnit suite: what viewers still show."""

LEVELS = {"failed": "error", "warned": "warning", "skipped": "note"}


@dataclass(frozen=True)
class OpenFindings:
    """Findings that did not pass, one JSON object a line in a working file; passed ones are only counted."""

    path: Path

    def add(self, findings: Iterable[Mapping[str, Any]]) -> None:
        """Append those that did not pass."""
        lines = [canonical(dict(finding)) + b"\n" for finding in findings if finding["status"] != "passed"]
        if lines:
            with self.path.open("ab") as file:
                file.writelines(lines)

    def lines(self) -> Iterator[bytes]:
        """Yield them as canonical JSON, in the order in which they came."""
        if self.path.exists():
            with self.path.open("rb") as file:
                for line in file:
                    yield line.rstrip(b"\n")

    def __iter__(self) -> Iterator[Finding]:
        return (Finding(**json.loads(line)) for line in self.lines())


def write_findings(path: Path, tally: Tally, general: Iterable[Finding], found: OpenFindings) -> None:
    """Write findings.json: counts per check, findings about the whole, and every other that did not pass.

    It is canonical JSON, written in a stream: ``cases`` may be long.
    """
    checks = {
        name: {status: check.counts[status] for status in STATUSES} for name, check in tally.checks.items()
    }
    whole = [dataclasses.asdict(finding) for finding in general]
    about = {(finding["check"], finding["case"]) for finding in whole}
    with path.open("wb") as file:
        file.write(b'{"cases":[')
        first = True
        for line in found.lines():
            told = json.loads(line)
            if (told["check"], told["case"]) not in about:
                file.write(line if first else b"," + line)
                first = False
        rest = {"checks": checks, "general": whole, "passed": tally.passed, "schema": SCHEMA}
        file.write(b"]," + canonical(rest)[1:])


def write_junit(path: Path, tally: Tally, found: OpenFindings) -> None:
    """Write one suite per check: a case per finding that failed, and one for all that did not.

    Warnings pass, as they do for the exit code; they stand in ``system-out``.
    """
    checks = tally.checks.items()
    tests = sum(_tests(check.counts) for _, check in checks)
    failures = sum(_listed(check.counts) for _, check in checks)
    with path.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="UTF-8"?>\n')
        file.write(f'<testsuites name="blackbox audit" tests="{tests}" failures="{failures}">\n')
        for name, check in checks:
            file.writelines(_suite(name, check.counts, (f for f in found if f.check == name)))
        file.write("</testsuites>\n")


def _listed(counts: Mapping[str, int]) -> int:
    return min(counts["failed"], MOST_RESULTS)


def _tests(counts: Mapping[str, int]) -> int:
    return _listed(counts) + bool(counts["passed"] + counts["warned"]) + bool(counts["skipped"])


def _suite(name: str, counts: Mapping[str, int], found: Iterable[Finding]) -> Iterator[str]:
    own, skipped = quoteattr(name), int(bool(counts["skipped"]))
    yield (
        f'  <testsuite name={own} tests="{_tests(counts)}" failures="{_listed(counts)}" '
        f'skipped="{skipped}">\n'
    )
    remarks: list[str] = []
    left = _listed(counts)
    for finding in found:
        told = _clean(f"{finding.case}: {finding.sentence}")
        if finding.status == "warned" and len(remarks) < MOST_RESULTS:
            remarks.append(told)
        elif finding.status == "failed" and left:
            left -= 1
            yield f"    <testcase classname={own} name={quoteattr(_clean(finding.case))}>\n"
            yield f"      <failure message={quoteattr(told)}/>\n    </testcase>\n"
    if counts["passed"] + counts["warned"]:
        title = quoteattr(f"{counts['passed']} passed, {counts['warned']} warned")
        yield f"    <testcase classname={own} name={title}>\n"
        yield f"      <system-out>{escape(chr(10).join(remarks))}</system-out>\n    </testcase>\n"
    if skipped:
        yield f'    <testcase classname={own} name="{counts["skipped"]} skipped"><skipped/></testcase>\n'
    yield "  </testsuite>\n"


def _clean(text: str) -> str:
    """Drop what XML 1.0 cannot hold, whatever the escape."""
    return "".join(c for c in text if c in "\t\n\r" or (ord(c) >= 32 and not 0xFFFE <= ord(c) <= 0xFFFF))


def write_sarif(path: Path, tally: Tally, found: OpenFindings, model: str, tool: str) -> None:
    """Write the findings that did not pass as SARIF 2.1.0, at most 5,000 of them.

    Parameters
    ----------
    model : name of the model's file, which every result is about. tool : name and version.

    References
    ----------
    OASIS, Static Analysis Results Interchange Format 2.1.0, sections 3.27 and 3.49.
    """
    rules = [_rule(name) for name in tally.checks]
    order = {rule["id"]: number for number, rule in enumerate(rules)}
    results = [_result(finding, order, model) for finding in islice(found, MOST_RESULTS)]
    name, _, version = tool.partition(" ")
    left = sum(tally.count(status) for status in LEVELS) - len(results)
    more = {"level": "warning", "message": {"text": f"{left} more findings are in findings.json."}}
    run = {
        "tool": {"driver": {"name": name, "version": version, "rules": rules}},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": [more] if left else []}],
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    path.write_bytes(canonical({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}))


def _rule(name: str) -> dict[str, Any]:
    doc = CHECKS[name].__doc__ if name in CHECKS else "Every method of the plan answers about every case."
    first, _, rest = " ".join((doc or "").split()).partition(". ")
    gate = getattr(CHECKS.get(name), "gate", "fail")
    return {
        "id": f"blackbox/{name}",
        "name": "".join(word.capitalize() for word in name.split("_")),
        "shortDescription": {"text": first.rstrip(".") + "."},
        "fullDescription": {"text": f"{first}. {rest}".strip()},
        "help": {"text": f"{first}. {rest} The plan's key for it is checks.{name}.".replace("  ", " ")},
        "defaultConfiguration": {"level": "error" if gate == "fail" else "warning"},
    }


def _result(finding: Finding, order: Mapping[str, int], model: str) -> dict[str, Any]:
    rule = f"blackbox/{finding.check}"
    # not the numbers: they may move from run to run while the finding is the same
    sentence = re.sub(r"\d[\d.,]*(e[-+]?\d+)?", "#", finding.sentence)
    same = "\0".join((finding.check, finding.case, model, sentence)).encode("utf-8", "replace")
    return {
        "ruleId": rule,
        "ruleIndex": order[rule],
        "kind": "notApplicable" if finding.status == "skipped" else "fail",
        "level": "none" if finding.status == "skipped" else LEVELS[finding.status],
        "message": {"text": f"{finding.case}: {finding.sentence}"},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": _uri(model)}, "region": {"startLine": 1}},
                "logicalLocations": [{"name": finding.case, "kind": "member"}],
            }
        ],
        "partialFingerprints": {"blackboxFinding/v1": hashlib.sha256(same).hexdigest()},
    }


def _uri(name: str) -> str:
    from urllib.parse import quote

    return quote(name)
