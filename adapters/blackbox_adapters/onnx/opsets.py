"""Versions of the standard operators: which graphs may be read as newer ones."""

from __future__ import annotations

from typing import Any

OLDEST = 13
"""The first opset whose Where, Reshape and reductions are used here in one form or the other."""

UNCHANGED = frozenset([
    "Add", "ArgMax", "Cast", "Concat", "Constant", "Div", "Flatten", "Gemm", "Identity", "MatMul", "Mul",
    "Relu", "Reshape", "Sigmoid", "Sub", "Tanh", "Transpose",
])  # fmt: skip
"""Standard operators that mean the same in opsets 9 and 13: a graph of these may be read as the newer one.
Exporters of trees still write opset 9."""


def opset(proto: Any) -> int:
    """Return the graph's version of the standard operators, 0 where it uses none."""
    return next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 0)


def raised(proto: Any) -> int:
    """Return the opset of the fused graph: the graph's own, or ``OLDEST`` where that means the same."""
    version = opset(proto)
    standard = {node.op_type for node in proto.graph.node if node.domain in ("", "ai.onnx")} - {"ZipMap"}
    old = 9 <= version < OLDEST and standard <= UNCHANGED and not proto.functions
    return OLDEST if old or version == 0 else int(version)


def raise_opset(proto: Any) -> None:
    """Write the opset that ``raised`` found into the graph."""
    import onnx

    version = raised(proto)
    own = next((entry for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), None)
    if own is None:
        proto.opset_import.append(onnx.helper.make_opsetid("", version))
    else:
        own.version = version
