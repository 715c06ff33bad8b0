"""The door for data: files and loose values become named arrays that fit a model's signature."""

from blackbox.inputs.arrays import conform, read_arrays
from blackbox.inputs.images import ImageSpec, read_image
from blackbox.inputs.table import Table, read_table, table_rows

__all__ = [
    "ImageSpec", "Table", "conform", "read_arrays", "read_image", "read_table", "table_rows",
]  # fmt: skip
