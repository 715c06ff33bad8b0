"""An ONNX file as a Model: signature from what the runtime reports, answers as plain arrays."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blackbox.errors import ModelError, RequestError
from blackbox.model import Identity, Limits, Rows, Signature, Tensor
from blackbox.settings import parse
from blackbox_adapters.onnx import graph, runtime
from blackbox_adapters.onnx.answer import Answer, choose
from blackbox_adapters.onnx.files import Files, Folder
from blackbox_adapters.onnx.options import OnnxOptions
from blackbox_adapters.onnx.scan import scan
from blackbox_adapters.onnx.traits import traits

if TYPE_CHECKING:
    from blackbox_adapters.onnx.sandboxed import SandboxedModel

DTYPES = {"float": "float32", "double": "float64"}
"""ONNX Runtime's names that differ from NumPy's."""

FED = {
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
    "uint64", "bool", "string",
}  # fmt: skip
"""Input types that ONNX Runtime takes from NumPy arrays."""

CELLS_PER_RUN = 262_144
"""Rows per run by rule: so many input cells, a power of two of rows between 4 and 4,096. Measured:
4,096 rows of 64 columns, 256 pictures of 28 x 28 and 4 of 3 x 224 x 224 are at or near the best."""


@dataclass(frozen=True)
class OnnxModel:
    """A running ONNX Runtime session with the port's face."""

    session: Any
    answer: Answer
    signature: Signature
    limits: Limits
    identity: Identity
    traits: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, rows: Rows) -> Rows:
        """Run one forward pass of the answer's output.

        Raises
        ------
        ModelError : the runtime refused the rows or failed on them.
        """
        count = len(next(iter(rows.values())))
        try:
            values = self.session.run(list(self.answer.outputs), self._padded(rows, count))
        except Exception as error:  # the runtime raises a family of its own exceptions
            raise ModelError(f"The model failed on {count} rows: {runtime.reason(error)}") from None
        return {self.signature.answer: self.answer.take(values, count if self.limits.fixed_batch else None)}

    def _padded(self, rows: Rows, count: int) -> dict[str, np.ndarray]:
        """Repeat the last row up to the fixed batch; the declared axis itself is never rewritten."""
        short = (self.limits.fixed_batch or count) - count
        if short <= 0:
            return dict(rows)
        return {name: np.concatenate([a, np.repeat(a[-1:], short, axis=0)]) for name, a in rows.items()}


def open_onnx(source: str | Path, device: str, options: Mapping[str, Any]) -> OnnxModel | SandboxedModel:
    """Open an ``.onnx`` file; see ``OnnxOptions`` for the options.

    Raises
    ------
    RequestError : unknown option, output or device. ModelError : the file cannot be loaded or used.
    """
    settings = parse(OnnxOptions, options, "an ONNX model")
    runtime.parse_device(device)
    if settings.confined:
        from blackbox_adapters.onnx.sandboxed import open_sandboxed

        return open_sandboxed(Path(source), device, settings)
    folder = Folder(Path(source))
    opened = open_files(folder, device, settings)
    return replace(opened, identity=replace(opened.identity, source=str(source), sha256=folder.sha256))


def open_files(files: Files, device: str, settings: OnnxOptions) -> OnnxModel:
    """Open a model from its bytes; who hands them out knows where they lie and what they hash to.

    Raises
    ------
    RequestError, ModelError : as ``open_onnx``.
    """
    version = runtime.load_runtime().__version__
    content = files.model()
    proto = graph.parse_graph(content, files.name)
    weights = scan(proto, files.weights)
    found = graph.facts(content, proto)
    tables = graph.without_class_maps(proto)
    loading = runtime.Loading(tables or content, files.name, weights, settings.threads)
    session, used = runtime.start(loading, device)
    inputs = _inputs(session)
    names = graph.class_names(proto, found["metadata"])
    outputs = tuple(_output(node, names) for node in session.get_outputs())
    answer = _labelled(choose(outputs, settings.output, settings.select), settings.classes)
    offered = tuple(output for output in outputs if output.name != answer.tensor.name)
    signature = Signature(inputs, (*offered, answer.tensor), answer.tensor.name, settings.kind)
    bends = _bends(proto, answer)
    if signature.kind is None and _is_one_sigmoid(signature, bends["link"]):
        signature = replace(signature, kind="probabilities")
    identity = Identity(
        files.name, {}, f"onnxruntime {version}", used,
        {**found, "providers": session.get_providers(), "class_maps_read_as_tables": tables is not None},
    )  # fmt: skip
    return OnnxModel(session, answer, signature, _limits(signature, settings), identity, bends)


