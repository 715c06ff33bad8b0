"""The page: pick a model, give it an input, see the picture, what it cost, and the record.

Rendered here; the script only spares a reload. Everything works without it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response

from blackbox import __version__
from blackbox.errors import BlackboxError, RequestError
from blackbox.report.templating import fill
from blackbox.service import bodies, drawing, questions, uploads
from blackbox.service.clock import Clock
from blackbox.service.desk import Desk
from blackbox.service.failures import Unreadable, status_of, told
from blackbox.service.shelf import Served
from blackbox.service.uploads import Upload

router = APIRouter(include_in_schema=False)

NAVIGATION = [("/", "Models"), ("/jobs", "Audits"), ("/metrics", "Meters"), ("/openapi.json", "API")]
POLICY = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    # under no-referrer a browser sends a form without telling its origin, which the gate refuses
    "Referrer-Policy": "same-origin",
}
ABOUT = {
    "occlusion": "one feature hidden at a time",
    "kernelshap": "fair shares, with intervals",
    "lime": "a linear model around the input",
    "rise": "random soft masks",
    "sis": "which few features are enough",
    "cafo": "the change that matters most",
    "caso": "the same, with curvature",
}
"""For the list of methods, where the name alone says little."""


@router.get("/")
async def front(request: Request) -> Response:
    """Show the models."""
    desk: Desk = request.app.state.desk
    shelf = desk.shelf
    return page(
        "index.html",
        {"models": list(shelf.models.values()), "waiting": list(shelf.waiting), "hidden": hidden},
    )


@router.get("/page.js")
async def script() -> Response:
    """Return the page's script."""
    text = files("blackbox.service").joinpath("templates", "page.js").read_text(encoding="utf-8")
    return Response(text, media_type="text/javascript")


@router.get("/models/{model}")
async def ask(request: Request, model: str) -> Response:
    """Show the form of one model."""
    desk: Desk = request.app.state.desk
    return page("model.html", _form(desk.shelf.find(model), {}))


@router.post("/models/{model}")
async def explain(request: Request, model: str) -> Response:
    """Explain what was dropped or pasted, and show it."""
    desk: Desk = request.app.state.desk
    served = desk.shelf.find(model)
    given: dict[str, Any] = {}
    try:
        clock = desk.clock()
        given = await _given(request, desk.settings.ceilings.body, clock)
        shown = await desk.run(request, lambda clock: _answer(desk, served, given, clock), clock)
    except BlackboxError as error:
        return page("model.html", _form(served, given) | {"error": told(error)}, status_of(error))
    return page("model.html", _form(served, given) | {"shown": shown})


async def _given(request: Request, most: int, clock: Clock) -> dict[str, Any]:
    """Read the form's fields; the body is read under the limit before anything parses it."""
    body = await bodies.read(request, most, clock)
    sent = False

    async def again() -> dict[str, Any]:
        nonlocal sent
        message = {"type": "http.request", "body": b"" if sent else body, "more_body": False}
        sent = True
        return message

    try:
        async with Request(request.scope, again).form(max_files=1, max_fields=16) as form:
            fields: dict[str, Any] = {k: v for k, v in form.multi_items() if isinstance(v, str)}
            file = form.get("file")
            if isinstance(file, UploadFile) and file.filename:
                fields["upload"] = Upload.of_file(file.filename, await file.read())
    except RequestError:
        raise
    except Exception:  # the parsers of forms raise families of their own
        raise Unreadable("The form cannot be read.") from None
    return fields


def _answer(desk: Desk, served: Served, given: Mapping[str, Any], clock: Clock) -> dict[str, Any]:
    """Explain one input of the form."""
    asked = {name: given[name] for name in ("method", "target") if given.get(name)}
    question = questions.read_question(asked, served, desk.settings.ceilings)
    upload = given.get("upload")
    if upload is None:
        if not given.get("text", "").strip():
            raise RequestError("Drop a file, or paste a row, to have it explained.")
        upload = Upload.of_text(given["text"], served.materials.data.columns)
    x, row = uploads.read(upload, given.get("row", "").strip(), served.model.signature, served.spec)
    ledger, begun = desk.ledger(clock, question.most_rows), time.monotonic()
    case, answered = questions.explain_one(served, x, question, clock, ledger)
    desk.spent(served.name, ledger)
    desk.metrics.explanations.labels(served.name, question.method.name).inc()
    found = drawing.drawn(case, answered.explanation, served.materials.labels)
    return found | {
        "row": row if upload.tabular and not row.isdecimal() else "",
        "seconds": time.monotonic() - begun,
    }


def hidden(served: Served) -> str:
    """Say what stands in for hidden features."""
    return "zeros" if served.background is None else f"the background's: {served.background.rule}"


def _form(served: Served, given: Mapping[str, Any]) -> dict[str, Any]:
    signature = served.model.signature
    tensor = signature.output(signature.answer)
    columns = tensor.shape[-1] if len(tensor.shape) > 1 and isinstance(tensor.shape[-1], int) else 0
    return {
        "served": served,
        "inputs": signature.inputs,
        "classes": list(tensor.labels) or [str(k) for k in range(columns)] if columns != 1 else [],
        "columns": served.materials.data.columns,
        "hidden": hidden(served),
        "tabular": all(len(tensor.cell_shape) <= 1 for tensor in signature.inputs),
        "about": ABOUT,
        "given": {"text": "", "row": "", "method": questions.default(served), "target": ""} | dict(given),
        "kinds": ",".join(uploads.KINDS),
        "shown": None,
        "error": "",
    }


def page(name: str, context: Mapping[str, Any], status: int = 200) -> Response:
    """Fill a template and return it under the pages' own policy."""
    text = fill(name, {"version": __version__, "navigation": NAVIGATION, **context}, "blackbox.service")
    return Response(text.encode("utf-8", "replace"), status, POLICY, media_type="text/html")
