"""How the asked numbers are taken from what the runtime returns: one output, several joined, or a part."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from blackbox.errors import ModelError, RequestError, unknown
from blackbox.model import Tensor

Part = tuple[int | slice, ...]


@dataclass(frozen=True)
class Answer:
    """The outputs to run and how their arrays become one table.

    outputs : names, joined column by column where there are several. part : an index into one row's
    output, without the batch axis; () = all of it. tensor : what the rest of the house sees.
    """

    outputs: tuple[str, ...]
    part: Part
    tensor: Tensor

    def take(self, values: Sequence[Any], rows: int | None, single: bool = False) -> np.ndarray:
        """Return the asked numbers of the first ``rows`` rows, of all where that is None.

        single : the pass had one row, so that a number without an axis is that row's own.

        Raises
        ------
        ModelError : an output is a sequence that is no class mapping, or lacks the asked part.
        """
        arrays = [self._array(value, rows, single) for value in values]
        if len(arrays) > 1:
            return np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)
        if not self.part:
            return arrays[0]
        try:
            return np.asarray(arrays[0][(slice(None), *self.part)])
        except IndexError:
            shape = arrays[0].shape
            raise ModelError(f"The output's shape {shape} has no part {self.tensor.name!r}.") from None

    def _array(self, value: Any, rows: int | None, single: bool) -> np.ndarray:
        array = _from_maps(value, self.tensor) if isinstance(value, list) else np.asarray(value)
        if array.ndim == 0:
            return array.reshape(1) if single else array
        return array[:rows]


def _from_maps(answer: Sequence[Mapping[Any, float]], output: Tensor) -> np.ndarray:
    """Turn a ZipMap's list of mappings into Float[np.ndarray, "n c"] in the order of the labels."""
    if not answer or not isinstance(answer[0], Mapping):
        raise ModelError(f"Output {output.name!r} is a sequence that is no class mapping.")
    keys = list(answer[0])
    by_text = {str(key): key for key in keys}
    ordered = [by_text[label] for label in output.labels] if set(output.labels) == set(by_text) else keys
    return np.array([[row[key] for key in ordered] for row in answer])


def choose(
    outputs: tuple[Tensor, ...], asked: str | None, select: str | None, batch: int | str | None = None
) -> Answer:
    """Decide which numbers are asked for.

    Parameters
    ----------
    outputs : what the model offers. asked : an output's name, several separated by commas, or None: a
        classifier with one output per class is read as one table, else the last floating-point
        output is taken (classifiers put their label first).
    select : part of the output as an index such as ``[0,:,1]`` over all axes (the batch's is 0 or :)
        or ``[:,1]`` over one row's axes; None = all of it.
    batch : the leading axis of the inputs that are asked about. An output that declares another length
        (a state of two layers) is no row's answer and is asked only by name.

    Raises
    ------
    RequestError : unknown output, or an index that does not fit. ModelError : no output holds numbers.
    """
    names = _names(outputs, asked, batch)
    by_name = {tensor.name: tensor for tensor in outputs}
    if len(names) > 1:
        if select:
            raise RequestError("select takes a part of one output; several outputs were named.")
        joined = Tensor(",".join(names), by_name[names[0]].dtype, (None, len(names)), names)
        return Answer(names, (), joined)
    tensor = by_name[names[0]]
    if not select:
        return Answer(names, (), tensor)
    part = _parse(select, len(tensor.shape))
    return Answer(names, part, Tensor(f"{tensor.name}{select.replace(' ', '')}", tensor.dtype, (None, None)))


def _names(outputs: tuple[Tensor, ...], asked: str | None, batch: int | str | None) -> tuple[str, ...]:
    known = [tensor.name for tensor in outputs]
    if asked is not None:
        named = (asked,) if asked in known else tuple(name.strip() for name in asked.split(","))
        for name in named:
            if name not in known:
                raise unknown("output", name, known)
        return named
    floats = [tensor for tensor in outputs if tensor.dtype.startswith(("float", "bfloat"))]
    others = [tensor for tensor in outputs if tensor not in floats]
    floats = [tensor for tensor in floats if _per_row(tensor, batch)] or floats
    numbers = [tensor.name for tensor in outputs if tensor.dtype.startswith(("int", "uint", "bool"))]
    if not floats and not numbers:
        raise ModelError(f"The model has no output that holds numbers, only {', '.join(known)}.")
    if len(floats) > 1 and others and all(len(tensor.shape) == 1 for tensor in floats):
        return tuple(tensor.name for tensor in floats)
    return (floats[-1].name if floats else numbers[-1],)


def _per_row(tensor: Tensor, batch: int | str | None) -> bool:
    """No other length is declared than the batch's; [1] is written by exporters that mean any number."""
    length = tensor.shape[0] if tensor.shape else None
    return not isinstance(length, int) or length in (1, batch)


def _parse(select: str, rank: int) -> Part:
    """Read an index; drop the batch axis where it is there."""
    match = re.fullmatch(r"\[([-\d:,\s]+)\]", select.strip())
    parts = [_entry(text.strip(), select) for text in match[1].split(",")] if match else []
    if not parts or len(parts) > max(rank, 1):
        raise RequestError(
            f"select needs an index such as [:,1] or [0,:,1] over at most {rank} axes; got {select!r}."
        )
    if len(parts) < rank:
        return tuple(parts)
    if parts[0] not in (0, slice(None)):
        raise RequestError(f"select {select!r} picks rows: its first entry stands for the batch, 0 or :.")
    return tuple(parts[1:])


def _entry(text: str, select: str) -> int | slice:
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    if re.fullmatch(r"(-?\d+)?:(-?\d+)?", text):
        start, stop = text.split(":")
        return slice(int(start) if start else None, int(stop) if stop else None)
    raise RequestError(f"select {select!r} holds {text!r}, which is no number and no range such as 0:4.")
