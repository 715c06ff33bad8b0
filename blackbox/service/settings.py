"""How the service is started: which models, where it listens, and what one request may cost."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blackbox.errors import RequestError
from blackbox.settings import number, whole

LOOPBACK = ("127.0.0.1", "::1", "localhost")
GATEWAY = "BLACKBOX_BEHIND_GATEWAY"
"""Set to 1 where a gateway in front of the pod authenticates, as KServe's does."""

LEAST_TOKEN = 16


@dataclass(frozen=True)
class Ceilings:
    """What one request, and all of them together, may cost.

    body : bytes of a request's body. cells : numbers in its tensors. depth : nesting of its JSON.
    instances : inputs explained in one request. rows : forward rows of one request. seconds : from its
    arrival to its answer, waiting included. running : requests answered at the same time; 0 = one per
    core. waiting : requests that may wait for their turn, beyond that the answer is 429.
    """

    body: int = 32 * 2**20
    cells: int = 8_000_000
    depth: int = 32
    instances: int = 256
    rows: int = 1_000_000
    seconds: float = 60.0
    running: int = 0
    waiting: int = 32

    def __post_init__(self) -> None:
        for name in ("body", "cells", "depth", "instances", "rows"):
            whole(name, getattr(self, name), 1)
        for name in ("running", "waiting"):
            whole(name, getattr(self, name), 0)
        number("seconds", self.seconds, 0, strict=True)

    @property
    def turns(self) -> int:
        """Requests that are answered at the same time."""
        return self.running or os.cpu_count() or 1


@dataclass(frozen=True)
class Settings:
    """One service.

    models : model files, folders of them, or files ``blackbox.yaml`` that describe some. remote : name ->
    URL of models that are asked over HTTP, with the adapter's options. background : rows for the remote
    models. token : what every request must carry; None = none is asked for. hosts : names under which
    requests may arrive, None = any. sandbox : model files run in confined processes. stopping : seconds
    that a stop waits for requests in progress. jobs : folder of the audits; None = none are taken.
    jobs_database : PostgreSQL's URL; None = an SQLite file in that folder.
    """

    models: tuple[str, ...] = ()
    remote: Mapping[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    background: str | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    device: str = "auto"
    token: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] | None = None
    sandbox: bool = True
    ceilings: Ceilings = field(default_factory=Ceilings)
    stopping: float = 30.0
    jobs: str | None = None
    jobs_database: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.models and not self.remote:
            raise RequestError("There is nothing to serve: give --models a model file or a folder of them.")
        whole("port", self.port, 0)
        whole("workers", self.workers, 1)
        if self.jobs is not None and self.workers > 1:
            raise RequestError("--jobs needs --workers 1: one process keeps the queue of audits.")
        if self.jobs is None and self.jobs_database is not None:
            raise RequestError("--jobs-database needs --jobs: the folder that the audits are written in.")

    @property
    def known_hosts(self) -> tuple[str, ...] | None:
        """Names that a request's Host header may hold; on loopback only the machine's own, so that a web
        page whose name was pointed at 127.0.0.1 (DNS rebinding) cannot ask."""
        return self.hosts if self.hosts is not None else LOOPBACK if self.host in LOOPBACK else None


def check_listening(host: str, token: str | None, environment: Mapping[str, str]) -> None:
    """Refuse to listen beyond this machine without a token.

    Raises
    ------
    RequestError : neither loopback, nor a token, nor a gateway that authenticates.
    """
    if host not in LOOPBACK and token is None and environment.get(GATEWAY) != "1":
        raise RequestError(
            f"Listening on {host} lets everyone who can reach it ask: give --token-file, or set {GATEWAY}=1 "
            "where a gateway in front authenticates."
        )


def read_token(path: Path) -> str:
    """Read the token from a file; blanks around it do not count.

    Raises
    ------
    RequestError : no such file, no text, or too short to be a secret.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise RequestError(f"The token file {path} cannot be read as ASCII text.") from None
    if len(token) < LEAST_TOKEN or len(token.split()) != 1:
        raise RequestError(
            f"The token in {path} needs at least {LEAST_TOKEN} characters without blanks: make one with "
            '  python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    return token
