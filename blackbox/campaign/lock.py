"""One audit per folder: a lock that the operating system releases when its holder dies."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from blackbox.errors import RequestError


@dataclass
class Lock:
    """A lock that is held, until it is released. handle : the open file, None afterwards."""

    handle: int | None

    def release(self) -> None:
        """Let go; more than once does no harm."""
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None


def locked(path: Path) -> Lock:
    """Take a lock file.

    Raises
    ------
    RequestError : another process holds it.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if not _taken(handle):
            told = os.read(handle, 32).decode("ascii", "replace").strip()
            os.close(handle)
            who = f"process {told}" if told else "another process"
            raise RequestError(
                f"{path.parent} is being written by {who}: wait for it, or name another folder with -o."
            )
        # whoever held it before may have deleted the folder since we opened the file
        if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
            # the lock holds without the number, which only says who has it: a full disk may lack room for it
            with suppress(OSError):
                os.ftruncate(handle, 0)
                os.write(handle, str(os.getpid()).encode())
            return Lock(handle)
        os.close(handle)
        path.parent.mkdir(parents=True, exist_ok=True)


def _taken(handle: int) -> bool:
    """Take the lock if it is free."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
