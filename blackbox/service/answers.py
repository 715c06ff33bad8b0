"""Responses: JSON that always encodes, and every error as a status and one sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from blackbox.errors import BlackboxError
from blackbox.service.failures import Busy, Refused, Unready, status_of, told


def dumps(value: Any) -> bytes:
    """Write JSON; ASCII throughout, so that no text can fail to be encoded."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a value as JSON."""
    return Response(dumps(content), status, dict(headers or {}), media_type="application/json")


def failure(error: BlackboxError) -> Response:
    """Return the response that tells one of our errors."""
    headers = {}
    if isinstance(error, (Busy, Unready)):
        headers["Retry-After"] = str(getattr(error, "seconds", 2))
    if isinstance(error, Refused):
        headers["WWW-Authenticate"] = 'Basic realm="blackbox", charset="UTF-8"'
    return answer({"error": told(error)}, status_of(error), headers)
