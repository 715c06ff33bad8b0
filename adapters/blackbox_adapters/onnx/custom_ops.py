"""A library of custom operators: native code, taken only when its place and its SHA-256 were both given."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from blackbox.errors import RequestError, nearest


@dataclass(frozen=True)
class Library:
    """A library that was read, compared with its digest and put where nobody can change it.

    place : what the runtime loads. handle : descriptor behind the place, None where it is a file. It is
    never closed: the system's loader knows what it loaded by name, and a descriptor's number that is
    used again would bring back the old library for a new one.
    """

    name: str
    sha256: str
    place: str
    handle: int | None

    def facts(self) -> dict[str, str]:
        """Return what the record says about it."""
        return {"file": self.name, "sha256": self.sha256}


def stage(path: str, digest: str) -> Library:
    """Read a library once, and hand it on only where it is the one that was named.

    Parameters
    ----------
    digest : its SHA-256, 64 hexadecimal digits.

    Raises
    ------
    RequestError : no such file, or one with another digest.
    """
    file = Path(path)
    content = _content(file)
    found = hashlib.sha256(content).hexdigest()
    if found != digest.strip().lower():
        raise RequestError(
            f"The custom operators in {path} are not the ones that were named: their SHA-256 is {found}, "
            f"not {digest}. Native code is only loaded when both agree."
        )
    if hasattr(os, "memfd_create"):
        handle = _sealed(content)
        return Library(file.name, found, f"/proc/self/fd/{handle}", handle)
    return Library(file.name, found, _private(content, file.suffix), None)


def _content(path: Path) -> bytes:
    if not path.is_file():
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise RequestError(f"There is no library of custom operators {path}.{nearest(path.name, beside)}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise RequestError(f"The custom operators in {path} cannot be read: {error.strerror}.") from None


def _sealed(content: bytes) -> int:
    """Copy into memory that nobody, we included, can change any more."""
    import fcntl

    handle = os.memfd_create("custom-operators", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(handle, "wb", closefd=False) as file:
        file.write(content)
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    fcntl.fcntl(handle, fcntl.F_ADD_SEALS, seals)
    return handle


def _private(content: bytes, suffix: str) -> str:
    """Copy into a folder that only we can write to; it stays as long as the library is loaded."""
    place = Path(tempfile.mkdtemp(prefix="blackbox-")) / f"operators{suffix}"
    place.write_bytes(content)
    place.chmod(stat.S_IRUSR | stat.S_IXUSR)
    return str(place)
