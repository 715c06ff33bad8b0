"""A GPU: masks played in the graph, and rows filled outside, over the bare session with rows on the device.

python benchmarks/gpu.py --to FILE     on a machine with a GPU: one JSON object a line, as lines are finished
python benchmarks/gpu.py --from FILE   anywhere: writes the README's table from it
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import made
import numpy as np
from floor import Recorder, _joined
from overhead import README, SAMPLES, environment

import blackbox as bb

BEGIN, END = "<!-- gpu:begin -->", "<!-- gpu:end -->"
HEADER = (
    "| Question | Rows | Rows per run | Floor, us/row (batch) | In the graph | Rows filled | Confined "
    "| Rows/s, in the graph (floor) | GPU busy: in the graph, filled | Against float32 |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)
BATCHES = (64, 256, 512, 4096, 16384)
"""Candidates of the floor. A pass that fills the GPU gains little from more rows."""

MOST_PIECE = 2**29
"""Bytes of one piece of the floor at the most."""

ROUNDS = 3
WATCHED = 2.0
"""Seconds of questions during which the GPU is watched: the driver tells means over a sixth of a second."""


@dataclass(frozen=True)
class Subject:
    """A line: a model, one input of it, and how the question is asked.

    path : the model's file. x : one input. more : keyword arguments of ``bb.explain``. options : of the
    model. against : title of the line whose values are the finer ones. ways : how it is asked, beside in the
    graph: ``filled`` and ``confined``.
    """

    title: str
    path: Path
    x: np.ndarray
    method: Any
    more: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    against: str = ""
    ways: tuple[str, ...] = ("filled",)


def subjects(folder: Path) -> Iterator[Subject]:
    """Pictures and text at sizes that fill a GPU, then the small models that do not."""
    rng = np.random.default_rng(0)
    picture = rng.random((3, 224, 224), dtype=np.float32)
    patches = {"features": bb.features.patches(picture.shape, 14, 14)[0], "target": 0}
    plain = bb.KernelShap(budget=10 * 196, estimator="kernel")
    full, half = made.resnet50(folder / "resnet50.onnx"), made.resnet50(folder / "half.onnx", half=True)
    title = "ResNet-50, 14 x 14 patches"
    yield Subject(f"{title}, float32", full, picture, plain, patches, ways=("filled", "confined"))
    more = bb.KernelShap(budget=50 * 196, estimator="kernel")
    yield Subject(f"{title}, float32, 50 d", full, picture, more, patches, ways=("confined",))
    yield Subject(f"{title}, TF32", full, picture, plain, patches, {"tf32": True}, f"{title}, float32")
    yield Subject(f"{title}, float16", half, picture, plain, patches, {}, f"{title}, float32")
    yield Subject(f"{title}, default `kernelshap`", full, picture, bb.KernelShap(budget=10 * 196), patches)
    yield Subject(f"{title}, `caso`", full, picture, bb.Caso(), patches)
    text = made.transformer(folder / "transformer.onnx")
    ids = rng.integers(4, 1000, 128)
    tokens = {"background": np.full((1, 128), 3), "target": 0}
    yield Subject("transformer of BERT-base's size, 128 tokens", text, ids,
                  bb.KernelShap(budget=10 * 128, estimator="kernel"), tokens)  # fmt: skip
    digits = np.load(SAMPLES / "digits/background.npy")
    hundred = np.concatenate([digits, rng.permuted(digits, axis=0)])[:100]
    small = bb.KernelShap(budget=None, estimator="kernel")
    yield Subject("`mlp`, 100 background rows", SAMPLES / "digits/mlp.onnx", digits[0], small,
                  {"background": hundred, "target": 0})  # fmt: skip
    large = rng.random((1, 28, 28), dtype=np.float32)
    labels = bb.features.patches(large.shape, 14, 14)[0]
    yield Subject("`cnn28`, 14 x 14 patches", SAMPLES / "digits/cnn28.onnx", large, small,
                  {"features": labels, "target": 0})  # fmt: skip


@dataclass(frozen=True)
class Placed:
    """The floor: recorded rows that lie on the device already, in pieces, through the bare session."""

    session: Any
    output: str
    pieces: Sequence[Mapping[str, Any]]

    def __call__(self) -> None:
        for piece in self.pieces:
            binding = self.session.io_binding()
            for name, value in piece.items():
                binding.bind_ortvalue_input(name, value)
            binding.bind_output(self.output, "cpu")
            self.session.run_with_iobinding(binding)


def placed(model: Any, rows: Mapping[str, np.ndarray], batch: int) -> Placed:
    """Cut rows into pieces and copy them to the device, the last one filled up: a pass of another shape makes
    the runtime lay out its memory anew, which would count against the floor."""
    import onnxruntime

    count = len(next(iter(rows.values())))
    short = -count % batch
    rows = {name: np.concatenate([array, array[:1].repeat(short, axis=0)]) for name, array in rows.items()}
    put = partial(onnxruntime.OrtValue.ortvalue_from_numpy, device_type="cuda", device_id=0)
    pieces = [
        {name: put(np.ascontiguousarray(array[at : at + batch])) for name, array in rows.items()}
        for at in range(0, count, batch)
    ]
    return Placed(model.session, model.answer.outputs[0], pieces)


def floor(model: Any, rows: Mapping[str, np.ndarray]) -> tuple[Placed, int]:
    """Find the best batch size of the bare session."""
    count = len(next(iter(rows.values())))
    each = sum(array.nbytes for array in rows.values()) // count
    best: tuple[float, int] | None = None
    for batch in BATCHES:
        if batch * each > MOST_PIECE or batch >= 2 * count:
            break
        run = placed(model, rows, batch)
        run()
        seconds = min(once(run) for _ in range(2))
        best = min(best or (seconds, batch), (seconds, batch))
    assert best is not None
    return placed(model, rows, best[1]), best[1]


def once(run: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = perf_counter()
    run()
    return perf_counter() - start


def queried(what: str) -> float:
    """Ask the driver for one number."""
    command = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader,nounits"]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()[0])


def watched(run: Callable[[], object], what: str, seconds: float) -> list[float]:
    """Repeat a question for some seconds, and at least once, and sample what the driver tells meanwhile."""
    found: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            found.append(queried(what))

    watch = threading.Thread(target=look)
    watch.start()
    begun = perf_counter()
    run()
    while perf_counter() - begun < seconds:
        run()
    over.set()
    watch.join()
    return found[1:-1] or found or [queried(what)]


def line(subject: Subject, values: dict[str, np.ndarray]) -> dict[str, Any]:
    """Measure one line."""

    def opened(**options: Any) -> Any:
        return bb.open_model(subject.path, "cuda", {**subject.options, **options})

    def asked(model: Any) -> Any:
        return bb.explain(model, subject.x, subject.method, **subject.more)

    graph, bare = opened(), opened(fuse=False)
    recorder = Recorder(bare.fit({bare.signature.inputs[0].name: subject.x}))
    answer = asked(recorder)
    run, batch = floor(bare, _joined(recorder.runs))
    recorder.runs.clear()
    others = {"filled": lambda: bare, "confined": lambda: opened(sandbox=True)}
    asks = [partial(asked, model) for model in (graph, *(others[way]() for way in subject.ways))]
    first, *_ = [ask() for ask in asks]  # all are warm now
    taken = np.array([[once(each) for each in (run, *asks)] for _ in range(ROUNDS)])
    del run
    ratios = np.median(taken[:, 1:] / taken[:, :1], axis=0)
    seconds = np.median(taken, axis=0)
    busy = [float(np.median(watched(ask, "utilization.gpu", WATCHED))) for ask in asks[:2]]
    found = {
        "title": subject.title, "rows": answer.rows, "rows_per_run": first.provenance["rows_per_run"],
        "hiding": first.provenance["hiding"], "floor_us": float(seconds[0]) / answer.rows * 1e6,
        "batch": batch,
        "ratios": dict(zip(("graph", *subject.ways), map(float, ratios), strict=True)),
        "rates": [answer.rows / float(each) for each in seconds[:2]], "busy": busy,
        "outside_differs": difference(first.values, answer.values),
    }  # fmt: skip
    if subject.against:
        found["against"] = difference(first.values, values[subject.against])
    values[subject.title] = first.values
    return found


def difference(values: np.ndarray, finer: np.ndarray) -> float:
    """Return the largest difference as a share of the range."""
    return float(np.abs(values - finer).max() / np.ptp(finer))


def peak(path: Path, budget: int) -> float:
    """MiB of device memory at the most, of a process that asks once."""
    command = [sys.executable, __file__, "--ask", str(path), "--budget", str(budget)]
    with subprocess.Popen(command) as process:
        found = [0.0]
        while process.poll() is None:
            found.append(queried("memory.used"))
    if process.returncode:
        raise RuntimeError("the question failed")
    return max(found)


def ask(path: Path, budget: int) -> None:
    """Ask one question about a picture, in a process of its own."""
    x = np.random.default_rng(0).random((3, 224, 224), dtype=np.float32)
    labels = bb.features.patches(x.shape, 14, 14)[0]
    bb.explain(bb.open_model(path, "cuda"), x, bb.KernelShap(budget=budget, estimator="permutation"),
               features=labels, target=0)  # fmt: skip


def facts() -> dict[str, Any]:
    """What the figures were taken on."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    told = subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    return {"gpu": told, "environment": environment(0).rpartition("; ")[0]}


