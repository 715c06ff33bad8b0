"""The Open Inference Protocol version 2: health, metadata, inference, and explanations in two ways.

``POST /v2/models/{model}/explain`` is our extension; ``{model}__{method}`` is a virtual model whose plain
``infer`` explains, so that clients which know no explanations need nothing new.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from blackbox import __version__
from blackbox.errors import RequestError, unknown
from blackbox.model import Tensor
from blackbox.service import answering, bodies, examples, tensors
from blackbox.service.answers import answer
from blackbox.service.clock import Clock
from blackbox.service.desk import Desk
from blackbox.service.failures import Unknown, Unready
from blackbox.service.instances import fitted
from blackbox.service.shelf import VIRTUAL, Served
from blackbox.service.tensors import Asked, datatype

router = APIRouter(prefix="/v2", tags=["version 2"])

EXTENSIONS = ["binary_tensor_data", "blackbox_explain"]
VERSION = "1"
OUTPUTS = {
    "values": "FP32",
    "lower": "FP32",
    "upper": "FP32",
    "base": "FP32",
    "full": "FP32",
    "record": "BYTES",
}


@router.get("", responses=examples.errors(401, 403))
async def server(request: Request) -> Response:
    """Name the server and what it can do beyond the protocol."""
    return answer({"name": "blackbox", "version": __version__, "extensions": EXTENSIONS})


@router.get("/health/live")
async def live() -> Response:
    """Say that the process answers."""
    return answer({"live": True})


@router.get("/health/ready", responses=examples.errors(503))
async def ready(request: Request) -> Response:
    """Say whether every model has answered its first pass."""
    desk: Desk = request.app.state.desk
    if not desk.shelf.ready:
        raise Unready("Not every model has answered its first pass yet.")
    return answer({"ready": True})


@router.get("/models", responses=examples.errors(401, 403))
async def models(request: Request) -> Response:
    """Name the models, and the virtual ones that explain them."""
    desk: Desk = request.app.state.desk
    virtual = [f"{m.name}{VIRTUAL}{method}" for m in desk.shelf.models.values() for method in m.methods]
    return answer({"models": [*desk.shelf.names, *virtual]})


@router.get("/models/{model}", responses=examples.ASKED)
@router.get("/models/{model}/versions/{version}", responses=examples.ASKED)
async def metadata(request: Request, model: str, version: str = VERSION) -> Response:
    """Describe a model's inputs and outputs."""
    served, method = _find(request, model, version)
    signature = served.model.signature
    outputs = [_described(signature.output(signature.answer))]
    if method is not None:
        outputs = [{"name": name, "datatype": kind, "shape": [-1] if kind == "BYTES" else [-1, -1]}
                   for name, kind in OUTPUTS.items()]  # fmt: skip
    return answer({
        "name": model, "versions": [VERSION],
        "platform": "onnx_onnxv1" if method is None else "blackbox_explainer",
        "inputs": [_described(tensor) for tensor in signature.inputs], "outputs": outputs,
    })  # fmt: skip


@router.get("/models/{model}/ready", responses=examples.ASKED)
@router.get("/models/{model}/versions/{version}/ready", responses=examples.ASKED)
async def model_ready(request: Request, model: str, version: str = VERSION) -> Response:
    """Say whether a model is ready."""
    _find(request, model, version)
    return answer({"name": model, "ready": True})


@router.post(
    "/models/{model}/infer",
    responses=examples.WORKED | examples.TENSORS,
    openapi_extra=examples.body(examples.V2),
)
@router.post("/models/{model}/versions/{version}/infer", responses=examples.WORKED | examples.TENSORS,
             openapi_extra=examples.body(examples.V2))  # fmt: skip
async def infer(request: Request, model: str, version: str = VERSION) -> Response:
    """Return the model's answer; a virtual model's answer is an explanation of every row."""
    served, method = _find(request, model, version)
    return await _work(request, served, model, method, method is not None)


