"""Where requests take turns: so many at once, so many waiting, each with its deadline and its row budget."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.requests import Request

from blackbox.score import Ledger
from blackbox.service.clock import Clock, Gone
from blackbox.service.failures import Busy
from blackbox.service.journal import log
from blackbox.service.metrics import Metrics
from blackbox.service.settings import Settings
from blackbox.service.shelf import Shelf, open_shelf

T = TypeVar("T")


@dataclass
class Desk:
    """What all routes share: the models, the limits, the meters, and the turns.

    turns : requests that are being answered. within : ones that bring a body, arriving or later.
    mean : seconds of a request, smoothed, for Retry-After.
    """

    settings: Settings
    shelf: Shelf
    metrics: Metrics
    threads: ThreadPoolExecutor = field(repr=False)
    turns: int = 0
    waiting: int = 0
    within: int = 0
    mean: float = 1.0
    free: asyncio.Semaphore = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.free = asyncio.Semaphore(self.settings.ceilings.turns)

    @classmethod
    def of(cls, settings: Settings) -> Desk:
        """Open the models and set the desk up; nothing has been asked yet."""
        metrics = Metrics()
        threads = ThreadPoolExecutor(settings.ceilings.turns, thread_name_prefix="request")
        return cls(settings, open_shelf(settings, metrics.passed), metrics, threads)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Have the models make their first passes while the server runs; clean up when it stops."""
        proving = threading.Thread(target=self.shelf.prove, args=(log,), name="first passes", daemon=True)
        proving.start()
        try:
            yield
        finally:
            self.shelf.close()
            self.threads.shutdown(wait=False, cancel_futures=True)

    async def run(self, request: Request, work: Callable[[Clock], T], clock: Clock) -> T:
        """Do a request's work in a thread when it is its turn.

        Raises
        ------
        Busy : too many wait. Late : the deadline passed. Gone : the asker went away. And whatever
        the work raises.
        """
        loop = asyncio.get_running_loop()
        arrived = loop.time()
        await self._turn(clock)
        begun = loop.time()
        self.metrics.queued.observe(begun - arrived)
        job: asyncio.Future[T] = loop.run_in_executor(self.threads, work, clock)
        # the turn ends with the thread, not with the asker's patience: what runs, runs
        job.add_done_callback(lambda _: self._leave(loop.time() - begun))
        leaving: asyncio.Future[None] = asyncio.ensure_future(_gone(request))
        try:
            both: list[asyncio.Future[Any]] = [job, leaving]
            await asyncio.wait(both, timeout=clock.left + 0.25, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not job.done():
                clock.gone.set()
                job.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody looks at it
        if job.done():
            return job.result()
        raise clock.late() if not clock.left else Gone("The asker has gone.")

    def clock(self) -> Clock:
        """Start the clock of a request that has just come."""
        return Clock.of(self.settings.ceilings.seconds)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Hold one of the places for requests that bring a body, from its first byte to the answer.

        Raises
        ------
        Busy : all are taken, which bounds the memory that bodies can fill.
        """
        most = self.settings.ceilings
        if self.within >= 2 * most.turns + most.waiting:
            raise self._busy()
        self.within += 1
        try:
            yield
        finally:
            self.within -= 1

    def ledger(self, clock: Clock, most_rows: int) -> Ledger:
        """Return a notebook that stops a request at its budget and its deadline."""
        return Ledger(most=most_rows, observer=clock.check)

    def spent(self, model: str, ledger: Ledger) -> None:
        """Note what share of its budget a request has used."""
        self.metrics.budget.labels(model).observe(ledger.rows / (ledger.most or 1))

    async def _turn(self, clock: Clock) -> None:
        """Wait until fewer requests are being answered than may be."""
        most = self.settings.ceilings
        if self.turns >= most.turns and self.waiting >= most.waiting:
            raise self._busy()
        self.waiting += 1
        self._show()
        try:
            await asyncio.wait_for(self.free.acquire(), clock.left)
        except TimeoutError:
            raise clock.late() from None
        finally:
            self.waiting -= 1
            self._show()
        self.turns += 1
        self._show()

    def _busy(self) -> Busy:
        self.metrics.refused.inc()
        ahead = (self.waiting + 1) * self.mean / self.settings.ceilings.turns
        return Busy("Too many requests are waiting: ask again in a moment.", max(1, round(ahead)))

    def _leave(self, seconds: float) -> None:
        self.turns -= 1
        self.mean += 0.2 * (seconds - self.mean)
        self.free.release()
        self._show()

    def _show(self) -> None:
        self.metrics.running.set(self.turns)
        self.metrics.waiting.set(self.waiting)


async def _gone(request: Request) -> None:
    """Return when the asker has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
