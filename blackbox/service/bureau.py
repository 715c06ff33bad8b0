"""The bureau: takes audits, hands them to the queue, and goes on with them after a restart."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from blackbox.errors import RequestError
from blackbox.service.desk import Desk
from blackbox.service.failures import Busy
from blackbox.service.jobs import ENDS, Jobs
from blackbox.service.orders import Order
from blackbox.service.settings import Settings
from blackbox.service.shelf import confined
from blackbox.service.store import JobStore, open_store

AGAIN_SECONDS = 30


@dataclass
class Bureau:
    """jobs : what is written down. store : who does it. closing : set when the service stops."""

    jobs: Jobs
    store: JobStore
    closing: threading.Event = field(default_factory=threading.Event)

    def take(self, job: str, order: Order, asked: str, desk: Desk) -> None:
        """Write an order down and enqueue it.

        Raises
        ------
        Busy : too many wait. RequestError : its plan does not fit, or the folder cannot be written.
        """
        if self.store.waiting() > desk.settings.ceilings.waiting:
            raise Busy("Too many audits are waiting: ask again later.", AGAIN_SECONDS)
        described = desk.shelf.find(order.model).described
        assert described is not None  # read_order refuses models without
        part, folder = described
        part = part.model_copy(update={"model": confined(part.model, folder, desk.settings)})
        self.jobs.add(job, order, asked, part, folder)
        self.store.start(job)

    def cancel(self, job: str) -> None:
        """Stop a job, unless it has ended."""
        if self.jobs.status(job).get("state") is None:
            self.store.cancel(job)
            self.jobs.end(job, "cancelled", {})

    def close(self) -> None:
        """Stop working; what is unfinished goes on when the service is started again."""
        self.closing.set()
        self.store.close()
        self.jobs.close()


def open_bureau(settings: Settings) -> Bureau | None:
    """Open the jobs of a service, and go on with those that have not ended; None where it takes none.

    Raises
    ------
    RequestError : the folder cannot be written, or the database cannot be opened.
    """
    if settings.jobs is None:
        return None
    folder = Path(settings.jobs)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"--jobs {folder} cannot be written: {error.strerror or error}.") from None
    jobs = Jobs(folder)
    store = open_store(jobs, settings.jobs_database)
    for job in reversed(jobs.names()):
        if jobs.status(job).get("state") not in ENDS:
            store.start(job)  # a kill between writing a job down and enqueueing it loses nothing
    return Bureau(jobs, store)
