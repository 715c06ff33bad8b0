"""The line to one host: pooled connections, deadlines, bounded retries, and what it has cost so far."""

from __future__ import annotations

import json
import random
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from blackbox.errors import ModelError
from blackbox_adapters.remote.address import Address
from blackbox_adapters.remote.guard import public_address
from blackbox_adapters.remote.options import RemoteOptions
from blackbox_adapters.remote.secret import Secret, fetch

FIRST_WAIT = 0.2
"""Seconds before the first further attempt; each next one waits twice as long, give or take a half."""

MOST_REDIRECTS = 3
LEAST_REST = 1e-3


@dataclass
class Meter:
    """What a line has cost: requests (further attempts included), rows and bytes sent, bytes received."""

    requests: int = 0
    retries: int = 0
    rows: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, requests: int = 0, retries: int = 0, rows: int = 0, sent: int = 0, got: int = 0) -> None:
        """Note a cost; several threads do."""
        with self.lock:
            self.requests += requests
            self.retries += retries
            self.rows += rows
            self.bytes_sent += sent
            self.bytes_received += got


@dataclass
class Pace:
    """Lets through so many requests per second, evenly spaced; None = all."""

    rate: float | None
    free_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def wait(self) -> None:
        """Sleep until the next request may start."""
        if self.rate is None:
            return
        with self.lock:
            start = max(time.monotonic(), self.free_at)
            self.free_at = start + 1 / self.rate
        time.sleep(max(0.0, start - time.monotonic()))


