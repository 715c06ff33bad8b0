"""Inputs that are no part of the question: a sample rate, a state, an optional input that stays out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from blackbox.casts import cast
from blackbox.errors import RequestError, unknown
from blackbox.model import Tensor


@dataclass(frozen=True)
class Constant:
    """A value that every forward pass gets.

    tensor : the input. value : an array, or None for an optional input that stays out. batch : the axis
    along which the value is repeated for every row, None where it is fed as it is.
    """

    tensor: Tensor
    value: np.ndarray | None
    batch: int | None = None

    def fed(self, rows: int) -> np.ndarray | None:
        """Return what a pass of so many rows gets."""
        if self.value is None or self.batch is None or self.value.shape[self.batch] == rows:
            return self.value
        return np.repeat(self.value.take([0], axis=self.batch), rows, axis=self.batch)

    def facts(self) -> dict[str, Any]:
        """Return what the record says about it."""
        if self.value is None:
            return {"left_out": True}
        text = self.value.dtype == object
        data = "\0".join(self.value.ravel()).encode() if text else np.ascontiguousarray(self.value).tobytes()
        found: dict[str, Any] = {"shape": list(self.value.shape), "sha256": hashlib.sha256(data).hexdigest()}
        return found | ({"value": self.value.ravel().tolist()} if self.value.size <= 8 else {})


def read_constants(
    given: Mapping[str, Any], offered: Sequence[Tensor], optional: Sequence[str]
) -> tuple[Constant, ...]:
    """Turn what the caller holds fixed into arrays of the declared dtype and shape.

    Parameters
    ----------
    given : input name -> a number, text, a list, an array, or the path of an .npy file. A single number
        fills the input's fixed axes. offered : the model's inputs and its initialisers that may be
        overridden. optional : inputs that may stay out; they do unless they are given.

    Raises
    ------
    RequestError : unknown name, a value that does not fit, or nothing left to explain.
    """
    by_name = {tensor.name: tensor for tensor in offered}
    for name in given:
        if name not in by_name:
            raise unknown("model input to hold constant:", name, by_name)
    batch = _batch_symbol([t for t in offered if t.name not in given and t.name not in optional])
    fixed = [_constant(by_name[name], value, batch) for name, value in given.items()]
    return (*fixed, *(Constant(by_name[name], None) for name in optional if name not in given))


def _batch_symbol(asked: Sequence[Tensor]) -> str | None:
    """The name of the batch axis of the inputs that are asked about, where it has one."""
    first = [tensor.shape[0] for tensor in asked if tensor.shape]
    return next((axis for axis in first if isinstance(axis, str)), None)


def _constant(tensor: Tensor, value: Any, batch: str | None) -> Constant:
    what = f"The constant for input {tensor.name!r}"
    array = cast(what, tensor.dtype, read_value(what, value))
    axes = [k for k, size in enumerate(tensor.shape) if isinstance(size, str) and size == batch]
    if array.ndim == 0 and tensor.shape:
        open_axes = [s for k, s in enumerate(tensor.shape) if not isinstance(s, int) and k not in axes]
        if open_axes:
            raise RequestError(
                f"{what} is one number, but the input's shape {tensor.shape} is open: give an .npy file."
            )
        array = np.full([size if isinstance(size, int) else 1 for size in tensor.shape], array)
    fits = array.ndim == len(tensor.shape) and all(
        not isinstance(size, int) or size == have
        for size, have in zip(tensor.shape, array.shape, strict=True)
    )
    if not fits:
        raise RequestError(f"{what} has shape {array.shape}; the model declares {tensor.shape}.")
    return Constant(tensor, array, axes[0] if axes and array.shape[axes[0]] == 1 else None)


def read_value(what: str, value: Any) -> Any:
    """Return a constant's value as it was given, or what the .npy file that it names holds.

    Raises
    ------
    RequestError : the file cannot be read.
    """
    if not isinstance(value, (str, Path)) or not str(value).lower().endswith(".npy"):
        return value
    try:
        with Path(value).open("rb") as file:
            return np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise RequestError(f"{what} cannot be read from {value}: {str(error).rstrip('.')}.") from None
