"""The graph around a model that hides features and reads scores, so that masks go in and scores come out.

Before the model: Where puts background cells in the place of hidden ones, mask by mask and background row
by background row. Behind it: the asked columns in float64, their scale row by row, then the mean over the
background. The input, the background and the targets are inputs of the graph: another case needs no other
session.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from blackbox.model import Hiding, Readout
from blackbox_adapters.onnx.opsets import opset

LEAST = float(np.finfo(np.float32).tiny)
"""The probability below which a logarithm is that of this one, as everywhere in the house."""

NEVER = -1e300
"""What is added to a logit that must not count in a sum of exponentials; float64 has no wider use for it."""


@dataclass(frozen=True)
class Part:
    """How the masks reach the cells of one input.

    start : the feature of the first cell where every cell is a feature of its own, in order; None where
    the mask is spread by a matrix, or (``still``) no cell is ever hidden. cells : shape of one row.
    spread : that shape with 1 for every axis along which the labels do not differ.
    """

    name: str
    start: int | None
    cells: tuple[int, ...]
    spread: tuple[int, ...]
    still: bool = False


@dataclass(frozen=True)
class Layout:
    """What one fused graph can answer; equal layouts share a session."""

    parts: tuple[Part, ...]
    kind: str
    scale: str

    @classmethod
    def of(cls, hiding: Hiding, readout: Readout) -> Layout:
        """Read it off the labels and the readout."""
        parts = tuple(_part(name, labels) for name, labels in hiding.labels.items() if name in hiding.x)
        return cls(parts, readout.kind, readout.scale)


def _part(name: str, labels: np.ndarray) -> Part:
    flat = labels.ravel()
    if flat.size and (flat < 0).all():
        return Part(name, None, labels.shape, labels.shape, still=True)
    if flat.size and np.array_equal(flat, np.arange(flat[0], flat[0] + flat.size)):
        return Part(name, int(flat[0]), labels.shape, labels.shape)
    spread = tuple(
        1 if (labels == labels.take([0], axis=axis)).all() else size for axis, size in enumerate(labels.shape)
    )
    return Part(name, None, labels.shape, spread)


def spreading(part: Part, labels: np.ndarray, d: int) -> np.ndarray:
    """Return Float32[np.ndarray, "d k"], which features the cells of the spread shape belong to."""
    few = labels[tuple(slice(0, size) for size in part.spread)].ravel()
    return np.asarray(few[None] == np.arange(d)[:, None], dtype=np.float32)


@dataclass
class Chain:
    """Nodes and constants that are added to a graph, under names that it does not use."""

    prefix: str
    opset: int
    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)

    def add(
        self, operator: str, inputs: Sequence[str], attributes: Mapping[str, Any] | None = None, to: str = ""
    ) -> str:
        """Append a node and return the name of its output."""
        import onnx

        name = to or f"{self.prefix}{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(operator, list(inputs), [name], **dict(attributes or {})))
        return name

    def constant(self, value: np.ndarray) -> str:
        """Keep an array and return its name."""
        import onnx

        name = f"{self.prefix}c{len(self.weights)}"
        self.weights.append(onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def reduced(self, operator: str, of: str, axis: int, keep: bool) -> str:
        """Reduce along one axis; from opset 18 on the axes are an input."""
        attributes: dict[str, Any] = {"keepdims": int(keep)}
        if self.opset >= 18:
            return self.add(operator, [of, self.constant(np.array([axis]))], attributes)
        return self.add(operator, [of], {**attributes, "axes": [axis]})

    def number(self, value: float) -> str:
        """Keep one float64."""
        return self.constant(np.array(value))


def fuse(proto: Any, layout: Layout, outputs: Sequence[str]) -> tuple[Any, str]:
    """Build the fused graph.

    Parameters
    ----------
    proto : onnx.ModelProto, changed in place. outputs : the model's outputs that make the answer, joined
        column by column.

    Returns
    -------
    The model and the prefix of its new names: inputs ``masks``, ``targets``, ``fold`` (-1, B, t), and per
    part ``x.NAME``, ``background.NAME`` and ``spread.NAME``; outputs ``scores``, ``apart``, ``finite`` and,
    for log-probabilities of probabilities, ``floored``.
    """
    import onnx

    prefix = _free(proto)
    chain = Chain(prefix, opset(proto))
    kinds = {entry.name: entry.type.tensor_type.elem_type for entry in proto.graph.input}
    entries: list[tuple[str, int, int | None]] = [
        ("masks", onnx.TensorProto.BOOL, 2),
        ("targets", onnx.TensorProto.INT64, 1),
    ]
    entries += [("fold", onnx.TensorProto.INT64, 1)]
    for part in layout.parts:
        ends = [
            (f"x.{part.name}", kinds[part.name], None),
            (f"background.{part.name}", kinds[part.name], None),
        ]
        matrix = [] if part.start is not None or part.still else [(f"spread.{part.name}", 1, 2)]
        entries += [*ends, *matrix]
        _fill(chain, part)
    before = len(chain.nodes)
    names = _read(chain, layout, outputs)
    _replace(proto, chain, before, {part.name for part in layout.parts}, entries, names)
    return proto, prefix


def _fill(chain: Chain, part: Part) -> None:
    """Masks into the model's input: (n, 1, cells) picks from (1, 1, cells) and (1, B, cells)."""
    masks, name = f"{chain.prefix}masks", part.name
    x, background = f"{chain.prefix}x.{name}", f"{chain.prefix}background.{name}"
    if part.start is None and not part.still:
        hidden = chain.add("Cast", [chain.add("Not", [masks])], {"to": 1})
        cells = chain.add("MatMul", [hidden, f"{chain.prefix}spread.{name}"])
        gone = chain.add("Greater", [cells, chain.constant(np.array(0.5, dtype=np.float32))])
        shape = chain.constant(np.array([-1, 1, *part.spread]))
        filled = chain.add("Where", [chain.add("Reshape", [gone, shape]), background, x])
    else:
        # where nothing is ever hidden any column does: the background is then the input itself
        start, width = (0, 1) if part.still else (part.start or 0, int(np.prod(part.cells)))
        ends = [chain.constant(np.array([at])) for at in (start, start + width, 1)]
        kept = chain.add("Slice", [masks, *ends])
        cells_shape = [1] * len(part.cells) if part.still else part.cells
        shape = chain.constant(np.array([-1, 1, *cells_shape]))
        filled = chain.add("Where", [chain.add("Reshape", [kept, shape]), x, background])
    chain.add("Reshape", [filled, chain.constant(np.array([-1, *part.cells]))], to=name)


