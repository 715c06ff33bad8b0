"""How two processes talk: JSON headers over pipes, arrays through shared memory, never a pickle.

A frame is eight bytes of length and a JSON object. Its arrays follow in the pipe, or lie in an Area:
memory that both ends map. What a confined process sends is checked before anything is made from it.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

MOST_HEADER = 64 * 2**20
MOST_AXES = 32
PLAIN = {
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
    "uint64", "bool", "bfloat16",
}  # fmt: skip
LEAST_AREA = 2**20
ALIGNED = 64
PIECE = 2**20
AHEAD = 2**12
END = "the end of the pipe"
REFUSED = 2**64 - 1
"""In place of a piece's length: the file is not handed out, and the reason follows."""


class Garbled(Exception):
    """The other end sent what is no frame, or ended."""


@dataclass
class Area:
    """Memory behind a file descriptor, mapped by both ends; only the confining end makes it larger."""

    handle: int
    size: int = 0
    view: mmap.mmap | None = field(default=None, repr=False)

    def reach(self, size: int) -> None:
        """Map the first ``size`` bytes, which must exist."""
        if size != self.size:
            self.view = mmap.mmap(self.handle, size)
            self.size = size

    def grow(self, wanted: int) -> None:
        """Make room for so many bytes; sizes are powers of two, so that this is rare."""
        if wanted > self.size:
            size = max(LEAST_AREA, 1 << (wanted - 1).bit_length())
            os.ftruncate(self.handle, size)
            self.reach(size)

    def array(self, place: int, dtype: np.dtype, count: int) -> np.ndarray:
        """Return ``count`` numbers at ``place`` without copying them."""
        return np.frombuffer(self.view or b"", dtype, count, place)


