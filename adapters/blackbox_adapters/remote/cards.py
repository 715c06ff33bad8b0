"""Asking an endpoint about its model before anything is explained."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import quote

from blackbox.errors import ModelError, RequestError, nearest
from blackbox.model import Tensor
from blackbox_adapters.remote.dialects import Card
from blackbox_adapters.remote.line import Line, Reply
from blackbox_adapters.remote.tensors import NAMES, declared


def read_card(line: Line) -> Card:
    """Ask what the endpoint's protocol lets one ask.

    Raises
    ------
    ModelError : unreachable, no such model, not ready, or metadata that cannot be read.
    RequestError : the options ask for what the endpoint or the protocol cannot.
    """
    return {"v2": _v2, "v1": _v1, "mlflow": _mlflow}[line.address.protocol](line)


def _v2(line: Line) -> Card:
    server = _optional(line, f"{line.address.prefix}/v2")
    model = _described(line)
    extensions = [str(one) for one in server.get("extensions") or []]
    config = _optional(line, f"{line.address.place}/config") if "model_configuration" in extensions else {}
    inputs, outputs = declared(model.get("inputs")), declared(model.get("outputs"))
    facts = {
        "extensions": extensions,
        "platform": str(model.get("platform") or ""),
        "versions": [str(one) for one in model.get("versions") or []],
        "metadata_sha256": hashlib.sha256(json.dumps(model, sort_keys=True).encode()).hexdigest(),
    }
    name = " ".join(str(server[key]) for key in ("name", "version") if server.get(key))
    return Card(
        tuple(Tensor(n, dtype, _with_rows(shape)) for n, dtype, shape in inputs),
        tuple(Tensor(n, dtype, _with_rows(shape)) for n, dtype, shape in outputs),
        _binary(line, extensions, [dtype for _, dtype, _ in inputs]),
        _most(config),
        name,
        facts,
    )


def _with_rows(shape: tuple[int | None, ...]) -> tuple[int | str | None, ...]:
    """Add the axis of rows where a declaration leaves it out, as ``[27]`` for 27 columns does."""
    if len(shape) == 1 and (shape[0] or 0) > 1:
        return ("batch", *shape)
    return ("batch", *shape[1:]) if shape and shape[0] is None else shape


def _binary(line: Line, extensions: list[str], dtypes: list[str]) -> bool:
    asked = line.options.binary
    if asked == "auto":
        return "binary_tensor_data" in extensions or "float16" in dtypes
    if asked == "never" and "float16" in dtypes:
        raise RequestError("The model takes FP16, which has no form in JSON: binary cannot be never.")
    return asked == "always"


def _most(config: dict[str, Any]) -> int | None:
    """Triton's limit on rows; 0 stands for a model that takes its declared shape and no other."""
    most = config.get("max_batch_size")
    return most if isinstance(most, int) and most > 0 else None


def _described(line: Line) -> dict[str, Any]:
    """Return a v2 model's metadata, or say what is served instead."""
    address = line.address
    reply = line.get(address.place)
    if reply.status == 200:
        found = line.document(reply)
        if not isinstance(found, dict):
            raise ModelError(f"The endpoint {address.url} has metadata that are no JSON object.")
        unknown = {str(t.get("datatype")) for t in found.get("inputs") or [] if isinstance(t, dict)}
        if strange := unknown - set(NAMES.values()):
            raise ModelError(
                f"The endpoint {address.url} takes {', '.join(sorted(strange))}, which cannot be fed."
            )
        return found
    _refuse_status(line, reply.status)
    served = _served(line)
    listed = f"{nearest(address.model, served)} It serves {', '.join(served[:12])}." if served else ""
    raise ModelError(
        f"The endpoint {address.url} knows no such model (status {reply.status}, {line.said(reply)}).{listed}"
    )


def _refuse_status(line: Line, status: int) -> None:
    if status in (401, 403):
        raise ModelError(
            f"The endpoint {line.address.url} wants a token (status {status}): give one by token_env "
            "or token_file."
        )


def _served(line: Line) -> list[str]:
    """Return the names of a server's models: KServe and ours list them, Triton and MLServer index them."""
    prefix = line.address.prefix
    found = _optional(line, f"{prefix}/{line.address.protocol}/models").get("models")
    if found is None and line.address.protocol == "v2":
        reply = line.post(f"{prefix}/v2/repository/index", b"{}", 0)
        found = _json(line, reply) if reply.status == 200 else None
    listed = found if isinstance(found, list) else []
    names = [one.get("name") if isinstance(one, dict) else one for one in listed]
    return [str(name) for name in names if name]


def _v1(line: Line) -> Card:
    """KServe v1 says whether the model is ready, and nothing about its inputs."""
    address = line.address
    reply = line.get(f"{address.prefix}/v1/models/{quote(address.model, safe='')}")
    _refuse_status(line, reply.status)
    if reply.status != 200:
        served = _served(line)
        listed = f"{nearest(address.model, served)} It serves {', '.join(served[:12])}." if served else ""
        raise ModelError(
            f"The endpoint {address.url} has no such model that is ready (status {reply.status}, "
            f"{line.said(reply)}).{listed}"
        )
    return Card()


def _mlflow(line: Line) -> Card:
    """MLflow's own server has /ping and /version; others that take /invocations may have neither."""
    version = line.get(f"{line.address.prefix}/version")
    _refuse_status(line, version.status)
    text = version.body[:40].decode("ascii", "ignore").strip() if version.status == 200 else ""
    plain = text and all(c.isalnum() or c in ".+-" for c in text)
    return Card(runtime=f"mlflow {text}" if plain else "")


def _optional(line: Line, path: str) -> dict[str, Any]:
    """Return a JSON object that a server may or may not have."""
    reply = line.get(path)
    found = _json(line, reply) if reply.status == 200 else None
    return found if isinstance(found, dict) else {}


def _json(line: Line, reply: Reply) -> Any:
    """Parse what may be no JSON, or empty, and is then nothing."""
    try:
        return line.document(reply)
    except ModelError:
        return None
