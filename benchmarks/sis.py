"""Sufficient subsets: size, masks, time, gap to the minimum, overhead; writes the README's tables."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import threadpoolctl
from floor import Measured, measure
from overhead import README, environment
from PIL import Image

import blackbox as bb
from blackbox.api import case
from blackbox.features import Features, grouped
from blackbox.inputs import read_dataset
from blackbox.plan import load_plan
from blackbox.pool import play
from blackbox.searches.greedy import ranked
from blackbox.searches.steps import Group

SAMPLES = Path(__file__).parent.parent / "sample_models"
BEGIN, END = "<!-- sis:begin -->", "<!-- sis:end -->"
GAP_ROWS, GAP_THRESHOLD = 10, "98%"
"""Background rows and threshold of the gap table: at the mean row and 90 % every way finds the minimum."""

SEARCHES = ("backselect", "auto", "batched", "greedy", "ranked")


SEARCHED = (
    "",
    "| Inputs | Answered | Search | Mean size | to BackSelect's | Masks | of 1 + d(d+1)/2 "
    "| of BackSelect's | ms an input | to BackSelect's |",
    "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)
GAPS = (
    "",
    "| Way to a subset | Mean size | Gap to the minimum | Minimal | Masks |",
    "| --- | ---: | ---: | ---: | ---: |",
)
OVERHEADS = (
    "",
    "| Inputs | Search | Count | Rows | Floor, us/row | Overhead, one by one | Over the same runs "
    "| Rows | Floor, us/row | Overhead, lockstep | Over the same runs |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)


@dataclass(frozen=True)
class Subject:
    """A model, some of its inputs, and how they are hidden. target : None = the predicted class."""

    name: str
    path: str
    x: np.ndarray
    background: np.ndarray | None
    features: Features | np.ndarray | None = None
    target: int | str | None = None
    threshold: float | None = None

    def open(self) -> Any:
        """Open the model on one thread."""
        return bb.open_model(SAMPLES / self.path, device="cpu", options={"threads": 1})

    def method(self, search: str, **more: Any) -> bb.Sis:
        """Return the settings of a search for the first subset."""
        return bb.Sis(threshold=self.threshold, search=search, max_subsets=1, **more)


def subjects(few: bool) -> list[Subject]:
    """Load the inputs: digits small and enlarged, applicants, sequences."""
    digits = np.load(SAMPLES / "digits/digits.npy")[: 20 if few else 200]
    mean = np.load(SAMPLES / "digits/background.npy").mean(axis=0)
    paths = sorted((SAMPLES / "digits/images28").glob("*.png"))[: 2 if few else 12]
    large = np.stack([_picture(path) for path in paths])
    sequences = np.load(SAMPLES / "motif/sequences.npy")
    labels = [line.split(",")[1] for line in (SAMPLES / "motif/sequences.csv").read_text().splitlines()[1:]]
    positive = sequences[[label == "motif" for label in labels]][: 10 if few else 120]
    applicants, features, background = credit()
    return [
        Subject("mlp 8x8, black", "digits/mlp.onnx", digits, None),
        Subject("mlp 8x8, mean", "digits/mlp.onnx", digits, mean),
        Subject("cnn 8x8, black", "digits/cnn.onnx", digits, None),
        Subject("cnn 8x8, mean", "digits/cnn.onnx", digits, mean),
        Subject("cnn 28x28, black", "digits/cnn28.onnx", large, None),
        Subject("cnn 28x28, grey", "digits/cnn28.onnx", large, np.full((1, 28, 28), 0.5, dtype=np.float32)),
        Subject("credit, mean", "credit/credit.onnx", applicants, background, features),
        Subject("motif, 0.25", "motif/motif.onnx", positive, np.load(SAMPLES / "motif/background.npy"),
                np.arange(60)[:, None], "motif", 0.9),
    ]  # fmt: skip


def credit() -> tuple[np.ndarray, Features, np.ndarray]:
    """Load all applicants, the one-hot groups of the sample plan as features, and the mean row."""
    plan = load_plan(SAMPLES / "credit/audit.yaml")
    model = bb.open_model(SAMPLES / "credit/credit.onnx", device="cpu")
    data = read_dataset(SAMPLES / "credit/applicants.csv", model.signature, plan.data.spec())
    rows = read_dataset(SAMPLES / "credit/background.csv", model.signature).rows
    features = grouped(data.row(0), data.columns, plan.features.groups, plan.features.never_hidden)
    name = next(iter(data.rows))
    return data.rows[name], features, rows[name].mean(axis=0)


def _rows(count: int) -> np.ndarray:
    """Load the first background rows of the credit model."""
    model = bb.open_model(SAMPLES / "credit/credit.onnx", device="cpu")
    rows = read_dataset(SAMPLES / "credit/background.csv", model.signature).rows
    return next(iter(rows.values()))[:count]


def _picture(path: Path) -> np.ndarray:
    return (np.asarray(Image.open(path), dtype=np.float32) / 255)[None]


def searched(subject: Subject) -> Iterator[str]:
    """Yield one line per search: size, masks and time against BackSelect's."""
    model, reference = subject.open(), None
    for search in SEARCHES:
        start = perf_counter()
        method = subject.method(search)
        explanations = [
            bb.explain(model, x, method, subject.target, None, subject.features, subject.background)
            for x in subject.x
        ]
        seconds = (perf_counter() - start) / len(explanations)
        found = [e for e in explanations if e.details["subsets"]]
        size = float(np.mean([len(e.details["subsets"][0]) for e in found]))
        rows = float(np.mean([e.rows for e in found]))
        d = len(found[0].feature_names)
        reference = reference or (size, rows, seconds)
        yield (
            f"| {subject.name} | {len(found)} | {search} | {size:.2f} | {size / reference[0]:.3f} "
            f"| {rows:,.0f} | {rows / (1 + d * (d + 1) / 2):.2%} | {rows / reference[1]:.2%} "
            f"| {seconds * 1e3:.2f} | {seconds / reference[2]:.2f} |"
        )


