"""What can go wrong with a request, each with its HTTP status; no sentence names a path of the machine."""

from __future__ import annotations

import re

from blackbox.errors import BlackboxError, ModelError, RequestError
from blackbox.service.clock import Gone, Late

PATH = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?(?:[/\\][\w.+~@-]+)+[/\\]([\w.+~@-]+)")


class Unreadable(RequestError):
    """The body is no request: broken JSON, or sizes that contradict each other."""


class Unknown(RequestError):
    """The URL names a model, version or page that is not there."""


class TooLarge(RequestError):
    """The body or a tensor in it is larger than allowed."""


class Refused(RequestError):
    """The request carries no valid token."""


class Foreign(RequestError):
    """The request comes from a page of another site, or by a name that is not the service's."""


class Busy(BlackboxError):
    """As many requests as may wait are waiting.

    Parameters
    ----------
    seconds : when to ask again.
    """

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class Unready(BlackboxError):
    """The model is there but has not answered its first pass yet."""


STATUS: dict[type[BlackboxError], int] = {
    Unreadable: 400, Refused: 401, Foreign: 403, Unknown: 404, TooLarge: 413, RequestError: 422, Busy: 429,
    Gone: 499, ModelError: 502, Unready: 503, Late: 504,
}  # fmt: skip
"""The first class of an error's ancestry that stands here gives the status."""


def status_of(error: BlackboxError) -> int:
    """Return the HTTP status of one of our errors."""
    return next((STATUS[cls] for cls in type(error).__mro__ if cls in STATUS), 500)


def told(error: BlackboxError) -> str:
    """Return an error's sentence with every absolute path cut to its last name."""
    return PATH.sub(r"\1", error.message)
