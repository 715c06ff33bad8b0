"""One kernelshap over the wire against a bare HTTP client with the same rows; writes the README's table.

Needs the environments of ``tests/peers/make.py kserve mlserver``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
SIZES = (256, 512, 1024, 2048, 4096, 8192, 16384)
HEADER = (
    "| Server | Way | Rows | Requests | Bare client, s (batch) | kernelshap, s | Over the bare client "
    "| Over a bare client with four at once |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
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


def bare(way: Way, url: str, rows: np.ndarray, size: int, threads: int) -> float:
    """Return the seconds that a bare client needs for the rows, by itself or with several at once."""
    pieces = [rows[start : start + size] for start in range(0, len(rows), size)]
    with httpx.Client(timeout=120, limits=httpx.Limits(max_connections=threads)) as client:
        begun = time.perf_counter()
        if threads == 1:
            for piece in pieces:
                way.ask(client, url, piece)
        else:
            with ThreadPoolExecutor(threads) as crew:
                list(crew.map(lambda piece: way.ask(client, url, piece), pieces))
        return time.perf_counter() - begun


def line(way: Way, url: str, rounds: int) -> str:
    """Measure one way: the explanation and the two bare clients in turn, ratios of every round."""
    applicant, background = _table("credit/applicants.csv", 1)[0], _table("credit/background.csv", 0)
    model = bb.open_model(url, options=way.options)
    seen: list[np.ndarray] = []
    bb.explain(Recorder(model, seen), applicant, background=background)
    rows, asked = np.concatenate(seen), model.account["requests"]
    best = {n: min(SIZES, key=lambda size, n=n: bare(way, url, rows, size, n)) for n in (1, 4)}
    ours, alone, four = [], [], []
    before = model.account["requests"]
    for _ in range(rounds):
        begun = time.perf_counter()
        bb.explain(model, applicant, background=background)
        ours.append(time.perf_counter() - begun)
        alone.append(bare(way, url, rows, best[1], 1))
        four.append(bare(way, url, rows, best[4], 4))
    requests = (model.account["requests"] - before) // rounds if rounds else asked
    over = statistics.median(a / b for a, b in zip(ours, alone, strict=True))
    over_four = statistics.median(a / b for a, b in zip(ours, four, strict=True))
    return (
        f"| {way.server} | {way.label} | {len(rows):,} | {requests} "
        f"| {statistics.median(alone):.2f} ({best[1]:,}) | {statistics.median(ours):.2f} "
        f"| {over:.2f} | {over_four:.2f} |"
    )


def main() -> None:
    """Start the servers, measure every way, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--dry", action="store_true", help="print the table and write nothing")
    asked = parser.parse_args()
    lines = list(HEADER)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        at = {
            "KServe SDK": stack.enter_context(servers.kserve(CREDIT / "credit.onnx")),
            "MLServer": stack.enter_context(servers.mlserver(CREDIT / "credit.onnx", folder)),
        }
        for way in WAYS:
            lines.append(line(way, at[way.server] + way.path, asked.rounds))
            print(lines[-1], flush=True)
    if not asked.dry:
        before, rest = README.read_text(encoding="utf-8").split(BEGIN)
        block = "\n".join([environment(1), "", *lines])
        README.write_text(f"{before}{BEGIN}\n{block}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