def _read(chain: Chain, layout: Layout, outputs: Sequence[str]) -> dict[str, int]:
    """Outputs into scores; returns the new outputs with their element types."""
    import onnx

    flat = [chain.add("Reshape", [name, chain.constant(np.array([0, -1]))]) for name in outputs]
    table = flat[0] if len(flat) == 1 else chain.add("Concat", flat, {"axis": 1})
    # x - x is 0 for every number and NaN for what is none
    difference = chain.add("Cast", [chain.add("Sub", [table, table])], {"to": onnx.TensorProto.FLOAT})
    finite = chain.add("ReduceSum", [difference], {"keepdims": 0}, to=f"{chain.prefix}finite")
    names = {finite: onnx.TensorProto.FLOAT}
    targets = f"{chain.prefix}targets"
    if layout.scale == "raw":
        picked = chain.add("Gather", [table, targets], {"axis": 1})
        scores = chain.add("Cast", [picked], {"to": onnx.TensorProto.DOUBLE})
    else:
        wide = chain.add("Cast", [table], {"to": onnx.TensorProto.DOUBLE})
        reading = _of_probabilities if layout.kind == "probabilities" else _of_logits
        scores = reading(chain, wide, targets, layout.scale)
    if layout.kind == "probabilities" and layout.scale == "log-probability":
        picked = chain.add("Gather", [wide, targets], {"axis": 1})
        low = chain.add("Cast", [chain.add("Less", [picked, chain.number(LEAST)])], {"to": 1})
        floored = chain.add("ReduceSum", [low], {"keepdims": 0}, to=f"{chain.prefix}floored")
        names[floored] = onnx.TensorProto.FLOAT
    apart = chain.add("Reshape", [scores, f"{chain.prefix}fold"], to=f"{chain.prefix}apart")
    mean = chain.reduced("ReduceMean", apart, 1, keep=False)
    names[chain.add("Identity", [mean], to=f"{chain.prefix}scores")] = onnx.TensorProto.DOUBLE
    names[apart] = onnx.TensorProto.DOUBLE
    return names


