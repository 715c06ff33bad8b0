"""What a record may say about the input: everything, a salted digest, or nothing."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from blackbox.canonical import LARGEST, canonical
from blackbox.errors import RequestError

RULES = ("keep", "hash", "omit")
WITHHELD = "[withheld]"


def secret_file(target: Path) -> Path:
    """Return where the secret of a bundle lies: beside its folder, readable by its owner only."""
    return target.with_name(f"{target.name}.secret")


def read_secret(path: Path) -> bytes:
    """Read a bundle's secret.

    Raises
    ------
    RequestError : the file holds no secret.
    """
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (ValueError, OSError):
        secret = b""
    if len(secret) != 32:
        raise RequestError(f"{path} holds no secret of 32 bytes in hexadecimal: put it back, or delete it.")
    return secret


@dataclass(frozen=True)
class Privacy:
    """A plan's rule for input values, and the secret from which every record's salt derives.

    rule : ``keep`` writes values and a plain digest; ``hash`` writes, per feature and for the whole input,
    SHA-256(salt || content), so that a person who is told the salt of one record can check that record
    and no other; ``omit`` writes neither. secret : drawn once when the audit is planned, and never part
    of the bundle.
    """

    rule: str = "keep"
    secret: bytes = b""

    def salt(self, case: str) -> bytes:
        """Return the 32 bytes that belong to one case: HMAC-SHA256(secret, case)."""
        return hmac.new(self.secret, case.encode("utf-8", "replace"), hashlib.sha256).digest()

    def guard(self, case: str, held: np.ndarray, labels: Mapping[str, str]) -> Guard:
        """Return what decides about one case's values, Object[np.ndarray, "d"], and the words for them."""
        values = tuple(held.tolist())
        words = tuple(labels[str(value)] for value in values if str(value) in labels)
        return Guard(self.rule, self.salt(case) if self.rule == "hash" else b"", values, words)


@dataclass(frozen=True)
class Guard:
    """The rule applied to one case. words : what people call the values that have a label."""

    rule: str
    salt: bytes
    values: tuple[Any, ...]
    words: tuple[str, ...] = ()

    def input(self, x: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Return the record's word on the input: the rule, digests and values as far as it allows them."""
        if self.rule == "omit":
            return {"privacy": "omit"}
        told: dict[str, Any] = {"privacy": self.rule, "sha256": digest(x, self.salt)}
        if self.rule == "hash":
            return told | {"digests": [feature_digest(value, self.salt) for value in self.values]}
        return told | {"values": list(self.values)}

    def held(self) -> list[Any]:
        """Return what each feature held, or None for each."""
        return list(self.values) if self.rule == "keep" else [None] * len(self.values)

    def reasons(self, told: Mapping[str, Any]) -> Any:
        """Return reasons without what the features held."""
        return dict(told) if self.rule == "keep" else self._without(self.said(told))

    def said(self, value: Any) -> Any:
        """Return plain JSON whose sentences do not quote the input."""
        if self.rule == "keep":
            return value
        if isinstance(value, Mapping):
            return {key: self.said(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.said(item) for item in value]
        return self.told(value) if isinstance(value, str) else value

    def told(self, sentence: str) -> str:
        """Return a sentence with every value of the input replaced, as a person may have written it."""
        if self.rule == "keep":
            return sentence
        forms = {form for value in (*self.values, *self.words) for form in _forms(value)}
        for text in sorted(forms, key=len, reverse=True):
            # a lone digit is everywhere: it is taken for the value where it is quoted as one
            quoted = rf"(?<![\w.]){re.escape(text)}(?!\w|\.\d)"
            if len(text) == 1:
                quoted = rf"(?<=\(){re.escape(text)}(?=\))|(?<== ){re.escape(text)}(?!\w|\.\d)"
            sentence = re.sub(quoted, WITHHELD, sentence)
        return sentence

    def _without(self, told: Any) -> Any:
        if isinstance(told, Mapping):
            return {k: None if k == "held" else self._without(v) for k, v in told.items()}
        return [self._without(item) for item in told] if isinstance(told, list) else told


def _forms(value: Any) -> set[str]:
    """The ways in which a value may stand in a sentence."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value)
        forms = {str(value), repr(number), f"{number:g}", f"{number:,.4g}", f"{number:.3g}", f"{number:.2f}"}
        forms |= (
            {f"{number:.0f}", f"{number:,.0f}"} if abs(number) < 1e15 and number == round(number) else set()
        )
    else:
        forms = {str(value)}
    return forms - {""}


def digest(x: Mapping[str, np.ndarray], salt: bytes = b"") -> str:
    """Return SHA-256 over a salt and one input's names, kinds, shapes and values, in order of the names."""
    found = hashlib.sha256(salt)
    for name in sorted(x):
        array = np.ascontiguousarray(x[name])
        found.update(f"{name}:{array.dtype.str if array.dtype != object else 'text'}{array.shape}".encode())
        text = array.dtype == object
        found.update("\0".join(map(str, array.ravel())).encode() if text else array.tobytes())
    return found.hexdigest()


def feature_digest(value: Any, salt: bytes) -> str:
    """Return SHA-256 over a salt and what one feature held, as canonical JSON."""
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, int) and not isinstance(plain, bool) and abs(plain) > LARGEST:
        plain = str(plain)
    return hashlib.sha256(salt + canonical(plain)).hexdigest()
