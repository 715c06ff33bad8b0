"""What may be set when an ONNX file is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from blackbox.errors import RequestError
from blackbox.settings import choice, number, whole
from blackbox_adapters.sandbox.bounds import parse_bytes

KINDS = ("probabilities", "logits", "values", "embedding")
PACES = ("rule", "probe")


@dataclass(frozen=True)
class OnnxOptions:
    """Settings of the ONNX adapter.

    output : the output to ask, or several to read as one table, separated by commas; None = the last
        floating-point one (classifiers put their label first), or all of a classifier that has one
        output per class. select : part of it, such as ``[0,:,1]``; None = all.
    classes : names of its columns; () = from the graph, where it names them.
    kind : what it holds, ``probabilities``, ``logits``, ``values`` or ``embedding`` (the score is then
        the cosine similarity to the input's own output); None = observed.
    batch_size : rows per forward pass, ``probe`` (the fastest of four sizes, tried once per model and
        device and remembered) or ``rule`` (from the size of one row); None = ``rule`` on a CPU, where it
        was measured, ``probe`` on a GPU.
    threads : of ONNX Runtime within one pass; None = its own default, one per core.
    constants : input name -> value (number, text, list or .npy file) that every pass gets; such inputs
        are not explained. Optional inputs stay out unless they are named here.
    allow_cpu : run on the CPU where the GPU that was asked for does not start, instead of failing.
    tf32 : let a GPU multiply float32 with a mantissa of 10 bits (TensorFloat-32): faster, coarser, and
        without effect on a CPU.
    fuse : hide features inside the graph, so that masks travel in and scores out; None = where it pays.
    sandbox : the file is parsed and run in a confined process; None = only where memory or deadline
        are set, which nothing else can enforce.
    memory : most resident memory of both processes, such as ``2GiB``; None = four fifths of the
        machine's for the confined one. deadline : seconds for loading, and for every pass; None = 300.
    custom_ops : a library of custom operators, native code that runs with the model; custom_ops_sha256 :
        its SHA-256. Neither is taken without the other, and never from the file.
    redraw : seed by which the weights are shuffled before the session starts; None = they stay.
    """

    output: str | None = None
    select: str | None = None
    classes: tuple[str, ...] = ()
    kind: str | None = None
    batch_size: int | str | None = None
    threads: int | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)
    allow_cpu: bool = False
    tf32: bool = False
    fuse: bool | None = None
    sandbox: bool | None = None
    memory: int | str | None = None
    deadline: float | None = None
    custom_ops: str | None = None
    custom_ops_sha256: str | None = None
    redraw: int | None = None

    def __post_init__(self) -> None:
        if self.kind is not None:
            choice("kind", self.kind, KINDS)
        if isinstance(self.batch_size, str):
            choice("batch_size", self.batch_size, PACES)
        for name in ("batch_size", "threads"):
            if getattr(self, name) is not None and not isinstance(getattr(self, name), str):
                whole(name, getattr(self, name), 1)
        if self.memory is not None:
            parse_bytes(self.memory)
        if self.deadline is not None:
            number("deadline", self.deadline, 0, strict=True)
        if self.sandbox is False and (self.memory is not None or self.deadline is not None):
            raise RequestError("memory and deadline can only be enforced in the sandbox: leave it on.")
        if (self.custom_ops is None) != (self.custom_ops_sha256 is None):
            raise RequestError(
                "A library of custom operators is native code: give both its place and its SHA-256 "
                "(--custom-ops PATH --custom-ops-sha256 DIGEST)."
            )
        if self.redraw is not None:
            whole("redraw", self.redraw, 0)

    @property
    def memory_bytes(self) -> int | None:
        """The ceiling in bytes, where one was set."""
        return None if self.memory is None else parse_bytes(self.memory)

    @property
    def confined(self) -> bool:
        """The session lives in a confined process."""
        bounded = self.memory is not None or self.deadline is not None
        return bounded if self.sandbox is None else self.sandbox
