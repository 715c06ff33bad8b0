"""How rows are cut into requests, and what refusals teach about it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

CELLS_PER_REQUEST = {True: 262_144, False: 65_536}
"""Cells of a request with binary tensors, and with numbers in JSON: about a megabyte either way, which is
what a common gateway's limit on bodies lets through."""

USUAL_CELLS = 64
"""Cells of a row where the endpoint does not say."""


@dataclass
class Batches:
    """Rows per request: what is tried, and less once an endpoint has refused more and taken less."""

    size: int
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def learn(self, taken: int) -> None:
        """Note that an endpoint took so many rows after it had refused more."""
        with self.lock:
            self.size = min(self.size, taken)


def by_rule(cells: int, binary: bool) -> int:
    """Return rows per request for rows of so many cells: a power of two between 1 and 4,096."""
    fits = CELLS_PER_REQUEST[binary] // max(1, cells)
    return min(4096, 1 << (max(1, fits).bit_length() - 1))


def cut(count: int, size: int) -> list[slice]:
    """Cut rows into the fewest pieces of at most ``size``, as equal as they can be."""
    pieces = -(-count // size)
    edges = [count * k // pieces for k in range(pieces + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def side_by_side(work: Callable[[T], R], items: Sequence[T], most: int) -> list[R]:
    """Do the work on every item, ``most`` at a time, and return the results in the items' order.

    The caller's own thread works too, so that Ctrl-C is heard. After a failure no item is begun, and
    the failure of the earliest item is raised once the others under way have ended.
    """
    results: dict[int, R] = {}
    errors: dict[int, BaseException] = {}
    left, lock = iter(range(len(items))), threading.Lock()

    def drain() -> None:
        while True:
            with lock:
                place = None if errors else next(left, None)
            if place is None:
                return
            try:
                results[place] = work(items[place])
            except BaseException as error:  # handed to the caller, whatever it is
                errors[place] = error

    helpers = [threading.Thread(target=drain, daemon=True) for _ in range(min(most, len(items)) - 1)]
    for helper in helpers:
        helper.start()
    drain()
    own = next((e for e in errors.values() if isinstance(e, (KeyboardInterrupt, SystemExit))), None)
    if own is not None:
        raise own
    for helper in helpers:
        helper.join()
    if errors:
        raise errors[min(errors)]
    return [results[place] for place in range(len(items))]
