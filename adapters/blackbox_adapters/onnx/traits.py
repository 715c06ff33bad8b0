"""What the operators between the inputs and an output are, for whoever must know how it bends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

BILINEAR = frozenset(["Mul", "Div", "MatMul", "Gemm", "Conv", "ConvTranspose", "Pow", "Einsum"])
"""Linear in one input while the other ones are constants (of Pow: bent all the same)."""

PLAIN = frozenset(["Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "ZipMap"])
LINKS = frozenset(("Softmax", "LogSoftmax", "Sigmoid"))


def traits(proto: Any, answer: str) -> dict[str, Any]:
    """Return the operators that the answer depends on and that depend on an input.

    Returns
    -------
    ``operators`` : sorted types; ``Mul(constant)`` where all but one factor are constants. Functions
    and sub-graphs are named by their own type. ``link`` : ``Softmax``, ``LogSoftmax`` or ``Sigmoid``
    where that is how the answer ends, and then not among the operators; else an empty string.
    """
    made = {name: node for node in proto.graph.node for name in node.output}
    live = _live(proto)
    end = _link(made, answer)
    below = _below(made, [end.input[0]] if end is not None else [answer])
    kinds = {_kind(node, live) for node in below if any(name in live for name in node.input)}
    return {"operators": sorted(kinds), "link": end.op_type if end is not None else ""}


def _live(proto: Any) -> set[str]:
    """Names of the tensors that depend on an input."""
    constants = {tensor.name for tensor in proto.graph.initializer}
    live = {entry.name for entry in proto.graph.input} - constants
    for node in proto.graph.node:  # a graph is stored in an order that can be run
        if any(name in live for name in node.input) and node.op_type not in ("Shape", "Size"):
            live.update(node.output)
    return live


def _kind(node: Any, live: set[str]) -> str:
    name = (
        f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx", "ai.onnx.ml") else node.op_type
    )
    factors = [one for one in node.input if one]
    once = sum(one in live for one in factors) == 1
    if node.op_type == "Div" and len(factors) > 1 and factors[1] in live:
        return name
    return f"{name}(constant)" if node.op_type in BILINEAR and once else name


def _link(made: dict[str, Any], answer: str) -> Any:
    """Follow the answer back through operators that only move numbers to a softmax or sigmoid.

    scikit-learn's two classes are 1 - p and p, put side by side: the sigmoid counts there too.
    """
    node = made.get(answer)
    while node is not None and node.op_type not in LINKS:
        if node.op_type == "Concat" and len(node.input) == 2:
            sides = [made.get(name) for name in node.input]
            subtractions = [side for side in sides if side is not None and side.op_type == "Sub"]
            node = subtractions[0] if len(subtractions) == 1 else None
        elif node.op_type == "Sub":
            node = made.get(node.input[1])
        else:
            node = made.get(node.input[0]) if node.op_type in PLAIN and node.input else None
    return node


def _below(made: dict[str, Any], names: list[str]) -> Iterator[Any]:
    seen: set[int] = set()
    while names:
        node = made.get(names.pop())
        if node is not None and id(node) not in seen:
            seen.add(id(node))
            names.extend(node.input)
            yield node
