"""A token that never shows: not in a representation, an error, a record or a log."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from blackbox.errors import RequestError
from blackbox.model import missing_file
from blackbox_adapters.remote.options import RemoteOptions


@dataclass(frozen=True)
class Secret:
    """A token and the header that carries it; an empty one sends nothing."""

    header: str = "Authorization"
    token: str = field(default="", repr=False)

    def headers(self) -> dict[str, str]:
        """Return what goes into every request to the model's own host."""
        if not self.token:
            return {}
        bearer = self.header.casefold() == "authorization"
        return {self.header: f"Bearer {self.token}" if bearer else self.token}

    def without(self, text: str) -> str:
        """Blot the token out of a text that a server sent back."""
        return text.replace(self.token, "***") if self.token else text


def fetch(options: RemoteOptions) -> Secret:
    """Read the token from where the options say.

    Raises
    ------
    RequestError : the variable is not set, the file is missing, or neither holds one line of text.
    """
    if options.token_env is not None:
        token, where = os.environ.get(options.token_env, ""), f"The environment variable {options.token_env}"
    elif options.token_file is not None:
        token, where = _from_file(Path(options.token_file)), f"The token file {options.token_file}"
    else:
        return Secret()
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise RequestError(f"{where} holds no token: one word of printable ASCII is needed.")
    return Secret(options.token_header, token)


def _from_file(path: Path) -> str:
    if not path.is_file():
        raise missing_file(path, "token")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"The token file {path} cannot be read: {type(error).__name__}.") from None
