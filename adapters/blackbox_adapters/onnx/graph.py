"""What an ONNX file says about itself: opsets, producer, external files, class names."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from blackbox.errors import ModelError


def parse_graph(content: bytes, name: str) -> Any:
    """Parse a model without its external data.

    Parameters
    ----------
    content : the model file. name : how to call it in an error.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    ModelError : the file is no ONNX model, or a truncated one.
    """
    import onnx
    from google.protobuf.message import DecodeError

    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except (DecodeError, UnicodeDecodeError):
        raise ModelError(f"{name} is no ONNX model, or a damaged one: it cannot be decoded.") from None
    if not proto.graph.node or not proto.graph.output:
        raise ModelError(f"{name} is no ONNX model: it holds no graph with nodes and outputs.")
    return proto


def facts(content: bytes, proto: Any) -> dict[str, Any]:
    """Return what ``inspect`` shows beside the signature, as plain JSON."""
    operators = Counter(f"{n.domain}.{n.op_type}" if n.domain else n.op_type for n in proto.graph.node)
    return {
        "bytes": len(content),
        "ir_version": proto.ir_version,
        "opsets": {plain(entry.domain) or "ai.onnx": entry.version for entry in proto.opset_import},
        "producer": plain(f"{proto.producer_name} {proto.producer_version}".strip()),
        "graph": plain(proto.graph.name),
        "operators": {plain(name): count for name, count in operators.most_common()},
        "metadata": {plain(entry.key): plain(entry.value) for entry in proto.metadata_props},
    }


def plain(text: str) -> str:
    """Replace what a terminal would obey instead of showing: a file's words end up on somebody's screen."""
    return "".join(
        sign if sign.isprintable() or sign in "\n\t" else "\N{REPLACEMENT CHARACTER}" for sign in text
    )


def class_names(proto: Any, metadata: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return class names by output; the key ``""`` holds those that belong to no single output.

    From ZipMap and classifier attributes, else from a JSON list under the metadata key ``classes``.
    """
    found: dict[str, tuple[str, ...]] = {}
    for node in proto.graph.node:
        if labels := _labels(node):
            found["" if node.op_type != "ZipMap" else node.output[0]] = labels
    if "" not in found and (listed := _json_list(metadata.get("classes", ""))):
        found[""] = listed
    return found


def without_class_maps(proto: Any) -> bytes | None:
    """Return the model with every ZipMap output replaced by the table it is made from, or None.

    The runtime builds a dictionary per row for a ZipMap, a quarter of a tree ensemble's time; the
    tensor behind it holds the same numbers in the order of the node's labels. None when there is no
    such output.
    """
    import onnx

    outputs = {output.name: output for output in proto.graph.output}
    maps = [node for node in proto.graph.node if node.op_type == "ZipMap" and node.output[0] in outputs]
    if not maps:
        return None
    cut = onnx.ModelProto()
    cut.CopyFrom(proto)
    for node in cut.graph.node:
        if node in maps:
            node.CopyFrom(onnx.helper.make_node("Identity", [node.input[0]], [node.output[0]]))
    for node in maps:
        table = onnx.helper.make_tensor_value_info(
            node.output[0], onnx.TensorProto.FLOAT, [None, len(_labels(node)) or None]
        )
        next(output for output in cut.graph.output if output.name == node.output[0]).CopyFrom(table)
    if all(entry.domain for entry in cut.opset_import):
        cut.opset_import.append(onnx.helper.make_opsetid("", 9))  # Identity's own; some files lack it
    return bytes(cut.SerializeToString())


def _labels(node: Any) -> tuple[str, ...]:
    for attribute in node.attribute:
        if attribute.name in ("classlabels_strings", "classlabels_string") and attribute.strings:
            return tuple(label.decode("utf-8", "replace") for label in attribute.strings)
        if attribute.name in ("classlabels_ints", "classlabels_int64s") and attribute.ints:
            return tuple(map(str, attribute.ints))
    return ()


def _json_list(text: str) -> tuple[str, ...]:
    try:
        values = json.loads(text)
    except ValueError:
        return ()
    return tuple(map(str, values)) if isinstance(values, list) else ()
