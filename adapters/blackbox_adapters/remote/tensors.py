"""Arrays to and from the Open Inference Protocol's tensors, as JSON or as bytes after the JSON."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from blackbox.errors import ModelError

HEAD = "Inference-Header-Content-Length"
"""Length of the JSON part of a body with binary tensors, in both directions."""

DTYPES = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64",
    "FP16": "float16", "FP32": "float32", "FP64": "float64", "BYTES": "string",
}  # fmt: skip
"""The protocol's datatypes and NumPy's. BF16, an addition of Triton's, can only be received."""

NAMES = {ours: theirs for theirs, ours in DTYPES.items()}


def request_json(arrays: Mapping[str, np.ndarray], dtypes: Mapping[str, str], wanted: Iterable[str]) -> bytes:
    """Write a request with the numbers in the JSON itself, row-major and flat.

    Parameters
    ----------
    dtypes : our dtype name per input. wanted : outputs to ask for; none = whatever the server gives.
    """
    tensors = [
        _head(name, array, dtypes[name]) | {"data": array.ravel().tolist()} for name, array in arrays.items()
    ]
    request: dict[str, Any] = {"inputs": tensors}
    if outputs := [{"name": name} for name in wanted]:
        request["outputs"] = outputs
    return json.dumps(request, allow_nan=False, separators=(",", ":")).encode()


def request_binary(
    arrays: Mapping[str, np.ndarray], dtypes: Mapping[str, str], wanted: Iterable[str]
) -> tuple[bytes, dict[str, str]]:
    """Write a request with the numbers as bytes after the JSON; returns the body and its headers."""
    blobs = [pack(array, dtypes[name]) for name, array in arrays.items()]
    tensors = [
        _head(name, array, dtypes[name]) | {"parameters": {"binary_data_size": len(blob)}}
        for (name, array), blob in zip(arrays.items(), blobs, strict=True)
    ]
    request: dict[str, Any] = {"inputs": tensors, "parameters": {"binary_data_output": True}}
    if outputs := [{"name": name, "parameters": {"binary_data": True}} for name in wanted]:
        request["outputs"] = outputs
    head = json.dumps(request, separators=(",", ":")).encode()
    return b"".join([head, *blobs]), {HEAD: str(len(head)), "Content-Type": "application/octet-stream"}


def _head(name: str, array: np.ndarray, dtype: str) -> dict[str, Any]:
    return {"name": name, "shape": list(array.shape), "datatype": NAMES[dtype]}


def pack(array: np.ndarray, dtype: str) -> bytes:
    """Write an array as the protocol's bytes: little-endian and row-major, text with its length before it."""
    if dtype != "string":
        return array.astype(np.dtype(dtype).newbyteorder("<"), copy=False).tobytes()
    words = [str(text).encode() for text in array.ravel().tolist()]
    return b"".join(struct.pack("<I", len(word)) + word for word in words)


def unpack(blob: bytes, datatype: str) -> np.ndarray:
    """Read the protocol's bytes as a flat array; text as objects, BF16 as float32.

    Raises
    ------
    ValueError : the bytes are no such tensor.
    """
    if datatype == "BYTES":
        return _words(blob)
    if datatype == "BF16":  # the upper half of a float32
        return (np.frombuffer(blob, "<u2").astype(np.uint32) << 16).view(np.float32)
    dtype = np.dtype(DTYPES[datatype])
    return np.frombuffer(blob, dtype.newbyteorder("<")).astype(dtype)


def _words(blob: bytes) -> np.ndarray:
    words, place = [], 0
    while place < len(blob):
        size = int.from_bytes(blob[place : place + 4], "little")
        word = blob[place + 4 : place + 4 + size]
        if len(word) < size:
            raise ValueError("a text ends early")
        words.append(word.decode())
        place += 4 + size
    return np.array(words, dtype=object)


def response(body: bytes, head_length: str | None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a response, whichever way each of its tensors came.

    Returns
    -------
    The JSON part, and one array per output in the shape that the server states.

    Raises
    ------
    ModelError : no JSON, a tensor without name, shape or data, or sizes that do not agree.
    """
    try:
        cut = len(body) if head_length is None else int(head_length)
        if not 0 < cut <= len(body):
            raise ValueError("the JSON part is longer than the body")
        answer = json.loads(body[:cut])
        arrays, place = {}, cut
        for tensor in answer["outputs"]:
            size = (tensor.get("parameters") or {}).get("binary_data_size")
            if size is not None and not 0 <= int(size) <= len(body) - place:
                raise ValueError("a tensor is longer than the body")
            flat = (
                _listed(tensor)
                if size is None
                else unpack(body[place : place + int(size)], tensor["datatype"])
            )
            place += int(size or 0)
            arrays[str(tensor["name"])] = _shaped(flat, tensor)
        if place != len(body) and head_length is not None:
            raise ValueError("bytes are left over")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise ModelError(f"The endpoint's answer is no tensor message ({_short(error)}).") from None
    return answer, arrays


def _shaped(flat: np.ndarray, tensor: Mapping[str, Any]) -> np.ndarray:
    shape = tuple(int(size) for size in tensor["shape"])
    if any(size < 0 for size in shape):
        raise ValueError("a negative shape")
    return flat.reshape(shape)


def _listed(tensor: Mapping[str, Any]) -> np.ndarray:
    """Read a tensor's data from the JSON; null, which some servers write for NaN, becomes NaN."""
    datatype, data = tensor["datatype"], tensor["data"]
    if datatype == "BYTES":
        return np.array([_text(value) for value in _flat(data)], dtype=object)
    dtype = np.dtype("float32" if datatype == "BF16" else DTYPES[datatype])
    if dtype.kind == "f":
        return np.array(data, dtype=np.float64).astype(dtype).ravel()
    found = np.array(data)
    if found.size and found.dtype.kind not in "biu":
        raise ValueError(f"data of {datatype} hold something else")
    return found.astype(dtype).ravel()


def _flat(data: Any) -> list[Any]:
    return [one for part in data for one in (_flat(part) if isinstance(part, list) else [part])]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("data of BYTES hold no text")
    return value


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())[:120]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def declared(listed: Any) -> list[tuple[str, str, tuple[int | None, ...]]]:
    """Read a metadata list of inputs or outputs as (name, dtype, shape); -1 becomes None.

    Raises
    ------
    ModelError : an entry has no name, datatype or shape.
    """
    try:
        return [
            (
                str(entry["name"]),
                DTYPES.get(entry["datatype"], str(entry["datatype"]).lower()),
                tuple(int(size) if int(size) >= 0 else None for size in entry["shape"]),
            )
            for entry in listed or []
        ]
    except (TypeError, KeyError, ValueError):
        raise ModelError(
            "The endpoint's metadata name inputs or outputs without datatype and shape."
        ) from None
