"""One session for many questions: forward passes of concurrent threads, merged into fewer calls."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from blackbox.errors import BlackboxError, ModelError
from blackbox.model import Identity, Limits, Model, Rows, Signature
from blackbox.service.clock import Clock

MOST_WAIT = 0.002
"""Seconds that a pass waits for company at the most, and never longer than half the last pass took."""


@dataclass(eq=False)
class Call:
    """One thread's rows, and what came of them."""

    rows: Rows
    count: int
    done: threading.Event = field(default_factory=threading.Event)
    answer: Rows = field(default_factory=dict)
    error: BlackboxError | None = None
    merged: bool = False

    @property
    def key(self) -> tuple[Any, ...]:
        """Calls with one key may share a pass: equal cell shapes and dtypes."""
        return tuple((name, array.shape[1:], array.dtype) for name, array in sorted(self.rows.items()))


class Pool:
    """A model that threads share; a thread of its own makes the passes, one after the other.

    A pass holds at most the model's rows per run, so merging never asks more of it than one question
    may. Where a merged pass fails, every call is made again alone: only its own asker gets the error.

    Parameters
    ----------
    model : what answers. watch : told (rows, calls merged) of every pass.
    """

    def __init__(self, model: Model, watch: Callable[[int, int], None] | None = None) -> None:
        self.model = model
        self._watch = watch or (lambda *_: None)
        self._calls: deque[Call] = deque()
        self._changed = threading.Condition()
        self._seated = 0
        self._closed = False
        self._last = 0.0
        self._thread = threading.Thread(target=self._work, name="forward passes", daemon=True)
        self._thread.start()

    @contextmanager
    def seat(self, clock: Clock, name: str) -> Iterator[Seat]:
        """Take part for one question; ``name`` stands for the model's source in the record."""
        with self._changed:
            self._seated += 1
        try:
            yield Seat(self, clock, replace(self.model.identity, source=name))
        finally:
            with self._changed:
                self._seated -= 1
                self._changed.notify_all()

    def ask(self, rows: Rows, clock: Clock) -> Call:
        """Have rows answered, alone or in company.

        Raises
        ------
        ModelError : the model failed on them. Late : not before the deadline.
        """
        call = Call(rows, len(next(iter(rows.values()))))
        with self._changed:
            if self._closed:
                raise ModelError("The model has been closed.")
            self._calls.append(call)
            self._changed.notify_all()
        if not call.done.wait(clock.left):
            with self._changed:
                if call in self._calls:
                    self._calls.remove(call)
            raise clock.late()
        if call.error is not None:
            raise call.error
        return call

    def close(self) -> None:
        """Stop after the pass in progress; calls still waiting end with an error."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout=5)

    def _work(self) -> None:
        while calls := self._next():
            begun = time.monotonic()
            self._play(calls)
            self._last = time.monotonic() - begun

    def _next(self) -> list[Call]:
        """Wait for calls and take those that fit into one pass; [] when the pool is closed."""
        with self._changed:
            while not self._calls and not self._closed:
                self._changed.wait()
            until = time.monotonic() + min(MOST_WAIT, self._last / 2)
            while len(self._calls) < self._seated and not self._closed:
                left = until - time.monotonic()
                if left <= 0 or self._full():
                    break
                self._changed.wait(left)
            if self._closed:
                for call in self._calls:
                    _fail(call, ModelError("The model has been closed."))
                return []
            return self._take()

    def _full(self) -> bool:
        return sum(call.count for call in self._calls) >= self.model.limits.rows_per_run

    def _take(self) -> list[Call]:
        """Take the oldest call and, oldest first, whatever fits beside it; the others keep their order."""
        first = self._calls[0]
        taken, room, rest = [first], self.model.limits.rows_per_run - first.count, deque[Call]()
        for call in list(self._calls)[1:]:
            if call.count <= room and call.key == first.key:
                taken.append(call)
                room -= call.count
            else:
                rest.append(call)
        self._calls = rest
        return taken

    def _play(self, calls: list[Call]) -> None:
        if len(calls) > 1 and self._together(calls):
            return
        for call in calls:
            try:
                call.answer = self._pass(call.rows, call.count, 1)
            except BlackboxError as error:
                call.error = error
            except Exception as error:  # a thread that dies would leave every asker waiting
                call.error = ModelError(f"The model failed on {call.count} rows: {type(error).__name__}.")
            call.done.set()

    def _together(self, calls: list[Call]) -> bool:
        """Make one pass for several calls; False where it failed or gave the wrong number of rows."""
        names, total = list(calls[0].rows), sum(call.count for call in calls)
        try:
            rows = {name: np.concatenate([call.rows[name] for call in calls]) for name in names}
            answer = {name: np.asarray(a) for name, a in self._pass(rows, total, len(calls)).items()}
        except Exception:
            return False
        if any(array.ndim == 0 or len(array) != total for array in answer.values()):
            return False
        ends = np.cumsum([call.count for call in calls])
        for call, end in zip(calls, ends, strict=True):
            call.answer = {name: array[end - call.count : end] for name, array in answer.items()}
            call.merged = True
            call.done.set()
        return True

    def _pass(self, rows: Rows, count: int, calls: int) -> Rows:
        self._watch(count, calls)
        return self.model.predict(rows)


def _fail(call: Call, error: BlackboxError) -> None:
    call.error = error
    call.done.set()


@dataclass(frozen=True)
class Seat:
    """The port's face of a shared model, for one question.

    merged : calls that shared their pass with another question's; their last bits may differ from those
    of a pass alone.
    """

    pool: Pool
    clock: Clock
    identity: Identity
    merged: list[int] = field(default_factory=list, repr=False)

    @property
    def signature(self) -> Signature:
        """Named inputs and outputs."""
        return self.pool.model.signature

    @property
    def limits(self) -> Limits:
        """How rows may be cut."""
        return self.pool.model.limits

    @property
    def traits(self) -> Mapping[str, Any]:
        """What the model says about its operators; {} where it says nothing."""
        return getattr(self.pool.model, "traits", {})

    def predict(self, rows: Rows) -> Rows:
        """Run rows in the next shared pass.

        Raises
        ------
        ModelError : the model failed on them. Late, Gone : nobody waits any more.
        """
        self.clock.check()
        call = self.pool.ask(rows, self.clock)
        if call.merged:
            self.merged.append(call.count)
        return call.answer
