"""Many inputs of one model: a table, arrays, one picture or a folder of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from blackbox.casts import cast
from blackbox.errors import RequestError, unknown
from blackbox.inputs import images, table
from blackbox.inputs.arrays import conform, read_arrays
from blackbox.inputs.condition import matching
from blackbox.inputs.images import ImageSpec, read_image
from blackbox.model import Signature, missing_file


@dataclass(frozen=True)
class Dataset:
    """Rows per input name, a name per row, and the names of the cells where columns have them.

    files : the files that were read, in reading order. chosen : numbers of the rows that fulfil the
    condition of the DataSpec; None = there was none.
    """

    ids: tuple[str, ...]
    rows: Mapping[str, np.ndarray]
    columns: tuple[str, ...]
    files: tuple[Path, ...]
    images: bool = False
    chosen: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, position: int) -> dict[str, np.ndarray]:
        """Return one input, without the batch axis."""
        return {name: array[position] for name, array in self.rows.items()}

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Row number by name; of a name that stands twice, the first."""
        return {name: number for number, name in reversed(list(enumerate(self.ids)))}

    def position(self, which: int | str) -> int:
        """Find a row by its name, or by its number from 0 where no row has that name."""
        if str(which) in self._numbers:
            return self._numbers[str(which)]
        try:
            number = int(which)
        except ValueError:
            raise unknown("row", which, self.ids) from None
        if not 0 <= number < len(self):
            raise RequestError(f"Row {number} does not exist: the data has rows 0 to {len(self) - 1}.")
        return number


@dataclass(frozen=True)
class DataSpec:
    """How a file is read. columns : input columns in the model's order. id : column that names the
    rows. not_inputs : columns that are no model inputs. image : what the model wants of pictures. where : a
    condition on the columns of a table, see ``blackbox.inputs.condition``."""

    columns: tuple[str, ...] | None = None
    id: str | None = None
    not_inputs: tuple[str, ...] = ()
    image: ImageSpec = field(default_factory=ImageSpec)
    where: str | None = None


def read_dataset(path: Path, signature: Signature, spec: DataSpec | None = None) -> Dataset:
    """Read rows for a model from .csv, .parquet, .npy, .npz, a picture, or a folder of pictures.

    Raises
    ------
    RequestError : missing, unreadable, or not what the model takes.
    """
    spec = spec or DataSpec()
    if not path.exists():
        raise missing_file(path, "data")
    suffix = path.suffix.lower()
    if spec.where is not None and suffix not in table.SUFFIXES:
        raise RequestError(f"data.where needs a table with named columns; {path.name} has none.")
    if path.is_dir() or suffix in images.SUFFIXES:
        return _pictures(path, signature, spec)
    if suffix in table.SUFFIXES:
        return _table(path, signature, spec)
    if suffix in (".npy", ".npz"):
        return _arrays(path, signature)
    known = ", ".join((*table.SUFFIXES, ".npy", ".npz", *images.SUFFIXES))
    raise RequestError(f"{path} cannot be read as data: known are {known} and folders of pictures.")


def _table(path: Path, signature: Signature, spec: DataSpec) -> Dataset:
    read = table.read_table(path)
    given = (*spec.not_inputs, *([spec.id] if spec.id else []))
    for name in given:
        read.column(name)
    rows, names = table.table_rows(read, signature, spec.columns, given)
    chosen = None if spec.where is None else matching(read, spec.where)
    return Dataset(_ids(read, names, spec.id), rows, tuple(names), (path,), chosen=chosen)


def _ids(read: table.Table, inputs: Sequence[str], asked: str | None) -> tuple[str, ...]:
    """Take the asked column, else the first other column without repeats, else row numbers."""
    others = [name for name in read.columns if name not in inputs]
    distinct = [name for name in others if len(set(read.columns[name].tolist())) == len(read)]
    column = asked or (distinct[0] if distinct else None)
    if column is None:
        return tuple(map(str, range(len(read))))
    values = tuple(map(str, read.columns[column].tolist()))
    if len(set(values)) < len(values):
        raise RequestError(f"Column {column!r} cannot name the rows: it holds a value twice.")
    return values


def _arrays(path: Path, signature: Signature) -> Dataset:
    arrays = read_arrays(path, signature)
    counts = {len(array) for array in arrays.values()}
    if len(counts) != 1 or counts == {0}:
        raise RequestError(
            f"{path} needs at least one row, and as many in every input; got {sorted(counts)}."
        )
    first = conform(signature, {name: array[0] for name, array in arrays.items()})
    dtypes = {tensor.name: tensor.dtype for tensor in signature.inputs}
    rows = {name: cast(f"Input {name!r}", dtypes[name], array) for name, array in arrays.items()}
    return Dataset(tuple(map(str, range(counts.pop()))), {name: rows[name] for name in first}, (), (path,))


def _pictures(path: Path, signature: Signature, spec: DataSpec) -> Dataset:
    files = (
        [path] if path.is_file() else sorted(p for p in path.iterdir() if p.suffix.lower() in images.SUFFIXES)
    )
    if not files:
        raise RequestError(f"The folder {path} holds no pictures ({', '.join(images.SUFFIXES)}).")
    tensor = signature.inputs[0]
    stack = np.stack([read_image(file, signature, spec.image) for file in files])
    conform(signature, {tensor.name: stack[0]})
    rows = {tensor.name: cast(f"Input {tensor.name!r}", tensor.dtype, stack)}
    stems = [file.stem for file in files]
    ids = stems if len(set(stems)) == len(stems) else [file.name for file in files]
    return Dataset(tuple(ids), rows, (), tuple(files), True)
