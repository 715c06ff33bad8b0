"""Any Python function as a model: float32 (n, *shape) -> (n, outputs)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from blackbox.errors import ModelError, RequestError
from blackbox.model import Identity, Limits, Rows, Signature, Tensor
from blackbox.settings import choice, parse, whole

KINDS = ("probabilities", "logits", "values", "embedding")


@dataclass(frozen=True)
class FunctionOptions:
    """shape : of one input, without the batch axis. classes : names of the output's columns.
    kind : what the output holds, None = observed. batch_size : rows per call."""

    shape: tuple[int, ...] | None = None
    classes: tuple[str, ...] = ()
    kind: str | None = None
    batch_size: int = 1024

    def __post_init__(self) -> None:
        whole("batch_size", self.batch_size, 1)
        if self.kind is not None:
            choice("kind", self.kind, KINDS)
        if self.shape is None:
            raise RequestError('A Python function needs its input shape: options={"shape": (8,)}.')


@dataclass(frozen=True)
class FunctionModel:
    """A Python function with the port's face."""

    function: Callable[[np.ndarray], np.ndarray]
    signature: Signature
    limits: Limits
    identity: Identity = field(default=Identity("function", {}, "python", "cpu"))

    def predict(self, rows: Rows) -> Rows:
        """Call the function; a result of shape (n,) is one output column.

        Raises
        ------
        ModelError : the function raised, or returned no numbers.
        """
        (array,) = rows.values()
        try:
            answer = np.asarray(self.function(array))
        except Exception as error:  # whatever a stranger's function raises is the model's side
            raise ModelError(f"The function raised {type(error).__name__}: {error}.") from error
        return {"output": answer}


def open_function(source: Any, device: str, options: Mapping[str, Any]) -> FunctionModel:
    """Open a Python function; it runs where it likes, so ``device`` must be ``auto`` or ``cpu``."""
    if device not in ("auto", "cpu"):
        raise RequestError(f"A Python function runs where it likes; device {device!r} cannot be chosen.")
    settings = parse(FunctionOptions, options, "a Python function") if options else FunctionOptions()
    assert settings.shape is not None
    inputs = (Tensor("input", "float32", ("batch", *settings.shape)),)
    outputs = (Tensor("output", "float32", ("batch", None), settings.classes),)
    name = getattr(source, "__qualname__", type(source).__name__)
    return FunctionModel(
        source,
        Signature(inputs, outputs, "output", settings.kind),
        Limits(settings.batch_size),
        Identity(f"function {name}", {}, "python", "cpu"),
    )
