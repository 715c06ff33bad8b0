"""Every error a person can meet, cut by who must act.

BlackboxError
├── RequestError     the asker: input, setting, plan, missing file      exit 2
│   └── BudgetSpent  the plan's row budget ended this question          exit 2
├── ModelError       the model's side: load, output, device             exit 3
└── EvidenceError    a bundle, a receipt or a signature does not hold   exit 4
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BlackboxError(Exception):
    """A failure that can be told to a person in one paragraph.

    Parameters
    ----------
    message : what is wrong and what to do about it, as one or two sentences.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.context = ""

    def within(self, context: str) -> BlackboxError:
        """Name the question that was being answered; the innermost call wins."""
        self.context = self.context or context
        return self

    def __str__(self) -> str:
        return f"{self.message} ({self.context})" if self.context else self.message


class RequestError(BlackboxError):
    """What was asked cannot be answered as asked."""

    exit_code = 2


class BudgetSpent(RequestError):
    """The row budget was reached before the question was answered."""


class ModelError(BlackboxError):
    """The model could not be loaded, or what it returned cannot be used."""

    exit_code = 3


class EvidenceError(BlackboxError):
    """A bundle, a receipt or a signature is not what it claims to be."""

    exit_code = 4


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known name, or an empty string."""
    folded = {k.casefold(): k for k in known}
    longer = [k for k in folded if len(name) > 2 and k.startswith(name.casefold())]
    if longer:
        return f" Did you mean {folded[longer[0]]!r}?"
    close = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.5)
    return f" Did you mean {folded[close[0]]!r}?" if close else ""


def unknown(what: str, name: object, known: Iterable[str]) -> RequestError:
    """Build the error for a name that is not in a list: it shows the nearest and the list."""
    names = [str(k) for k in known]
    shown = ", ".join(names[:12]) + (f", ... ({len(names)} in all)" if len(names) > 12 else "")
    listing = f" Known: {shown}." if names else ""
    return RequestError(f"Unknown {what} {str(name)!r}.{nearest(str(name), names)}{listing}")