def curve(title: str, path: Path, x: np.ndarray, batches: Sequence[int], **options: Any) -> dict[str, Any]:
    """Microseconds a row of the bare session by rows per pass: (rows in place, rows copied there)."""
    model = bb.open_model(path, "cuda", options)
    tensor, found = model.signature.inputs[0], {}
    for batch in batches:
        rows = {tensor.name: x[None].repeat(batch, axis=0).astype(tensor.dtype)}
        runs = (model.rehearse(rows), partial(model.session.run, [model.answer.outputs[0]], rows))
        seconds = [[once(run) for _ in range(6)][1:] for run in runs]
        found[batch] = [float(np.median(each)) / batch * 1e6 for each in seconds]
    return {"curve": title, "batches": found}


def curves(folder: Path) -> Iterator[dict[str, Any]]:
    """Curves of the models that fill a GPU."""
    rng = np.random.default_rng(0)
    picture, ids = rng.random((3, 224, 224), dtype=np.float32), rng.integers(4, 1000, 128)
    full, half = made.resnet50(folder / "resnet50.onnx"), made.resnet50(folder / "half.onnx", half=True)
    batches = (16, 32, 64, 128, 256, 512)
    yield curve("ResNet-50, float32", full, picture, batches)
    yield curve("ResNet-50, TF32", full, picture, batches, tf32=True)
    yield curve("ResNet-50, float16", half, picture, batches)
    text = made.transformer(folder / "transformer.onnx")
    yield curve("transformer of BERT-base's size, 128 tokens", text, ids, batches[:-1])