@dataclass(frozen=True)
class Reply:
    """An answer that came back whole, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Line:
    """Requests to the host of one address and to no other.

    places : held by requests under way. pinned : the address that the host was resolved to, or None.
    """

    address: Address
    options: RemoteOptions
    secret: Secret
    client: httpx.Client = field(repr=False)
    pinned: str | None
    meter: Meter
    pace: Pace
    places: threading.BoundedSemaphore = field(repr=False)

    def get(self, path: str) -> Reply:
        """Ask for a document, following redirects on this host."""
        return self.send("GET", path, {}, None)

    def post(self, path: str, body: bytes, rows: int, headers: Mapping[str, str] | None = None) -> Reply:
        """Send rows; every server gets the Content-Type that the strictest one wants."""
        json_first = {"Content-Type": "application/json", **(headers or {})}
        return self.send("POST", path, json_first, body, rows)

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, rows: int = 0
    ) -> Reply:
        """Send a request until it is answered, as often as the options allow.

        Raises
        ------
        ModelError : unreachable, too slow, too large an answer, or still busy after the last attempt.
        """
        for attempt in range(self.options.retries + 1):
            wait = FIRST_WAIT * 2**attempt * random.uniform(0.5, 1.5)
            self.pace.wait()
            self.meter.add(1, int(attempt > 0), rows, len(body or b""))
            try:
                with self.places:
                    reply = self._follow(method, path, headers, body)
            except (httpx.ReadTimeout, httpx.WriteTimeout):
                raise self._too_slow() from None
            except httpx.TransportError as error:
                trouble = f"{type(error).__name__}: {error}"
            except httpx.HTTPError as error:  # an answer that cannot be decoded, and the like
                raise self._failed(f"sent what is no answer ({type(error).__name__})") from None
            else:
                if reply.status not in (429, 503):
                    return reply
                trouble = f"status {reply.status}, {self.said(reply)}"
                wait = self._asked_wait(reply, wait)
            if attempt < self.options.retries:
                time.sleep(wait)
        raise self._failed(f"did not answer in {self.options.retries + 1} attempts; the last one: {trouble}")

    def said(self, reply: Reply) -> str:
        """Return a server's own words in an error: one line, no secret, at most 300 characters."""
        text = reply.body[:4000].decode("utf-8", "replace")
        try:
            found = json.loads(text)
            text = next(str(found[key]) for key in ("error", "detail", "message") if key in found)
        except (ValueError, TypeError, StopIteration, RecursionError):
            pass
        clean = "".join(c if c.isprintable() else " " for c in self.secret.without(text))
        short = " ".join(clean.split())[:300]
        return f"{short!r}" if short else "without a word"

    def document(self, reply: Reply) -> Any:
        """Parse a JSON body.

        Raises
        ------
        ModelError : it is no JSON.
        """
        try:
            return json.loads(reply.body)
        except (ValueError, RecursionError):
            raise self._failed(f"answered with no JSON: {self.said(reply)}") from None

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def _follow(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        for _ in range(MOST_REDIRECTS + 1):
            reply = self._once(method, path, headers, body)
            target = reply.headers.get("location")
            if reply.status not in (301, 302, 303, 307, 308) or not target:
                return reply
            there = urlsplit(urljoin(self.address.origin + path, target))
            kept = urlsplit(self.address.origin)
            if (there.scheme, there.netloc) != (kept.scheme, kept.netloc):
                where = f"{there.scheme}://{there.hostname}"
                raise self._failed(f"redirects to another place, {where}: name that one if you trust it")
            if method != "GET" and reply.status not in (307, 308):
                raise self._failed(f"redirects to {there.path!r}: give that path")
            path = there.path
        raise self._failed("redirects in a circle")

    def _once(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        """One exchange. The answer is read piece by piece, so that size and time stay bounded."""
        ends, most = time.monotonic() + self.options.timeout, self.options.most_bytes
        own = {**headers, **self.secret.headers(), "Accept-Encoding": "identity"}
        host, names = self.address.origin, {}
        if self.pinned is not None:
            host, own["Host"] = self._pinned_origin(), urlsplit(self.address.origin).netloc
            names = {"sni_hostname": self.address.host}
        with self.client.stream(
            method, host + path, content=body, headers=own, extensions=names or None
        ) as response:
            parts, size = [], 0
            for part in response.iter_bytes():
                size += len(part)
                if size > most:
                    raise self._failed(f"sent more than {most:,} bytes (most_bytes)")
                if time.monotonic() > ends:
                    raise self._too_slow()
                parts.append(part)
            self.meter.add(got=size)
            return Reply(response.status_code, response.headers, b"".join(parts))

    def _pinned_origin(self) -> str:
        address = f"[{self.pinned}]" if ":" in str(self.pinned) else self.pinned
        return f"{self.address.scheme}://{address}:{self.address.port}"

    def _asked_wait(self, reply: Reply, wait: float) -> float:
        """Return how long the server wants to be left alone, where it says so."""
        asked = _seconds(reply.headers.get("retry-after", ""))
        if asked is None:
            return wait
        if asked > self.options.timeout:
            raise self._failed(f"is busy (status {reply.status}) and asks to come back in {asked:.0f} s")
        return max(asked, LEAST_REST)

    def _too_slow(self) -> ModelError:
        return self._failed(f"did not answer within {self.options.timeout:g} s (timeout)")

    def _failed(self, what: str) -> ModelError:
        return ModelError(f"The endpoint {self.address.url} {self.secret.without(what)}.")


def _seconds(text: str) -> float | None:
    """Read a Retry-After header: seconds, or a date."""
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def connect(address: Address, options: RemoteOptions) -> Line:
    """Prepare a line; nothing is sent yet, but with ``public_only`` the host is resolved and pinned."""
    pinned = public_address(address.host, address.port) if options.public_only else None
    # without TLS nothing needs the system's certificates, whose loading takes longer than a small question
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if address.scheme == "http" else True
    client = httpx.Client(
        verify=trust,
        timeout=httpx.Timeout(options.timeout, connect=min(10.0, options.timeout), pool=None),
        limits=httpx.Limits(max_connections=options.in_flight, max_keepalive_connections=options.in_flight),
        follow_redirects=False,
        trust_env=pinned is None,  # a proxy from the environment would connect where it likes
    )
    return Line(
        address, options, fetch(options), client, pinned, Meter(), Pace(options.rate),
        threading.BoundedSemaphore(options.in_flight),
    )  # fmt: skip
