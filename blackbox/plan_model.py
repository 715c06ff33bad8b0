"""What a plan says about its model: which file or address, its digest, how it is opened and read."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from blackbox.messages import DEVICE, DIGEST
from blackbox.strict import Strict as _Strict


class ModelPart(_Strict):
    """The model: its file (relative to the plan) or its URL, what it must hash to, where it runs, how it is
    read.

    classes : names of the output's columns, or a text file with one name per line. batch_size : rows per
    forward pass, ``rule`` or ``probe``; None = ``probe`` for an ONNX file. constants : inputs that are the
    same in every pass, name -> value or .npy file. allow_cpu : use the CPU where the GPU that is asked for
    does not start. sandbox : run the file in a confined process; None = ONNX files are. options : further
    settings of the adapter, such as ``memory``, ``deadline`` and ``custom_ops`` of an ONNX file, or
    ``token_env`` of a model behind a URL.
    """

    path: str
    sha256: str | None = Field(default=None, pattern=DIGEST)
    device: str = Field(default="auto", pattern=DEVICE)
    output: str | None = None
    select: str | None = None
    kind: str | None = None
    classes: tuple[str, ...] | str = ()
    batch_size: int | Literal["rule", "probe"] | None = None
    threads: int | None = None
    constants: dict[str, int | float | str | list[Any]] = Field(default_factory=dict)
    allow_cpu: bool = False
    sandbox: bool | None = None
    options: dict[str, Any] = Field(default_factory=dict)
