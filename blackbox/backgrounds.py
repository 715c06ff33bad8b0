"""What absent looks like: the rows that stand in for what is hidden, and the rule behind them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from blackbox.casts import cast
from blackbox.errors import RequestError, unknown
from blackbox.features import picture_axes


@dataclass(frozen=True)
class Background:
    """B rows per input name, and one sentence on how they were chosen."""

    rows: Mapping[str, np.ndarray]
    rule: str = "rows given by the caller"

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))

    @property
    def sha256(self) -> str:
        """Digest of names, dtypes, shapes and values."""
        digest = hashlib.sha256()
        for name in sorted(self.rows):
            array = np.ascontiguousarray(self.rows[name])
            digest.update(f"{name}:{array.dtype.kind}{array.shape}".encode())
            text = array.dtype == object
            digest.update("\0".join(array.ravel()).encode() if text else array.tobytes())
        return digest.hexdigest()


def zeros(x: Mapping[str, np.ndarray]) -> Background:
    """Return the default: one row of zeros (of empty strings where the input is text)."""
    rows = {
        name: np.full((1, *array.shape), "", dtype=object)
        if array.dtype == object
        else np.zeros((1, *array.shape), dtype=array.dtype)
        for name, array in x.items()
    }
    return Background(rows, "default: one row of zeros")


def filled(x: Mapping[str, np.ndarray], value: float) -> Background:
    """Return one row that holds one value everywhere, such as the id of a mask token.

    Raises
    ------
    RequestError : an input holds text.

    Examples
    --------
    >>> filled({"ids": np.array([7, 8, 9])}, 103).rows["ids"].tolist()
    [[103, 103, 103]]
    """
    if any(array.dtype == object for array in x.values()):
        raise RequestError("A fill value needs inputs of numbers.")
    rows = {name: np.full((1, *array.shape), value, dtype=array.dtype) for name, array in x.items()}
    return Background(rows, f"one row that holds {value:g} everywhere")


def blur(x: Mapping[str, np.ndarray], sigma: float) -> Background:
    """Return one row, the input's picture blurred: only its coarse light and shade are left.

    Parameters
    ----------
    sigma : standard deviation of the Gaussian in pixels.

    Raises
    ------
    RequestError : the input is not one picture of floating-point numbers.
    """
    from scipy.ndimage import gaussian_filter

    arrays = list(x.items())
    axes = picture_axes(arrays[0][1].shape) if len(arrays) == 1 and arrays[0][1].dtype.kind == "f" else None
    if axes is None:
        raise RequestError("A blurred background needs a model with one input, a picture.")
    name, array = arrays[0]
    widths = [sigma if axis in axes else 0.0 for axis in range(array.ndim)]
    return Background(
        {name: gaussian_filter(array, widths)[None]}, f"the picture blurred by {sigma:g} pixels"
    )


def mean(rows: Mapping[str, np.ndarray]) -> Background:
    """Return one row, the mean of the given rows (number inputs only)."""
    if any(array.dtype.kind != "f" for array in rows.values()):
        raise RequestError("A mean background needs inputs of floating-point numbers.")
    means = {n: a.mean(axis=0, keepdims=True, dtype=float).astype(a.dtype) for n, a in rows.items()}
    return Background(means, f"the mean of {_count(rows)} rows")


def sample(rows: Mapping[str, np.ndarray], count: int, rng: np.random.Generator) -> Background:
    """Return ``count`` of the given rows, drawn without replacement and kept in their order."""
    have = _count(rows)
    if count >= have:
        return Background(dict(rows), f"all {have} rows given")
    kept = np.sort(rng.choice(have, size=count, replace=False))
    return Background({n: a[kept] for n, a in rows.items()}, f"{count} of {have} rows, drawn at random")


def accept(given: object, x: Mapping[str, np.ndarray], rule: str = "rows given by the caller") -> Background:
    """Check rows against an input and return them as a Background in the input's dtypes.

    Parameters
    ----------
    given : None (zeros), a Background, an array for a model with one input, or one array per input
        name; each with a leading axis of rows, or one row without it.
    x : the input, one array per name without the batch axis.

    Raises
    ------
    RequestError : empty, wrong shape or number of columns, unknown input, or not finite.
    """
    if given is None:
        return zeros(x)
    if isinstance(given, Background):
        return accept(given.rows, x, given.rule)
    arrays = given if isinstance(given, Mapping) else {next(iter(x)): given}
    for name in arrays:
        if name not in x:
            raise unknown("input in the background:", name, x)
    for name in x:
        if name not in arrays:
            raise RequestError(f"The background has no rows for input {name!r}.")
    rows = {name: _accept_one(name, arrays[name], x[name]) for name in x}
    counts = {len(array) for array in rows.values()}
    if len(counts) > 1:
        raise RequestError(f"The background's inputs differ in their number of rows: {sorted(counts)}.")
    return Background(rows, rule)


def _accept_one(name: str, given: object, like: np.ndarray) -> np.ndarray:
    what = "The background" if name == "input" else f"The background of input {name!r}"
    dtype = "string" if like.dtype == object else like.dtype.name
    rows = _sized(what, given)
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
        spot = tuple(map(int, np.argwhere(~np.isfinite(rows))[0]))
        raise RequestError(f"{what} holds {rows[spot]} in row {spot[0]}; values must be finite.")
    array = cast(what, dtype, rows) if rows.size else np.zeros((0, *like.shape))
    if array.shape == like.shape:
        array = array[None]
    if array.size == 0:
        raise RequestError("The background is empty: it needs at least one row.")
    if array.shape[1:] != like.shape:
        raise RequestError(
            f"Background rows of shape {array.shape[1:]} do not fit input {name!r} of shape "
            f"{like.shape}: they need the same columns as the input."
        )
    return array


def _sized(what: str, given: object) -> np.ndarray:
    try:
        return np.asarray(given)
    except ValueError:
        raise RequestError(f"{what} holds rows that differ in their number of columns.") from None


def _count(rows: Mapping[str, np.ndarray]) -> int:
    return len(next(iter(rows.values())))
