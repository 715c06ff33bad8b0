"""Ed25519 keys in PEM files: made, read, named."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackbox.errors import EvidenceError, RequestError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

LARGEST = 64 * 1024
"""Bytes; an Ed25519 key in PEM has about 120."""


def make(name: Path) -> tuple[Path, Path]:
    """Write a new key pair as NAME.pem, which its owner alone can read, and NAME.pub.pem.

    Raises
    ------
    RequestError : either file is there already, or cannot be written. Nothing is ever overwritten.
    """
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private, public = (name.with_name(name.name + suffix) for suffix in (".pem", ".pub.pem"))
    for path in (private, public):
        if path.exists() or path.is_symlink():
            raise RequestError(f"{path} is there already and is never overwritten: choose another name.")
    key = Ed25519PrivateKey.generate()
    plain = forms.NoEncryption()
    _write(private, key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, plain), 0o600)
    spki = forms.PublicFormat.SubjectPublicKeyInfo
    _write(public, key.public_key().public_bytes(forms.Encoding.PEM, spki), 0o644)
    return private, public


def private_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key.

    Raises
    ------
    RequestError : there is none, it is encrypted, or no Ed25519 key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text = _read(path)
    if b"PUBLIC KEY-----" in text:
        raise RequestError(f"{path} is a public key: sign with the private one, NAME.pem.")
    try:
        key = load_pem_private_key(text, None)
    except TypeError:  # how cryptography says that a password is needed
        raise RequestError(
            f"{path} is encrypted and blackbox asks for no password: decrypt it for the signing with "
            "`openssl pkey -in KEY.pem -out PLAIN.pem`, in a folder that only you can read."
        ) from None
    except Exception as error:  # cryptography has many ways to say that this is no key
        raise RequestError(f"{path} is no private key in PEM: {_first(error)}.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise RequestError(f"{path} is no Ed25519 key: make one with `blackbox keygen`.")
    return key


def exposed(path: Path) -> bool:
    """Say whether others than its owner may read a private key."""
    return os.name == "posix" and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def public_key(path: Path) -> Ed25519PublicKey:
    """Read a public key.

    Raises
    ------
    RequestError : there is no such file.
    EvidenceError : it is no Ed25519 public key, so nothing can be verified with it.
    """
    text = _read(path)
    if b"PRIVATE KEY-----" in text:
        raise EvidenceError(f"{path} is a private key: verify with the public one, NAME.pub.pem.")
    try:
        return parsed(text)
    except ValueError as error:
        raise EvidenceError(f"{path} is no public key that blackbox can use: {error}") from None


def parsed(text: bytes) -> Ed25519PublicKey:
    """Read a public key from PEM text.

    Raises
    ------
    ValueError : it is malformed, or no Ed25519 key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(text)
    except Exception as error:  # cryptography has many ways to say that this is no key
        raise ValueError(f"it is malformed ({_first(error)}).") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("it is no Ed25519 key.")
    return key


def from_spki(der: bytes) -> Ed25519PublicKey:
    """Read a public key from DER SubjectPublicKeyInfo.

    Raises
    ------
    EvidenceError : it is malformed, or no Ed25519 key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        key = load_der_public_key(der)
    except Exception:  # cryptography has many ways to say that this is no key
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise EvidenceError("The public key of the statement is malformed.")
    return key


def spki(key: Ed25519PublicKey) -> bytes:
    """Return a public key as DER SubjectPublicKeyInfo, 44 bytes (RFC 8410)."""
    from cryptography.hazmat.primitives import serialization as forms

    return key.public_bytes(forms.Encoding.DER, forms.PublicFormat.SubjectPublicKeyInfo)


def key_id(key: Ed25519PublicKey) -> str:
    """Return a key's name: the SHA-256 of its DER SubjectPublicKeyInfo in hexadecimal."""
    return hashlib.sha256(spki(key)).hexdigest()


def signer(key: Ed25519PrivateKey) -> Any:
    """Return what securesystemslib signs with."""
    from securesystemslib.signer import CryptoSigner

    return CryptoSigner(key, verifier(key.public_key()))


def verifier(key: Ed25519PublicKey) -> Any:
    """Return what securesystemslib verifies with, under our name of the key."""
    from securesystemslib.signer import SSlibKey

    return SSlibKey.from_crypto(key, key_id(key))


def _first(error: Exception) -> str:
    """Return an error's first sentence, without OpenSSL's inner errors."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].split(" (")[0].split(". ")[0].rstrip(".")


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise RequestError(f"There is no key file {path}: `blackbox keygen -o NAME` makes a pair.")
    try:
        with path.open("rb") as file:
            return file.read(LARGEST)
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror or error}.") from None


def _write(path: Path, text: bytes, mode: int) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise RequestError(f"{path} cannot be written: {error.strerror or error}.") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise RequestError(f"{path} cannot be written: {error.strerror or error}.") from None
