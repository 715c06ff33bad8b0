"""One case handed to the person whom it concerns: its records, their proofs and the signature on one page."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from blackbox.canonical import canonical, parse
from blackbox.errors import EvidenceError, RequestError, unknown
from blackbox.evidence import envelope, inventory, keys, merkle, verify
from blackbox.evidence.inventory import ENVELOPE, RECORDS, STATEMENT
from blackbox.evidence.verify import Verification
from blackbox.files import written
from blackbox.privacy import Privacy, read_secret, secret_file

SCHEMA = "blackbox.case-receipt/1"
LARGEST = 2**30
"""Bytes of a page."""

EVIDENCE = re.compile(r'<script type="application/json" id="evidence">([^<]*)</script>')
WRITER = re.compile(r'<meta name="generator" content="blackbox ([^"<>]*)">')


def write_receipt(folder: Path, case: str, path: Path) -> int:
    """Write the receipt of one case of a signed bundle and return how many records it holds.

    Where the bundle holds salted digests of the inputs and its secret lies beside it, the receipt tells the
    salt of this case, so that the reader can check values that they know.

    Raises
    ------
    RequestError : there is no such bundle or case, or the page cannot be written.
    EvidenceError : the bundle does not hold, or is not signed.
    """
    manifest = inventory.read_manifest(folder)
    own = _own_statement(folder)
    key = keys.from_spki(b64decode(own["public_key"]))
    _, problems = verify.signature(folder, manifest, key)
    if problems := verify.content_problems(folder, manifest) + problems:
        raise EvidenceError(f"The bundle {folder} does not hold, so no receipt was written: {problems[0]}")
    records = _records(folder / RECORDS, case)
    text = inventory.content(folder / ENVELOPE, verify.LARGEST).decode()
    evidence = {"schema": SCHEMA, "envelope": text, "key": own["public_key"], "records": records}
    if manifest.get("privacy") == "hash" and secret_file(folder).exists():
        evidence["salt"] = Privacy("hash", read_secret(secret_file(folder))).salt(case).hex()
    with written(path) as temporary:
        temporary.write_text(page(evidence), encoding="utf-8")
    return len(records)


def _own_statement(folder: Path) -> dict[str, str]:
    """Return our part of a bundle's statement, before anything about it is known to hold."""
    if not (folder / STATEMENT).exists():
        raise EvidenceError(f"The bundle {folder} is not signed: `blackbox sign` it before writing receipts.")
    try:
        own = parse(inventory.content(folder / STATEMENT, verify.LARGEST))["predicate"]["blackbox"]
        b64decode(own["public_key"], validate=True)
        return dict(own)
    except (KeyError, TypeError, ValueError):
        raise EvidenceError(f"{STATEMENT} is malformed: sign the bundle again.") from None


def _records(path: Path, case: str) -> list[dict[str, Any]]:
    """Return the records of one case with their places and proofs, in two passes over the file."""
    wanted = b'"case":' + canonical(case)
    found = {
        index: line
        for index, line in enumerate(inventory.lines(path))
        if wanted in line and json.loads(line).get("case") == case
    }
    if not found:
        known = (json.loads(line) for line in inventory.lines(path))
        raise unknown("case", case, dict.fromkeys(str(r["case"]) for r in known if r["kind"] == "case"))
    proofs = merkle.proofs(inventory.lines(path), found)
    return [
        {"line": line.decode(), "index": index, "proof": [step.hex() for step in proofs[index]]}
        for index, line in found.items()
    ]


def page(evidence: Mapping[str, Any]) -> str:
    """Return the page around a receipt's evidence; equal evidence gives equal pages."""
    from blackbox import __version__

    # no character of a record can end the element that it stands in
    told = canonical(evidence).decode().replace("<", "\\u003c")
    style, script = _part("receipt.css"), _part("receipt.js")
    fields = {
        "tool": f"blackbox {__version__}", "style_hash": _policy(style), "script_hash": _policy(script),
        "style": style, "script": script, "evidence": told,
    }  # fmt: skip
    return re.sub(r"\{\{(\w+)\}\}", lambda found: fields[found[1]], _part("receipt.html"))


@cache
def _part(name: str) -> str:
    return files("blackbox.evidence").joinpath("page", name).read_text(encoding="utf-8")


