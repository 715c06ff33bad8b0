"""Bodies into plain values: read under a limit, JSON without NaN and without bottomless nesting."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import ClientDisconnect, Request

from blackbox.errors import RequestError
from blackbox.service.clock import Clock, Gone
from blackbox.service.failures import TooLarge, Unreadable


async def read(request: Request, most: int, clock: Clock) -> bytes:
    """Read a whole body, counted as it comes: a missing or false Content-Length changes nothing.

    Parameters
    ----------
    most : bytes. clock : a body that drips in is given up at the deadline.

    Raises
    ------
    TooLarge, Unreadable (a compressed body), Late, Gone
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Unreadable("Bodies are taken uncompressed: leave Content-Encoding out.")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        raise too_large(most)
    try:
        return await asyncio.wait_for(_whole(request, most), clock.left)
    except TimeoutError:
        raise clock.late() from None
    except ClientDisconnect:
        raise Gone("The asker has gone.") from None


async def _whole(request: Request, most: int) -> bytes:
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise too_large(most)
        pieces.append(piece)
    return b"".join(pieces)


def too_large(most: int) -> TooLarge:
    """Build the error for a body over the limit."""
    return TooLarge(f"The body is larger than the {most:,} bytes allowed: send fewer inputs at a time.")


def loads(body: bytes, depth: int) -> dict[str, Any]:
    """Parse a JSON object.

    Parameters
    ----------
    depth : the most levels of lists and objects in each other.

    Raises
    ------
    Unreadable : no UTF-8, no JSON, NaN or Infinity, nested too deep, or no object.
    """
    try:
        text = body.decode("utf-8")
        value = json.loads(text, parse_constant=no_constant)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is no text
    except RecursionError:
        raise _deep(depth) from None
    except ValueError as error:
        why = "it is no UTF-8 text" if isinstance(error, UnicodeError) else str(error).rstrip(".")
        raise Unreadable(f"The body is no JSON: {why}.") from None
    _check_depth(value, depth)
    if not isinstance(value, dict):
        raise Unreadable("The body must be a JSON object.")
    return value


def no_constant(name: str) -> None:
    """Refuse NaN and Infinity, which Python's reader would take."""
    raise ValueError(f"it holds {name}, which JSON does not have; values must be finite")


def _check_depth(value: Any, most: int) -> None:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(most):
        level = _containers(level)
        if not level:
            return
    raise _deep(most)


def _containers(level: list[Any]) -> list[Any]:
    """Return the lists and objects that stand directly in those of one level."""
    parts = (part for one in level for part in (one.values() if isinstance(one, dict) else one))
    return [part for part in parts if isinstance(part, (dict, list))]


def _deep(most: int) -> Unreadable:
    return Unreadable(f"The body nests lists or objects more than {most} levels deep.")


def mapping(body: dict[str, Any], name: str) -> dict[str, Any]:
    """Return an object that stands under a name in the body; {} where none does.

    Raises
    ------
    RequestError : something else stands there.
    """
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise RequestError(f"{name} must be an object.")
    return value or {}
