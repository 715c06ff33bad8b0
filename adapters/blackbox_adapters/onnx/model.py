"""An ONNX file as a Model: signature from what the runtime reports, answers as plain arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blackbox.errors import ModelError
from blackbox.model import Hide, Hiding, Identity, Limits, Readout, Rows, Signature
from blackbox.settings import parse
from blackbox_adapters.onnx import fused, graph, pace, runtime
from blackbox_adapters.onnx.answer import Answer, choose
from blackbox_adapters.onnx.binding import Kept
from blackbox_adapters.onnx.custom_ops import Library, stage
from blackbox_adapters.onnx.files import Files, Folder
from blackbox_adapters.onnx.options import OnnxOptions
from blackbox_adapters.onnx.redraw import redrawn
from blackbox_adapters.onnx.running import BFLOAT16, run
from blackbox_adapters.onnx.scan import scan
from blackbox_adapters.onnx.signature import Inputs, is_scalar, labelled, read_inputs, read_output
from blackbox_adapters.onnx.traits import traits

if TYPE_CHECKING:
    from blackbox_adapters.onnx.sandboxed import SandboxedModel


@dataclass(frozen=True)
class OnnxModel:
    """A running ONNX Runtime session with the port's face."""

    session: Any
    answer: Answer
    inputs: Inputs
    signature: Signature
    limits: Limits
    identity: Identity
    settings: OnnxOptions = field(repr=False)
    fusing: fused.Fusing = field(repr=False)
    traits: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, rows: Rows) -> Rows:
        """Run one forward pass of the answer's output.

        Raises
        ------
        ModelError : the runtime refused the rows or failed on them.
        """
        count = len(next(iter(rows.values())))
        whole = self._whole(count)
        feeds: dict[str, Any] = _padded(rows, whole - count)
        for constant in self.inputs.constants:
            feeds[constant.tensor.name] = constant.fed(whole)
        try:
            values = run(self.session, self.answer.outputs, feeds, self.inputs.dtypes)
        except Exception as error:  # the runtime raises a family of its own exceptions
            raise ModelError(f"The model failed on {count} rows: {runtime.reason(error)}") from None
        kept = count if whole > count or self.limits.fixed_batch else None
        return {self.signature.answer: self.answer.take(values, kept, count == 1)}

    def hide(self, hiding: Hiding, readout: Readout) -> Hide:
        """Return how masks are played: in the graph where that pays, else by rows filled outside."""
        return self.fusing.hide(hiding, readout, self.limits.rows_per_run)

    def rehearse(self, rows: Rows) -> Callable[[], object]:
        """Lay rows where the model runs and return what makes one pass over them, to be timed.

        Where masks are played on a device, rows never travel there: passes are timed as they will be made.
        """
        if self.identity.device == "cpu" or BFLOAT16 in self.inputs.dtypes.values():
            return partial(self.predict, rows)
        count = len(next(iter(rows.values())))
        held: dict[str, Any] = {each.tensor.name: each.fed(count) for each in self.inputs.constants}
        kept = Kept.of(self.session, {**rows, **held}, self.identity.device)

        def once() -> None:
            try:
                kept.run({}, self.answer.outputs)
            except Exception as error:  # the runtime raises a family of its own exceptions
                raise ModelError(f"The model failed on {count} rows: {runtime.reason(error)}") from None

        return once

    def fit(self, x: Rows) -> OnnxModel:
        """Return the model with the rows per run that suit one input."""
        limits = pace.suited(self, self.rehearse, x, self.settings)
        return self if limits == self.limits else replace(self, limits=limits)

    def randomised(self, rng: np.random.Generator) -> OnnxModel | SandboxedModel:
        """Open the same file with its weights shuffled.

        Raises
        ------
        ModelError : it holds none, is gone, or the copy cannot be loaded.
        """
        redraw = replace(self.settings, redraw=int(rng.integers(2**31)))
        options = {item.name: getattr(redraw, item.name) for item in fields(redraw)}
        return open_onnx(self.identity.source, self.identity.device, options)

    def _whole(self, count: int) -> int:
        """Rows of the pass that so many become: on a device all passes have one shape, for equal bits."""
        if self.limits.fixed_batch:
            return max(count, self.limits.fixed_batch)
        return count if self.identity.device == "cpu" else max(count, self.limits.rows_per_run)


