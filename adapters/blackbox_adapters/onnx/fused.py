"""Hiding inside the graph: one session per layout, and where it is done."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from blackbox.errors import ModelError
from blackbox.model import Hidden, Hide, Hiding, Limits, Pass, Readout
from blackbox_adapters.onnx import graph, runtime
from blackbox_adapters.onnx.answer import Answer
from blackbox_adapters.onnx.binding import Kept, placed
from blackbox_adapters.onnx.fusing import Layout, Part, fuse, spreading
from blackbox_adapters.onnx.opsets import OLDEST, raise_opset, raised
from blackbox_adapters.onnx.options import OnnxOptions
from blackbox_adapters.onnx.signature import Inputs

PICKED = {"float32", "float64", "float16", "int8", "int32", "int64", "uint8"}
"""Input types that the runtime's Where picks from on every device."""

FLOATS = {"float32", "float64", "float16"}
MOST_SPREAD = 2**26
"""Entries of the matrix that spreads masks over cells at the most (256 MiB)."""

MOST_SESSIONS = 8
"""Layouts whose sessions are kept: inputs of many sizes have a layout each."""

MOST_MATRICES = 4
"""Matrices that are kept: a grid of patches is the same one for every picture."""

AHEAD = 2
"""Passes under way on a device at once: one computes while the other's masks and scores travel."""

MOST_BYTES = 2**31 - 2**20
"""A graph in memory must stay below what the format can hold."""


def wasted(fuse: bool | None, device: str) -> str:
    """Say why hiding in the graph would not pay, or nothing: it does on a GPU.

    Parameters
    ----------
    fuse : as the model was opened. device : ``cpu`` or ``cuda:N``.
    """
    if fuse is not None:
        return "" if fuse else "rows filled by NumPy: as asked"
    # the runtime's Where takes longer than the bitwise arithmetic of fill.py; benchmarks/README.md
    return "rows filled by NumPy: on a CPU that is as fast as in the graph" if device == "cpu" else ""


