"""The page of audits: what has been asked for, how far each has come, and its bundle."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from blackbox.service.audits import told
from blackbox.service.bureau import Bureau
from blackbox.service.pages import page

router = APIRouter(include_in_schema=False)

MOST = 100
"""Audits shown; older ones are told by /v1/audits."""


@router.get("/jobs")
async def jobs(request: Request) -> Response:
    """Show the audits, the newest first."""
    bureau: Bureau | None = request.app.state.bureau
    if bureau is None:
        return page("jobs.html", {"jobs": None})
    return page("jobs.html", {"jobs": await asyncio.to_thread(_all, bureau)})


@router.post("/jobs/{job}/cancel")
async def cancel(request: Request, job: str) -> Response:
    """Stop an audit and show the page again."""
    bureau: Bureau | None = request.app.state.bureau
    if bureau is not None and job in bureau.jobs.names():
        await asyncio.to_thread(bureau.cancel, job)
    return RedirectResponse("/jobs", 303)


def _all(bureau: Bureau) -> list[dict[str, Any]]:
    return [told(bureau, job) for job in bureau.jobs.names()[:MOST]]