def _padded(rows: Rows, short: int) -> dict[str, np.ndarray]:
    """Repeat the last row; the declared axis itself is never rewritten."""
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
    folder, library = Folder(Path(source)), library_of(settings)
    opened = open_files(folder, device, settings, library.place if library else None)
    facts = {**opened.identity.facts, "custom_ops": library.facts() if library else None}
    identity = replace(opened.identity, source=str(source), sha256=folder.sha256, facts=facts)
    return replace(opened, identity=identity)


def library_of(settings: OnnxOptions) -> Library | None:
    """Return the library of custom operators that was asked for, read and compared with its digest.

    Raises
    ------
    RequestError : it is missing, or another one.
    """
    if settings.custom_ops is None or settings.custom_ops_sha256 is None:
        return None
    return stage(settings.custom_ops, settings.custom_ops_sha256)


def open_files(files: Files, device: str, settings: OnnxOptions, library: str | None = None) -> OnnxModel:
    """Open a model from its bytes; who hands them out knows where they lie and what they hash to.

    Parameters
    ----------
    library : where the runtime finds custom operators; None = there are none, and no model may ask.

    Raises
    ------
    RequestError, ModelError : as ``open_onnx``.
    """
    version = runtime.load_runtime().__version__
    content = files.model()
    proto = graph.parse_graph(content, files.name)
    weights = scan(proto, files.weights, foreign=library is not None)
    found = graph.facts(content, proto)
    changed = proto if settings.redraw is None else redrawn(proto, weights, settings.redraw)
    tables = graph.without_class_maps(changed)
    if changed is not proto:
        content, weights = bytes(changed.SerializeToString()), {}
    loading = runtime.Loading(
        tables or content, files.name, weights, settings.threads, library, settings.memory_bytes,
        settings.tf32,
    )  # fmt: skip
    session, used = runtime.start(loading, device, settings.allow_cpu)
    inputs = read_inputs(session, settings.constants)
    names = graph.class_names(proto, found["metadata"])
    outputs = tuple(read_output(node, names) for node in session.get_outputs())
    chosen = choose(outputs, settings.output, settings.select, inputs.asked[0].shape[0])
    answer = labelled(chosen, settings.classes)
    offered = tuple(output for output in outputs if output.name != answer.tensor.name)
    signature = Signature(inputs.asked, (*offered, answer.tensor), answer.tensor.name, settings.kind)
    bends = _bends(proto, answer)
    if signature.kind is None and _is_one_sigmoid(signature, bends["link"]):
        signature = replace(signature, kind="probabilities")
    dtypes = {**inputs.dtypes, **{output.name: output.dtype for output in outputs}}
    inputs = replace(inputs, dtypes=dtypes)
    limits = _limits(signature, settings, is_scalar(proto, answer.outputs[0]))
    identity = Identity(
        files.name, {}, f"onnxruntime {version}", used,
        {
            **found, "providers": session.get_providers(), "class_maps_read_as_tables": tables is not None,
            "constants": {constant.tensor.name: constant.facts() for constant in inputs.constants},
            "weights_shuffled_with": settings.redraw, "session": runtime.facts(session, settings.threads),
        },
    )  # fmt: skip
    kept = loading if used != "cpu" or settings.fuse else replace(loading, content=b"", weights={})
    fusing = fused.Fusing(kept, changed, answer, inputs, limits, used, settings)
    return OnnxModel(session, answer, inputs, signature, limits, identity, settings, fusing, bends)


def _bends(proto: Any, answer: Answer) -> dict[str, Any]:
    """Traits of the one output that is asked; several, or a part of one, say nothing about themselves."""
    if len(answer.outputs) > 1 or answer.part:
        return {"operators": ["unknown"], "link": ""}
    return traits(proto, answer.outputs[0])


def _is_one_sigmoid(signature: Signature, link: str) -> bool:
    """A single column that leaves a sigmoid is the probability of one class of two."""
    shape = signature.output(signature.answer).shape
    return link == "Sigmoid" and (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1))


def _limits(signature: Signature, settings: OnnxOptions, scalar: bool) -> Limits:
    batches = [int(t.shape[0]) for t in signature.inputs if isinstance(t.shape[0], int)]
    if batches:
        return Limits(max(batches), max(batches), pace.FIXED)
    if scalar:  # one number for a whole pass: every row is asked in a pass of its own
        return Limits(1, None, pace.FIXED)
    if isinstance(settings.batch_size, int):
        return Limits(settings.batch_size, None, pace.GIVEN)
    return Limits(pace.by_rule(signature.inputs))
