"""Arrays in memory and in .npy/.npz files, made to fit a model's inputs."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from blackbox.errors import RequestError, unknown
from blackbox.model import Signature, Tensor, missing_file


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
    return {name: _shaped(tensor, cast(tensor, given[name])) for name, tensor in tensors.items()}


def _only(tensors: Mapping[str, Tensor]) -> str:
    if len(tensors) == 1:
        return next(iter(tensors))
    raise RequestError(
        f"The model has {len(tensors)} inputs ({', '.join(tensors)}): give a mapping of name to array."
    )


def cast(tensor: Tensor, values: object) -> np.ndarray:
    """Cast values to a tensor's dtype, refusing whatever would be lost.

    Rounding to a shorter float is no loss; overflow, a fraction in a whole-number input, text that
    is no number, and values that are not finite are.
    """
    array = np.asarray(values)
    if tensor.dtype == "string":
        return _text(tensor, array)
    try:
        wide = array.astype(np.float64) if array.dtype.kind not in "biuf" else array
    except (ValueError, TypeError):
        bad = next((v for v in array.ravel().tolist() if not _is_number(v)), array)
        raise RequestError(f"Input {tensor.name!r} needs numbers; {bad!r} is none.") from None
    if wide.dtype.kind == "f" and not np.isfinite(wide).all():
        spot = tuple(int(i) for i in np.argwhere(~np.isfinite(wide))[0])
        where = f" at position {spot[0] if len(spot) == 1 else spot}" if spot else ""
        raise RequestError(
            f"Input {tensor.name!r} holds {wide[spot]}{where}: values must be finite. "
            "Fill or drop missing values before asking."
        )
    return _narrow(tensor, wide)


def _narrow(tensor: Tensor, wide: np.ndarray) -> np.ndarray:
    dtype = np.dtype("float32" if tensor.dtype == "bfloat16" else tensor.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = wide.astype(dtype)
    lost = ~np.isfinite(narrow) if dtype.kind == "f" else narrow != wide
    if np.any(lost):
        value = wide[lost].ravel()[0] if wide.ndim else wide
        raise RequestError(f"Input {tensor.name!r} is {tensor.dtype}, which cannot hold {value}.")
    return np.asarray(narrow)


def _text(tensor: Tensor, array: np.ndarray) -> np.ndarray:
    for value in array.ravel().tolist():
        if not isinstance(value, str):
            raise RequestError(f"Input {tensor.name!r} needs text; {value!r} is none.")
    return array.astype(object)


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return False
    return True


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
        arrays = _load(path)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise RequestError(f"{path} cannot be read as {path.suffix} without pickle: {error}.") from None
    tensors = {tensor.name: tensor for tensor in signature.inputs}
    if list(arrays) == [""] or (len(arrays) == len(tensors) == 1 and not set(arrays) & set(tensors)):
        arrays = {_only(tensors): next(iter(arrays.values()))}
    for name in arrays:
        if name not in tensors:
            raise unknown(f"model input in {path.name}:", name, tensors)
    return {name: _with_rows(tensors[name], array) for name, array in arrays.items()}


def _load(path: Path) -> dict[str, np.ndarray]:
    if path.suffix != ".npz":
        return {"": np.load(path, allow_pickle=False)}
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive}


def _with_rows(tensor: Tensor, array: np.ndarray) -> np.ndarray:
    return array[None] if array.ndim == len(tensor.cell_shape) else array
