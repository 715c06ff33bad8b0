"""What a job is asked to do: a request's body turned into a plan and a file of inputs."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from blackbox.errors import RequestError, unknown
from blackbox.plan import Plan
from blackbox.service.description import Description
from blackbox.service.instances import rows_of
from blackbox.service.settings import Settings
from blackbox.service.shelf import Shelf, confined

PLAN_KEYS = ("targets", "methods", "checks", "probe", "reasons", "seed", "budget", "privacy", "purpose")
"""What a request may set of a plan; files are named by the service's own description only."""

FILE_KEYS = ("codes", "background", "path", "baseline")
"""Keys of a plan's parts that name files."""

DEFAULT = ("occlusion", "kernelshap", "sis")
KEYS = ("model", "instances", "ids", "plan")
ID = "case"


@dataclass(frozen=True)
class Order:
    """One audit that was asked for: the model's name, a plan, and the rows to explain under their names."""

    model: str
    plan: Mapping[str, Any]
    ids: tuple[str, ...]
    rows: Mapping[str, np.ndarray]
    columns: tuple[str, ...]


def read_order(body: Mapping[str, Any], shelf: Shelf, settings: Settings) -> Order:
    """Read a request.

    Parameters
    ----------
    body : ``model``, a name; ``instances`` as in version 1; ``ids``, their names, default "1", "2", ...;
        ``plan``, with the plan's keys targets, methods, checks, probe, reasons, seed, budget,
        privacy and purpose.

    Raises
    ------
    Unknown, Unready : no such model, or not yet. RequestError : a key or value that does not fit.
    TooLarge : more values than allowed.
    """
    for key in body:
        if key not in KEYS:
            raise unknown("key", key, KEYS)
    name = body.get("model")
    if not isinstance(name, str):
        raise RequestError("An audit needs a model: its name, as /v1/models lists it.")
    served = shelf.find(name)
    if served.described is None:
        raise RequestError("A model behind a URL is audited with a plan file and  blackbox audit PLAN.")
    columns = tuple(served.spec.columns or ())
    given = {"instances": body.get("instances")}
    rows = rows_of(given, served.model.signature, columns, settings.ceilings)
    count = len(next(iter(rows.values())))
    order = Order(name, _plan(body.get("plan")), _ids(body.get("ids"), count), rows, columns)
    part, folder = served.described
    # what does not fit is refused now, not in the job
    planned(order, Path("x"), part.model_copy(update={"model": confined(part.model, folder, settings)}))
    return order


def _ids(given: object, count: int) -> tuple[str, ...]:
    if given is None:
        return tuple(str(k + 1) for k in range(count))
    if not isinstance(given, list) or len(given) != count or not all(isinstance(name, str) for name in given):
        raise RequestError(f"ids must be a list of {count} texts, one for each instance.")
    if len(set(given)) < count or not all(given):
        raise RequestError("ids must differ from each other, and none may be empty.")
    return tuple(given)


def _plan(given: object) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise RequestError("plan must be an object.")
    for key, value in given.items():
        if key not in PLAN_KEYS:
            raise unknown("key in plan", key, PLAN_KEYS)
        _no_files(key, value)
    return given


def _no_files(place: str, value: object) -> None:
    """Refuse every key that would name a file of the service's machine."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in FILE_KEYS:
                raise RequestError(f"plan.{place}.{key} names a file, which a request cannot do.")
            _no_files(f"{place}.{key}", inner)


def planned(order: Order, inputs: Path, part: Description) -> Plan:
    """Build the plan of an order.

    Parameters
    ----------
    inputs : the file that ``write_inputs`` made. part : the model's description, as it is served.

    Raises
    ------
    RequestError : the plan's keys or values are wrong.
    """
    from blackbox.plan import as_plan

    data: dict[str, Any] = {"path": str(inputs), "image": part.image.model_dump(mode="json")}
    if order.columns:
        data |= {"id": ID, "columns": list(order.columns)}
    content = {
        "model": part.model.model_dump(mode="json"), "data": data,
        "background": part.background.model_dump(mode="json"),
        "features": part.features.model_dump(mode="json"),
        "methods": {n: part.methods[n] for n in DEFAULT if n in part.methods} or part.methods,
        **order.plan,
    }  # fmt: skip
    try:
        return as_plan(content)
    except ValidationError as error:  # as_plan tells its own errors; what is left is about one value
        raise RequestError(f"plan: {error.errors()[0]['msg'].lower()}.") from None


def input_name(order: Order) -> str:
    """Return the name of the file of inputs: a table where the columns have names, else arrays."""
    return "inputs.csv" if order.columns else "inputs.npz"


def write_inputs(order: Order, path: Path) -> None:
    """Write the rows so that they are read back bit by bit."""
    if not order.columns:
        np.savez(path, allow_pickle=False, **dict(order.rows))
        return
    arrays = [array.reshape(len(order.ids), -1) for array in order.rows.values()]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([ID, *order.columns])
        for k, name in enumerate(order.ids):
            writer.writerow([name, *(_text(value) for array in arrays for value in array[k].tolist())])


def _text(value: object) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def digest(body: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a request, so that one key cannot stand for two requests."""
    import hashlib

    return hashlib.sha256(json.dumps(body, sort_keys=True).encode("utf-8", "replace")).hexdigest()
