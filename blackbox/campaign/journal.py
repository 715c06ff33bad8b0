"""Everything that depends on the clock or on what was interrupted, and so stands in run.json alone."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from blackbox.diagnosis import environment

SCHEMA = "blackbox.run/1"
ATTEMPTS = "attempts.jsonl"


@dataclass(frozen=True)
class Watch:
    """A moment by two clocks: the wall's, which may be set back, and one that only goes forward."""

    wall: float = field(default_factory=time.time)
    steady: float = field(default_factory=time.perf_counter)

    def read(self) -> dict[str, Any]:
        """Return begin and end by the wall clock (UTC), and the seconds between by the steady one."""
        seconds = time.perf_counter() - self.steady
        return {
            "began": utc(self.wall),
            "ended": utc(time.time()),
            "seconds": round(seconds, 6),
            "pid": os.getpid(),
        }


def utc(seconds: float) -> str:
    """Write a moment as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def began(working: Path) -> None:
    """Note that a process took up the campaign."""
    _note(working, {"event": "began", "at": utc(time.time()), "pid": os.getpid()})


def ended(working: Path) -> None:
    """Note that it let go of it in order; a process that was killed leaves no such line."""
    with suppress(OSError):  # the disk may be full, which is why it ends
        if working.is_dir():
            _note(working, {"event": "ended", "at": utc(time.time()), "pid": os.getpid()})


def _note(working: Path, line: dict[str, Any]) -> None:
    with (working / ATTEMPTS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def attempts(working: Path) -> list[dict[str, Any]]:
    """Return when processes took the campaign up and, where they could say so, when they let go of it."""
    found: list[dict[str, Any]] = []
    for line in (working / ATTEMPTS).read_text(encoding="utf-8").splitlines():
        try:
            told = json.loads(line)
        except ValueError:  # the line during which a process was killed
            continue
        if told["event"] == "began":
            found.append({"began": told["at"], "ended": None, "pid": told["pid"]})
        elif found and found[-1]["pid"] == told["pid"]:
            found[-1]["ended"] = told["at"]
    return found


def run_record(working: Path, receipts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the content of run.json.

    ``clock_went_back_seconds`` says by how much the wall clock contradicts itself: the largest step back
    from one moment to a later one, by the order in which they were noted. Durations come from the steady
    clock. ``environment`` is that of the process which seals.
    """
    now = utc(time.time())
    tried = attempts(working)
    moments = [(receipt["clock"]["began"], receipt["clock"]["ended"]) for receipt in receipts]
    starts = [attempt["began"] for attempt in tried]
    if tried:
        tried[-1]["ended"] = now  # the one that seals
    pairs = [*moments, *pairwise(starts), *((start, now) for start in starts)]
    pairs += [(ended, now) for _, ended in moments]
    back = max([0.0, *((_seconds(a) - _seconds(b)) for a, b in pairs)])
    return {
        "schema": SCHEMA,
        "began": min([*starts, now]),
        "ended": max([now, *starts, *(ended for _, ended in moments)]),
        "clock_went_back_seconds": round(back, 3),
        "interruptions": max(0, len(tried) - 1),
        "attempts": tried,
        "seconds_in_shards": round(sum(receipt["clock"]["seconds"] for receipt in receipts), 3),
        "rows_in_shards": sum(receipt["rows"] for receipt in receipts),
        "calls_in_shards": sum(receipt["calls"] for receipt in receipts),
        "environment": environment(),
        "processes": len({receipt["clock"]["pid"] for receipt in receipts}),
        "shards": [
            {
                "shard": receipt["shard"],
                **receipt["clock"],
                "rows": receipt["rows"],
                "sha256": receipt["sha256"],
            }
            for receipt in receipts
        ],
    }


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
