"""A bundle gets its signature: a statement about it, and the envelope around that."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from blackbox.errors import EvidenceError, RequestError
from blackbox.evidence import envelope, inventory, keys, statement
from blackbox.evidence.inventory import ENVELOPE, MANIFEST, RUN, STATEMENT
from blackbox.evidence.verify import LARGEST, content_problems
from blackbox.files import sha256, written


def sign(folder: Path, key: Path) -> str:
    """Write a bundle's statement and its signed envelope, and return the key's name.

    A bundle that this key signed before is signed again.

    Raises
    ------
    RequestError : there is no such folder, the key cannot be used, or another key signed the bundle.
    EvidenceError : the bundle does not hold, so there is nothing to put a name under.
    """
    private = keys.private_key(key)
    name = keys.key_id(private.public_key())
    manifest = inventory.read_manifest(folder)
    if problems := content_problems(folder, manifest):
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise EvidenceError(f"The bundle {folder} does not hold and was not signed: {problems[0]}{more}")
    _check_unsigned(folder, name)
    digests = {part: sha256(folder / part) for part in (MANIFEST, RUN)}
    now = datetime.now(UTC).strftime(statement.CLOCK)
    payload = statement.build(manifest, digests, now, keys.spki(private.public_key()))
    for place, text in ((STATEMENT, payload), (ENVELOPE, envelope.seal(payload, private))):
        with written(folder / place) as temporary:
            temporary.write_bytes(text)
    return name


def _check_unsigned(folder: Path, name: str) -> None:
    """Refuse to replace somebody else's signature."""
    if not (folder / ENVELOPE).exists():
        return
    try:
        earlier = envelope.signed_by(inventory.content(folder / ENVELOPE, LARGEST))
    except EvidenceError as error:
        raise EvidenceError(f"{error.message} Remove {ENVELOPE} to sign the bundle anew.") from None
    if earlier != name:
        raise RequestError(
            f"The bundle {folder} is signed by another key, {earlier[:16]}...: "
            f"remove {ENVELOPE} and {STATEMENT} to sign it anew, or sign a copy."
        )
