"""Tables: CSV and Parquet files whose columns become a model's inputs."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from blackbox.casts import cast, is_number
from blackbox.errors import RequestError, unknown
from blackbox.model import Signature, Tensor, missing_file

SUFFIXES = (".csv", ".parquet")

PIECE, MOST_SEEN = 4096, 200_000
"""Rows that are held as lists at a time, and texts that are remembered to be shared."""


@dataclass(frozen=True)
class Table:
    """Columns by name, as text or numbers, exactly as they stand in the file."""

    columns: Mapping[str, np.ndarray]
    source: str

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def column(self, name: str) -> np.ndarray:
        """Return one column, or name the nearest one that exists."""
        if name not in self.columns:
            raise unknown(f"column in {self.source}:", name, self.columns)
        return self.columns[name]


def read_table(path: Path) -> Table:
    """Read .csv (every column as text, so that 01234 stays 01234) or .parquet.

    Raises
    ------
    RequestError : missing, empty, malformed, or with a column name that stands twice.
    """
    if not path.exists():
        raise missing_file(path, "data")
    columns = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    if not columns or not len(next(iter(columns.values()))):
        raise RequestError(f"{path} holds no rows.")
    return Table(columns, path.name)


def _read_csv(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            names = [name.strip() for name in next(reader, [])]
            _refuse_other_marks(names, path)
            _refuse_repeats(names, path)
            pieces = [np.zeros((0, len(names)), dtype=object), *_pieces(reader, len(names), path)]
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise RequestError(f"{path} cannot be read as CSV: {error}.") from None
    table = np.concatenate(pieces)
    return {name: table[:, k] for k, name in enumerate(names)}


def _refuse_other_marks(names: Sequence[str], path: Path) -> None:
    if len(names) == 1 and (mark := next((m for m in ";\t|" if m in names[0]), None)):
        raise RequestError(f"{path} separates its columns by {mark!r}: save it with commas.")


def _pieces(reader: Any, width: int, path: Path) -> Iterator[np.ndarray]:
    """Yield the rows piece by piece; equal texts are one object, so that a large table stays small."""
    seen: dict[str, str] = {}
    rows: list[list[str]] = []
    for row in reader:
        if not row:
            continue
        if len(row) != width:
            raise RequestError(f"Line {reader.line_num} of {path} has {len(row)} values for {width} columns.")
        rows.append([seen.setdefault(text, text) for text in row])
        if len(rows) == PIECE:
            yield np.array(rows, dtype=object)
            rows = []
            if len(seen) > MOST_SEEN:
                seen.clear()
    if rows:
        yield np.array(rows, dtype=object)


def _read_parquet(path: Path) -> dict[str, np.ndarray]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise RequestError(f"{path} cannot be read as Parquet: {error}.") from None
    _refuse_repeats(table.column_names, path)
    return {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}


def _refuse_repeats(names: Sequence[str], path: Path) -> None:
    if twice := next((name for name in names if list(names).count(name) > 1), None):
        raise RequestError(f"Column {twice!r} stands twice in {path}.")


def table_rows(
    table: Table, signature: Signature, columns: Sequence[str] | None = None, not_inputs: Sequence[str] = ()
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Turn a table into rows for every input of a model.

    A model with one (n, d) input takes d columns in order; a model with one input per column takes
    them by name.

    Parameters
    ----------
    columns : the input columns in the model's order; None = all but ``not_inputs``, and where those
        are too many, the ones that hold numbers.
    not_inputs : columns that are no model inputs (identifiers, labels).

    Returns
    -------
    One array per input name with a leading axis of rows, in the declared dtype, and the names of
    the cells, input after input.

    Raises
    ------
    RequestError : a column is missing or too many, or holds what its input cannot.
    """
    per_column = len(signature.inputs) > 1
    if per_column:
        names = [tensor.name for tensor in signature.inputs]
        return {tensor.name: _column(table, tensor) for tensor in signature.inputs}, names
    tensor = signature.inputs[0]
    if tensor.shape and len(tensor.cell_shape) != 1:  # an empty shape: nothing is known of it
        raise RequestError(
            f"A table does not fit input {tensor.name!r} of shape {tensor.shape}: "
            "give an .npy array or a picture."
        )
    width = tensor.cell_shape[0] if tensor.shape else None
    names = _pick(table, width if isinstance(width, int) else None, columns, not_inputs)
    cells = [_cells(table, name, tensor.dtype) for name in names]
    return {tensor.name: np.stack(cells, axis=1)}, names


def _column(table: Table, tensor: Tensor) -> np.ndarray:
    shape = [size if isinstance(size, int) else 1 for size in tensor.cell_shape]
    if int(np.prod(shape)) != 1:
        raise RequestError(
            f"Input {tensor.name!r} takes {tensor.shape}, more than one column a row: "
            "give an .npz file with one array per input."
        )
    values = _cells(table, tensor.name, tensor.dtype)
    return values.reshape(len(values), *shape)


def _pick(
    table: Table, width: int | None, columns: Sequence[str] | None, not_inputs: Sequence[str]
) -> list[str]:
    if columns is not None:
        names = list(columns)
        for name in names:
            table.column(name)
            if names.count(name) > 1:
                raise RequestError(f"Column {name!r} is named twice among the input columns.")
    else:
        names = [name for name in table.columns if name not in not_inputs]
        if width is not None and len(names) > width:
            names = [name for name in names if _holds_numbers(table.columns[name])]
    if width is not None and len(names) != width:
        raise RequestError(
            f"The model needs {width} columns and {table.source} offers {len(names)}: "
            f"{', '.join(names[:8])}{', ...' if len(names) > 8 else ''}. "
            "Name the input columns in the model's order, or the ones that are no inputs."
        )
    return names


def _holds_numbers(column: np.ndarray) -> bool:
    return all(is_number(value) and value is not None for value in column.tolist())


def _cells(table: Table, name: str, dtype: str) -> np.ndarray:
    """Return one column in a model's dtype, naming the row of whatever does not fit."""
    column, what = table.column(name), f"Column {name!r} of {table.source}"
    if dtype == "string":
        return cast(what, dtype, column)
    for row, value in enumerate(column.tolist()):
        if not is_number(value):
            raise RequestError(
                f"{what} holds {value!r} in row {row}, which is no number. If the column is no model input, "
                "name it as the one that names the rows (id) or as no input (not_inputs)."
            )
        if value is None or not np.isfinite(float(value)):
            raise RequestError(f"{what} holds {value!r} in row {row}: values must be finite.")
    return cast(what, dtype, _whole(column) if dtype.startswith(("int", "uint")) else column)


def _whole(column: np.ndarray) -> np.ndarray:
    """Read whole numbers exactly, where all are written as such; float64 ends at 2^53."""
    try:
        return np.array([int(value) for value in column.tolist()]) if column.dtype == object else column
    except ValueError:
        return column
