"""What a person drops or pastes on the page, as one input of a model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from blackbox.casts import is_number
from blackbox.errors import RequestError
from blackbox.inputs import DataSpec, read_dataset
from blackbox.model import Rows, Signature

KINDS = (".csv", ".npy", ".png", ".jpg", ".jpeg", ".webp")
"""Packed kinds are left out: a small Parquet or NPZ file can unfold into more than there is memory."""


@dataclass(frozen=True)
class Upload:
    """A file's content and its kind, or a pasted text. The name that a browser sends says the kind only."""

    content: bytes
    kind: str

    @property
    def tabular(self) -> bool:
        """Whether its rows have names."""
        return self.kind == ".csv"

    @classmethod
    def of_file(cls, name: str, content: bytes) -> Upload:
        """Take a file.

        Raises
        ------
        RequestError : its suffix is not a known one.
        """
        kind = next((suffix for suffix in KINDS if name.lower().endswith(suffix)), None)
        if kind is None:
            raise RequestError(f"A file must be one of {', '.join(KINDS)}.")
        return cls(content, kind)

    @classmethod
    def of_text(cls, text: str, columns: Iterable[str]) -> Upload:
        """Take a pasted table, or the bare cells of one row in the model's order."""
        lines = [line for line in text.strip().splitlines() if line.strip()]
        cells = [cell.strip() for cell in lines[0].split(",")] if lines else []
        if cells and (len(lines) == 1 or all(is_number(cell) for cell in cells)):
            names = list(columns) or [f"x{k}" for k in range(len(cells))]
            lines.insert(0, ",".join(f'"{name}"' for name in names))
        return cls("\n".join(lines).encode("utf-8", "replace"), ".csv")


def read(upload: Upload, row: str, signature: Signature, spec: DataSpec) -> tuple[Rows, str]:
    """Return one input and the name of its row.

    The readers want files, so the content goes through a temporary folder under a name of ours.

    Raises
    ------
    RequestError : it cannot be read, does not fit the model, or has no such row.
    """
    with tempfile.TemporaryDirectory(prefix="blackbox-") as folder:
        path = Path(folder) / f"upload{upload.kind}"
        path.write_bytes(upload.content)
        try:
            data = read_dataset(path, signature, spec)
        except MemoryError:  # an array may declare any shape
            raise RequestError("The file declares more numbers than there is memory for.") from None
    position = data.position(row or 0)
    return data.row(position), data.ids[position]
