"""Hiding in the graph against rows filled by NumPy, over one floor; writes the README's table."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import threadpoolctl
from floor import compare
from overhead import README, SAMPLES, environment, subjects

import blackbox as bb

BEGIN, END = "<!-- hiding:begin -->", "<!-- hiding:end -->"
HEADER = (
    "| Question | Rows | Floor, us/row (batch) | NumPy | In the graph | NumPy less 5 ms "
    "| In the graph less 5 ms | GPU |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
)
PLAIN = bb.KernelShap(budget=None, estimator="kernel")
BULK = {
    "regression": bb.KernelShap(budget=2 * 64 + 2048, estimator="kernel"),
    "odd kernel": bb.KernelShap(budget=2 * 64 + 2048, estimator="odd-kernel"),
}
MANY = 20


@dataclass(frozen=True)
class Question:
    """A line of the table: what is asked of which model, and how many explanations that makes."""

    title: str
    path: str
    ask: Callable[[Any], object]
    answers: int = 1


def questions() -> Iterator[Question]:
    """The lines: tiny networks and trees with a background, one and many rows; pictures by patches."""
    found, rng = subjects(), np.random.default_rng(0)
    digits = np.load(SAMPLES / "digits/background.npy")
    hundred = np.concatenate([digits, rng.permuted(digits, axis=0)])[:100]
    for name, rows in (("mlp", hundred), ("credit", None), ("forest", None)):
        subject = found[name]
        rows = subject.background if rows is None else rows

        def one(model: Any, x: np.ndarray = subject.x, rows: np.ndarray | None = rows) -> object:
            return bb.explain(model, x, PLAIN, background=rows)

        count = 1 if rows is None else len(rows)
        yield Question(f"`{name}`, {count} background rows", subject.path, one)
    inputs = rng.permuted(digits, axis=0)[:MANY]

    for name, method in BULK.items():

        def many(model: Any, method: bb.KernelShap = method) -> object:
            return list(bb.explain_many(model, inputs, method, target=0, background=hundred))

        title = f"`mlp`, {MANY} rows at once by {name}, 100 background rows"
        yield Question(title, found["mlp"].path, many, MANY)
    for name, grid, rows in (("cnn", 4, None), ("cnn28", 14, None), ("cnn28", 7, rng.random((8, 1, 28, 28)))):
        subject = found[name]
        labels = bb.features.patches(subject.x.shape, grid, grid)[0]

        def picture(
            model: Any, x: np.ndarray = subject.x, labels: np.ndarray = labels, rows: np.ndarray | None = rows
        ) -> object:
            return bb.explain(model, x, PLAIN, features=labels, background=rows)

        count = 1 if rows is None else len(rows)
        title = f"`{name}`, {grid} x {grid} patches, {count} background row{'s' if count > 1 else ''}"
        yield Question(title, subject.path, picture)


def line(question: Question, threads: int, seconds: float, quick: bool) -> str:
    """Measure one line."""
    models = [
        bb.open_model(SAMPLES / question.path, "cpu", {"threads": threads, "fuse": fuse})
        for fuse in (False, True)
    ]
    seen = compare(question.ask, models, question.answers, seconds, quick)
    ratios = " | ".join(f"{ratio:.2f}" for ratio in (*seen.over, *seen.allowed))
    floor = f"{seen.floor / seen.rows * 1e6:.2f} ({seen.batch})"
    return f"| {question.title} | {seen.rows:,} | {floor} | {ratios} | not measured |"


def main() -> None:
    """Measure, print, and write the README's table when everything was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round and one batch size; write nothing")
    parser.add_argument("--threads", type=int, default=1, help="of the session and of NumPy (default 1)")
    parser.add_argument("--seconds", type=float, default=6.0, help="rounds per line (default 6)")
    asked = parser.parse_args()
    block = [environment(asked.threads), "", *HEADER]
    print("\n".join(block), flush=True)
    with threadpoolctl.threadpool_limits(asked.threads):
        for question in questions():
            block.append(line(question, asked.threads, asked.seconds, asked.quick))
            print(block[-1], flush=True)
    if not asked.quick:
        before, rest = README.read_text(encoding="utf-8").split(BEGIN)
        text = f"{before}{BEGIN}\n" + "\n".join(block) + f"\n{END}{rest.split(END)[1]}"
        README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
