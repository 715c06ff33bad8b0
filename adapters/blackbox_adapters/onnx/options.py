"""What may be set when an ONNX file is opened."""

from __future__ import annotations

from dataclasses import dataclass

from blackbox.errors import RequestError
from blackbox.settings import choice, number, whole
from blackbox_adapters.sandbox.bounds import parse_bytes

KINDS = ("probabilities", "logits", "values")


@dataclass(frozen=True)
class OnnxOptions:
    """Settings of the ONNX adapter.

    output : the output to ask, or several to read as one table, separated by commas; None = the last
        floating-point one (classifiers put their label first), or all of a classifier that has one
        output per class. select : part of it, such as ``[0,:,1]``; None = all.
    classes : names of its columns; () = from the graph, where it names them.
    kind : what it holds, ``probabilities``, ``logits`` or ``values``; None = observed.
    batch_size : rows per forward pass; None = by rule from the size of one row.
    threads : of ONNX Runtime within one pass; None = its own default, one per core.
    sandbox : the file is parsed and run in a confined process; None = only where memory or deadline
        are set, which nothing else can enforce.
    memory : most resident memory of both processes, such as ``2GiB``; None = four fifths of the
        machine's for the confined one. deadline : seconds for loading, and for every pass; None = 300.
    """

    output: str | None = None
    select: str | None = None
    classes: tuple[str, ...] = ()
    kind: str | None = None
    batch_size: int | None = None
    threads: int | None = None
    sandbox: bool | None = None
    memory: int | str | None = None
    deadline: float | None = None

    def __post_init__(self) -> None:
        if self.kind is not None:
            choice("kind", self.kind, KINDS)
        for name in ("batch_size", "threads"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name), 1)
        if self.memory is not None:
            parse_bytes(self.memory)
        if self.deadline is not None:
            number("deadline", self.deadline, 0, strict=True)
        if self.sandbox is False and (self.memory is not None or self.deadline is not None):
            raise RequestError("memory and deadline can only be enforced in the sandbox: leave it on.")

    @property
    def confined(self) -> bool:
        """The session lives in a confined process."""
        bounded = self.memory is not None or self.deadline is not None
        return bounded if self.sandbox is None else self.sandbox
