"""The gate in front of all routes: who may ask, what an answer carries, and one log line for each request."""

from __future__ import annotations

import base64
import hmac
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from blackbox.errors import BlackboxError
from blackbox.service.answers import answer, failure
from blackbox.service.desk import Desk
from blackbox.service.failures import Foreign, Refused, status_of
from blackbox.service.journal import log, places

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = ("/v2/health/live", "/v2/health/ready")
"""Probes of an orchestrator carry no token, and learn nothing but yes or no."""

SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""On every answer; a page brings a policy of its own."""


@dataclass
class Passage:
    """One request on its way: when it came, its name in the log, and the status it got."""

    begun: float = field(default_factory=time.monotonic)
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    status: int = 0


@dataclass
class Gate:
    """ASGI middleware around the whole application."""

    app: App
    desk: Desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        passage = Passage()

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                passage.status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in {**SAFE, "X-Request-Id": passage.id}.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._admit(scope)
            with self.desk.inside() if scope["method"] == "POST" else nullcontext():
                await self.app(scope, receive, sending)
        except Exception as error:
            if passage.status:  # the answer has begun and can only be cut off
                raise
            await self._fault(error, passage)(scope, receive, sending)
        finally:
            self._note(scope, passage)

    def _admit(self, scope: Scope) -> None:
        """Check the name the request came by, the site it comes from, and its token.

        Raises
        ------
        Foreign, Refused
        """
        headers = Headers(scope=scope)
        known, host = self.desk.settings.known_hosts, _hostname(headers.get("host", ""))
        if known is not None and host not in known:
            raise Foreign("This service does not go by that name: ask it as localhost or 127.0.0.1.")
        origin = headers.get("origin")
        if origin is not None and not self._own(origin, headers.get("host", "")):
            raise Foreign("Pages of other sites may not ask this service.")
        token = self.desk.settings.token
        if token is not None and scope["path"] not in OPEN and not carries(headers, token):
            raise Refused("A token is needed: send it as   Authorization: Bearer TOKEN.")

    def _own(self, origin: str, host: str) -> bool:
        """Whether a page is this service's: it has the request's own name, or one that --allow-host gives."""
        try:
            where = urlsplit(origin)
        except ValueError:
            return False
        return where.netloc == host or where.hostname in (self.desk.settings.hosts or ())

    def _fault(self, error: Exception, passage: Passage) -> Response:
        if isinstance(error, BlackboxError) and status_of(error) != 500:
            return failure(error)
        log("fault", {"request": passage.id, "error": type(error).__name__, "at": places(error)})
        return answer({"error": f"The service failed; its log names the request {passage.id}."}, 500)

    def _note(self, scope: Scope, passage: Passage) -> None:
        route = getattr(scope.get("route"), "path", "none")
        seconds = time.monotonic() - passage.begun
        status = passage.status or 499
        self.desk.metrics.requests.labels(route, str(status)).inc()
        self.desk.metrics.seconds.labels(route).observe(seconds)
        if route in OPEN:
            return  # probes come every few seconds, and the meters count them
        line = {"request": passage.id, "method": scope["method"], "route": route, "status": status}
        model = scope.get("path_params", {}).get("model")
        if model in self.desk.shelf.models:
            line["model"] = model
        log("request", line | {"seconds": round(seconds, 4)})


def carries(headers: Headers, token: str) -> bool:
    """Whether the request carries the token, as a bearer's or as the password that a browser asks for.

    The comparison takes as long for a wrong token as for the right one.
    """
    scheme, _, value = headers.get("authorization", "").partition(" ")
    given = value.strip().encode("latin-1")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).partition(b":")[2]
        except ValueError:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given, token.encode("ascii"))


def _hostname(host: str) -> str:
    """Return the name in a Host header, without port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def told(request: Request, error: Exception) -> Response:
    """Tell one of our errors; for the application's exception handlers."""
    assert isinstance(error, BlackboxError)
    return failure(error)


async def plain(request: Request, error: Exception) -> Response:
    """Tell the framework's own errors, such as no route (404) or no such verb (405), in our form."""
    assert isinstance(error, HTTPException)
    words = {404: "There is nothing at this address.", 405: "This address does not take that verb."}
    told_as = words.get(error.status_code, "The request cannot be answered.")
    return answer({"error": told_as}, error.status_code, error.headers)
