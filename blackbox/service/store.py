"""The durable queue behind the jobs: DBOS on SQLite or PostgreSQL, behind a face of our own.

A workflow is a job, a step is a shard, and a step's output is a small receipt. Arguments and outputs are
portable JSON, never pickle. A process that is killed leaves its jobs pending; the next one goes on
after the last step that was noted, and the shards themselves make a repeated step harmless.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from blackbox import __version__
from blackbox.errors import BlackboxError, RequestError
from blackbox.service.jobs import Jobs, failed

QUEUE = "audits"
STATES = {
    "PENDING": "running", "ENQUEUED": "waiting", "DELAYED": "waiting", "SUCCESS": "succeeded",
    "ERROR": "failed", "CANCELLED": "cancelled", "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "failed",
}  # fmt: skip


class JobStore(Protocol):
    """Who remembers which jobs there are to do, and does them."""

    def start(self, job: str) -> None:
        """Enqueue a job under its name; one that is enqueued already stays as it is."""

    def cancel(self, job: str) -> None:
        """Stop a job after the shard that it is playing."""

    def state(self, job: str) -> str:
        """Return ``waiting``, ``running``, ``succeeded``, ``failed`` or ``cancelled``."""

    def waiting(self) -> int:
        """Return how many jobs are not finished."""

    def close(self) -> None:
        """Stop working; unfinished jobs go on when the store is opened again."""


@dataclass(frozen=True)
class DbosStore:
    """Jobs as DBOS workflows. There is one per process, because DBOS is."""

    dbos: Any
    jobs: Jobs
    workflow: Any = field(repr=False)

    def start(self, job: str) -> None:
        """Enqueue a job under its name; one that is enqueued already stays as it is."""
        from dbos import DBOS, SetWorkflowID

        with SetWorkflowID(job):
            DBOS.enqueue_workflow(QUEUE, self.workflow, job)

    def cancel(self, job: str) -> None:
        """Stop a job after the shard that it is playing."""
        self.dbos.cancel_workflow(job)

    def state(self, job: str) -> str:
        """Return ``waiting``, ``running``, ``succeeded``, ``failed`` or ``cancelled``."""
        found = self.dbos.get_workflow_status(job)
        return STATES.get(found.status, "waiting") if found is not None else "waiting"

    def waiting(self) -> int:
        """Return how many jobs are not finished."""
        return len(
            self.dbos.list_workflows(status=["PENDING", "ENQUEUED"], load_input=False, load_output=False)
        )

    def close(self) -> None:
        """Stop working; unfinished jobs go on when the store is opened again."""
        # a shard that is cut off is gone on with at the next start; DBOS would print a stack for it
        logging.getLogger("dbos").disabled = True
        self.dbos.destroy(workflow_completion_timeout_sec=0)


def open_store(jobs: Jobs, database: str | None, concurrency: int = 1) -> DbosStore:
    """Open the queue and go on with what is unfinished.

    Parameters
    ----------
    database : ``postgresql://...``; None = an SQLite file in the jobs' folder, for one server.
    concurrency : jobs at the same time.

    Raises
    ------
    RequestError : DBOS is not installed, or the database cannot be reached.
    """
    try:
        from dbos import DBOS, DBOSPortableJSONSerializer
    except ImportError:
        raise RequestError(
            'Jobs need DBOS: install the service with  python -m pip install "blackbox[serve]".'
        ) from None
    path = Path(jobs.folder) / "jobs.sqlite"
    dbos = DBOS(
        config={
            "name": "blackbox", "system_database_url": database or f"sqlite:///{path}",
            # recovery goes by this version, not by a digest of our code
            "application_version": __version__.partition("+")[0], "executor_id": "blackbox",
            "serializer": DBOSPortableJSONSerializer(), "log_level": "ERROR", "console_log_level": "ERROR",
            "enable_otlp": False,
        }
    )  # fmt: skip
    workflow = _workflow(DBOS, jobs)
    try:
        DBOS.launch()
        DBOS.register_queue(QUEUE, concurrency=concurrency, polling_interval_sec=0.2)
    except Exception as error:  # the database's own family of errors
        raise RequestError(
            f"The jobs' database cannot be opened ({type(error).__name__}): check --jobs-database."
        ) from None
    return DbosStore(dbos, jobs, workflow)


def _workflow(dbos: Any, jobs: Jobs) -> Any:
    """Define the workflow of an audit and its steps."""

    @dbos.step(name="plan")  # type: ignore[untyped-decorator, unused-ignore]
    def plan(job: str) -> dict[str, Any]:
        return _told(lambda: {"shards": jobs.shards(job)})

    @dbos.step(name="shard")  # type: ignore[untyped-decorator, unused-ignore]
    def play(job: str, shard: str) -> dict[str, Any]:
        return _told(lambda: jobs.play(job, shard))

    @dbos.step(name="seal")  # type: ignore[untyped-decorator, unused-ignore]
    def seal(job: str) -> dict[str, Any]:
        return _told(lambda: jobs.seal(job))

    @dbos.step(name="end")  # type: ignore[untyped-decorator, unused-ignore]
    def end(job: str, what: dict[str, Any]) -> None:
        jobs.end(job, "failed", what)

    @dbos.workflow(name="audit")  # type: ignore[untyped-decorator, unused-ignore]
    def audit(job: str) -> dict[str, Any]:
        found = plan(job)
        for shard in found.get("shards", ()):
            found = play(job, shard)
            if "error" in found:
                break
        if "error" not in found:
            found = seal(job)
        if "error" in found:
            end(job, found)
        return dict(found)

    return audit


def _told(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do a step's work; one of our errors is an outcome to tell, anything else is a fault."""
    try:
        return work()
    except BlackboxError as error:
        return failed(error)
