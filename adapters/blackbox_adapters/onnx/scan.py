"""What a file is refused for before the runtime sees it: operators, weights elsewhere, absurd sizes.

The limits are far above what honest models hold. A file that passes is not proven harmless; a file
that fails is not worth handing to native code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

from blackbox.errors import ModelError
from blackbox_adapters.onnx.files import safe_parts

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
ADDRESS_MARK = "_ORT_MEM_ADDR_"
"""ONNX Runtime takes the offset of such a file for an address (onnxruntime issue 28709)."""

UNTIL_TOLD = 2**63 - 1
"""The count by which exporters write a loop that ends by its condition."""


def scan(
    proto: Any, weights: Callable[[str], bytes] | None = None, foreign: bool = False
) -> dict[str, bytes]:
    """Refuse a model that asks for more than computation on its own files.

    Parameters
    ----------
    proto : onnx.ModelProto, without its external data. weights : reads a file of external data by its
        place below the model's folder, and refuses others; None = there is no such folder.
    foreign : operators of unknown domains are let through, because a library for them was named.

    Returns
    -------
    The content of every file of external data, by its place.

    Raises
    ------
    ModelError : a foreign or code-calling operator, external data outside the model's folder, through
        a link, or of a wrong length, or sizes, loops and depths beyond every honest model.
    """
    local = {(function.domain, function.name) for function in proto.functions}
    bodies = [proto.graph, *proto.functions]
    counted = 0
    for body in bodies:
        for graph, depth in _graphs(body, 0):
            if depth > MOST_DEPTH:
                raise ModelError(f"The graph is nested more than {MOST_DEPTH} deep: it is not run.")
            counted += len(graph.node)
            if counted > MOST_NODES:
                raise ModelError(f"The graph has more than {MOST_NODES:,} nodes: it is not run.")
            _scan_nodes(graph, None if foreign else local)
    found: dict[str, bytes] = {}
    for tensor in (tensor for body in bodies for tensor in _tensors(body)):
        _scan_tensor(tensor, weights, found)
    return found


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


def _scan_nodes(graph: Any, local: set[tuple[str, str]] | None) -> None:
    constants = {tensor.name: tensor for tensor in getattr(graph, "initializer", ())}
    for node in graph.node:
        if node.op_type in REFUSED:
            raise ModelError(f"The operator {node.op_type} {REFUSED[node.op_type]}: it is not run.")
        known = local is None or node.domain in DOMAINS or (node.domain, node.op_type) in local
        if not known:
            raise ModelError(
                f"The operator {node.domain}.{node.op_type} needs a library of its own, which no file can "
                "ask for: export the model with standard operators, or name the library and its SHA-256 "
                "(--custom-ops PATH --custom-ops-sha256 DIGEST)."
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
        yield from getattr(inner, "initializer", ())  # a function has none
        sparse = list(getattr(inner, "sparse_initializer", ()))
        for node in inner.node:
            for attribute in node.attribute:
                yield from [attribute.t] if attribute.HasField("t") else []
                yield from attribute.tensors
                sparse += [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
                sparse += attribute.sparse_tensors
        for tensor in sparse:
            yield from (tensor.values, tensor.indices)


def _scan_tensor(tensor: Any, weights: Callable[[str], bytes] | None, found: dict[str, bytes]) -> None:
    if any(side < 0 for side in tensor.dims) or prod(tensor.dims) > MOST_ELEMENTS:
        shape = list(tensor.dims)
        raise ModelError(f"The weight {tensor.name!r} declares the shape {shape}: it is not loaded.")
    if tensor.external_data:
        _scan_external(tensor, weights, found)


def _scan_external(tensor: Any, weights: Callable[[str], bytes] | None, found: dict[str, bytes]) -> None:
    """Weights in another file must lie in the model's folder, in a plain file of their own."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if foreign := set(entries) - EXTERNAL_KEYS:
        raise ModelError(f"The weight {tensor.name!r} has an unknown entry {sorted(foreign)[0]!r}.")
    location = entries.get("location", "")
    if ADDRESS_MARK in location:
        raise ModelError(
            f"The weight {tensor.name!r} points into the memory of the process: it is not loaded."
        )
    safe_parts(location)
    if weights is None:
        raise ModelError(f"The weight {tensor.name!r} lies in a file, {location!r}, which is not at hand.")
    if location not in found:
        found[location] = weights(location)
    _scan_span(tensor, entries, len(found[location]))


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
