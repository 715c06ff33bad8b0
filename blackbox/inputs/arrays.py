"""Arrays in memory and in .npy/.npz files, made to fit a model's inputs."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from blackbox.casts import cast
from blackbox.errors import RequestError, unknown
from blackbox.inputs.numpy_files import read_npy, read_npz
from blackbox.model import Signature, Tensor, missing_file

UNREADABLE = (
    ValueError, OSError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip
"""What NumPy and zipfile raise about a file; RuntimeError is zipfile's word for a password."""


def conform(signature: Signature, x: object) -> dict[str, np.ndarray]:
    """Make one input fit: one array per input name, declared dtype, without the batch axis.

    Parameters
    ----------
    x : an array for a model with one input, or a mapping of input name -> array.

    Raises
    ------
    RequestError : missing or unknown input, wrong shape, a value that does not survive the cast,
        or one that is not finite.
    """
    tensors = {tensor.name: tensor for tensor in signature.inputs}
    given = x if isinstance(x, Mapping) else {_only(tensors): x}
    for name in given:
        if name not in tensors:
            raise unknown("model input", name, tensors)
    for name in tensors:
        if name not in given:
            raise RequestError(f"The model's input {name!r} is missing; it takes {', '.join(tensors)}.")
    return {
        name: _shaped(tensor, cast(f"Input {name!r}", tensor.dtype, given[name]))
        for name, tensor in tensors.items()
    }


def conform_each(signature: Signature, x: object, count: int) -> Iterator[dict[str, np.ndarray]]:
    """Make many inputs fit, each as ``conform`` does; arrays of numbers are cast as a whole.

    Parameters
    ----------
    x : as ``conform`` takes it, with a leading axis of ``count`` inputs.

    Raises
    ------
    RequestError : as ``conform``, when the input in question is reached.
    """
    tensors = {tensor.name: tensor for tensor in signature.inputs}
    given: dict[str, Any] = dict(x) if isinstance(x, Mapping) else {_only(tensors): x}
    ready: dict[str, np.ndarray] = {}
    if given.keys() == tensors.keys():
        with suppress(RequestError):  # told when the input that is to blame is reached
            ready = {name: cast("", tensor.dtype, given[name]) for name, tensor in tensors.items()}
    for k in range(count):
        one = {name: array[k] for name, array in (ready or given).items()}
        if ready:
            yield {name: _shaped(tensors[name], array) for name, array in one.items()}
        else:
            yield conform(signature, one)


def _only(tensors: Mapping[str, Tensor]) -> str:
    if len(tensors) == 1:
        return next(iter(tensors))
    raise RequestError(
        f"The model has {len(tensors)} inputs ({', '.join(tensors)}): give a mapping of name to array."
    )


def _shaped(tensor: Tensor, array: np.ndarray) -> np.ndarray:
    wanted = tensor.cell_shape
    if not tensor.shape:
        return array
    fits = array.ndim == len(wanted) and all(
        not isinstance(size, int) or size == have for size, have in zip(wanted, array.shape, strict=True)
    )
    if fits:
        return array
    shown = "(" + ", ".join("any" if s is None else str(s) for s in wanted) + ")"
    advice = "one input is expected, without the batch axis"
    if len(wanted) == 1 and array.ndim == 1 and isinstance(wanted[0], int):
        advice = f"the model needs {wanted[0]} columns and got {array.shape[0]}"
    raise RequestError(f"Input {tensor.name!r} needs shape {shown}, got {array.shape}: {advice}.")


def read_arrays(path: Path, signature: Signature) -> dict[str, np.ndarray]:
    """Read rows from .npy (a model with one input) or .npz (one array per input name).

    An array of the input's own rank is one row. Nothing is unpickled.

    Returns
    -------
    One array per input name with a leading axis of rows, not yet cast.
    """
    if not path.exists():
        raise missing_file(path, "data")
    try:
        arrays = {"": read_npy(path)} if path.suffix.lower() == ".npy" else read_npz(path)
    except UNREADABLE as error:
        why = str(error).rstrip(".")
        raise RequestError(f"{path} cannot be read as {path.suffix} without pickle: {why}.") from None
    tensors = {tensor.name: tensor for tensor in signature.inputs}
    if list(arrays) == [""] or (len(arrays) == len(tensors) == 1 and not set(arrays) & set(tensors)):
        arrays = {_only(tensors): next(iter(arrays.values()))}
    for name in arrays:
        if name not in tensors:
            raise unknown(f"model input in {path.name}:", name, tensors)
    return {name: _with_rows(tensors[name], array) for name, array in arrays.items()}


def _with_rows(tensor: Tensor, array: np.ndarray) -> np.ndarray:
    return array[None] if array.ndim <= len(tensor.cell_shape) else array
