"""KServe's protocol version 1: models, ``:predict`` and ``:explain`` with JSON instances."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from blackbox.service import answering, bodies, examples
from blackbox.service.answers import answer
from blackbox.service.clock import Clock
from blackbox.service.desk import Desk
from blackbox.service.instances import rows_of
from blackbox.service.questions import record

router = APIRouter(prefix="/v1", tags=["version 1"])


@router.get("/models", responses=examples.errors(401, 403))
async def models(request: Request) -> Response:
    """Name the models."""
    desk: Desk = request.app.state.desk
    return answer({"models": desk.shelf.names})


@router.get("/models/{model}", responses=examples.ASKED)
async def model_status(request: Request, model: str) -> Response:
    """Say whether a model is ready."""
    desk: Desk = request.app.state.desk
    return answer({"name": desk.shelf.find(model).name, "ready": True})


@router.post(
    "/models/{model}:predict", responses=examples.WORKED, openapi_extra=examples.body(examples.V1_PREDICT)
)
async def predict(request: Request, model: str) -> Response:
    """Return the model's answer to every instance."""
    desk: Desk = request.app.state.desk
    served = desk.shelf.find(model)
    clock = desk.clock()
    body = await bodies.read(request, desk.settings.ceilings.body, clock)

    def work(clock: Clock) -> Response:
        ceilings = desk.settings.ceilings
        asked = bodies.loads(body, ceilings.depth)
        rows = rows_of(asked, served.model.signature, served.materials.data.columns, ceilings)
        return answer({"predictions": answering.predict(desk, served, rows, clock).tolist()})

    return await desk.run(request, work, clock)


@router.post(
    "/models/{model}:explain", responses=examples.WORKED, openapi_extra=examples.body(examples.V1_EXPLAIN)
)
async def explain(request: Request, model: str) -> Response:
    """Explain every instance; ``explanations`` and ``predictions`` stand in the instances' order."""
    desk: Desk = request.app.state.desk
    served = desk.shelf.find(model)
    clock = desk.clock()
    body = await bodies.read(request, desk.settings.ceilings.body, clock)

    def work(clock: Clock) -> Response:
        ceilings = desk.settings.ceilings
        asked = bodies.loads(body, ceilings.depth)
        rows = rows_of(asked, served.model.signature, served.materials.data.columns, ceilings)
        found = answering.explain(desk, served, rows, bodies.mapping(asked, "parameters"), clock)
        return answer(_told(found))

    return await desk.run(request, work, clock)


def _told(found: answering.Explained) -> dict[str, Any]:
    return {
        "predictions": [one.outputs.tolist() for one in found.answers],
        "explanations": [record(one.explanation) for one in found.answers],
    }
