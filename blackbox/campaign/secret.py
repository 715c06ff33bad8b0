"""The secret behind salted digests: drawn once, kept beside the bundle, never in it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from blackbox.files import written
from blackbox.privacy import Privacy, read_secret, secret_file


def privacy_of(rule: str, target: Path) -> Privacy:
    """Return a plan's privacy rule; ``hash`` reads the bundle's secret, or draws it the first time.

    Whoever has the secret can tell a person the salt of their record, or guess values; so it is kept
    apart. An audit that replaces an earlier one uses its secret again.

    Raises
    ------
    RequestError : the file holds no secret.
    """
    if rule != "hash":
        return Privacy(rule)
    path = secret_file(target)
    if not path.exists():
        with written(path) as temporary:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(32) + "\n")
    return Privacy(rule, read_secret(path))
