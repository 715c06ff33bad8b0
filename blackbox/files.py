"""Files appear whole or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blackbox.errors import RequestError


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it there when the block ends without error.

    Raises
    ------
    RequestError : the folder does not exist or cannot be written to, or ``path`` is a folder.
    """
    if path.is_dir():
        raise RequestError(f"{path} is a folder; name a file in it.")
    if not path.parent.is_dir():
        raise RequestError(f"The folder {path.parent} does not exist: make it first.")
    temporary = path.parent / f".{path.name}.{os.getpid()}.part"
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise RequestError(f"{path} cannot be written: {error.strerror or error}.") from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def written_folder(path: Path, mark: str) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; put it in its place when the block ends without error.

    Parameters
    ----------
    mark : the file by which an earlier folder of ours is known; only such a one is replaced.

    Raises
    ------
    RequestError : ``path`` holds something that is not ours, or cannot be written.
    """
    check_folder(path, mark)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise RequestError(f"{path} cannot be written: {error.strerror or error}.") from None
    try:
        temporary.chmod(0o755)  # mkdtemp makes folders for their owner only
        yield temporary
        _swap(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_folder(path: Path, mark: str) -> None:
    """Refuse a folder that holds something other than an earlier result of ours."""
    if path.is_file():
        raise RequestError(f"{path} is a file; name a folder.")
    if path.is_dir() and any(path.iterdir()) and not (path / mark).is_file():
        raise RequestError(f"The folder {path} holds other files; name a new or an empty one.")


def _swap(temporary: Path, path: Path) -> None:
    if not path.exists():
        os.replace(temporary, path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    os.replace(path, old / "old")
    os.replace(temporary, path)
    shutil.rmtree(old, ignore_errors=True)


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
