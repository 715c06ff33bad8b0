"""Does a bundle hold: its files, its records, its statement, its signature, and what was audited?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackbox.canonical import parse
from blackbox.errors import EvidenceError, RequestError
from blackbox.evidence import envelope, inventory, keys, statement
from blackbox.evidence.inventory import ENVELOPE, MANIFEST, RUN, STATEMENT
from blackbox.files import sha256

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LARGEST = 64 * 2**20
"""Bytes of a statement or an envelope."""


@dataclass(frozen=True)
class Verification:
    """What was looked at and what came of it.

    problems : what does not hold, one sentence each; none means that all that was checked holds.
    checked, unchecked : what was looked at, and what was not and how it could be.
    remarks : what holds but should be known. result : how the audit ended, by the signed statement.
    """

    problems: tuple[str, ...]
    checked: tuple[str, ...]
    unchecked: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    result: str | None = None

    @property
    def holds(self) -> bool:
        """Whether nothing that was checked failed."""
        return not self.problems


def verify(folder: Path, key: Path, model: Path | None = None, data: Path | None = None) -> Verification:
    """Verify a signed bundle, reading its records as a stream; nothing is executed, no model is opened.

    Parameters
    ----------
    key : the signer's public key. model, data : the file or folder that was audited, where its bytes
        are to be compared with the bundle's digests.

    Raises
    ------
    RequestError : a file or folder that was named does not exist.
    EvidenceError : the manifest or the key is so malformed that nothing can be compared.
    """
    public = keys.public_key(key)
    given = {"model": model, "data": data}
    for role, path in given.items():
        if path is not None and not path.exists():
            raise RequestError(f"There is no {role} {path} to compare the bundle with.")
    try:
        return _verified(folder, public, given)
    except OSError as error:
        raise EvidenceError(f"{error.filename} cannot be read: {error.strerror or error}.") from None


def _verified(folder: Path, public: Ed25519PublicKey, given: Mapping[str, Path | None]) -> Verification:
    manifest = inventory.read_manifest(folder)
    problems = content_problems(folder, manifest)
    signed, told = signature(folder, manifest, public)
    problems += told
    for role, path in given.items():
        if path is not None:
            problems += _compared(role, path, manifest["inputs"].get(role, {}))
    own = signed["predicate"] if signed else {}
    return Verification(
        tuple(problems), _checked(manifest, given), _unchecked(manifest, given),
        remarks(own.get("blackbox", {})), own.get("result"),
    )  # fmt: skip


def content_problems(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Return what does not hold of a bundle's files and records, its signature aside."""
    problems = inventory.check_files(folder, manifest)
    return problems + inventory.check_records(folder, manifest)


def signature(
    folder: Path, manifest: Mapping[str, Any], key: Ed25519PublicKey
) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the signed statement, where one is, and what does not hold about it."""
    try:
        payload = envelope.opened(inventory.content(folder / ENVELOPE, LARGEST), key)
        signed = parse(payload)
        problems = []
        if inventory.content(folder / STATEMENT, LARGEST) != payload:
            problems.append(f"{STATEMENT} is not the statement that was signed.")
        problems += _misstated(payload, signed, folder, manifest, keys.spki(key))
    except EvidenceError as error:
        unsigned = not (folder / ENVELOPE).exists() and not (folder / STATEMENT).exists()
        advice = "The bundle is not signed: `blackbox sign` does that." if unsigned else error.message
        return None, [advice]
    except ValueError as error:
        return None, [f"The signed statement is malformed. {error}"]
    return signed if not problems else None, problems


def _misstated(
    payload: bytes, signed: Any, folder: Path, manifest: Mapping[str, Any], key: bytes
) -> list[str]:
    """Return where a statement says other things than the bundle that it was made from."""
    signed_at = statement.signed_at(signed)
    if signed_at is None:
        return [f"The signed statement is not one of the schema {statement.SCHEMA}."]
    digests = {name: sha256(folder / name) for name in (MANIFEST, RUN) if (folder / name).is_file()}
    wanted = statement.build(manifest, digests, signed_at, key)
    if wanted == payload:
        return []
    expected = parse(wanted)
    for subject in expected["subject"]:
        if subject not in signed.get("subject", []):
            return [f"The signed statement is not about this {subject['name']}: its digest differs."]
    return [f"The signed statement says something else than {MANIFEST}."]


def _compared(role: str, path: Path, listed: Mapping[str, str]) -> list[str]:
    """Compare a model's or a data set's bytes with their digests."""
    if not listed:
        return [f"The bundle names no files for the {role}, so {path} cannot be compared."]
    if path.is_file() and len(listed) == 1:
        (digest,) = listed.values()
        return [] if sha256(path) == digest else [f"{path} is not the {role} of the bundle: it differs."]
    above = path if path.is_dir() else path.parent
    problems = []
    for name, digest in listed.items():
        if not (above / name).is_file():
            problems.append(f"{above / name}, a file of the {role}, is missing.")
        elif sha256(above / name) != digest:
            problems.append(f"{above / name} is not the {role} of the bundle: it differs.")
    return problems


def _checked(manifest: Mapping[str, Any], given: Mapping[str, Path | None]) -> tuple[str, ...]:
    files = f"{len(manifest['files']) + 2} files"
    roles = tuple(f"the {role}'s bytes" for role, path in given.items() if path is not None)
    return (files, f"{manifest['records']['count']} records", "the statement", "the signature", *roles)


def _unchecked(manifest: Mapping[str, Any], given: Mapping[str, Path | None]) -> tuple[str, ...]:
    said = [
        f"The {role}'s bytes were not compared with the bundle: name them with --{role}."
        for role, path in given.items()
        if path is None
    ]
    if rest := sorted(set(manifest["inputs"]) - set(given)):
        said.append(f"Only digests are known of: {', '.join(rest)}.")
    said.append("The time of signing is by the signer's own clock; no third party attests it.")
    said.append("That the numbers come from this model is what `blackbox replay` checks.")
    return tuple(said)


def remarks(own: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what should be known about a statement that holds, by our part of it."""
    signed_at = own.get("signed_at")
    if signed_at is None:
        return ()
    if datetime.fromisoformat(signed_at) <= datetime.now(UTC):
        return ()
    return (f"It was signed in the future, {signed_at}: the signer's clock or this one is wrong.",)
