"""An ONNX file as a Model: signature from what the runtime reports, answers as plain arrays."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from blackbox.errors import ModelError, RequestError, unknown
from blackbox.model import Identity, Limits, Rows, Signature, Tensor
from blackbox.settings import parse
from blackbox_adapters.onnx import graph, runtime
from blackbox_adapters.onnx.options import OnnxOptions
from blackbox_adapters.onnx.traits import traits

DTYPES = {"float": "float32", "double": "float64"}
"""ONNX Runtime's names that differ from NumPy's."""

CELLS_PER_RUN = 65_536
"""Rows per run by rule: so many input cells, a power of two of rows between 4 and 2,048. Measured:
1,024 rows of 64 columns, 64 pictures of 28 x 28 and 4 of 3 x 224 x 224 are at or near the best."""


@dataclass(frozen=True)
class OnnxModel:
    """A running ONNX Runtime session with the port's face."""

    session: Any
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
        wanted = self.signature.answer
        try:
            (answer,) = self.session.run([wanted], self._padded(rows, count))
        except Exception as error:  # the runtime raises a family of its own exceptions
            raise ModelError(f"The model failed on {count} rows: {runtime.reason(error)}") from None
        array = _from_maps(answer, self.signature.output(wanted)) if isinstance(answer, list) else answer
        return {wanted: array[:count] if self.limits.fixed_batch else array}

    def _padded(self, rows: Rows, count: int) -> dict[str, np.ndarray]:
        """Repeat the last row up to the fixed batch; the declared axis itself is never rewritten."""
        short = (self.limits.fixed_batch or count) - count
        if short <= 0:
            return dict(rows)
        return {name: np.concatenate([a, np.repeat(a[-1:], short, axis=0)]) for name, a in rows.items()}


def _from_maps(answer: Sequence[Mapping[Any, float]], output: Tensor) -> np.ndarray:
    """Turn a ZipMap's list of mappings into Float[np.ndarray, "n c"] in the order of the labels."""
    if not answer or not isinstance(answer[0], Mapping):
        raise ModelError(f"Output {output.name!r} is a sequence that is no class mapping.")
    keys = list(answer[0])
    by_text = {str(key): key for key in keys}
    ordered = [by_text[label] for label in output.labels] if set(output.labels) == set(by_text) else keys
    return np.array([[row[key] for key in ordered] for row in answer])


def open_onnx(source: str | Path, device: str, options: Mapping[str, Any]) -> OnnxModel:
    """Open an ``.onnx`` file; see ``OnnxOptions`` for the options.

    Raises
    ------
    RequestError : unknown option, output or device. ModelError : the file cannot be loaded or used.
    """
    settings = parse(OnnxOptions, options, "an ONNX model")
    path = Path(source)
    runtime.parse_device(device)
    runtime.load_runtime()
    proto = graph.load_graph(path)
    found = graph.facts(path, proto)
    session, used = runtime.start(path, device, settings.threads)
    signature = _signature(session, settings, graph.class_names(proto, found["metadata"]))
    bends = traits(proto, signature.answer)
    if signature.kind is None and _is_one_sigmoid(signature, bends["link"]):
        signature = replace(signature, kind="probabilities")
    identity = Identity(
        str(path), graph.digests(path, proto), f"onnxruntime {runtime.load_runtime().__version__}", used,
        {**found, "providers": session.get_providers()},
    )  # fmt: skip
    return OnnxModel(session, signature, _limits(signature, settings), identity, bends)


def _is_one_sigmoid(signature: Signature, link: str) -> bool:
    """A single column that leaves a sigmoid is the probability of one class of two."""
    shape = signature.output(signature.answer).shape
    return link == "Sigmoid" and (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1))


def _signature(session: Any, settings: OnnxOptions, names: Mapping[str, tuple[str, ...]]) -> Signature:
    inputs = tuple(_input(node) for node in session.get_inputs())
    outputs = tuple(_output(node, names) for node in session.get_outputs())
    answer = _answer(outputs, settings.output)
    if settings.classes:
        outputs = tuple(
            replace(o, labels=_declared(o, settings.classes)) if o.name == answer else o for o in outputs
        )
    return Signature(inputs, outputs, answer, settings.kind)


def _input(node: Any) -> Tensor:
    tensor = Tensor(node.name, _dtype(node.type), tuple(node.shape or ()))
    if not tensor.shape:
        raise ModelError(f"Input {node.name!r} has no batch axis, so rows cannot be asked of this model.")
    return tensor


def _output(node: Any, names: Mapping[str, tuple[str, ...]]) -> Tensor:
    labels = names.get(node.name, ())
    if node.type.startswith("seq(map("):
        return Tensor(node.name, "float32", (None, len(labels) or None), labels)
    shape = tuple(node.shape or ())
    dtype = _dtype(node.type)
    columns = shape[-1] if len(shape) > 1 else None
    shared = names.get("", ())
    fits = dtype.startswith("float") and columns in (None, len(shared)) and len(shape) > 1
    return Tensor(node.name, dtype, shape, shared if fits else ())


def _dtype(text: str) -> str:
    match = re.fullmatch(r"tensor\((\w+)\)", text)
    name = match[1] if match else text
    return DTYPES.get(name, name)


def _answer(outputs: tuple[Tensor, ...], asked: str | None) -> str:
    names = [tensor.name for tensor in outputs]
    if asked is not None:
        if asked not in names:
            raise unknown("output", asked, names)
        return asked
    floats = [tensor.name for tensor in outputs if tensor.dtype.startswith(("float", "bfloat"))]
    numbers = [tensor.name for tensor in outputs if tensor.dtype.startswith(("int", "uint", "bool"))]
    if not floats and not numbers:
        raise ModelError(f"The model has no output that holds numbers, only {', '.join(names)}.")
    return (floats or numbers)[-1]


def _declared(output: Tensor, classes: tuple[str, ...]) -> tuple[str, ...]:
    columns = output.shape[-1] if len(output.shape) > 1 else 1
    if isinstance(columns, int) and columns != len(classes):
        raise RequestError(
            f"{len(classes)} class names were given, but output {output.name!r} has {columns} columns."
        )
    return classes


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
    return Limits(int(np.clip(rows, 4, 2048)))