def _bends(proto: Any, answer: Answer) -> dict[str, Any]:
    """Traits of the one output that is asked; several, or a part of one, say nothing about themselves."""
    if len(answer.outputs) > 1 or answer.part:
        return {"operators": ["unknown"], "link": ""}
    return traits(proto, answer.outputs[0])


def _is_one_sigmoid(signature: Signature, link: str) -> bool:
    """A single column that leaves a sigmoid is the probability of one class of two."""
    shape = signature.output(signature.answer).shape
    return link == "Sigmoid" and (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1))


def _inputs(session: Any) -> tuple[Tensor, ...]:
    inputs = tuple(_input(node) for node in session.get_inputs())
    if not inputs:
        raise ModelError("The model takes no inputs, so there is nothing to explain.")
    return inputs


def _input(node: Any) -> Tensor:
    tensor = Tensor(node.name, _dtype(node.type), tuple(node.shape or ()))
    if not tensor.shape:
        raise ModelError(f"Input {node.name!r} has no batch axis, so rows cannot be asked of this model.")
    if tensor.dtype not in FED:
        raise ModelError(f"Input {node.name!r} is {tensor.dtype}, which cannot be fed from here.")
    return tensor


def _output(node: Any, names: Mapping[str, tuple[str, ...]]) -> Tensor:
    labels = names.get(node.name, ())
    if node.type.startswith("seq(map("):
        return Tensor(node.name, "float32", (None, len(labels) or None), labels)
    shape = tuple(node.shape or ())
    if labels and len(shape) > 1:
        return Tensor(node.name, _dtype(node.type), shape, labels)
    dtype = _dtype(node.type)
    columns = shape[-1] if len(shape) > 1 else None
    shared = names.get("", ())
    fits = dtype.startswith("float") and columns in (None, len(shared)) and len(shape) > 1
    return Tensor(node.name, dtype, shape, shared if fits else ())


def _dtype(text: str) -> str:
    match = re.fullmatch(r"tensor\((\w+)\)", text)
    name = match[1] if match else text
    return DTYPES.get(name, name)


def _labelled(answer: Answer, classes: tuple[str, ...]) -> Answer:
    """Name the answer's columns as the caller wants them."""
    if not classes:
        return answer
    shape = answer.tensor.shape
    columns = shape[-1] if len(shape) > 1 else 1
    if isinstance(columns, int) and columns != len(classes):
        raise RequestError(
            f"{len(classes)} class names were given, but output {answer.tensor.name!r} has {columns} columns."
        )
    return replace(answer, tensor=replace(answer.tensor, labels=classes))


def _limits(signature: Signature, settings: OnnxOptions) -> Limits:
    batches = {t.shape[0] for t in signature.inputs if isinstance(t.shape[0], int)}
    if batches:
        fixed = int(max(b for b in batches if isinstance(b, int)))
        return Limits(fixed, fixed)
    if settings.batch_size is not None:
        return Limits(settings.batch_size)
    cells = sum(
        int(np.prod([size if isinstance(size, int) else 1 for size in t.cell_shape]))
        for t in signature.inputs
    )
    rows = 2 ** int(np.log2(max(1, CELLS_PER_RUN // max(1, cells))))
    return Limits(int(np.clip(rows, 4, 4096)))
