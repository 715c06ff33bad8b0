"""The files of a bundle against its manifest: nothing changed, nothing missing, nothing more."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from blackbox.canonical import parse
from blackbox.errors import EvidenceError, RequestError
from blackbox.evidence import merkle

MANIFEST, RECORDS, RUN = "manifest.json", "records.jsonl", "run.json"
STATEMENT, ENVELOPE = "statement.intoto.json", "statement.dsse.json"
OUTSIDE = (MANIFEST, RUN, STATEMENT, ENVELOPE)
"""Files that the manifest cannot list: itself, what depends on the clock, and what signs both."""

SCHEMA = "blackbox.bundle/1"
LARGEST_MANIFEST = 64 * 2**20
LARGEST_RECORD = 256 * 2**20
"""Bytes. A record of a picture of 4096 x 4096 pixels has about 100 MB."""


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a bundle's manifest.

    Raises
    ------
    RequestError : there is no such folder.
    EvidenceError : it has no manifest, or one that is malformed.
    """
    if not folder.is_dir():
        raise RequestError(f"There is no folder {folder}: name the folder that `blackbox audit` wrote.")
    text = content(folder / MANIFEST, LARGEST_MANIFEST)
    try:
        manifest = parse(text)
    except ValueError as error:
        raise EvidenceError(f"{MANIFEST} is malformed. {error}") from None
    if wrong := _misshapen(manifest):
        raise EvidenceError(f"{MANIFEST} is malformed: {wrong}.")
    return dict(manifest)


def content(path: Path, most: int) -> bytes:
    """Return a small file's bytes.

    Raises
    ------
    EvidenceError : it is missing, no plain file, cannot be read, or is larger than ``most`` bytes.
    """
    try:
        if path.is_symlink() or not path.is_file():
            raise EvidenceError(f"{path.name} is missing from the folder {path.parent}.")
        with path.open("rb") as file:
            text = file.read(most + 1)
    except OSError as error:
        raise EvidenceError(f"{path} cannot be read: {error.strerror or error}.") from None
    if len(text) > most:
        raise EvidenceError(f"{path.name} is larger than {most:,} bytes.")
    return text


def check_files(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Return one sentence per file that is not as the manifest lists it, or that it does not list."""
    listed: Mapping[str, Mapping[str, Any]] = manifest["files"]
    there, problems = _walk(folder)
    problems += [f"{name} is missing." for name in (*listed, RUN) if name not in there]
    problems += [
        f"{name} is not listed in {MANIFEST}." for name in there if name not in listed and name not in OUTSIDE
    ]
    for name in sorted(set(listed) & set(there)):
        problems += _differs(name, folder / name, listed[name])
    return problems


def check_records(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the records: their form, their number, the root of their tree."""
    count = 0

    def counted() -> Iterator[bytes]:
        nonlocal count
        for line in lines(folder / RECORDS):
            count += 1
            _check_record(line, count)
            yield line

    try:
        root = merkle.root(counted()).hex()
    except EvidenceError as error:
        return [error.message]
    claimed = manifest["records"]
    problems = []
    if count != claimed["count"]:
        problems.append(f"{RECORDS} holds {count} records, the manifest says {claimed['count']}.")
    if root != claimed["merkle_root"]:
        problems.append(f"The hash tree over {RECORDS} has another root than the manifest says.")
    return problems


def lines(path: Path) -> Iterator[bytes]:
    """Yield a file's lines without their ends, one at a time.

    Raises
    ------
    EvidenceError : it is missing, its last line has no end, or a line is larger than any record.
    """
    if path.is_symlink() or not path.is_file():
        raise EvidenceError(f"{path.name} is missing.")
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LARGEST_RECORD):
            number += 1
            if not line.endswith(b"\n"):
                raise EvidenceError(f"Line {number} of {path.name} is cut off or too long.")
            yield line[:-1]


def _check_record(line: bytes, number: int) -> None:
    try:
        record = parse(line)
    except ValueError as error:
        raise EvidenceError(f"Line {number} of {RECORDS} is no record. {error}") from None
    if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
        raise EvidenceError(f"Line {number} of {RECORDS} is no record: it does not say its kind.")


def _walk(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Return every plain file by its name in the bundle, and what else lies there."""
    files, problems = {}, []
    for above, inner, names in os.walk(folder):
        for name in (*inner, *names):
            path = Path(above) / name
            known = path.relative_to(folder).as_posix()
            if path.is_symlink():
                problems.append(f"{known} is a link; a bundle holds plain files only.")
            elif path.is_file():
                files[known] = path
            elif not path.is_dir():
                problems.append(f"{known} is neither a file nor a folder.")
            elif not any(path.iterdir()):
                problems.append(f"The folder {known} is empty and not part of a bundle.")
    return files, problems


def _differs(name: str, path: Path, listed: Mapping[str, Any]) -> list[str]:
    try:
        size = path.stat().st_size
        if size != listed["bytes"]:
            return [f"{name} was changed: it has {size:,} bytes, not {listed['bytes']:,}."]
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return [f"{name} cannot be read: {error.strerror or error}."]
    return [] if digest == listed["sha256"] else [f"{name} was changed: its SHA-256 is not the manifest's."]


def _misshapen(manifest: Any) -> str:
    """Say what a manifest lacks, or return an empty string."""
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        return f"its schema is not {SCHEMA}"
    files, records, inputs = (manifest.get(key) for key in ("files", "records", "inputs"))
    if not isinstance(files, dict) or not all(_entry(name, entry) for name, entry in files.items()):
        return "files must give the SHA-256 and the bytes of plain names inside the bundle"
    if missing := [name for name in (RECORDS, "plan.yaml") if name not in files]:
        return f"files does not list {missing[0]}"
    if not isinstance(records, dict) or set(records) != {"count", "merkle_root"}:
        return "records must give count and merkle_root"
    if not isinstance(inputs, dict) or not all(_role(role) for role in inputs.values()):
        return "inputs must give a SHA-256 for every file of every role"
    checks = manifest.get("checks")
    if not isinstance(manifest.get("passed"), bool) or not isinstance(checks, dict):
        return "it does not say whether the audit passed, and what each check found"
    return "" if all(isinstance(counts, dict) for counts in checks.values()) else "checks must count findings"


def _entry(name: str, entry: Any) -> bool:
    if not isinstance(entry, dict) or set(entry) != {"sha256", "bytes"} or not _digest(entry["sha256"]):
        return False
    plain = PurePosixPath(name).as_posix() == name and not {"..", "."} & set(PurePosixPath(name).parts)
    inside = plain and not name.startswith("/") and "\\" not in name and name not in OUTSIDE
    return inside and isinstance(entry["bytes"], int)


def _role(role: Any) -> bool:
    return isinstance(role, dict) and all(_digest(digest) for digest in role.values())


def _digest(text: Any) -> bool:
    return isinstance(text, str) and len(text) == 64 and set(text) <= set("0123456789abcdef")
