"""What a file is refused for before the runtime sees it: operators, weights elsewhere, absurd sizes.

The limits are far above what honest models hold. A file that passes is not proven harmless; a file
that fails is not worth handing to native code.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

from blackbox.errors import ModelError

DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.ms.internal.nhwc"}
"""Operators that ONNX Runtime brings itself."""

REFUSED = {
    "EPContext": "holds a compiled engine instead of a graph",
    "PyOp": "calls Python code",
    "PythonOp": "calls Python code",
    "PythonOpGrad": "calls Python code",
    "PyCustomOp": "calls Python code",
}
EXTERNAL_KEYS = {"location", "offset", "length", "checksum"}
MOST_DEPTH = 16
MOST_NODES = 200_000
MOST_ELEMENTS = 2**31
MOST_TURNS = 10_000_000
UNTIL_TOLD = 2**63 - 1
"""The count by which exporters write a loop that ends by its condition."""


def scan(path: Path, proto: Any) -> None:
    """Refuse a model that asks for more than computation on its own files.

    Parameters
    ----------
    path : the model file. proto : onnx.ModelProto, without its external data.

    Raises
    ------
    ModelError : a foreign or code-calling operator, external data outside the model's folder, through
        a link, or of a wrong length, or sizes, loops and depths beyond every honest model.
    """
    local = {(function.domain, function.name) for function in proto.functions}
    bodies = [(proto.graph, 0), *((function, 0) for function in proto.functions)]
    counted = 0
    for body, start in bodies:
        for graph, depth in _graphs(body, start):
            if depth > MOST_DEPTH:
                raise ModelError(f"The graph is nested more than {MOST_DEPTH} deep: it is not run.")
            counted += len(graph.node)
            if counted > MOST_NODES:
                raise ModelError(f"The graph has more than {MOST_NODES:,} nodes: it is not run.")
            _scan_nodes(graph, local)
    for tensor in _tensors(proto.graph):
        _scan_tensor(path, tensor)


def _graphs(body: Any, depth: int) -> Iterator[tuple[Any, int]]:
    """Walk a graph and those inside its nodes, without recursion: depth is the file's to choose."""
    waiting = [(body, depth)]
    while waiting:
        graph, level = waiting.pop()
        yield graph, level
        for node in graph.node:
            for attribute in node.attribute:
                inner = [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
                waiting.extend((each, level + 1) for each in inner)


def _scan_nodes(graph: Any, local: set[tuple[str, str]]) -> None:
    constants = {tensor.name: tensor for tensor in getattr(graph, "initializer", ())}
    for node in graph.node:
        if node.op_type in REFUSED:
            raise ModelError(f"The operator {node.op_type} {REFUSED[node.op_type]}: it is not run.")
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in local:
            raise ModelError(
                f"The operator {node.domain}.{node.op_type} needs a library of its own, which this file "
                "cannot ask for: export the model with standard operators."
            )
        if node.op_type == "Constant" and node.output:
            constants[node.output[0]] = next((a.t for a in node.attribute if a.name == "value"), None)
        _scan_sizes(node, constants)


def _scan_sizes(node: Any, constants: dict[str, Any]) -> None:
    """Refuse constant shapes and loop counts that only serve to exhaust the machine."""
    shape_at = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}.get(node.op_type)
    if shape_at is not None and len(node.input) > shape_at:
        sides = _whole_numbers(constants.get(node.input[shape_at]))
        count = prod(max(side, 0) for side in sides) if sides else 0
        if count > MOST_ELEMENTS:
            raise ModelError(f"The operator {node.op_type} would make {count:,} numbers: it is not run.")
    if node.op_type == "Loop" and node.input:
        turns = _whole_numbers(constants.get(node.input[0]))
        if turns and MOST_TURNS < turns[0] < UNTIL_TOLD:
            raise ModelError(f"A Loop would turn {turns[0]:,} times: it is not run.")


def _whole_numbers(tensor: Any) -> list[int]:
    """The first numbers of an int64 tensor, or none where it is no such thing."""
    if tensor is None or tensor.external_data or tensor.data_type != 7:  # 7 = INT64
        return []
    if tensor.raw_data:
        ends = range(8, min(len(tensor.raw_data), 128) + 1, 8)
        return [int.from_bytes(tensor.raw_data[end - 8 : end], "little", signed=True) for end in ends]
    return list(tensor.int64_data[:16])


def _tensors(graph: Any) -> Iterator[Any]:
    for inner, _ in _graphs(graph, 0):
        yield from inner.initializer
        for node in inner.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors


def _scan_tensor(path: Path, tensor: Any) -> None:
    if any(side < 0 for side in tensor.dims) or prod(tensor.dims) > MOST_ELEMENTS:
        shape = list(tensor.dims)
        raise ModelError(f"The weight {tensor.name!r} declares the shape {shape}: it is not loaded.")
    if tensor.external_data:
        _scan_external(path, tensor)


def _scan_external(path: Path, tensor: Any) -> None:
    """Weights in another file must lie in the model's folder, in a plain file of their own."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if foreign := set(entries) - EXTERNAL_KEYS:
        raise ModelError(f"The weight {tensor.name!r} has an unknown entry {sorted(foreign)[0]!r}.")
    location = entries.get("location", "")
    parts = Path(location).parts
    if not parts or Path(location).is_absolute() or ".." in parts or "\\" in location or ":" in location:
        raise ModelError(f"The weight {tensor.name!r} lies outside the model's folder: {location!r}.")
    folder = path.parent
    for part in parts:
        folder = folder / part
        if folder.is_symlink():
            raise ModelError(f"The weight {tensor.name!r} lies behind a link: {location!r}.")
    if not folder.is_file():
        raise ModelError(f"The file {location!r} with the weight {tensor.name!r} is missing.")
    facts = os.stat(folder)
    if facts.st_nlink > 1:
        raise ModelError(f"The file {location!r} has a second name elsewhere (a hard link): it is not read.")
    _scan_span(tensor, entries, facts.st_size)


def _scan_span(tensor: Any, entries: dict[str, str], size: int) -> None:
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", size))
    except ValueError:
        raise ModelError(f"The weight {tensor.name!r} has a place that is no number.") from None
    wanted = prod(tensor.dims) * _bytes_each(tensor.data_type)
    inside = offset >= 0 and length >= 0 and offset + length <= size
    if not inside or (wanted and "length" in entries and length != wanted):
        raise ModelError(
            f"The weight {tensor.name!r} needs {wanted:,} bytes and its file of {size:,} offers {length:,} "
            f"from {offset:,}: the file is damaged or was changed."
        )


def _bytes_each(data_type: int) -> int:
    """Bytes of one element; 0 where a type packs several into a byte or is text."""
    import onnx

    try:
        return int(onnx.helper.tensor_dtype_to_np_dtype(data_type).itemsize) if data_type <= 16 else 0
    except (KeyError, TypeError, ValueError):
        return 0
