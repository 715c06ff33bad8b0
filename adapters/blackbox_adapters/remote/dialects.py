"""The protocols: what an endpoint says about its model, and how rows become its answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from blackbox.errors import ModelError
from blackbox.model import Rows, Tensor
from blackbox_adapters.remote import tensors
from blackbox_adapters.remote.line import Line, Reply


class TooMany(Exception):
    """The endpoint refused a request in a way that fewer rows may cure (400, 413, 422)."""


@dataclass(frozen=True)
class Card:
    """What an endpoint says of its model. Empty where it says nothing.

    binary : rows travel as bytes. most : rows per request, where a limit is declared. runtime : the
    server's name and version.
    """

    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    binary: bool = False
    most: int | None = None
    runtime: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


class Dialect(Protocol):
    """One way of asking for predictions."""

    def ask(self, rows: Rows) -> Rows:
        """Send one request and return every output that came back, its rows counted."""


def accepted(line: Line, reply: Reply, rows: int) -> Reply:
    """Pass on an answer with status 200.

    Raises
    ------
    TooMany : refused, and fewer rows may be taken. ModelError : refused or failed.
    """
    if reply.status == 200:
        return reply
    told = (
        f"The endpoint {line.address.url} answered {rows} rows with status {reply.status}: "
        f"{line.said(reply)}."
    )
    if reply.status in (400, 413, 422):
        raise TooMany(told)
    hints = {401: " Give a token: token_env or token_file.", 403: " The token may not ask this model."}
    hint = hints.get(reply.status, " It may take fewer rows at once: rows_per_request." if rows > 1 else "")
    raise ModelError(told + hint)


def counted(line: Line, arrays: Mapping[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
    """Pass on outputs that have one entry per row.

    Raises
    ------
    ModelError : an output has another number of rows, or there is none.
    """
    for name, array in arrays.items():
        if array.ndim == 0 or len(array) != rows:
            raise ModelError(
                f"The endpoint {line.address.url} returned shape {array.shape} in {name!r} for {rows} rows."
            )
    if not arrays:
        raise ModelError(f"The endpoint {line.address.url} returned no outputs.")
    return dict(arrays)


@dataclass
class Versions:
    """The one version of the model that answers may come from."""

    seen: str | None = None

    def check(self, line: Line, version: object) -> None:
        """Refuse an answer from another version than the first one.

        Raises
        ------
        ModelError : the model behind the endpoint was exchanged.
        """
        if version in (None, ""):
            return
        if self.seen is None:
            self.seen = str(version)
        if self.seen != str(version):
            raise ModelError(
                f"The endpoint {line.address.url} answered with version {version} of the model after version "
                f"{self.seen}: explanations need one model. Name a version: .../versions/{self.seen}."
            )


@dataclass(frozen=True)
class V2:
    """Open Inference Protocol v2 over REST, numbers in JSON or as bytes.

    dtypes : our dtype per input. wanted : outputs that are asked for, () = all.
    """

    line: Line
    binary: bool
    dtypes: Mapping[str, str]
    wanted: tuple[str, ...]
    versions: Versions = field(default_factory=Versions)

    def ask(self, rows: Rows) -> Rows:
        """Send one request.

        Raises
        ------
        TooMany, ModelError : see ``accepted`` and ``counted``.
        """
        count, path = len(next(iter(rows.values()))), f"{self.line.address.place}/infer"
        if self.binary:
            body, headers = tensors.request_binary(rows, self.dtypes, self.wanted)
            reply = self.line.post(path, body, count, headers)
        else:
            reply = self.line.post(path, tensors.request_json(rows, self.dtypes, self.wanted), count)
        reply = accepted(self.line, reply, count)
        answer, arrays = tensors.response(reply.body, reply.headers.get(tensors.HEAD))
        self.versions.check(self.line, answer.get("model_version"))
        return counted(self.line, arrays, count)


@dataclass(frozen=True)
class Plain:
    """Protocols whose answer is ``predictions``: KServe v1 and MLflow.

    write : rows -> the JSON document that is sent.
    """

    line: Line
    path: str
    write: Callable[[Rows], Any]

    def ask(self, rows: Rows) -> Rows:
        """Send one request.

        Raises
        ------
        TooMany, ModelError : see ``accepted`` and ``counted``.
        """
        count = len(next(iter(rows.values())))
        body = json.dumps(self.write(rows), allow_nan=False, separators=(",", ":")).encode()
        reply = accepted(self.line, self.line.post(self.path, body, count), count)
        answer = self.line.document(reply)
        if not isinstance(answer, dict) or "predictions" not in answer:
            raise ModelError(f"The endpoint {self.line.address.url} answered without predictions.")
        return counted(self.line, predictions(answer["predictions"]), count)


def instances(rows: Rows) -> dict[str, Any]:
    """Write rows as KServe v1 wants them; several inputs become one mapping per row."""
    if len(rows) == 1:
        return {"instances": next(iter(rows.values())).tolist()}
    lists = {name: array.tolist() for name, array in rows.items()}
    return {"instances": [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]}


def frame(columns: tuple[str, ...]) -> Callable[[Rows], dict[str, Any]]:
    """Return what writes rows as MLflow wants them: an array, or a data frame where columns are named."""

    def write(rows: Rows) -> dict[str, Any]:
        (array,) = rows.values()
        if not columns:
            return {"inputs": array.tolist()}
        return {"dataframe_split": {"columns": list(columns), "data": array.tolist()}}

    return write


def predictions(found: Any) -> dict[str, np.ndarray]:
    """Read ``predictions``: a list of numbers or lists, a list of mappings, or a mapping of lists.

    Raises
    ------
    ModelError : anything else, or rows of unequal length.
    """
    try:
        if isinstance(found, dict):
            return {str(name): _array(values) for name, values in found.items()}
        if isinstance(found, list) and found and isinstance(found[0], dict):
            return {str(name): _array([row[name] for row in found]) for name in found[0]}
        if isinstance(found, list):
            return {"predictions": _array(found)}
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise ModelError(f"The endpoint's predictions are no table ({type(error).__name__}).") from None
    raise ModelError(f"The endpoint's predictions are no list but {type(found).__name__}.")


def _array(values: Any) -> np.ndarray:
    array = np.array(values)
    if array.dtype.kind == "O":  # null, which some servers write for NaN, or numbers beyond 64 bits
        return array.astype(np.float64)
    return array.astype(object) if array.dtype.kind == "U" else array
