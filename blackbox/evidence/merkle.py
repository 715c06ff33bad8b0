"""The hash tree over the records: one root for all, and a short proof that one record is among them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class _Node:
    """A full subtree: its height, its hash, and which of the watched leaves lie in it."""

    height: int
    digest: bytes
    watched: tuple[int, ...]


def leaf(entry: bytes) -> bytes:
    """Return the hash of one record: SHA-256(0x00 || entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(entries: Iterable[bytes]) -> bytes:
    """Return the root of a tree over entries, read once and in memory that grows with log2 of their number.

    No entries have the root SHA-256("").

    References
    ----------
    RFC 9162, Certificate Transparency 2.0, section 2.1.1.

    Examples
    --------
    >>> root([b"a", b"b"]) == node(leaf(b"a"), leaf(b"b"))
    True
    """
    return _built(entries, {})


def proofs(entries: Iterable[bytes], indices: Iterable[int]) -> dict[int, list[bytes]]:
    """Return, for every index, the hashes that lead from its leaf to the root, nearest first.

    Raises
    ------
    IndexError : an index is not among the entries.
    """
    paths: dict[int, list[bytes]] = {index: [] for index in indices}
    count = 0

    def counted() -> Iterator[bytes]:
        nonlocal count
        for entry in entries:
            count += 1
            yield entry

    _built(counted(), paths)
    if outside := [index for index in paths if not 0 <= index < count]:
        raise IndexError(f"leaf {outside[0]} of {count}")
    return paths


def holds(entry: bytes, index: int, count: int, path: Sequence[bytes], expected: bytes) -> bool:
    """Say whether a proof leads from an entry at ``index`` of ``count`` to the expected root.

    References
    ----------
    RFC 9162, section 2.1.3.2.

    Examples
    --------
    >>> entries = [b"a", b"b", b"c"]
    >>> holds(b"c", 2, 3, proofs(entries, [2])[2], root(entries))
    True
    """
    if not 0 <= index < count:
        return False
    place, last, digest = index, count - 1, leaf(entry)
    for sibling in path:
        if last == 0:
            return False
        if place % 2 or place == last:
            digest = node(sibling, digest)
            while place % 2 == 0 and place:
                place, last = place >> 1, last >> 1
        else:
            digest = node(digest, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and digest == expected


def _built(entries: Iterable[bytes], paths: dict[int, list[bytes]]) -> bytes:
    """Fold entries into full subtrees of falling height, then those from the right into the root."""
    full: list[_Node] = []
    for index, entry in enumerate(entries):
        full.append(_Node(0, leaf(entry), (index,) if index in paths else ()))
        while len(full) > 1 and full[-1].height == full[-2].height:
            right, left = full.pop(), full.pop()
            full.append(_joined(left, right, paths))
    if not full:
        return hashlib.sha256(b"").digest()
    while len(full) > 1:
        right, left = full.pop(), full.pop()
        full.append(_joined(left, right, paths))
    return full[0].digest


def _joined(left: _Node, right: _Node, paths: dict[int, list[bytes]]) -> _Node:
    for side, other in ((left, right), (right, left)):
        for index in side.watched:
            paths[index].append(other.digest)
    return _Node(left.height + 1, node(left.digest, right.digest), left.watched + right.watched)
