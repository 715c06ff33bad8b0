"""Where a model lives: a URL taken apart, with nothing secret in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from blackbox.errors import RequestError

MODEL = r"(?P<prefix>.*)/{0}/models/(?P<model>[^/:]+?)(?:/versions/(?P<version>[^/:]+))?"
SHAPES = {
    "v2": re.compile(MODEL.format("v2") + r"(?:/infer)?/?"),
    "v1": re.compile(MODEL.format("v1") + r"(?:(?::|%3[Aa])predict)?/?"),
    "mlflow": re.compile(r"(?P<prefix>.*)/invocations/?"),
}
"""Protocol -> the path of its URLs, in the order in which they are tried."""

FORMS = "http://HOST:PORT/v2/models/NAME, http://HOST:PORT/v1/models/NAME or http://HOST:PORT/invocations"


@dataclass(frozen=True)
class Address:
    """An endpoint: scheme, host and port, protocol, the path before it, model and version.

    place : the model's own path, percent-encoded as it was given.
    """

    scheme: str
    host: str
    port: int
    protocol: str
    prefix: str
    place: str
    model: str = ""
    version: str | None = None

    @property
    def origin(self) -> str:
        """Scheme, host and port, the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == {"http": 80, "https": 443}[self.scheme]
        return f"{self.scheme}://{host}" + ("" if usual else f":{self.port}")

    @property
    def url(self) -> str:
        """The model's URL, for people and for evidence."""
        return self.origin + self.place


def locate(source: str, protocol: str) -> Address:
    """Take a model's URL apart.

    Parameters
    ----------
    protocol : ``v1``, ``v2``, ``mlflow``, or ``auto`` for what the path says.

    Raises
    ------
    RequestError : no such URL, or one with a user name, password, query or fragment in it.
    """
    parts, port = _split(source)
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise RequestError(
            "The URL carries a user name or password, which would end up in evidence: give the token "
            "in an environment variable (token_env) or a file (token_file)."
        )
    if parts.query or parts.fragment:
        raise RequestError(
            f"The URL of {parts.hostname} has a part after ? or #, which may be a secret and would end up "
            "in evidence: leave it out, and give a token by token_env or token_file."
        )
    found = _recognised(parts.path, protocol)
    if found is None:
        raise RequestError(f"The path {parts.path or '/'!r} names no model: it must look like {FORMS}.")
    name, match = found
    named = match.groupdict()
    place = f"{match['prefix']}/invocations" if name == "mlflow" else _place(name, named)
    if unquote(named.get("model") or "m") in (".", ".."):
        raise RequestError(f"The path {parts.path!r} names no model.")
    return Address(
        parts.scheme, str(parts.hostname), port, name, match["prefix"] or "", place,
        unquote(named.get("model") or ""), named.get("version"),
    )  # fmt: skip


def _split(source: str) -> tuple[SplitResult, int]:
    """Read scheme, host and port; the text itself is not shown, as it may hold a password."""
    try:
        parts = urlsplit(source)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        raise RequestError(f"That is no URL of a model: it must look like {FORMS}.") from None
    if not parts.hostname or not re.fullmatch(r"[\w.:%-]+", parts.hostname) or re.search(r"\s", source):
        raise RequestError(f"That URL names no host: it must look like {FORMS}.")
    return parts, port


def _recognised(path: str, protocol: str) -> tuple[str, re.Match[str]] | None:
    for name, shape in SHAPES.items():
        match = shape.fullmatch(path)
        if match and protocol in ("auto", name):
            return name, match
    return None


def _place(protocol: str, named: dict[str, str | None]) -> str:
    version = f"/versions/{named['version']}" if named["version"] else ""
    return f"{named['prefix']}/{protocol}/models/{named['model']}{version}"
