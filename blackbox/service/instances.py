"""Inputs as KServe's version 1 writes them: a list of instances, or columns by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from blackbox.casts import cast
from blackbox.errors import RequestError, unknown
from blackbox.inputs import conform
from blackbox.model import Signature, Tensor
from blackbox.service.failures import TooLarge
from blackbox.service.settings import Ceilings


def rows_of(body: Mapping[str, Any], signature: Signature, columns: tuple[str, ...], ceilings: Ceilings,
            ) -> dict[str, np.ndarray]:  # fmt: skip
    """Read the rows of a version 1 body.

    Parameters
    ----------
    body : ``instances``, a list with one value per input, an object of input name -> value, or an object of
        column name -> number where the table's columns are known; ``inputs`` may stand in its place, as
        may an object of input name -> all rows. columns : the table's, in the model's order; () = unknown.

    Returns
    -------
    One array per input name with a leading axis of rows, in the declared dtype.

    Raises
    ------
    RequestError : no instances, or ones that do not fit. TooLarge : too many values.
    """
    given = body.get("instances", body.get("inputs"))
    if isinstance(given, dict) and "instances" not in body:
        arrays = given
        for name in arrays:
            if name not in {tensor.name for tensor in signature.inputs}:
                raise unknown("model input", name, [tensor.name for tensor in signature.inputs])
    elif isinstance(given, list) and given:
        arrays = _by_input(given, signature, columns)
    else:
        raise RequestError("A request needs instances: a list with at least one input.")
    return fitted(signature, arrays, ceilings)


def fitted(signature: Signature, arrays: Mapping[str, Any], ceilings: Ceilings) -> dict[str, np.ndarray]:
    """Cast arrays with a leading axis of rows to what the model takes, and check their shapes.

    Raises
    ------
    RequestError, TooLarge : as ``rows_of``.
    """
    rows = {}
    for tensor in signature.inputs:
        if tensor.name in arrays:
            rows[tensor.name] = _cells(
                tensor, cast(f"Input {tensor.name!r}", tensor.dtype, arrays[tensor.name])
            )
    counts = {len(array) for array in rows.values()}
    if sum(array.size for array in rows.values()) > ceilings.cells:
        raise TooLarge(f"The inputs hold more than the {ceilings.cells:,} values allowed.")
    if len(counts) > 1 or 0 in counts:
        raise RequestError(
            f"Every input needs as many rows as the others, at least one; got {sorted(counts)}."
        )
    conform(signature, {**arrays, **{name: array[0] for name, array in rows.items()}})
    return rows


def _by_input(given: list[Any], signature: Signature, columns: tuple[str, ...]) -> dict[str, Any]:
    """Turn a list of instances into one list per input."""
    names = [tensor.name for tensor in signature.inputs]
    if not isinstance(given[0], dict):
        if len(names) > 1:
            raise RequestError(f"The model has inputs {', '.join(names)}: every instance must name them.")
        return {names[0]: given}
    if len(names) == 1 and columns and names[0] not in given[0]:
        names, single = list(columns), names[0]
        table = _columns(given, names)
        return {single: [[table[name][k] for name in names] for k in range(len(given))]}
    return dict(_columns(given, names))


def _columns(given: list[Any], names: list[str]) -> dict[str, list[Any]]:
    """Gather the values of every name over all instances, refusing missing and unknown ones."""
    for k, instance in enumerate(given):
        if not isinstance(instance, dict):
            raise RequestError(f"Instance {k} is no object of names to values, as the first one is.")
        for name in instance:
            if name not in names:
                raise unknown(f"name in instance {k}:", name, names)
        for name in names:
            if name not in instance:
                raise RequestError(f"Instance {k} has no value for {name!r}.")
    return {name: [instance[name] for instance in given] for name in names}


def _cells(tensor: Tensor, array: np.ndarray) -> np.ndarray:
    """Give a column of single numbers the shape that an input of one cell has."""
    if array.ndim < 1:
        raise RequestError(f"Input {tensor.name!r} needs a list of rows.")
    cells = tensor.cell_shape
    if array.ndim == 1 and len(cells) == 1 and cells[0] in (1, None) and tensor.shape:
        return array.reshape(-1, 1)
    return array
