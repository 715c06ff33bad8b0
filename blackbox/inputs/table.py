"""Tables: CSV and Parquet files whose columns become a model's inputs."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blackbox.errors import RequestError, nearest, unknown
from blackbox.inputs.arrays import cast
from blackbox.model import Signature, missing_file

SUFFIXES = (".csv", ".parquet")


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
    columns = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    if not columns or not len(next(iter(columns.values()))):
        raise RequestError(f"{path} holds no rows.")
    return Table(columns, path.name)


def _read_csv(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = list(csv.reader(file, strict=True)) or [[]]
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise RequestError(f"{path} cannot be read as CSV: {error}.") from None
    names = [name.strip() for name in header]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise RequestError(f"Column {twice!r} stands twice in {path}.")
    rows = [row for row in rows if row]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(names):
            raise RequestError(f"Line {number} of {path} has {len(row)} values for {len(names)} columns.")
    table = np.array(rows, dtype=object).reshape(len(rows), len(names))
    return {name: table[:, k] for k, name in enumerate(names)}


def _read_parquet(path: Path) -> dict[str, np.ndarray]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise RequestError(f"{path} cannot be read as Parquet: {error}.") from None
    return {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}


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
        return {t.name: _column(table, t.name, signature, k) for k, t in enumerate(signature.inputs)}, names
    tensor = signature.inputs[0]
    if len(tensor.cell_shape) != 1:
        raise RequestError(
            f"A table does not fit input {tensor.name!r} of shape {tensor.shape}: "
            "give an .npy array or a picture."
        )
    width = tensor.cell_shape[0]
    names = _pick(table, width if isinstance(width, int) else None, columns, not_inputs)
    cells = [cast(tensor, _parsed(table, name, tensor.dtype == "string")) for name in names]
    return {tensor.name: np.stack(cells, axis=1)}, names


def _column(table: Table, name: str, signature: Signature, position: int) -> np.ndarray:
    tensor = signature.inputs[position]
    values = cast(tensor, _parsed(table, name, tensor.dtype == "string"))
    shape = [size if isinstance(size, int) else 1 for size in tensor.cell_shape]
    return values.reshape(len(values), *shape)


def _pick(
    table: Table, width: int | None, columns: Sequence[str] | None, not_inputs: Sequence[str]
) -> list[str]:
    if columns is not None:
        names = list(columns)
        for name in names:
            table.column(name)
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
    try:
        column.astype(float)
    except (ValueError, TypeError):
        return False
    return True


def _parsed(table: Table, name: str, text: bool) -> np.ndarray:
    column = table.column(name)
    if text:
        return column
    try:
        values = column.astype(float)
    except (ValueError, TypeError):
        row = next(k for k, value in enumerate(column) if not _holds_numbers(np.array([value], dtype=object)))
        raise RequestError(
            f"Column {name!r} of {table.source} holds {column[row]!r} in row {row}, which is no number."
        ) from None
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise RequestError(
            f"Column {name!r} of {table.source} holds {column[row]!r} in row {row}: values must be finite."
        )
    return values


def same_columns(names: Sequence[str], other: Sequence[str], source: str) -> None:
    """Refuse a second table whose columns differ from the first's, naming the first difference."""
    for name in names:
        if name not in other:
            raise RequestError(f"{source} has no column {name!r}.{nearest(name, other)}")
