"""What is signed: an in-toto statement that names the bundle's digests and says how the audit ended."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from blackbox.canonical import canonical

PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
SCHEMA = "blackbox.statement/1"
CLOCK = "%Y-%m-%dT%H:%M:%SZ"
STATUSES = ("passed", "warned", "failed")


def build(manifest: Mapping[str, Any], digests: Mapping[str, str], signed_at: str, key: bytes) -> bytes:
    """Return the statement about a bundle as canonical JSON.

    Everything in it follows from its arguments, so that a verifier can build it again and compare.

    Parameters
    ----------
    manifest : the bundle's manifest. digests : SHA-256 of ``manifest.json`` and ``run.json``.
    signed_at : UTC time by the signer's clock, as ``2026-01-05T09:00:07Z``. key : the signer's public key as
        DER SubjectPublicKeyInfo, so that a receipt can carry it.

    References
    ----------
    in-toto Attestation Framework, Statement v1 and the test-result predicate v0.1.
    """
    from google.protobuf.json_format import MessageToDict
    from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
    from in_toto_attestation.v1.statement import Statement

    named = {**digests, **_inputs(manifest)}
    subjects = [ResourceDescriptor(name, digest={"sha256": digest}).pb for name, digest in named.items()]
    statement = Statement(subjects, PREDICATE, _predicate(manifest, signed_at, key))
    statement.validate()
    return canonical(MessageToDict(statement.pb))


def _inputs(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of the model, the data and whatever else was read, as role/name."""
    roles = manifest["inputs"]
    return {f"{role}/{name}": roles[role][name] for role in sorted(roles) for name in sorted(roles[role])}


def _predicate(manifest: Mapping[str, Any], signed_at: str, key: bytes) -> dict[str, Any]:
    tests = {f"{status}Tests": _checks(manifest, status) for status in STATUSES}
    plan = {"name": "plan.yaml", "digest": {"sha256": manifest["files"]["plan.yaml"]["sha256"]}}
    own = {
        "schema": SCHEMA, "records": manifest["records"], "signed_at": signed_at,
        "public_key": b64encode(key).decode(),
    }  # fmt: skip
    return {"result": result(manifest), "configuration": [plan], **tests, "blackbox": own}


def result(manifest: Mapping[str, Any]) -> str:
    """Return how the audit ended: PASSED, WARNED or FAILED."""
    if not manifest["passed"]:
        return "FAILED"
    return "WARNED" if _checks(manifest, "warned") else "PASSED"


def _checks(manifest: Mapping[str, Any], status: str) -> list[str]:
    """Return the checks that ended so: a check is as good as its worst finding."""
    worst = {}
    for name, counts in manifest["checks"].items():
        found = [known for known in STATUSES if counts.get(known)]
        worst[name] = found[-1] if found else "passed"
    return sorted(name for name, ended in worst.items() if ended == status)


def signed_at(statement: Any) -> str | None:
    """Return when a parsed statement says it was signed, or None where it is none of ours."""
    try:
        own = statement["predicate"]["blackbox"]
        datetime.strptime(own["signed_at"], CLOCK)
        return str(own["signed_at"]) if own["schema"] == SCHEMA else None
    except (KeyError, TypeError, ValueError):
        return None
