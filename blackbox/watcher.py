"""Progress: who is told how far a long run has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Watcher:
    """Who is told what a long run is doing: the number of steps, each as it begins, every pass's rows."""

    total: Callable[[int], None] = lambda _: None
    step: Callable[[str], None] = lambda _: None
    rows: Callable[[int], None] = lambda _: None
