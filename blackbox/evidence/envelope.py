"""The signed envelope (DSSE) around a statement, in exactly one spelling."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from blackbox.canonical import canonical, parse
from blackbox.errors import EvidenceError
from blackbox.evidence import keys

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

TYPE = "application/vnd.in-toto+json"


def seal(payload: bytes, key: Ed25519PrivateKey) -> bytes:
    """Return an envelope with the payload's one signature, as canonical JSON.

    What is signed is DSSE's pre-authentication encoding of type and payload. Ed25519 has no random
    part: the same payload and key give the same bytes.

    References
    ----------
    DSSE, Dead Simple Signing Envelope, protocol 1.0.2; RFC 8032.
    """
    from securesystemslib.dsse import Envelope

    envelope = Envelope(payload, TYPE, {})
    envelope.sign(keys.signer(key))
    return canonical(envelope.to_dict())


def opened(text: bytes, key: Ed25519PublicKey) -> bytes:
    """Return the payload of an envelope that this key signed.

    Raises
    ------
    EvidenceError : it is malformed, not canonical, of another type, or not signed by this key.
    """
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError

    fields = _fields(text)
    (signature,) = fields["signatures"]
    if signature["keyid"] != keys.key_id(key):
        raise EvidenceError(
            f"The envelope was signed by the key {signature['keyid'][:16]}..., "
            f"not by the given one, {keys.key_id(key)[:16]}...: verify with the signer's key."
        )
    payload = b64decode(fields["payload"])
    try:
        Envelope.from_dict(fields).verify([keys.verifier(key)], 1)
    except VerificationError:
        raise EvidenceError("The signature does not belong to the envelope's content.") from None
    return payload


def signed_by(text: bytes) -> str:
    """Return the name of the key that an envelope says it was signed by; nothing is verified.

    Raises
    ------
    EvidenceError : it is malformed.
    """
    return str(_fields(text)["signatures"][0]["keyid"])


def _fields(text: bytes) -> dict[str, Any]:
    """Read an envelope whose every byte is as ``seal`` would have written it."""
    try:
        fields: dict[str, Any] = parse(text)
    except ValueError as error:
        raise EvidenceError(f"The envelope is malformed. {error}") from None
    if not _shaped(fields):
        raise EvidenceError("The envelope is malformed: it needs payload, payloadType and one signature.")
    if fields["payloadType"] != TYPE:
        raise EvidenceError(f"The envelope holds {fields['payloadType']!r}, not an in-toto statement.")
    for what, encoded in (("payload", fields["payload"]), ("signature", fields["signatures"][0]["sig"])):
        if not _one_spelling(encoded):
            raise EvidenceError(f"The envelope's {what} is not in canonical base64.")
    return fields


def _shaped(fields: Any) -> bool:
    if not isinstance(fields, dict) or set(fields) != {"payload", "payloadType", "signatures"}:
        return False
    signatures = fields["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1 or not isinstance(signatures[0], dict):
        return False
    texts = [fields["payload"], fields["payloadType"], *signatures[0].values()]
    return set(signatures[0]) == {"keyid", "sig"} and all(isinstance(text, str) for text in texts)


def _one_spelling(encoded: str) -> bool:
    try:
        return b64encode(b64decode(encoded, validate=True)) == encoded.encode()
    except ValueError:
        return False
