"""Many concurrent explanations of the service against the library alone; writes the README's table."""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from overhead import README, SAMPLES, _table, environment

import blackbox as bb

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import servers  # the slow tests start servers the same way

BEGIN, END = "<!-- service:begin -->", "<!-- service:end -->"
CREDIT = SAMPLES / "credit"
DESCRIPTION = """credit:
  model: {{path: {model}}}
  background: {{path: {background}}}
"""
HEADER = (
    "| Method | Askers | Answers | Errors | Answers/s | of the library's | p50, ms | p95, ms | Memory, MiB "
    "(before, half-way, end) |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
)
QUESTIONS = {"occlusion": {}, "kernelshap": {"budget": 512}}


@dataclass
class Load:
    """What askers saw. seconds : of every answer. errors : answers that were none. memory : MiB at times."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    lasted: float = 0.0


def resident(pid: int) -> float:
    """Return the resident memory of a process and all it has started, in MiB (Linux)."""
    parents, pages = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        number = int(stat.parent.name)
        parents[number], pages[number] = int(fields[1]), int(fields[21])
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(pages.get(one, 0) for one in family) * os.sysconf("SC_PAGE_SIZE") / 2**20


def library(rows: np.ndarray, background: np.ndarray, method: str, seconds: float) -> float:
    """Return explanations per second of one process that does nothing else."""
    model = bb.open_model(CREDIT / "credit.onnx", device="cpu")
    asked = bb.METHODS[method](**QUESTIONS[method])
    bb.explain(model, rows[0], asked, background=background)
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        bb.explain(model, rows[count % len(rows)], asked, background=background)
        count += 1
    return count / (time.perf_counter() - begun)


def load(url: str, pid: int, rows: np.ndarray, method: str, askers: int, seconds: float) -> Load:
    """Let askers ask one instance after the other, each waiting for its answer, for so many seconds.

    An answer of 429 is no error: the asker waits as ``Retry-After`` says and asks again, within the time
    that it counts.
    """
    seen, ends = Load(memory=[resident(pid)]), time.perf_counter() + seconds
    begun = time.perf_counter()

    def ask(number: int) -> None:
        own = random.Random(number)
        with httpx.Client(timeout=120) as client:
            while time.perf_counter() < ends:
                row = rows[own.randrange(len(rows))]
                body = {"instances": [row.tolist()], "parameters": {"method": method, **QUESTIONS[method]}}
                start = time.perf_counter()
                problem = one(client, f"{url}/v1/models/credit:explain", body)
                if problem:
                    seen.errors.append(problem)
                else:
                    seen.seconds.append(time.perf_counter() - start)

    crew = [threading.Thread(target=ask, args=(number,)) for number in range(askers)]
    for thread in crew:
        thread.start()
    time.sleep(seconds / 2)
    seen.memory.append(resident(pid))
    for thread in crew:
        thread.join()
    seen.memory.append(resident(pid))
    seen.lasted = time.perf_counter() - begun
    return seen


def one(client: httpx.Client, url: str, body: dict[str, object]) -> str:
    """Ask until there is an answer; returns what is wrong with it, or nothing."""
    while True:
        try:
            answer = client.post(url, json=body)
        except httpx.HTTPError as error:
            return repr(error)
        if answer.status_code == 429:
            time.sleep(float(answer.headers["retry-after"]))
            continue
        good = answer.status_code == 200 and len(answer.json()["explanations"]) == 1
        return "" if good else answer.text[:200]


def lines(asked: argparse.Namespace) -> list[str]:
    """Start the service, load it, and return the table's lines."""
    rows, background = _table("credit/applicants.csv", 1), _table("credit/background.csv", 0)
    found, failed = [], []
    with tempfile.TemporaryDirectory() as folder:
        text = DESCRIPTION.format(model=CREDIT / "credit.onnx", background=CREDIT / "background.csv")
        (Path(folder) / "blackbox.yaml").write_text(text, encoding="utf-8")
        port = servers.free_port()
        arguments = ["serve", "--models", folder, "--port", str(port)]
        program = "import sys; from blackbox.cli import main; sys.exit(main())"
        ready = f"http://127.0.0.1:{port}/v2/health/ready"
        with servers.running([sys.executable, "-c", program, *arguments], ready) as process:
            url = f"http://127.0.0.1:{port}"
            for method in QUESTIONS:
                load(url, process.pid, rows, method, 4, min(5.0, asked.seconds))  # caches and pools fill
                for askers in asked.askers:
                    alone = library(rows, background, method, asked.seconds / 4)
                    seen = load(url, process.pid, rows, method, askers, asked.seconds)
                    failed += seen.errors
                    found.append(line(method, askers, alone, seen))
                    print(found[-1], flush=True)
    if failed:
        raise SystemExit(f"{len(failed)} answers were errors, the first: {failed[0]}")
    return found


def line(method: str, askers: int, alone: float, seen: Load) -> str:
    """Write one line of the table."""
    rate, cuts = len(seen.seconds) / seen.lasted, statistics.quantiles(seen.seconds, n=20)
    memory = ", ".join(f"{size:.0f}" for size in seen.memory)
    settings = "".join(f" ({key} {value})" for key, value in QUESTIONS[method].items())
    return (
        f"| {method}{settings} | {askers} | {len(seen.seconds):,} | {len(seen.errors)} | {rate:.1f} "
        f"| {rate / alone:.2f} | {cuts[9] * 1e3:.0f} | {cuts[18] * 1e3:.0f} | {memory} |"
    )


def main() -> None:
    """Measure, print, and write the README's table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of every line")
    parser.add_argument("--askers", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--dry", action="store_true", help="print the table and write nothing")
    asked = parser.parse_args()
    found = [environment(1), "", *HEADER, *lines(asked)]
    if not asked.dry:
        before, rest = README.read_text(encoding="utf-8").split(BEGIN)
        block = "\n".join(found)
        README.write_text(f"{before}{BEGIN}\n{block}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
