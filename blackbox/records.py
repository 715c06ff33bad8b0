"""A case as lines of records: canonical JSON that stands alone, and what is read back from it.

Every line of ``records.jsonl`` is one object of the schema ``blackbox.record/1``. A case and target begin
with a record of kind ``case``; one of kind ``explanation`` or ``failure`` per method of the plan follows.
All of them name ``number`` (of the case and target, from 1), ``case``, ``row`` and ``target``.

- ``case`` : ``input`` (the privacy rule, a digest, what each feature held), ``features``, ``output`` (the
  model's answer), ``predicted``, ``findings``, ``reasons``, ``rows`` and ``calls`` spent on it.
- ``explanation`` : ``method`` and ``explanation``, the whole ``bb.Explanation``.
- ``failure`` : ``method`` and ``error`` (``type`` and ``message``).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from blackbox.canonical import LARGEST, canonical
from blackbox.checks import Finding
from blackbox.examination import Examined
from blackbox.explanation import Explanation
from blackbox.features import Features
from blackbox.privacy import Guard, Privacy

SCHEMA = "blackbox.record/1"


@dataclass(frozen=True)
class Dossier:
    """One case and target as its records tell it.

    number : from 1, in the order of the audit. outputs : Float[np.ndarray, "c"], the model's answer;
    empty when it gave none. failures : method -> message. held : what each feature held, None where the
    plan's privacy rule withholds it. reasons : as the record holds them.
    """

    number: int
    id: str
    row: int
    target: str
    predicted: str | None
    feature_names: tuple[str, ...]
    feature_rule: str
    held: tuple[Any, ...]
    output_names: tuple[str, ...]
    outputs: np.ndarray
    explanations: Mapping[str, Explanation]
    failures: Mapping[str, str]
    findings: tuple[Finding, ...]
    reasons: Mapping[str, Any] | None

    @property
    def status(self) -> str:
        """The worst status of its findings: passed, warned or failed."""
        found = {finding.status for finding in self.findings}
        return next((status for status in ("failed", "warned") if status in found), "passed")


def lines(examined: Examined, number: int, privacy: Privacy, labels: Mapping[str, str]) -> Iterator[bytes]:
    """Yield the records of one case and target, each one line of canonical JSON without its end."""
    about = {
        "schema": SCHEMA, "number": number, "case": examined.id, "row": examined.row,
        "target": examined.target,
    }  # fmt: skip
    guard = privacy.guard(examined.id, examined.case.features.data(examined.case.x), labels)
    yield canonical(_fit(about | {"kind": "case"} | _case(examined, guard, labels)))
    failed = {failure.method: failure.error for failure in examined.failures}
    for method in [*examined.explanations, *failed]:
        one = about | {"method": method}
        if method in failed:
            error = {"type": type(failed[method]).__name__, "message": guard.told(str(failed[method]))}
            yield canonical(_fit(one | {"kind": "failure", "error": error}))
        else:
            told = _explanation(examined.explanations[method], guard)
            yield canonical(_fit(one | {"kind": "explanation", "explanation": told}))


def _case(examined: Examined, guard: Guard, labels: Mapping[str, str]) -> dict[str, Any]:
    case, outputs = examined.case, examined.outputs
    names = case.output_names() if len(outputs) else ()
    return {
        "input": guard.input(case.x),
        "features": _features(case.features, labels),
        "output": {"name": case.model.signature.answer, "names": list(names), "values": outputs.tolist()},
        "predicted": names[int(outputs.argmax())] if len(names) > 1 else None,
        "findings": [guard.said(dataclasses.asdict(finding)) for finding in examined.findings],
        "reasons": guard.reasons(examined.reasons.to_dict()) if examined.reasons else None,
        "rows": examined.rows,
        "calls": examined.calls,
    }


def _features(features: Features, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return names, rule and, where people have other words for them, those words."""
    told: dict[str, Any] = {"names": list(features.names), "rule": features.rule}
    if any(name in labels for name in features.names):
        told["labels"] = [labels.get(name, name) for name in features.names]
    return told


def _explanation(explanation: Explanation, guard: Guard) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(explanation.to_json())
    told["data"] = guard.held()
    told["details"] = guard.said(told["details"])
    model = told["provenance"].get("model", {})
    # where the file lay on this machine is nobody's business; its digests stand beside it
    model["source"] = str(model.get("source", "")).replace("\\", "/").rsplit("/", 1)[-1]
    return told


def _fit(value: Any) -> Any:
    """Write as text what RFC 8785 cannot hold: whole numbers beyond 2^53; and mend broken text."""
    if isinstance(value, dict):
        return {_fit(key): _fit(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_fit(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, int):
        return value if abs(value) <= LARGEST else str(value)
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else str(value)


def dossiers(stream: Iterable[bytes]) -> Iterator[Dossier]:
    """Read the lines of ``records.jsonl``, one case and target after the other, without keeping any."""
    parsed = (json.loads(line) for line in stream)
    for _, members in groupby(parsed, key=lambda record: record["number"]):
        yield dossier(list(members))


def dossier(members: list[dict[str, Any]]) -> Dossier:
    """Put the records of one case and target together, the one of kind ``case`` first."""
    case = members[0]
    explanations, failures = {}, {}
    for record in members[1:]:
        if record["kind"] == "failure":
            failures[record["method"]] = record["error"]["message"]
        else:
            explanations[record["method"]] = explanation_of(record)
    output = case["output"]
    return Dossier(
        case["number"], case["case"], case["row"], case["target"], case["predicted"],
        tuple(case["features"]["names"]), case["features"]["rule"], held_of(case),
        tuple(output["names"]), np.array(output["values"], dtype=float), explanations, failures,
        tuple(Finding(**finding) for finding in case["findings"]), case["reasons"],
    )  # fmt: skip


def explanation_of(record: Mapping[str, Any]) -> Explanation:
    """Read the Explanation that a record of kind ``explanation`` holds."""
    told = dict(record["explanation"])
    told["data"] = [_number(value) for value in told["data"]]
    return Explanation.from_json(json.dumps(told))


def held_of(case: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what each feature held; None for each where the privacy rule withholds it."""
    values = case["input"].get("values")
    names = case["features"]["names"]
    return tuple(_number(value) for value in values) if values else (None,) * len(names)


def _number(value: Any) -> Any:
    # canonical JSON writes 62.0 as 62; what an input holds is shown as a number with its thousands
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
