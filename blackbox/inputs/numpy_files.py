"""NumPy's files read without trust: nothing is unpickled, and nothing is allocated on a header's word alone.

Reference: NumPy enhancement proposal 1 (the .npy format); CVE-2019-6446 (pickles inside arrays).
"""

from __future__ import annotations

import zipfile
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

ARRAY, ARCHIVE = b"\x93NUMPY", b"PK"
MOST_MEMBERS = 1000
PIECE = 2**24
UNFOLDED, RATIO = 256 * 2**20, 100
"""An archive may unfold into 256 MiB, or into a hundred times its own size where that is more: deflate
reaches a thousand times on zeros alone, which no data need."""


def read_npy(path: Path) -> np.ndarray:
    """Read one array.

    Raises
    ------
    ValueError : it is none, holds Python objects, or declares more than the file has. OSError : it cannot
        be read.
    """
    with path.open("rb") as file:
        start = file.read(len(ARRAY))
        if start.startswith(ARCHIVE):
            raise ValueError("it is an archive; name it .npz")
        file.seek(0)
        return _array(file, path.stat().st_size)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read an archive of arrays.

    Raises
    ------
    ValueError, OSError : as ``read_npy``; it holds too many arrays, or unfolds too large.
    zipfile.BadZipFile, zlib.error, EOFError : it is damaged.
    """
    with path.open("rb") as file:
        if file.read(len(ARRAY)) == ARRAY:
            raise ValueError("it holds one array; name it .npy")
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) > MOST_MEMBERS:
                raise ValueError(f"it holds {len(members):,} members, more than {MOST_MEMBERS:,}")
            unfolded, most = sum(m.file_size for m in members), max(UNFOLDED, RATIO * path.stat().st_size)
            if unfolded > most:
                raise ValueError(
                    f"it unfolds into {unfolded:,} bytes, more than the {most:,} allowed for its size"
                )
            return {member.filename.removesuffix(".npy"): _member(archive, member) for member in members}


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        return _array(file, member.file_size)


def _array(file: IO[Any], size: int) -> np.ndarray:
    """Read one array from a file of so many bytes; the header is compared with them first."""
    version = npy.read_magic(file)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"its format version {version[0]}.{version[1]} is not read")
    shape, by_columns, dtype = readers[version](file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which only pickle could read")
    wanted, there = prod(shape) * dtype.itemsize, size - file.tell()
    if any(side < 0 for side in shape) or wanted > there:
        raise ValueError(f"its header declares the shape {shape}, {wanted:,} bytes, and {there:,} follow")
    content = bytearray()
    while len(content) < wanted:
        piece = file.read(min(PIECE, wanted - len(content)))
        if not piece:
            raise EOFError("it ends too early")
        content += piece
    return np.frombuffer(content, dtype).reshape(shape, order="F" if by_columns else "C")
