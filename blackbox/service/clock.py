"""One request's deadline and its asker's patience, seen from inside the explanation."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from blackbox.errors import BlackboxError


class Late(BlackboxError):
    """The deadline passed before the question was answered."""


class Gone(BlackboxError):
    """The asker went away, so that nobody waits for the answer."""


@dataclass(frozen=True)
class Clock:
    """Ends a question at its deadline, or when its asker has gone.

    until : on ``time.monotonic``'s scale. seconds : the whole time allowed, for the message.
    """

    until: float
    seconds: float
    gone: threading.Event = field(default_factory=threading.Event, repr=False)

    @classmethod
    def of(cls, seconds: float) -> Clock:
        """Start a clock that ends so many seconds from now."""
        return cls(time.monotonic() + seconds, seconds)

    def within(self, seconds: float) -> Clock:
        """Return a clock of the same asker that ends earlier, so many seconds after this one began."""
        return Clock(self.until - self.seconds + min(seconds, self.seconds), seconds, self.gone)

    @property
    def left(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self.until - time.monotonic())

    def check(self, rows: int = 0) -> None:
        """Look before every forward pass; a Ledger calls it with the rows to come.

        Raises
        ------
        Late, Gone
        """
        if self.gone.is_set():
            raise Gone("The asker has gone.")
        if not self.left:
            raise self.late()

    def late(self) -> Late:
        """Build the error for a deadline that passed."""
        return Late(
            f"The answer was not ready within {self.seconds:g} seconds: ask for fewer inputs, a smaller "
            "budget or a smaller background, or raise the deadline of the service."
        )
