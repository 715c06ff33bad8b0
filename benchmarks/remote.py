"""One kernelshap over the wire against a bare HTTP client with the same rows; writes the README's table.

Needs the environments of ``tests/peers/make.py kserve mlserver``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from overhead import README, SAMPLES, _table, environment

import blackbox as bb
from blackbox.model import Model, Rows

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import servers  # the slow tests start these servers too

CREDIT = SAMPLES / "credit"
BEGIN, END = "<!-- remote:begin -->", "<!-- remote:end -->"
SIZES = (256, 1024, 4096, 16384)
SETTINGS = {"default": bb.KernelShap(), "regression": bb.KernelShap(estimator="kernel", budget=600)}
"""The default, whose kernels need few rows and take time to choose; and the classical regression."""

HEADER = (
    "| Server | Way | kernelshap | Rows | Requests | Bare client, s (batch) | kernelshap, s "
    "| Over the bare client, wall time | processor time |",
    "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
)


@dataclass(frozen=True)
class Way:
    """How rows travel: server, path, options of the adapter, and the bare client's one request."""

    server: str
    label: str
    path: str
    options: dict[str, Any]
    ask: Callable[[httpx.Client, str, np.ndarray], np.ndarray]


def ask_json(client: httpx.Client, url: str, rows: np.ndarray) -> np.ndarray:
    """Send v2 with numbers in JSON, as its shortest client would."""
    tensor = {"name": "applicant", "shape": list(rows.shape), "datatype": "FP32"}
    tensor["data"] = rows.ravel().tolist()
    answer = client.post(f"{url}/infer", json={"inputs": [tensor]}).raise_for_status().json()
    found = answer["outputs"][-1]  # the servers put the label first, or leave it out
    return np.array(found["data"], dtype=np.float32).reshape(found["shape"])


def ask_bytes(client: httpx.Client, url: str, rows: np.ndarray) -> np.ndarray:
    """Send v2 with numbers as bytes after the JSON."""
    blob = rows.tobytes()
    tensor = {"name": "applicant", "shape": list(rows.shape), "datatype": "FP32"}
    tensor["parameters"] = {"binary_data_size": len(blob)}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    name = "Inference-Header-Content-Length"
    headers = {name: str(len(head)), "Content-Type": "application/octet-stream"}
    reply = client.post(f"{url}/infer", content=head + blob, headers=headers).raise_for_status()
    cut = int(reply.headers[name])
    (found,) = json.loads(reply.content[:cut])["outputs"]
    return np.frombuffer(reply.content[cut:], dtype="<f4").reshape(found["shape"])


def ask_v1(client: httpx.Client, url: str, rows: np.ndarray) -> np.ndarray:
    """Send KServe v1."""
    answer = client.post(f"{url}:predict", json={"instances": rows.tolist()}).raise_for_status().json()
    return np.array(answer["predictions"], dtype=np.float32)


def ask_mlflow(client: httpx.Client, url: str, rows: np.ndarray) -> np.ndarray:
    """Send MLflow's /invocations."""
    answer = client.post(url, json={"inputs": rows.tolist()}).raise_for_status().json()["predictions"]
    return np.array(answer["probabilities"], dtype=np.float32)


WAYS = (
    Way("KServe SDK", "v2, bytes", "/v2/models/credit", {"binary": "always"}, ask_bytes),
    Way("KServe SDK", "v2, JSON", "/v2/models/credit", {}, ask_json),
    Way("KServe SDK", "v1", "/v1/models/credit", {}, ask_v1),
    Way("MLServer", "v2, JSON", "/v2/models/credit", {}, ask_json),
    Way("MLServer", "/invocations", "/invocations", {"output": "probabilities"}, ask_mlflow),
)


@dataclass(frozen=True)
class Recorder:
    """A model that keeps the rows that it is asked."""

    model: Model
    seen: list[np.ndarray]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def predict(self, rows: Rows) -> Rows:
        """Keep the rows and pass them on."""
        self.seen.append(next(iter(rows.values())).copy())
        return self.model.predict(rows)