def shown(found: Mapping[str, Any]) -> str:
    """Write a line of the table."""
    ratios = {way: f"{ratio:.2f}" for way, ratio in found["ratios"].items()}
    graph = ratios["graph"] if found["hiding"] == "in the graph" else f"{ratios['graph']} (filled)"
    busy = dict(zip(found["ratios"], found["busy"], strict=False))
    shares = [f"{busy[way]:.0f} %" if way in busy else "not measured" for way in ("graph", "filled")]
    cells = [
        found["title"], f"{found['rows']:,}", f"{found['rows_per_run']:,}",
        f"{found['floor_us']:.2f} ({found['batch']:,})", graph,
        *(ratios.get(way, "not measured") for way in ("filled", "confined")),
        f"{found['rates'][1]:,.0f} ({found['rates'][0]:,.0f})", ", ".join(shares),
        f"{found['against']:.1e}" if "against" in found else "",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def curve_line(found: Mapping[str, Any]) -> str:
    """Write a line of the table of curves."""
    cells = [
        f"{batch} rows {place:.0f}" + ("" if sent is None else f" ({sent:.0f})")
        for batch, (place, sent) in found["batches"].items()
    ]
    return f"| {found['curve']} | {', '.join(cells)} |"


def write(file: Path) -> None:
    """Write the README's table from recorded lines."""
    head, *lines = [json.loads(text) for text in file.read_text(encoding="utf-8").splitlines()]
    block = [f"{head['gpu']}; {head['environment']}", "", *HEADER]
    block += [shown(found) for found in lines if "title" in found]
    block += ["", "| Bare session | us a row by rows per pass, rows in place (copied there) |"]
    block += ["| --- | --- |"]
    block += [curve_line(found) for found in lines if "curve" in found]
    block += [
        f"\nPeak device memory of one question about ResNet-50: {found['peaks'][0]:,.0f} MiB for "
        f"{found['budgets'][0]:,} masks, {found['peaks'][1]:,.0f} MiB for {found['budgets'][1]:,}."
        for found in lines if "peaks" in found
    ]  # fmt: skip
    before, rest = README.read_text(encoding="utf-8").split(BEGIN)
    text = f"{before}{BEGIN}\n" + "\n".join(block) + f"\n{END}{rest.split(END)[1]}"
    README.write_text(text, encoding="utf-8")


def main() -> None:
    """Measure on a GPU, or write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--to", type=Path, help="measure, and append a line of JSON for each question")
    parser.add_argument("--from", dest="source", type=Path, help="write the README's table from such a file")
    parser.add_argument("--only", default="", help="lines whose title holds this")
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)  # one question, for its memory
    parser.add_argument("--budget", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.source or asked.ask:
        write(asked.source) if asked.source else ask(asked.ask, asked.budget)
        return
    values: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder, asked.to.open("a", encoding="utf-8") as file:
        print(json.dumps(facts()), file=file, flush=True)
        for subject in subjects(Path(folder)):
            if asked.only in subject.title:
                text = json.dumps(line(subject, values))
                print(text, file=file, flush=True)
                print(text, flush=True)
        for found in curves(Path(folder)):
            print(json.dumps(found), file=file, flush=True)
        budgets = (1_000, 10_000)
        peaks = [peak(Path(folder) / "resnet50.onnx", budget) for budget in budgets]
        print(json.dumps({"peaks": peaks, "budgets": budgets}), file=file, flush=True)


if __name__ == "__main__":
    main()
