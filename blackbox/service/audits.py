"""Audits as jobs: asked for, followed, stopped, and fetched."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import uuid
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response, StreamingResponse

from blackbox.errors import RequestError
from blackbox.service import bodies, examples
from blackbox.service.answers import answer
from blackbox.service.bureau import Bureau
from blackbox.service.clock import Clock
from blackbox.service.desk import Desk
from blackbox.service.failures import Unknown
from blackbox.service.jobs import ENDS, checked
from blackbox.service.orders import digest, read_order

router = APIRouter(prefix="/v1/audits", tags=["audits"])

KEY = re.compile(r"[\x21-\x7e]{1,200}")
POLL_SECONDS = 0.2
BEAT_SECONDS = 15.0
"""A comment keeps an idle stream open through proxies."""


def bureau_of(request: Request) -> Bureau:
    """Return who keeps the jobs.

    Raises
    ------
    Unknown : this service takes none.
    """
    bureau: Bureau | None = request.app.state.bureau
    if bureau is None:
        raise Unknown("This service takes no audits: start it with --jobs FOLDER.")
    return bureau


def _job(request: Request, job: str) -> tuple[Bureau, str]:
    bureau = bureau_of(request)
    try:
        name = checked(job)
    except RequestError:
        raise Unknown("There is no such audit.") from None
    if bureau.jobs.order(name) is None:
        raise Unknown("There is no such audit.")
    return bureau, name


@router.post("", status_code=202, responses=examples.AUDIT, openapi_extra=examples.body(examples.ORDER))
async def ask(request: Request) -> Response:
    """Take an audit; its address is in ``Location``. The same ``Idempotency-Key`` is the same job."""
    bureau, desk = bureau_of(request), _desk(request)
    clock = desk.clock()
    key = request.headers.get("idempotency-key")
    if key is not None and not KEY.fullmatch(key):
        raise RequestError("Idempotency-Key must be 1 to 200 visible ASCII characters.")
    body = await bodies.read(request, desk.settings.ceilings.body, clock)

    def work(clock: Clock) -> Response:
        asked = bodies.loads(body, desk.settings.ceilings.depth)
        job = hashlib.sha256(key.encode()).hexdigest()[:32] if key is not None else uuid.uuid4().hex
        known = bureau.jobs.order(job)
        if known is not None and known["asked"] != digest(asked):
            raise RequestError("This Idempotency-Key belongs to another audit: use a new one.")
        if known is None:
            bureau.take(job, read_order(asked, desk.shelf, desk.settings), digest(asked), desk)
        return answer(told(bureau, job), 202, {"Location": f"/v1/audits/{job}"})

    return await desk.run(request, work, clock)


@router.get("", responses=examples.errors(401, 403, 404))
async def every(request: Request) -> Response:
    """List the audits, the newest first."""
    bureau = bureau_of(request)
    return answer(
        {"audits": await asyncio.to_thread(lambda: [told(bureau, job) for job in bureau.jobs.names()])}
    )


@router.get("/{job}", responses=examples.errors(401, 403, 404))
async def status(request: Request, job: str) -> Response:
    """Say how far an audit has come."""
    bureau, name = _job(request, job)
    return answer(await asyncio.to_thread(told, bureau, name))


@router.delete("/{job}", status_code=202, responses=examples.errors(401, 403, 404))
async def cancel(request: Request, job: str) -> Response:
    """Stop an audit after the part that it is playing; what is finished stays to be read."""
    bureau, name = _job(request, job)
    await asyncio.to_thread(bureau.cancel, name)
    return answer(await asyncio.to_thread(told, bureau, name), 202)


@router.get("/{job}/events", responses=examples.STREAM)
async def events(request: Request, job: str) -> Response:
    """Stream what happens (server-sent events); ``Last-Event-ID`` goes on after that event."""
    bureau, name = _job(request, job)
    last = request.headers.get("last-event-id", "0")
    after = int(last) if last.isdecimal() and len(last) < 12 else 0
    return StreamingResponse(_stream(request, bureau, name, after), media_type="text/event-stream")


@router.get("/{job}/records", responses=examples.LINES)
async def records(request: Request, job: str) -> Response:
    """Return the records of what is finished so far, one JSON object a line."""
    bureau, name = _job(request, job)
    return StreamingResponse(bureau.jobs.records(name), media_type="application/x-ndjson")


@router.get("/{job}/bundle", responses=examples.ZIP)
async def bundle(request: Request, job: str) -> Response:
    """Return the sealed bundle as a ZIP."""
    bureau, name = _job(request, job)
    path = bureau.jobs.bundle(name)
    if path is None:
        raise Unknown("The bundle is not sealed: ask for the audit's state.")
    return FileResponse(path, media_type="application/zip", filename=f"audit-{name}.zip")


def told(bureau: Bureau, job: str) -> dict[str, Any]:
    """What is said of a job: its own notes, and the queue's word where it has not ended."""
    order = bureau.jobs.order(job) or {}
    found = bureau.jobs.status(job)
    state = found.pop("state", None) or bureau.store.state(job)
    url = f"/v1/audits/{job}"
    return {
        "job": job, "model": order["model"], "cases": order["cases"], "created": order["created"],
        "state": state, **found, "url": url, "events": f"{url}/events", "records": f"{url}/records",
        "bundle": f"{url}/bundle" if bureau.jobs.bundle(job) is not None else None,
    }  # fmt: skip


async def _stream(request: Request, bureau: Bureau, job: str, after: int) -> AsyncIterator[bytes]:
    quiet = 0.0
    while not await request.is_disconnected() and not bureau.closing.is_set():
        for event in await asyncio.to_thread(_since, bureau, job, after):
            after, quiet = event["id"], 0.0
            data = json.dumps(event["data"], ensure_ascii=True)
            yield f"id: {event['id']}\nevent: {event['event']}\ndata: {data}\n\n".encode()
            if event["event"] in ENDS:
                return
        quiet += POLL_SECONDS
        if quiet >= BEAT_SECONDS:
            quiet = 0.0
            yield b": still there\n\n"
        await asyncio.sleep(POLL_SECONDS)


def _since(bureau: Bureau, job: str, after: int) -> list[dict[str, Any]]:
    return list(bureau.jobs.events(job, after))


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk
