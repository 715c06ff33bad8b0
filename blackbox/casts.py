"""Values into a model's dtype, refusing whatever would be lost on the way."""

from __future__ import annotations

import numpy as np

from blackbox.errors import RequestError

HELD = {"string": "object", "bfloat16": "float32"}
"""Dtypes of models that are held in another one."""


def numpy_dtype(dtype: str) -> np.dtype:
    """Return the NumPy dtype in which a tensor of a model's dtype is held.

    Text is held as objects; bfloat16, which NumPy lacks, as float32 rounded to it.

    Raises
    ------
    TypeError : NumPy has no such dtype.
    """
    return np.dtype(HELD.get(dtype, dtype))


def cast(what: str, dtype: str, values: object) -> np.ndarray:
    """Cast values to a model's dtype.

    Rounding to a shorter float is no loss; overflow, a fraction in a whole-number input, text that is
    no number, and values that are not finite are.

    Parameters
    ----------
    what : how to name the values in an error, for example ``"Input 'x'"``.
    dtype : a tensor's dtype name; ``string`` for text.

    Raises
    ------
    RequestError : a value would be lost, or the values are no array.
    """
    try:
        array = np.asarray(values)
    except ValueError:
        raise RequestError(f"{what} needs rows of equal length; these differ.") from None
    if dtype == "string":
        return _text(what, array)
    wide = _numbers(what, array)
    if wide.dtype.kind == "f" and not np.isfinite(wide).all():
        spot = tuple(int(i) for i in np.argwhere(~np.isfinite(wide))[0])
        where = f" at position {spot[0] if len(spot) == 1 else spot}" if spot else ""
        raise RequestError(
            f"{what} holds {wide[spot]}{where}: values must be finite. "
            "Fill or drop missing values before asking."
        )
    return _narrow(what, dtype, wide)


def _numbers(what: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind in "biuf":
        return array
    bad = next((v for v in array.ravel().tolist() if not is_number(v)), None)
    if bad is not None or array.dtype.kind not in "OUS":
        shown = repr(bad) if bad is not None else f"{array.dtype}"
        raise RequestError(f"{what} needs numbers; {shown} is none.")
    return array.astype(np.float64)


def _narrow(what: str, dtype: str, wide: np.ndarray) -> np.ndarray:
    target = numpy_dtype(dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = wide.astype(target)
        if dtype == "bfloat16":
            from ml_dtypes import bfloat16

            narrow = narrow.astype(bfloat16).astype(target)
    lost = ~np.isfinite(narrow) if target.kind == "f" else narrow != wide
    if np.any(lost):
        value = wide[lost].ravel()[0] if wide.ndim else wide
        raise RequestError(f"{what} is {dtype}, which cannot hold {value}.")
    return np.asarray(narrow)


def _text(what: str, array: np.ndarray) -> np.ndarray:
    for value in array.ravel().tolist():
        if not isinstance(value, str):
            raise RequestError(f"{what} needs text; {value!r} is none.")
    return array.astype(object)


def is_number(value: object) -> bool:
    """A number, text that reads as one, or None (which reads as a missing number)."""
    if value is None:
        return True
    try:
        float(value)  # type: ignore[arg-type]
    except (ValueError, TypeError, OverflowError):
        return False
    return True