def _policy(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def verify_receipt(path: Path, key: Path) -> tuple[Verification, tuple[str, ...]]:
    """Verify a receipt, and return with it what its records say, one line per case record.

    Raises
    ------
    RequestError : there is no such file.
    EvidenceError : the key is malformed, or the file holds no receipt.
    """
    public = keys.public_key(key)
    text, evidence = _read(path)
    problems = []
    own: dict[str, Any] = {}
    try:
        signed = parse(envelope.opened(evidence["envelope"].encode(), public))
        own = signed["predicate"]["blackbox"]
        if evidence["key"] != own["public_key"] or b64decode(own["public_key"]) != keys.spki(public):
            problems.append("The key on the page is not the one that signed.")
        problems += _misplaced(evidence["records"], own["records"])
        result = str(signed["predicate"]["result"])
    except EvidenceError as error:
        problems.append(error.message)
    except (KeyError, TypeError, ValueError, AttributeError):
        problems.append("The receipt's evidence is malformed.")
    same, differs, unchecked = _page_problems(text, evidence)
    problems += differs
    told = _told(evidence) if not problems else ()
    checked = ("the signature", f"{len(evidence.get('records', []))} records and their proofs", *same)
    remarks = verify.remarks(own)
    return Verification(tuple(problems), checked, unchecked, remarks, result if not problems else None), told


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    if not path.is_file():
        raise RequestError(f"There is no receipt {path}.")
    try:
        text = inventory.content(path, LARGEST).decode("utf-8")
    except UnicodeDecodeError:
        raise EvidenceError(f"{path} is no receipt, or was damaged: it is not UTF-8 text.") from None
    found = EVIDENCE.findall(text)
    if len(found) != 1:
        raise EvidenceError(f"{path} is no receipt, or was cut off: its evidence is not in it.")
    try:
        evidence = json.loads(found[0])
    except (ValueError, RecursionError):
        evidence = None
    if not isinstance(evidence, dict) or evidence.get("schema") != SCHEMA:
        raise EvidenceError(f"{path} is no receipt of the schema {SCHEMA}, or was damaged.")
    return text, evidence


def _misplaced(records: list[dict[str, Any]], tree: Mapping[str, Any]) -> list[str]:
    """Return which records are not leaves of the signed tree, or do not belong together."""
    root, cases, places = bytes.fromhex(tree["merkle_root"]), set(), []
    for number, record in enumerate(records, start=1):
        proof = [bytes.fromhex(step) for step in record["proof"]]
        if not merkle.holds(record["line"].encode(), record["index"], tree["count"], proof, root):
            return [f"Record {number} of the receipt is not one of those that were signed."]
        cases.add(parse(record["line"].encode())["case"])
        places.append(record["index"])
    if len(cases) != 1:
        return ["The receipt's records do not belong to one case."]
    return [] if places == sorted(set(places)) else ["The receipt's records are not in their order."]


def _page_problems(
    text: str, evidence: Mapping[str, Any]
) -> tuple[tuple[str, ...], list[str], tuple[str, ...]]:
    """Say whether the page around the evidence is the one that this version writes."""
    from blackbox import __version__

    try:
        if page(evidence) == text:
            return ("the page around them",), [], ()
    except ValueError:
        return (), ["The receipt's evidence is malformed."], ()
    writer = WRITER.findall(text)
    if writer == [__version__] or len(writer) != 1:
        return (), ["The page around the evidence was changed: it may show something else."], ()
    told = f"The page around the evidence, written by blackbox {writer[0]}; this is {__version__}."
    return (), [], (told,)


def _told(evidence: Mapping[str, Any]) -> tuple[str, ...]:
    records = [json.loads(record["line"]) for record in evidence["records"]]
    return tuple(
        f"case {record['case']}, asked about {record['target']}: the answer was {_answer(record)}"
        for record in records
        if record["kind"] == "case"
    )


def _answer(record: Mapping[str, Any]) -> str:
    output = record["output"]
    pairs = ", ".join(
        f"{name} {value:.6g}" for name, value in zip(output["names"], output["values"], strict=True)
    )
    return f"{record['predicted']} ({pairs})" if record["predicted"] is not None else pairs or "none"
