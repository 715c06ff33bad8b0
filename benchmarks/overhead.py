"""Wall time of an explanation over the floor, per method and sample model; writes the README's table."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import threadpoolctl
from floor import Measured, measure
from PIL import Image

import blackbox as bb

HERE = Path(__file__).parent
SAMPLES = HERE.parent / "sample_models"
README = HERE / "README.md"
BEGIN, END = "<!-- overhead:begin -->", "<!-- overhead:end -->"
HEADER = (
    "| Model | Method | Rows | Runs | Rows per run | Floor, us/row (batch) | Overhead | Overhead, ms "
    "| Over the same runs | GPU |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
)


@dataclass(frozen=True)
class Subject:
    """A sample model with an input, its background (None = one black row) and a few words on them.

    grids : per method, the grids of patches to explain; None = cells, which is also the default.
    """

    name: str
    path: str
    x: np.ndarray
    background: np.ndarray | None
    grids: dict[str, tuple[int | None, ...]] = field(default_factory=dict)


def subjects() -> dict[str, Subject]:
    """Load the sample models' inputs: two MLPs, a forest and two CNNs."""
    digit, large = _picture("digits/images/5-0261.png"), _picture("digits/images28/4-1397.png")
    applicant, applicants = _table("credit/applicants.csv", 1)[0], _table("credit/background.csv", 0)
    # a patient whose probabilities are neither 0 nor 1, so that caso has a loss to look at
    patient, patients = _table("breast_cancer/patients.csv", 1)[22], _table("breast_cancer/background.csv", 0)
    # over 784 single pixels sis would ask 300,000 rows, and the two regressions would solve for noise
    grids = {"lime": (None, 14), "kernelshap": (None, 14), "sis": (14,)}
    rows = (
        Subject("mlp", "digits/mlp.onnx", digit, np.load(SAMPLES / "digits/background.npy")),
        Subject("credit", "credit/credit.onnx", applicant, applicants),
        Subject("forest", "breast_cancer/forest.onnx", patient, patients),
        Subject("cnn", "digits/cnn.onnx", digit, None),
        Subject("cnn28", "digits/cnn28.onnx", large, None, grids),
    )
    return {subject.name: subject for subject in rows}


def _picture(path: str) -> np.ndarray:
    return (np.asarray(Image.open(SAMPLES / path), dtype=np.float32) / 255)[None]


def _table(path: str, names: int) -> np.ndarray:
    """Read the numbers of a CSV file, without its first ``names`` columns."""
    with (SAMPLES / path).open() as file:
        width = len(file.readline().split(","))
        return np.loadtxt(file, delimiter=",", usecols=range(names, width), dtype=np.float32)


def question(subject: Subject, method: str, grid: int | None, model: Any) -> bb.Explanation:
    """Ask what a row of the table asks."""
    labels = None if grid is None else bb.features.patches(subject.x.shape, grid, grid)[0]
    return bb.explain(model, subject.x, method, features=labels, background=subject.background)


def line(subject: Subject, method: str, grid: int | None, model: Any, seconds: float, quick: bool) -> str:
    """Measure one line of the table, or say why there is nothing to measure."""
    asked = partial(question, subject, method, grid)
    found = asked(model)
    title = f"| {subject.name} | {method}" + (f" ({grid} x {grid} patches)" if grid else "")
    if found.outcome is bb.Outcome.FLAT:
        return f"{title} | {found.rows:,} | | | | flat: no result | | | not measured |"
    result = measure(asked, model, seconds, quick)
    if result.rows != found.rows:
        raise AssertionError(f"{method}: {found.rows} rows reported, {result.rows} recorded")
    return f"{title} {_numbers(result, model.limits.rows_per_run)} | not measured |"


def _numbers(result: Measured, limit: int) -> str:
    return (
        f"| {result.rows:,} | {result.runs} | {limit} "
        f"| {result.floor / result.rows * 1e6:.2f} ({result.batch}) | {result.over_floor:.2f} "
        f"| {result.excess * 1e3:.2f} | {result.over_same_runs:.2f}"
    )


def lines(only: str | None, threads: int, seconds: float, quick: bool) -> Iterator[str]:
    """Yield the table's lines, model after model."""
    for subject in subjects().values():
        model = bb.open_model(SAMPLES / subject.path, device="cpu", options={"threads": threads})
        for method in bb.METHODS:
            for grid in subject.grids.get(method, (None,)) if only in (None, subject.name, method) else ():
                yield line(subject, method, grid, model, seconds, quick)


def environment(threads: int) -> str:
    """Describe the machine in one line."""
    versions = f"onnxruntime {onnxruntime.__version__}, numpy {np.__version__}"
    return (
        f"{_processor()}, {os.cpu_count()} cores; {versions}, Python {platform.python_version()}; "
        f"CPUExecutionProvider, {threads} thread{'s' if threads != 1 else ''}."
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    models = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def write_between(readme: Path, block: str) -> None:
    """Replace what stands between the markers of a file."""
    before, rest = readme.read_text().split(BEGIN)
    after = rest.split(END)[1]
    readme.write_text(f"{before}{BEGIN}\n{block}\n{END}{after}")


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round and one batch size; write nothing")
    parser.add_argument("--only", metavar="NAME", help="one method or model; write nothing")
    parser.add_argument("--threads", type=int, default=1, help="of the session and of NumPy (default 1)")
    parser.add_argument("--seconds", type=float, default=4.0, help="rounds per line (default 4)")
    asked = parser.parse_args()
    names = (*bb.METHODS, *subjects())
    if asked.only not in (None, *names):
        parser.error(f"--only must be one of {', '.join(names)}")
    return asked


def main() -> None:
    """Measure, print, and write the README's table when everything was measured."""
    asked = options()
    block = [environment(asked.threads), "", *HEADER]
    print("\n".join(block), flush=True)
    with threadpoolctl.threadpool_limits(asked.threads):
        for line in lines(asked.only, asked.threads, asked.seconds, asked.quick):
            print(line, flush=True)
            block.append(line)
    if asked.only is None and not asked.quick:
        write_between(README, "\n".join(block))


if __name__ == "__main__":
    main()