def new_area() -> Area | None:
    """Return an area that no file system limits, or None where the system has none.

    It cannot be made smaller: a process that cut it would kill the other one on its next look.
    """
    if not hasattr(os, "memfd_create"):
        return None
    import fcntl

    handle = os.memfd_create("blackbox", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    fcntl.fcntl(handle, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    return Area(handle)


@dataclass
class Channel:
    """One end of the talk. Areas are None where arrays travel in the pipe.

    reader, writer : descriptors of the two pipes. most : bytes of arrays that are accepted in one frame.
    """

    reader: int
    writer: int
    outgoing: Area | None
    incoming: Area | None
    most: int
    ahead: bytes = field(default=b"", repr=False)
    """Read of the pipe and not asked for yet: a frame takes one call of the system instead of two."""

    def send(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> None:
        """Send a frame; arrays of text travel as UTF-8 with their lengths.

        Raises
        ------
        OSError : the other end is gone. ValueError : an array of a dtype that does not travel.
        """
        packed = [_pack(name, array) for name, array in (arrays or {}).items()]
        places = _places([parts for _, parts in packed])
        total = places.pop()
        if self.outgoing is not None and total:
            self.outgoing.grow(total)
        entries = [{**entry, "at": at} for (entry, _), at in zip(packed, places, strict=True)]
        size = self.outgoing.size if self.outgoing is not None else None
        text = json.dumps({**header, "arrays": entries, "area": size}).encode()
        for (_, parts), at in zip(packed, places, strict=True):
            self._place(parts, at)
        self.write(len(text).to_bytes(8, "little") + text)
        if self.outgoing is None:
            for _, parts in packed:
                for part in parts:
                    self.write(np.ascontiguousarray(part).tobytes())

    def _place(self, parts: Sequence[np.ndarray], at: int) -> None:
        if self.outgoing is None:
            return
        for part in parts:
            if part.size:
                room = self.outgoing.array(at, part.dtype, part.size)
                np.copyto(room.reshape(part.shape), part)
            at += part.nbytes

    def needs(self, arrays: Mapping[str, np.ndarray]) -> int:
        """Bytes that the outgoing area lacks for these arrays' sizes; 0 = they fit."""
        if self.outgoing is None:
            return 0
        roomy = sum(array.nbytes + ALIGNED for array in arrays.values()) <= self.outgoing.size
        if roomy and all(array.dtype.kind not in "OUT" for array in arrays.values()):
            return 0
        total = _places([_pack(name, array)[1] for name, array in arrays.items()])[-1]
        return total if total > self.outgoing.size else 0

    def receive(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the next frame. Arrays in an area are views: whoever does not trust the sender copies.

        Raises
        ------
        Garbled : the other end is gone, or what it sent is no frame.
        """
        length = int.from_bytes(self.exactly(8), "little")
        if length > MOST_HEADER:
            raise Garbled(f"a header of {length} bytes")
        try:
            header = json.loads(self.exactly(length))
            entries, area = header.pop("arrays"), header.pop("area")
            if self.incoming is not None and area is not None:
                self._reach(area)
            return header, {entry["name"]: self._unpack(entry) for entry in entries}
        except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
            raise Garbled(f"{type(error).__name__}: {error}") from None

    def _reach(self, size: Any) -> None:
        """Follow an area that its owner made larger; nobody else's word counts for its size."""
        assert self.incoming is not None
        if not _whole(size) or size > os.fstat(self.incoming.handle).st_size:
            raise Garbled(f"an area of {size} bytes")
        if size > self.incoming.size:
            self.incoming.reach(size)

    def exactly(self, count: int) -> bytes:
        """Read so many bytes of the pipe."""
        if count <= len(self.ahead):
            found, self.ahead = self.ahead[:count], self.ahead[count:]
            return found
        pieces, missing, self.ahead = [self.ahead], count - len(self.ahead), b""
        while missing > 0:
            piece = os.read(self.reader, min(max(missing, AHEAD), PIECE))
            if not piece:
                raise Garbled(END)
            pieces.append(piece)
            missing -= len(piece)
        if missing < 0:
            pieces[-1], self.ahead = piece[:missing], piece[missing:]
        return b"".join(pieces)

    def write(self, data: bytes) -> None:
        """Write all of it to the pipe, which may take it bit by bit."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.writer, rest) :]

    def _unpack(self, entry: Mapping[str, Any]) -> np.ndarray:
        shape, dtype = entry["shape"], entry["dtype"]
        if len(shape) > MOST_AXES or not all(map(_whole, shape)) or not _whole(entry["at"]):
            raise Garbled("no shape")
        if dtype == "string":
            return self._unpack_text(entry, prod(shape)).reshape(shape)
        if dtype not in PLAIN:
            raise Garbled(f"the dtype {dtype!r}")
        return self._bytes(entry["at"], numpy_plain(dtype), prod(shape)).reshape(shape)

    def _unpack_text(self, entry: Mapping[str, Any], count: int) -> np.ndarray:
        if not _whole(entry["bytes"]):
            raise Garbled("no length")
        lengths = np.array(self._bytes(entry["at"], np.dtype(np.uint32), count), dtype=np.int64)
        text = self._bytes(entry["at"] + 4 * count, np.dtype(np.uint8), entry["bytes"]).tobytes()
        ends = np.cumsum(lengths)
        if count and int(ends[-1]) != len(text):
            raise Garbled("text of another length")
        found = np.empty(count, dtype=object)
        for row, (length, end) in enumerate(zip(lengths.tolist(), ends.tolist(), strict=True)):
            found[row] = text[end - length : end].decode("utf-8", "replace")
        return found

    def _bytes(self, at: int, dtype: np.dtype, count: int) -> np.ndarray:
        size = count * dtype.itemsize
        if size > self.most:
            raise Garbled(f"an array of {size} bytes")
        if self.incoming is None:
            return np.frombuffer(self.exactly(size), dtype, count)
        if at + size > self.incoming.size:
            raise Garbled("an array beyond its area")
        return self.incoming.array(at, dtype, count) if count else np.zeros(0, dtype)


def numpy_plain(dtype: str) -> np.dtype[Any]:
    """Return NumPy's dtype of that name; bfloat16 comes from a package of its own."""
    if dtype == "bfloat16":
        import ml_dtypes

        dtype = ml_dtypes.bfloat16
    found: np.dtype[Any] = np.dtype(dtype)
    return found


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _pack(name: str, array: np.ndarray) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Return an array's entry of the header, and the plain arrays that carry it."""
    entry: dict[str, Any] = {"name": name, "dtype": array.dtype.name, "shape": list(array.shape)}
    if array.dtype.kind not in "OUT":
        if array.dtype.name not in PLAIN:
            raise ValueError(f"An array of {array.dtype} does not travel.")
        return entry, [array]
    texts = [str(value).encode("utf-8", "replace") for value in array.ravel().tolist()]
    lengths = np.array([len(text) for text in texts], dtype=np.uint32)
    joined = np.frombuffer(b"".join(texts), np.uint8)
    return {**entry, "dtype": "string", "bytes": joined.size}, [lengths, joined]


def _places(arrays: Sequence[Sequence[np.ndarray]]) -> list[int]:
    """Where every array begins, and as the last number where the last one ends."""
    places = [0]
    for parts in arrays:
        size = sum(part.nbytes for part in parts)
        places.append(-(-(places[-1] + size) // ALIGNED) * ALIGNED)
    return places