def bare(way: Way, url: str, rows: np.ndarray, size: int) -> None:
    """Ask for the rows by a bare client, one request after the other."""
    with httpx.Client(timeout=120) as client:
        for start in range(0, len(rows), size):
            way.ask(client, url, rows[start : start + size])


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of some work: by the clock, and of this process' and the servers' processors."""
    wall, processors = time.perf_counter(), _processors()
    work()
    return time.perf_counter() - wall, _processors() - processors


def _processors() -> float:
    """Processor seconds of this process and of its children, the servers (Linux)."""
    found = time.process_time()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[1]) == os.getpid():
            found += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


def line(way: Way, asked: str, method: bb.KernelShap, url: str, rounds: int) -> str:
    """Measure one way and one setting: the explanation and the bare client in turn, round after round."""
    applicant, background = _table("credit/applicants.csv", 1)[0], _table("credit/background.csv", 0)
    model = bb.open_model(url, options=way.options)
    seen: list[np.ndarray] = []
    bb.explain(Recorder(model, seen), applicant, method, background=background)
    rows = np.concatenate(seen)
    best = min(SIZES, key=lambda size: timed(lambda: bare(way, url, rows, size))[1])
    before, ours, alone = model.account["requests"], [], []
    for _ in range(rounds):
        ours.append(timed(lambda: bb.explain(model, applicant, method, background=background)))
        alone.append(timed(lambda: bare(way, url, rows, best)))
    requests = (model.account["requests"] - before) // rounds
    over = statistics.median(a[0] / b[0] for a, b in zip(ours, alone, strict=True))
    # ticks are 10 ms, too coarse for one round
    work = sum(one[1] for one in ours) / sum(one[1] for one in alone)
    walls = [statistics.median(one[0] for one in side) for side in (alone, ours)]
    return (
        f"| {way.server} | {way.label} | {asked} | {len(rows):,} | {requests} "
        f"| {walls[0]:.2f} ({best:,}) | {walls[1]:.2f} | {over:.2f} | {work:.2f} |"
    )


def adapter(way: Way, url: str, rounds: int) -> str:
    """Measure the adapter without a method: 16,000 rows at once, over the better of two bare clients."""
    rows = np.repeat(_table("credit/background.csv", 0), 160, axis=0)[:16000]
    model = bb.open_model(url, options=way.options)
    name, ours, alone = model.signature.inputs[0].name, [], []
    for _ in range(rounds):
        ours.append(timed(lambda: model.predict({name: rows})))
        alone.append(min(timed(lambda size=size: bare(way, url, rows, size)) for size in (4096, 16384)))
    wall = statistics.median(a[0] / b[0] for a, b in zip(ours, alone, strict=True))
    work = sum(one[1] for one in ours) / sum(one[1] for one in alone)
    return f"{way.server}, {way.label}: wall time {wall:.2f}, processor time {work:.2f}"


def main() -> None:
    """Start the servers, measure every way, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--dry", action="store_true", help="print the table and write nothing")
    parser.add_argument("--adapter", action="store_true", help="only the adapter, without a method; print")
    asked = parser.parse_args()
    lines = list(HEADER)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        at = {
            "KServe SDK": stack.enter_context(servers.kserve(CREDIT / "credit.onnx")),
            "MLServer": stack.enter_context(servers.mlserver(CREDIT / "credit.onnx", folder)),
        }
        for way in WAYS if asked.adapter else ():
            print(adapter(way, at[way.server] + way.path, asked.rounds), flush=True)
        for way in () if asked.adapter else WAYS:
            for name, method in SETTINGS.items():
                lines.append(line(way, name, method, at[way.server] + way.path, asked.rounds))
                print(lines[-1], flush=True)
    if not asked.dry and not asked.adapter:
        before, rest = README.read_text(encoding="utf-8").split(BEGIN)
        block = "\n".join([environment(1), "", *lines])
        README.write_text(f"{before}{BEGIN}\n{block}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
