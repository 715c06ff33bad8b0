"""The application: routes, the gate in front of them, and what they share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from blackbox import __version__
from blackbox.errors import BlackboxError
from blackbox.service import audits, examples, gate, job_pages, pages, v1, v2
from blackbox.service.answers import answer
from blackbox.service.bureau import open_bureau
from blackbox.service.desk import Desk
from blackbox.service.settings import Settings

ABOUT = """Explains models by forward passes alone. Versions 1 and 2 of the usual inference protocols, with
explanations: `:explain`, `/explain`, and one virtual model per method, `{model}__{method}`."""


def create_app(settings: Settings) -> FastAPI:
    """Build the service of some models.

    Parameters
    ----------
    settings : which models, who may ask, and what one request may cost.

    Returns
    -------
    An ASGI application; its models are open, and make their first passes when it starts.

    Raises
    ------
    RequestError : a model is described wrongly. ModelError : a file cannot be loaded.
    """
    desk = Desk.of(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with desk.open():
            app.state.bureau = await asyncio.to_thread(open_bureau, settings)
            try:
                yield
            finally:
                if app.state.bureau is not None:
                    await asyncio.to_thread(app.state.bureau.close)

    # the interactive documents of the framework load scripts from elsewhere
    app = FastAPI(
        title="blackbox",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.desk, app.state.bureau = desk, None
    for router in (v1.router, v2.router, audits.router, job_pages.router, pages.router):
        app.include_router(router)
    app.add_api_route(
        "/metrics",
        metrics,
        responses=examples.METERS | examples.errors(401, 403),
        response_class=PlainTextResponse,
        tags=["operation"],
    )
    app.add_exception_handler(BlackboxError, gate.told)
    app.add_exception_handler(HTTPException, gate.plain)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(gate.Gate, desk=desk)
    return app


async def metrics(request: Request) -> Response:
    """Return the meters in Prometheus' text format."""
    desk: Desk = request.app.state.desk
    return Response(desk.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _invalid(request: Request, error: Exception) -> Response:
    return answer({"error": "The request does not fit this address."}, 422)