def _of_probabilities(chain: Chain, table: str, targets: str, scale: str) -> str:
    picked = chain.add("Gather", [table, targets], {"axis": 1})
    one = chain.number(1.0)
    p = chain.add("Min", [chain.add("Max", [picked, chain.number(0.0)]), one])
    if scale == "probability":
        return p
    if scale == "log-probability":
        return chain.add("Log", [chain.add("Max", [p, chain.number(LEAST)])])
    return chain.add("Sub", [chain.add("Log", [p]), chain.add("Log", [chain.add("Sub", [one, p])])])


def _of_logits(chain: Chain, table: str, targets: str, scale: str) -> str:
    """Softmax over the columns; a single column is the log-odds of one class."""
    shape = chain.add("Shape", [table])
    count = chain.add("Gather", [shape, chain.constant(np.array(1))], {"axis": 0})
    column = chain.constant(np.array([-1, 1]))
    numbers = chain.add("Range", [chain.constant(np.array(0)), count, chain.constant(np.array(1))])
    own = chain.add("Equal", [chain.add("Reshape", [targets, column]), numbers])
    picked = chain.add("Gather", [table, targets], {"axis": 1})
    rest = chain.add("Where", [own, chain.number(NEVER), chain.number(0.0)])
    wide = chain.add("Reshape", [table, chain.add("Concat", [
        chain.constant(np.array([-1, 1])), chain.add("Reshape", [count, chain.constant(np.array([1]))]),
    ], {"axis": 0})])  # fmt: skip
    others = chain.reduced("ReduceLogSumExp", chain.add("Add", [wide, rest]), 2, keep=False)
    # a lone column competes with a logit of 0
    lone = chain.add("Equal", [count, chain.constant(np.array(1))])
    others = chain.add("Where", [lone, chain.number(0.0), others])
    logit = chain.add("Sub", [picked, others])
    if scale == "logit":
        return logit
    # log p = min(l, 0) - log(1 + exp(-|l|))
    away = chain.add("Exp", [chain.add("Neg", [chain.add("Abs", [logit])])])
    soft = chain.add("Log", [chain.add("Add", [away, chain.number(1.0)])])
    log_p = chain.add("Sub", [chain.add("Min", [logit, chain.number(0.0)]), soft])
    return chain.add("Exp", [log_p]) if scale == "probability" else log_p


def _replace(
    proto: Any, chain: Chain, before: int, asked: set[str], entries: Sequence[tuple[str, int, int | None]],
    outputs: Mapping[str, int],
) -> None:  # fmt: skip
    """Put the chain around the graph and its own inputs and outputs in the place of the model's."""
    import onnx

    graph, info = proto.graph, onnx.helper.make_tensor_value_info
    nodes = [*chain.nodes[:before], *graph.node, *chain.nodes[before:]]
    held = [one for one in graph.input if one.name not in asked]
    ranked = [
        info(chain.prefix + name, kind, [None] * rank if rank else None) for name, kind, rank in entries
    ]
    made = [info(name, kind, None) for name, kind in outputs.items()]
    for place, content in ((graph.node, nodes), (graph.input, [*held, *ranked]), (graph.output, made)):
        copied = [type(each).FromString(each.SerializeToString()) for each in content]
        del place[:]
        place.extend(copied)
    graph.initializer.extend(chain.weights)


def _free(proto: Any) -> str:
    """Return a prefix that no name of the graph begins with."""
    used = {name for node in proto.graph.node for name in (*node.input, *node.output)}
    used |= {tensor.name for tensor in proto.graph.initializer}
    prefix = "blackbox."
    while any(name.startswith(prefix) for name in used):
        prefix = f"_{prefix}"
    return prefix