@dataclass(frozen=True)
class Fusing:
    """What a model needs to be asked by masks: its graph, and the sessions made so far."""

    loading: runtime.Loading
    proto: Any
    answer: Answer
    inputs: Inputs
    limits: Limits
    device: str
    settings: OnnxOptions
    sessions: dict[Layout, tuple[Any, str]] = field(default_factory=dict)
    matrices: dict[bytes, Any] = field(default_factory=dict)

    def hide(self, hiding: Hiding, readout: Readout, rows_per_run: int) -> Hide:
        """Return how masks are played on this input, and why.

        Parameters
        ----------
        rows_per_run : on a device every pass is padded to so many, so that all have one shape.
        """
        if refusal := wasted(self.settings.fuse, self.device):
            return Hide(refusal)
        layout = Layout.of(hiding, readout)
        if refusal := self._impossible(layout, hiding, readout):
            return Hide(f"rows filled by NumPy: {refusal}")
        try:
            session, prefix = self._session(layout)
        except ModelError as error:
            return Hide(f"rows filled by NumPy: the graph that hides does not start ({error.message})")
        count = len(next(iter(hiding.background.values())))
        even = 1 if self.device == "cpu" else max(1, rows_per_run // count)
        return Hide("in the graph", Playing.of(session, prefix, layout, hiding, readout, self, even))

    def matrix(self, part: Part, labels: np.ndarray, d: int) -> Any:
        """Return the matrix that spreads masks over cells, made and copied once for the same labels."""
        key = hashlib.sha256(f"{part.name} {part.spread} {d}".encode() + labels.tobytes()).digest()
        if key not in self.matrices:
            while len(self.matrices) >= MOST_MATRICES:
                del self.matrices[next(iter(self.matrices))]
            made = spreading(part, labels, d)
            self.matrices[key] = made if self.device == "cpu" else placed(made, self.device)
        return self.matrices[key]

    def _impossible(self, layout: Layout, hiding: Hiding, readout: Readout) -> str:
        """Say what cannot be fused, or nothing."""
        dtypes = self.inputs.dtypes
        asked = [dtypes.get(part.name, "") for part in layout.parts]
        d = _features(hiding)
        wide = max(d * int(np.prod(part.spread)) for part in layout.parts)
        reasons = {
            "the batch is fixed": self.limits.fixed_batch is not None or self.limits.rows_per_run == 1,
            "an input's type is not picked from in the graph": not PICKED.issuperset(asked),
            "the output is no tensor of floating-point numbers": not self._is_tensor(),
            "a part of the output is asked": bool(self.answer.part),
            f"the {readout.kind} is compared with the input's own": bool(readout.reference),
            "a constant input follows the batch": any(
                c.batch is not None or c.value is None for c in self.inputs.constants
            ),
            f"the opset is below {OLDEST}": raised(self.proto) < OLDEST,
            "the features have too many cells": wide > MOST_SPREAD and not _in_order(layout),
            "the graph is too large to be held twice": self.size > MOST_BYTES,
        }
        return next((reason for reason, holds in reasons.items() if holds), "")

    @cached_property
    def size(self) -> int:
        """Bytes of the graph; counting a hundred million takes as long as several passes."""
        return int(self.proto.ByteSize())

    def _is_tensor(self) -> bool:
        """The asked outputs are tensors of floats, class maps counting as the tables they are made from."""
        return all(self.inputs.dtypes.get(name) in FLOATS for name in self.answer.outputs)

    def _session(self, layout: Layout) -> tuple[Any, str]:
        if layout not in self.sessions:
            import onnx

            model = onnx.ModelProto()
            tables = graph.without_class_maps(self.proto)
            model.CopyFrom(self.proto) if tables is None else model.ParseFromString(tables)
            raise_opset(model)
            fused, prefix = fuse(model, layout, self.answer.outputs)
            if fused.ByteSize() > MOST_BYTES:
                raise ModelError("it is too large")
            loading = replace(self.loading, content=fused.SerializeToString())
            session, used = runtime.start(loading, self.device)
            if used != self.device:
                raise ModelError(f"it starts on {used}, not on {self.device}")
            while len(self.sessions) >= MOST_SESSIONS:
                del self.sessions[next(iter(self.sessions))]
            self.sessions[layout] = session, prefix
        return self.sessions[layout]


@dataclass(frozen=True)
class Playing:
    """One case, ready to be asked: its input, background and targets lie where the model runs."""

    kept: Kept
    prefix: str
    floors: bool
    even: int = 1
    ahead: int = 1

    @classmethod
    def of(
        cls, session: Any, prefix: str, layout: Layout, hiding: Hiding, readout: Readout, fusing: Fusing,
        even: int,
    ) -> Playing:  # fmt: skip
        """Lay out what stays the same for every mask; a pass has a multiple of ``even`` masks."""
        count, d = len(next(iter(hiding.background.values()))), _features(hiding)
        stays: dict[str, Any] = {
            f"{prefix}targets": np.array(readout.indices, dtype=np.int64),
            f"{prefix}fold": np.array([-1, count, len(readout.indices)], dtype=np.int64),
        }
        for part in layout.parts:
            x = hiding.x[part.name]
            rows = np.repeat(x[None], count, axis=0) if part.still else hiding.background[part.name]
            stays[f"{prefix}x.{part.name}"] = np.ascontiguousarray(x[None, None])
            stays[f"{prefix}background.{part.name}"] = np.ascontiguousarray(rows[None])
            if part.start is None and not part.still:
                stays[f"{prefix}spread.{part.name}"] = fusing.matrix(part, hiding.labels[part.name], d)
        for constant in fusing.inputs.constants:
            if constant.value is not None:
                stays[constant.tensor.name] = constant.value
        floors = (readout.kind, readout.scale) == ("probabilities", "log-probability")
        # under a ceiling of memory two passes at once might not fit where one does
        ahead = 1 if fusing.device == "cpu" or fusing.settings.memory is not None else AHEAD
        return cls(Kept.of(session, stays, fusing.device), prefix, floors, even, ahead)

    def __call__(self, passes: Sequence[Pass]) -> list[Hidden]:
        """Play passes; on a device the next one begins while scores of the last are on their way back.

        Raises
        ------
        ModelError : the runtime failed on one.
        """
        if min(self.ahead, len(passes)) == 1:
            return [self._play(*each) for each in passes]
        with ThreadPoolExecutor(self.ahead) as hands:
            return list(hands.map(lambda each: self._play(*each), passes))

    def _play(self, masks: np.ndarray, apart: bool) -> Hidden:
        wanted = ["scores", "finite", *(["apart"] if apart else []), *(["floored"] if self.floors else [])]
        count, short = len(masks), -len(masks) % self.even
        if short:
            masks = np.concatenate([masks, np.ones((short, masks.shape[1]), dtype=bool)])
        feeds = {f"{self.prefix}masks": np.ascontiguousarray(masks)}
        try:
            found = dict(
                zip(wanted, self.kept.run(feeds, [self.prefix + name for name in wanted]), strict=True)
            )
        except Exception as error:  # the runtime raises a family of its own exceptions
            raise ModelError(f"The model failed on {count} masks: {runtime.reason(error)}") from None
        floored = int(found["floored"]) if self.floors else 0
        rows = found["apart"][:count] if apart else None
        return Hidden(found["scores"][:count], rows, bool(np.isfinite(found["finite"])), floored)


def _features(hiding: Hiding) -> int:
    return 1 + max(int(labels.max(initial=-1)) for labels in hiding.labels.values())


def _in_order(layout: Layout) -> bool:
    return all(part.start is not None or part.still for part in layout.parts)