@router.post(
    "/models/{model}/explain",
    responses=examples.WORKED | examples.TENSORS,
    openapi_extra=examples.body(examples.V2),
)
async def explain(request: Request, model: str) -> Response:
    """Explain every row; the parameters choose the method and its settings."""
    served, method = _find(request, model, VERSION)
    return await _work(request, served, model, method, True)


def _find(request: Request, model: str, version: str) -> tuple[Served, str | None]:
    desk: Desk = request.app.state.desk
    if version != VERSION:
        raise Unknown(f"There is no version {version[:20]!r}, only {VERSION}.")
    if VIRTUAL in model:
        return desk.shelf.virtual(model)
    return desk.shelf.find(model), None


async def _work(request: Request, served: Served, model: str, method: str | None, explains: bool) -> Response:
    desk: Desk = request.app.state.desk
    ceilings = desk.settings.ceilings
    clock = desk.clock()
    body = await bodies.read(request, ceilings.body, clock)
    json_size = request.headers.get(tensors.HEADER)

    def work(clock: Clock) -> Response:
        asked = tensors.decode(body, json_size, ceilings)
        rows = fitted(served.model.signature, _typed(served, asked), ceilings)
        if explains:
            found = answering.explain(desk, served, rows, asked.parameters, clock, method)
            outputs = stacked(found)
        else:
            outputs = {served.model.signature.answer: answering.predict(desk, served, rows, clock)}
        return _encoded(model, outputs, asked)

    return await desk.run(request, work, clock)


def _typed(served: Served, asked: Asked) -> dict[str, np.ndarray]:
    """Refuse tensors that the model does not have, and other datatypes than it declares."""
    inputs = {tensor.name: tensor for tensor in served.model.signature.inputs}
    for name, array in asked.tensors.items():
        if name not in inputs:
            raise unknown("model input", name, inputs)
        given = "string" if array.dtype == object else array.dtype.name
        if given != inputs[name].dtype:
            wanted = datatype(inputs[name].dtype)
            raise RequestError(f"Input {name!r} is {wanted}; the request says {datatype(given)}.")
    return dict(asked.tensors)


def stacked(found: answering.Explained) -> dict[str, np.ndarray]:
    """Return explanations as tensors: values, lower, upper Float32["n d"] or Float32["n d t"], base and full
    Float32["n"] or Float32["n t"], and the records as text. What a method does not report is NaN."""
    told = [one.explanation for one in found.answers]
    nothing = [np.full(e.values.shape, np.nan) for e in told]
    lower = [n if e.lower_bounds is None else e.lower_bounds for n, e in zip(nothing, told, strict=True)]
    upper = [n if e.upper_bounds is None else e.upper_bounds for n, e in zip(nothing, told, strict=True)]
    arrays: dict[str, Any] = {
        "values": [e.values for e in told], "lower": lower, "upper": upper,
        "base": [e.base_values for e in told], "full": [e.full_values for e in told],
    }  # fmt: skip
    with np.errstate(over="ignore"):  # beyond float32 is infinity; the record holds every digit
        outputs = {name: np.stack(values).astype(np.float32) for name, values in arrays.items()}
    return outputs | {"record": np.array([e.to_json() for e in told], dtype=object)}


def _encoded(model: str, outputs: dict[str, np.ndarray], asked: Asked) -> Response:
    made = tensors.encode(model, outputs, asked)
    if made.json_size is None:
        return Response(made.body, media_type="application/json")
    headers = {tensors.HEADER: str(made.json_size)}
    return Response(made.body, media_type="application/octet-stream", headers=headers)


def _described(tensor: Tensor) -> dict[str, Any]:
    shape = [
        size if isinstance(size, int) and k else -1 for k, size in enumerate(tensor.shape or (None, None))
    ]
    return {"name": tensor.name, "datatype": datatype(tensor.dtype), "shape": shape}
