"""The server process: a socket, uvicorn, one or several workers, and a stop that lets requests finish."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from blackbox.errors import RequestError
from blackbox.service.app import create_app
from blackbox.service.desk import Desk
from blackbox.service.journal import LOGGING, log
from blackbox.service.metrics import SHARED
from blackbox.service.settings import Ceilings, Settings

TOLD = "BLACKBOX_SERVICE_SETTINGS"
"""Where the workers find the settings of the service that started them."""


def serve(settings: Settings) -> None:
    """Serve until the process is told to stop (SIGTERM, Ctrl-C); requests in progress are finished.

    Raises
    ------
    RequestError : the address cannot be listened on, or a description is wrong. ModelError : a model
    cannot be loaded.
    """
    with listening(settings.host, settings.port) as sock:
        host, port = sock.getsockname()[:2]
        if settings.workers == 1:
            app = create_app(settings)
            log("listening", {"url": address(host, port), "models": app.state.desk.shelf.names})
            with _quiet_signals():
                uvicorn.Server(uvicorn.Config(app, **options(settings))).run([sock])
            return
        Desk.of(settings).shelf.close()  # a model that cannot be served is told here, not by every worker
        log("listening", {"url": address(host, port), "workers": settings.workers})
        _several(settings, sock)


def _several(settings: Settings, sock: socket.socket) -> None:
    """Serve by several processes that share our socket; one that uvicorn binds would wait 40 ms an answer."""
    from uvicorn.supervisors import Multiprocess

    with tempfile.TemporaryDirectory(prefix="blackbox-service-") as folder:
        told = Path(folder) / "settings.json"
        told.touch(mode=0o600)  # it holds the token
        told.write_text(json.dumps(dataclasses.asdict(settings)), encoding="utf-8")
        os.environ |= {SHARED: folder, TOLD: str(told)}
        config = uvicorn.Config(
            "blackbox.service.running:worker", factory=True, workers=settings.workers, **options(settings)
        )
        Multiprocess(config, sockets=[sock]).run()


def worker() -> FastAPI:
    """Build the application of one of several worker processes."""
    told = json.loads(Path(os.environ[TOLD]).read_text(encoding="utf-8"))
    remote = {name: (url, options) for name, (url, options) in told.pop("remote").items()}
    models, hosts = tuple(told.pop("models")), told.pop("hosts")
    ceilings = Ceilings(**told.pop("ceilings"))
    return create_app(
        Settings(models=models, remote=remote, hosts=hosts and tuple(hosts), ceilings=ceilings, **told)
    )


def options(settings: Settings) -> dict[str, Any]:
    """Return what is set of uvicorn."""
    return {
        "log_config": LOGGING,
        "access_log": False,
        "server_header": False,
        "timeout_keep_alive": 10,
        "timeout_graceful_shutdown": max(1, round(settings.stopping)),
        "h11_max_incomplete_event_size": 64 * 2**10,
    }


def listening(host: str, port: int) -> socket.socket:
    """Bind a socket; port 0 takes a free one.

    Raises
    ------
    RequestError : the address is taken or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only on sockets that name their protocol; without it every answer waits 40 ms
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except (OSError, OverflowError) as error:
        sock.close()
        raise RequestError(f"{host}:{port} cannot be listened on: {error}.") from None
    return sock


def address(host: str, port: int) -> str:
    """Return the URL of a listening socket."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """A stop that was asked for is no failure: uvicorn raises its signals again when it has finished."""
    before = {kind: signal.signal(kind, _ignored) for kind in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _ignored(number: int, frame: FrameType | None) -> None:
    """Do nothing."""
