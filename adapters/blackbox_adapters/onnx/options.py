"""What may be set when an ONNX file is opened."""

from __future__ import annotations

from dataclasses import dataclass

from blackbox.settings import choice, whole

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
    redraw : seed by which the weights are shuffled before the session starts; None = they stay.
    """

    output: str | None = None
    select: str | None = None
    classes: tuple[str, ...] = ()
    kind: str | None = None
    batch_size: int | None = None
    threads: int | None = None
    redraw: int | None = None

    def __post_init__(self) -> None:
        if self.kind is not None:
            choice("kind", self.kind, KINDS)
        for name in ("batch_size", "threads"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name), 1)
        if self.redraw is not None:
            whole("redraw", self.redraw, 0)
