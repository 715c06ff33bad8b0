"""The bytes of a model: every file is opened once, hashed as it is read, and used as it was read."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from blackbox.errors import ModelError

PIECE = 2**20
"""Bytes read at a time."""

NO_LINK = getattr(os, "O_NOFOLLOW", 0)
NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # a named pipe would be waited for
BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate line ends otherwise


class Files(Protocol):
    """Where a model's bytes come from: its own folder, or whoever confines the reader."""

    @property
    def name(self) -> str:
        """The model file's name, for messages."""

    def model(self) -> bytes:
        """Return the model file's content."""

    def weights(self, location: str) -> bytes:
        """Return the content of a file of weights that the model names."""


@dataclass(frozen=True)
class Folder:
    """A model file and the folder it lies in; ``sha256`` grows with every file that is read.

    A file that is changed or exchanged after it was opened changes nothing: what was hashed is what
    was handed on, and no file is opened twice.
    """

    path: Path
    sha256: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The model file's name."""
        return self.path.name

    def model(self) -> bytes:
        """Return the model file's content.

        Raises
        ------
        ModelError : it cannot be read.
        """
        return b"".join(self.pieces(None))

    def weights(self, location: str) -> bytes:
        """Return the content of a file of weights.

        Raises
        ------
        ModelError : it lies elsewhere, behind a link, or is no plain file with one name.
        """
        return b"".join(self.pieces(location))

    def pieces(self, location: str | None) -> Iterator[bytes]:
        """Yield a file's content piece by piece; None = the model file.

        Raises
        ------
        ModelError : as ``model`` and ``weights``.
        """
        try:
            handle = self._open_model() if location is None else self._open(location)
            digest = hashlib.sha256()
            with open(handle, "rb", buffering=0) as file:
                while piece := file.read(PIECE):
                    digest.update(piece)
                    yield piece
        except OSError as error:
            shown = self.path if location is None else self.path.parent / location
            raise ModelError(f"{shown} cannot be read: {error.strerror or error}.") from None
        self.sha256[self.name if location is None else location] = digest.hexdigest()

    def _open_model(self) -> int:
        handle = os.open(self.path, os.O_RDONLY | BINARY | NO_WAIT)
        if stat.S_ISREG(os.fstat(handle).st_mode):
            return handle
        os.close(handle)
        raise ModelError(f"{self.path} is no plain file: name the model file itself.")

    def _open(self, location: str) -> int:
        """Open a file below the folder without following a link, and look at what was opened."""
        parts = safe_parts(location)
        below = self.path.parent
        for part in parts:
            below = below / part
            if below.is_symlink():
                raise ModelError(f"The weights {location!r} lie behind a link: they are not read.")
        if not below.is_file():
            raise ModelError(f"The file {location!r} with weights of the model is missing.")
        handle = _descend(self.path.parent, parts) if NO_LINK else os.open(below, os.O_RDONLY | BINARY)
        facts = os.fstat(handle)
        if stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1:
            return handle
        os.close(handle)
        raise ModelError(f"The file {location!r} has a second name elsewhere (a hard link): it is not read.")


def _descend(folder: Path, parts: tuple[str, ...]) -> int:
    """Open folder after folder by descriptor, so that nobody can put a link in between meanwhile."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for part in parts:
        last = part is parts[-1]
        flags = os.O_RDONLY | NO_LINK | (0 if last else os.O_DIRECTORY)
        try:
            below = os.open(part, flags, dir_fd=handle)
        finally:
            os.close(handle)
        handle = below
    return handle


def safe_parts(location: str) -> tuple[str, ...]:
    """Split a relative place below the model's folder.

    Raises
    ------
    ModelError : the place is empty, absolute, or leads out of the folder.
    """
    parts = PurePosixPath(location).parts
    foreign = "\\" in location or ":" in location or "\0" in location
    if not parts or PurePosixPath(location).is_absolute() or ".." in parts or foreign:
        raise ModelError(f"The model's weights lie outside the model's folder: {location!r}.")
    return parts
