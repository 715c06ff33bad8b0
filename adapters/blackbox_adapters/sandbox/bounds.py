"""What a confined process may use: bytes of memory and seconds, and how they are written."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from blackbox.errors import RequestError

UNITS = {"": 1, "B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
LEAST_MEMORY = 256 * 2**20
"""Python with ONNX Runtime and nothing loaded takes about half of this."""

SHARE = 0.8
"""Of the machine's memory, where nobody set a ceiling: room for any model, and still for the machine."""

DEADLINE = 300.0


@dataclass(frozen=True)
class Bounds:
    """Bounds of one confined process.

    memory : bytes of resident memory. together : they are counted for the confining process and the
    confined one together. deadline : seconds for loading, and for every call.
    """

    memory: int
    together: bool
    deadline: float


def bounds(memory: int | str | None, deadline: float | None) -> Bounds:
    """Return bounds, by rule where nobody set them.

    Parameters
    ----------
    memory : bytes, or text such as ``2GiB``; None = four fifths of the machine's, for the confined
        process alone. deadline : seconds; None = 300.

    Raises
    ------
    RequestError : no such amount, or less than any model needs.
    """
    most = int(SHARE * machine_memory()) if memory is None else parse_bytes(memory)
    return Bounds(most, memory is not None, DEADLINE if deadline is None else deadline)


def parse_bytes(text: int | str) -> int:
    """Read ``2GiB``, ``512 MB`` or a number of bytes.

    Raises
    ------
    RequestError : it is no amount, or less than 256 MiB.

    Examples
    --------
    >>> parse_bytes("2GiB"), parse_bytes("1.5 GB")
    (2147483648, 1500000000)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", str(text).strip())
    if match is None or match[2].upper() not in UNITS:
        raise RequestError(
            f"memory must be an amount such as 2GiB, 512MiB or a number of bytes; got {text!r}."
        )
    amount = int(float(match[1]) * UNITS[match[2].upper()])
    if amount < LEAST_MEMORY:
        raise RequestError(f"memory must be at least 256MiB, which the runtime itself needs; got {text!r}.")
    return amount


def machine_memory() -> int:
    """Bytes of memory that this machine, or its container, has."""
    found = []
    if hasattr(os, "sysconf"):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, ValueError):  # no such file, or the word "max"
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return min(found, default=8 * 2**30)


def shown(amount: int) -> str:
    """Write bytes for people: ``1.5 GiB`` or ``300 MiB``."""
    return f"{amount / 2**30:.3g} GiB" if amount >= 2**30 else f"{amount / 2**20:.0f} MiB"
