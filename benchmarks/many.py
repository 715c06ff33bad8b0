"""Many rows at once: 10,000 rows of the credit model against their floor, and what memory they take.

``python benchmarks/many.py`` explains 1,000 and 10,000 rows, each number in a process of its own, and
rewrites the table in the README (a few minutes); ``--rows 100`` does one number and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl
from floor import BATCHES, Recorder, _joined, _replays
from overhead import SAMPLES, environment

import blackbox as bb

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- many:begin -->", "<!-- many:end -->"
COUNTS = (1_000, 10_000)
MASKS = 270
"""Ten for each of the 27 columns."""
SAMPLE = 40
"""Explanations whose rows are recorded and replayed: all would not fit in memory."""
HEADER = (
    "| Explanations | Model rows | Floor, us/row (batch) | Explaining, us/row "
    "| Over the floor: processor time | wall time | An explanation, ms | Peak memory, MiB |",
    "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)


def _columns(name: str) -> np.ndarray:
    path = SAMPLES / "credit" / name
    return np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(27), dtype=np.float32)


def _asked(model: Any, rows: np.ndarray, background: np.ndarray) -> int:
    """Explain every row and keep nothing; return how many model rows that took."""
    method = bb.KernelShap(budget=MASKS)
    return sum(e.rows for e in bb.explain_many(model, rows, method, target=0, background=background))


def _timed(run: Callable[[], Any]) -> tuple[float, float, Any]:
    """Processor and wall seconds, and the result."""
    processor, wall = time.process_time(), time.perf_counter()
    found = run()
    return time.process_time() - processor, time.perf_counter() - wall, found


def _floor(model: Any, rows: np.ndarray, background: np.ndarray) -> tuple[float, float, int]:
    """Processor and wall seconds per row of the replay at the best batch size, and that size."""
    recorder = Recorder(model)
    _asked(recorder, rows[:SAMPLE], background)
    joined = _joined(recorder.runs)
    count = len(next(iter(joined.values())))
    replay = _replays(model, joined, count)
    tried = {batch: [_timed(replay(batch))[:2] for _ in range(3)] for batch in BATCHES if batch >= 256}
    medians = {batch: np.median(taken, axis=0) / count for batch, taken in tried.items()}
    batch = min(medians, key=lambda size: float(medians[size][0]))
    return float(medians[batch][0]), float(medians[batch][1]), batch


def child(count: int) -> None:
    """Explain, then measure the floor, and print what was found; the peak is read before the floor."""
    people, background = _columns("population.csv"), _columns("background.csv")
    rows = people[np.arange(count) % len(people)]
    model = bb.open_model(SAMPLES / "credit/credit.onnx", "cpu", {"threads": 1})
    _asked(model, rows[:SAMPLE], background)
    processor, wall, asked = _timed(lambda: _asked(model, rows, background))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    floor, floor_wall, batch = _floor(model, rows, background)
    print(json.dumps([asked, floor, floor_wall, batch, processor, wall, peak]))


def line(count: int) -> str:
    """Measure one number of rows in a process of its own."""
    command = [sys.executable, __file__, "--child", str(count)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    asked, floor, floor_wall, batch, processor, wall, peak = json.loads(told)
    over, over_wall = processor / asked / floor, wall / asked / floor_wall
    return (
        f"| {count:,} | {asked:,} | {floor * 1e6:.2f} ({batch}) | {processor / asked * 1e6:.2f} "
        f"| {over:.2f} | {over_wall:.2f} | {processor / count * 1e3:.1f} | {peak:.0f} |"
    )


def main() -> None:
    """Measure, print, and write the README's table when everything was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, help="one number of rows; writes nothing")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        with threadpoolctl.threadpool_limits(1):
            child(asked.child)
        return
    block = [environment(1), "", *HEADER]
    print("\n".join(block), flush=True)
    for count in (asked.rows,) if asked.rows else COUNTS:
        block.append(line(count))
        print(block[-1], flush=True)
    if asked.rows is None:
        before, rest = README.read_text(encoding="utf-8").split(BEGIN)
        text = f"{before}{BEGIN}\n" + "\n".join(block) + f"\n{END}{rest.split(END)[1]}"
        README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
