"""The door for data: files and loose values become named arrays that fit a model's signature."""

from blackbox.inputs.arrays import conform, conform_each
from blackbox.inputs.condition import parsed as check_condition
from blackbox.inputs.dataset import Dataset, DataSpec, read_dataset
from blackbox.inputs.images import ImageSpec
from blackbox.inputs.table import read_table

__all__ = [
    "DataSpec", "Dataset", "ImageSpec", "check_condition", "conform", "conform_each", "read_dataset",
    "read_table",
]  # fmt: skip
