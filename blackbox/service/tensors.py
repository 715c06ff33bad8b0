"""Tensors of the Open Inference Protocol v2, as JSON and with the binary tensor extension."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from blackbox.casts import cast
from blackbox.errors import RequestError, unknown
from blackbox.service import bodies
from blackbox.service.answers import dumps
from blackbox.service.failures import TooLarge, Unreadable
from blackbox.service.settings import Ceilings

HEADER = "Inference-Header-Content-Length"
DATATYPES = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64", "FP16": "float16",
    "FP32": "float32", "FP64": "float64", "BYTES": "string",
}  # fmt: skip
NAMES = {dtype: name for name, dtype in DATATYPES.items()} | {"bfloat16": "BF16"}


@dataclass(frozen=True)
class Asked:
    """A v2 request, decoded.

    tensors : input name -> array in its declared datatype. wanted : output name -> whether it is wanted
    in binary; {} = all of them. binary : whether all are. parameters : the request's own.
    """

    tensors: Mapping[str, np.ndarray]
    wanted: Mapping[str, bool] = field(default_factory=dict)
    binary: bool = False
    id: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


def decode(body: bytes, json_size: str | None, ceilings: Ceilings) -> Asked:
    """Read a v2 inference request.

    Parameters
    ----------
    json_size : the header that says how many bytes are JSON; None = all of them.

    Raises
    ------
    Unreadable : broken JSON, or binary sizes that do not add up. TooLarge. RequestError : a tensor
    that is not described as the protocol wants it.
    """
    end = _json_end(json_size, len(body))
    head, tail = bodies.loads(body[:end], ceilings.depth), memoryview(body)[end:]
    inputs = head.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise RequestError("A request needs inputs: a list of tensors with name, shape, datatype and data.")
    tensors: dict[str, np.ndarray] = {}
    for one in inputs:
        name, array, tail = _tensor(one, tail, ceilings)
        if name in tensors:
            raise RequestError(f"Input {name!r} is given twice.")
        tensors[name] = array
    if len(tail):
        raise Unreadable(f"{len(tail)} bytes follow the last tensor: the binary sizes do not add up.")
    parameters = bodies.mapping(head, "parameters")
    request_id = head.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise RequestError("The request's id must be text.")
    return Asked(tensors, _wanted(head.get("outputs")), parameters.get("binary_data_output") is True,
                 request_id, parameters)  # fmt: skip


def _json_end(json_size: str | None, size: int) -> int:
    if json_size is None:
        return size
    if not json_size.isdecimal() or not 0 < int(json_size) <= size:
        raise Unreadable(f"{HEADER} says {json_size[:20]!r}, but the body has {size} bytes.")
    return int(json_size)


def _wanted(outputs: object) -> dict[str, bool]:
    if outputs is None:
        return {}
    if not isinstance(outputs, list) or not all(isinstance(one, dict) for one in outputs):
        raise RequestError("outputs must be a list of objects with a name.")
    found = {}
    for one in outputs:
        if not isinstance(one.get("name"), str):
            raise RequestError("Every requested output needs a name.")
        found[one["name"]] = bodies.mapping(one, "parameters").get("binary_data") is True
    return found


def _tensor(one: object, tail: memoryview, ceilings: Ceilings) -> tuple[str, np.ndarray, memoryview]:
    """Read one tensor, from its data or from the front of the binary tail."""
    if not isinstance(one, dict) or not isinstance(one.get("name"), str):
        raise RequestError("Every input must be an object with a name.")
    name, shape, datatype = one["name"], one.get("shape"), one.get("datatype")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise unknown(f"datatype of input {name!r}:", datatype, DATATYPES)
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise RequestError(f"The shape of input {name!r} must be a list of whole numbers.")
    if math.prod(shape) > ceilings.cells or len(shape) > ceilings.depth:
        raise TooLarge(f"Input {name!r} holds more than the {ceilings.cells:,} values allowed.")
    size = bodies.mapping(one, "parameters").get("binary_data_size")
    if size is None:
        return name, _from_json(name, datatype, shape, one.get("data")), tail
    if type(size) is not int or not 0 <= size <= len(tail):
        raise Unreadable(f"binary_data_size of input {name!r} is {size!r}, but {len(tail)} bytes are left.")
    return name, _from_bytes(name, datatype, shape, tail[:size]), tail[size:]


def _from_json(name: str, datatype: str, shape: list[int], data: object) -> np.ndarray:
    """Nested or flat lists in row-major order."""
    if not isinstance(data, list):
        raise RequestError(f"Input {name!r} needs data: a list, or binary_data_size and bytes.")
    if datatype == "FP16":
        raise RequestError(f"Input {name!r} is FP16, which JSON cannot hold: send it as binary data.")
    what = f"Input {name!r}"
    # NumPy would turn numbers among text into text, and text among truth values into something else
    only, words = {"BYTES": ((str,), "text"), "BOOL": ((bool, int), "truth value")}.get(datatype, ((), ""))
    if only and not all(type(value) in only for value in _flat(data)):
        raise RequestError(f"{what} is {datatype} and holds something that is no {words}.")
    array = cast(what, DATATYPES[datatype], _flat(data) if datatype == "BYTES" else data)
    if array.size != math.prod(shape):
        raise RequestError(f"{what} has {array.size} values for shape {shape}.")
    return array.reshape(shape)


def _flat(data: list[Any]) -> list[Any]:
    """Flatten nested lists; text must not become an array of characters on the way."""
    while any(isinstance(one, list) for one in data):
        data = [inner for one in data for inner in (one if isinstance(one, list) else [one])]
    return data


def _from_bytes(name: str, datatype: str, shape: list[int], raw: memoryview) -> np.ndarray:
    """Little-endian numbers in row-major order; text as length and bytes."""
    if datatype == "BYTES":
        texts = _texts(name, raw, math.prod(shape))
        return np.array(texts, dtype=object).reshape(shape)
    dtype = np.dtype(DATATYPES[datatype]).newbyteorder("<")
    if len(raw) != math.prod(shape) * dtype.itemsize:
        raise Unreadable(f"Input {name!r} has {len(raw)} bytes for shape {shape} of {datatype}.")
    if datatype == "BOOL" and any(value > 1 for value in bytes(raw)):
        raise RequestError(f"Input {name!r} is BOOL and holds a byte that is neither 0 nor 1.")
    array = np.frombuffer(raw, dtype=dtype).astype(DATATYPES[datatype]).reshape(shape)
    return cast(f"Input {name!r}", DATATYPES[datatype], array)


def _texts(name: str, raw: memoryview, count: int) -> list[str]:
    found: list[str] = []
    place = 0
    while place < len(raw) and len(found) <= count:
        (size,) = struct.unpack_from("<I", raw, place) if place + 4 <= len(raw) else (len(raw),)
        place += 4
        if place + size > len(raw):
            break
        try:
            found.append(bytes(raw[place : place + size]).decode("utf-8"))
        except UnicodeDecodeError:
            raise RequestError(f"Input {name!r} holds bytes that are no UTF-8 text.") from None
        place += size
    if place != len(raw) or len(found) != count:
        raise Unreadable(f"Input {name!r} does not hold {count} texts, each as its length and its bytes.")
    return found


@dataclass(frozen=True)
class Encoded:
    """A v2 response: its body, and how many bytes of it are JSON where binary tensors follow."""

    body: bytes
    json_size: int | None


def encode(model: str, outputs: Mapping[str, np.ndarray], asked: Asked) -> Encoded:
    """Write a v2 response with the outputs that were asked for, in their order.

    Not-a-number (a value that a method does not report) is ``null`` in JSON.

    Raises
    ------
    RequestError : an output that there is none of, or FP16 asked for as JSON.
    """
    wanted = asked.wanted or dict.fromkeys(outputs, False)
    described, tails = [], []
    for name, binary in wanted.items():
        if name not in outputs:
            raise unknown("output", name, outputs)
        one, tail = _describe(name, outputs[name], binary or asked.binary)
        described.append(one)
        tails.append(tail)
    head: dict[str, Any] = {"model_name": model, "model_version": "1", "outputs": described}
    if asked.id is not None:
        head["id"] = asked.id
    text = dumps(head)
    binary = any("data" not in one for one in described)
    return Encoded(b"".join([text, *tails]), len(text) if binary else None)


def datatype(dtype: str) -> str:
    """Return the protocol's name of a tensor's dtype."""
    return NAMES.get(dtype, dtype.upper())


def _describe(name: str, array: np.ndarray, binary: bool) -> tuple[dict[str, Any], bytes]:
    dtype = "string" if array.dtype == object else array.dtype.name
    found: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": datatype(dtype)}
    if binary:
        raw = _pack(array.ravel().tolist()) if dtype == "string" else _little(array)
        return {**found, "parameters": {"binary_data_size": len(raw)}}, raw
    if dtype == "float16":
        raise RequestError(f"Output {name!r} is FP16, which JSON cannot hold: ask for it as binary data.")
    values = array.ravel().tolist()
    if array.dtype.kind == "f":
        values = [value if math.isfinite(value) else None for value in values]
    return {**found, "data": values}, b""


def _little(array: np.ndarray) -> bytes:
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()


def _pack(texts: Sequence[str]) -> bytes:
    parts = [text.encode("utf-8") for text in texts]
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)
