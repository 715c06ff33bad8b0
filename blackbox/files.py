"""Files appear whole or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from blackbox.canonical import canonical
from blackbox.errors import RequestError


def check_place(path: Path | None) -> None:
    """Refuse a file that could not be written: a folder of that name, or no folder to put it in."""
    if path is not None and path.is_dir():
        raise RequestError(f"{path} is a folder; name a file in it.")
    if path is not None and not path.parent.is_dir():
        raise RequestError(f"The folder {path.parent} does not exist: make it first.")


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it there when the block ends without error.

    Raises
    ------
    RequestError : the folder does not exist or cannot be written to, or ``path`` is a folder.
    """
    check_place(path)
    temporary = path.parent / f".{path.name}.{os.getpid()}.part"
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # else the name may survive a power cut and the content not
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def written_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; put it in its place when the block ends without error.

    Whatever is in its place is replaced: see ``check_folder`` before.

    Raises
    ------
    RequestError : the folder cannot be written.
    """
    check_folder(path)
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise cannot_write(path, error) from None
    try:
        temporary.chmod(0o755)  # mkdtemp makes folders for their owner only
        yield temporary
        _swap(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_folder(path: Path) -> None:
    """Refuse a folder that could not be replaced, and make the folders above it.

    Raises
    ------
    RequestError : it is a file, the folder one stands in, or the one above cannot be written to.
    """
    if path.is_file():
        raise RequestError(f"{path} is a file; name a folder.")
    if path.resolve() in (Path.cwd(), *Path.cwd().parents):
        raise RequestError(f"{path} holds the folder you stand in and cannot be replaced: name one in it.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise cannot_write(path, error) from None


def cannot_write(path: Path, error: OSError) -> RequestError:
    """Return the error for a place that cannot be written, in the system's own words."""
    return RequestError(f"{path} cannot be written: {error.strerror or error}.")


def _swap(temporary: Path, path: Path) -> None:
    if not path.exists():
        os.replace(temporary, path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    os.replace(path, old / "old")
    os.replace(temporary, path)
    shutil.rmtree(old, ignore_errors=True)


def put_in_place(made: Path, path: Path, aside: Path) -> None:
    """Rename a finished folder to its place; what was there goes aside and is deleted.

    Raises
    ------
    RequestError : the folder cannot be written.
    """
    try:
        if path.exists():
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(path, aside)
        os.replace(made, path)
    except OSError as error:
        raise cannot_write(path, error) from None
    shutil.rmtree(aside, ignore_errors=True)


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bound(files: Mapping[str, str]) -> str:
    """Return one digest for what a plan names: the file's own, or that of a folder's list of files."""
    return (
        next(iter(files.values())) if len(files) == 1 else hashlib.sha256(canonical(dict(files))).hexdigest()
    )


def digests_of(files: Sequence[Path]) -> dict[str, str]:
    """Return file name -> SHA-256; names are relative to the folder of the first file."""
    folder = files[0].parent if files else Path()
    return {
        path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name: sha256(path)
        for path in files
    }


def hold(role: str, expected: str | None, files: Sequence[Path]) -> None:
    """Refuse files that are not the ones that a plan was written for.

    Raises
    ------
    RequestError : their digest is another one.
    """
    if expected is None:
        return
    found = bound(digests_of(files))
    if found != expected.lower():
        raise RequestError(
            f"The {role} in {files[0]} changed since the plan was written: its SHA-256 is {found}, the plan "
            f"says {expected}. Put the file back, or correct the plan."
        )