def gaps() -> Iterator[str]:
    """Yield one line per way to a subset: how far from the proven minimum it is, on the credit model."""
    applicants, features, _ = credit()
    background = _rows(GAP_ROWS)
    model = bb.open_model(SAMPLES / "credit/credit.onnx", device="cpu", options={"threads": 1})
    cases = [case(model, {model.signature.inputs[0].name: x}, features, background) for x in applicants]
    method = bb.Sis(GAP_THRESHOLD, search="exact", max_subsets=1)
    exact = [one.explain(method, None, "raw", 0) for one in cases]
    answered = [k for k, e in enumerate(exact) if e.details["subsets"]]
    least = np.array([e.details["size_lower_bound"] for e in exact if e.details["subsets"]])
    proven = sum(exact[k].details["certificates"][0]["minimal"] for k in answered)
    masks = np.mean([exact[k].rows for k in answered]) / GAP_ROWS
    title = f"exact: proven for {proven} of {len(answered)}"
    yield f"| {title} | {least.mean():.2f} | 0.00 | 100% | {masks:,.0f} |"
    ways: dict[str, Callable[[int], tuple[int, int]]] = {
        search: partial(_by_search, cases, search) for search in ("backselect", "greedy", "ranked", "auto")
    }
    ways |= {f"ranking of {name}": partial(_by_ranking, cases, name) for name in ("lime", "kernelshap")}
    for name, way in ways.items():
        sizes, asked = np.array([way(k) for k in answered]).T
        gap = sizes - least
        shown = f"{sizes.mean():.2f} | {gap.mean():+.2f} | {np.mean(gap == 0):.0%}"
        yield f"| {name} | {shown} | {asked.mean():,.0f} |"


def _by_search(cases: list[Any], search: str, k: int) -> tuple[int, int]:
    e = cases[k].explain(bb.Sis(GAP_THRESHOLD, search=search, max_subsets=1), None, "raw", 0)
    return len(e.details["subsets"][0]), e.rows // GAP_ROWS


def _by_ranking(cases: list[Any], method: str, k: int) -> tuple[int, int]:
    """Take the shortest sufficient prefix of another method's ranking, without a prune."""
    one = cases[k]
    settings = {"lime": {"form": "masks", "samples": 1000}, "kernelshap": {"budget": 1000}}[method]
    e = one.explain(bb.METHODS[method](**settings), None, "raw", 0)
    game = one.game(None, "raw")
    begun = bb.Sis(threshold=GAP_THRESHOLD).begin(game)
    order = np.argsort(-e.values, kind="stable")
    search = ranked(Group.of([begun.threshold]), order[None], np.array([game.d]))
    (members,) = play(game, search)
    return len(members) if members else game.d, e.rows // GAP_ROWS + game.d


def overheads(seconds: float, quick: bool) -> Iterator[str]:
    """Yield one line per subject and search: wall time over the floor, one by one and in lockstep."""
    for subject in subjects(quick):
        if subject.name not in ("mlp 8x8, black", "cnn 8x8, black", "cnn 8x8, mean", "cnn 28x28, black"):
            continue
        model = subject.open()
        large = "28x28" in subject.name
        for search in ("auto",) if large else ("backselect", "auto"):
            x = subject.x[: 12 if large else 64]
            alone = measure(partial(_alone, subject, search, x), model, seconds, quick)
            together = measure(partial(_together, subject, search, x), model, seconds, quick)
            yield f"| {subject.name} | {search} | {len(x)} {_numbers(alone)} {_numbers(together)} |"


def _alone(subject: Subject, search: str, x: np.ndarray, model: Any) -> None:
    for one in x:
        bb.explain(model, one, subject.method(search), background=subject.background)


def _together(subject: Subject, search: str, x: np.ndarray, model: Any) -> None:
    # equal things in one cluster: what is measured is the search, not the clustering
    bb.sis_profile(model, x, subject.method(search), background=subject.background, eps=1e9, min_samples=1)


def _numbers(result: Measured) -> str:
    return (
        f"| {result.rows:,} | {result.floor / result.rows * 1e6:.2f} | {result.over_floor:.2f} "
        f"| {result.over_same_runs:.2f}"
    )


def write_between(block: str) -> None:
    """Replace what stands between the markers of the README."""
    before, rest = README.read_text().split(BEGIN)
    README.write_text(f"{before}{BEGIN}\n{block}\n{END}{rest.split(END)[1]}")


def main() -> None:
    """Measure, print, and write the README's tables when everything was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few inputs and one round; write nothing")
    parser.add_argument("--seconds", type=float, default=3.0, help="rounds per overhead (default 3)")
    asked = parser.parse_args()
    block = [environment(1)]

    def say(*lines: str) -> None:
        block.extend(lines)
        print("\n".join(lines), flush=True)

    with threadpoolctl.threadpool_limits(1):
        say(*SEARCHED)
        for subject in subjects(asked.quick):
            for line in searched(subject):
                say(line)
        say(*GAPS, *gaps())
        say(*OVERHEADS)
        for line in overheads(asked.seconds, asked.quick):
            say(line)
    if not asked.quick:
        write_between("\n".join(block))


if __name__ == "__main__":
    main()
