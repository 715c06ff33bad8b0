"""Sufficient subsets: size, masks, time, gap to the minimum, overhead; writes the README's tables."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import threadpoolctl
from floor import Measured, measure
from made import WIDTH, against, forest, labels, one_hot, slow_network
from overhead import README, environment
from PIL import Image

import blackbox as bb
from blackbox.api import case
from blackbox.features import Features, grouped, patches
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
PROOFS = (
    "",
    "| Threshold | Inputs | Groups | Proven minimal | Mean size | BackSelect's | Masks, mean | most "
    "| s an input, mean | most |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)
OVERHEADS = (
    "",
    "| Inputs | Search "
    "| One by one | Rows | Floor, us/row | Overhead | Over the same runs | Over it, ms an input "
    "| Lockstep | Rows | Floor, us/row | Overhead | Over the same runs | Over it, ms an input |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
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

    def open(self, batch: int | None = None) -> Any:
        """Open the model on one thread. batch : rows per run, None = by rule."""
        options = {"threads": 1} | ({} if batch is None else {"batch_size": batch})
        return bb.open_model(SAMPLES / self.path, device="cpu", options=options)

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


def proofs(few: bool) -> Iterator[str]:
    """Yield one line per threshold: the smallest subsets of a forest over 20 one-hot groups, proven."""
    groups = 20
    with TemporaryDirectory() as folder:
        path = forest(Path(folder) / "forest.onnx", groups)
        model = bb.open_model(path, device="cpu", options={"threads": 1, "output": "probabilities"})
    rows = one_hot(100, groups, 9, WIDTH - 1)  # every group differs from the background: none is for free
    rows = rows[model.predict({"x": rows})["probabilities"][:, 1] > 0.5][: 2 if few else 20]
    for threshold in ("70%", "90%", "99%"):
        taken, found, published = [], [], []
        for x in rows:
            one = case(model, {"x": x}, labels(groups), against(groups))
            start = perf_counter()
            found.append(one.explain(bb.Sis(threshold, search="exact", max_subsets=1), 1, "raw", 0))
            taken.append(perf_counter() - start)
            published.append(one.explain(bb.Sis(threshold, search="backselect", max_subsets=1), 1, "raw", 0))
        size, other = (np.mean([len(e.details["subsets"][0]) for e in es]) for es in (found, published))
        proven = sum(e.details["certificates"][0]["minimal"] for e in found)
        masks = [e.rows for e in found]
        yield (
            f"| {threshold} | {len(rows)} | {groups} | {proven} | {size:.2f} | {other:.2f} "
            f"| {np.mean(masks):,.0f} | {max(masks):,} | {np.mean(taken):.2f} | {max(taken):.2f} |"
        )


@dataclass(frozen=True)
class Timed:
    """What is timed. alone, many : how many inputs one by one and in lockstep. batch : rows per run."""

    subject: Subject
    search: str
    alone: int
    many: int
    batch: int | None = None


def timed(few: bool, folder: Path) -> Iterator[Timed]:
    """List what is timed: small networks, and one that takes milliseconds a row."""
    by_name = {subject.name: subject for subject in subjects(few)}
    for name in ("mlp 8x8, black", "cnn 8x8, black", "cnn 8x8, mean"):
        for search in ("backselect", "auto"):
            yield Timed(by_name[name], search, 64, 200, 512)
    yield Timed(by_name["cnn 28x28, black"], "auto", 12, 12)
    pictures = np.random.default_rng(0).random((4, 3, 224, 224), dtype=np.float32)
    grid = patches(pictures[0].shape, 4, 4)[0]
    slow = Subject("slow 224x224, 4x4", str(slow_network(folder / "slow.onnx")), pictures, None, grid)
    yield Timed(slow, "auto", 1, 4)


def overheads(seconds: float, quick: bool, only: str) -> Iterator[str]:
    """Yield one line per subject and search: wall time over the floor, one by one and in lockstep."""
    with TemporaryDirectory() as folder:
        for one in timed(quick, Path(folder)):
            subject, search = one.subject, one.search
            if only not in subject.name:
                continue
            model, x = subject.open(one.batch), subject.x
            alone = measure(partial(_alone, subject, search, x[: one.alone]), model, seconds, quick)
            together = measure(partial(_together, subject, search, x[: one.many]), model, seconds, quick)
            counts = [len(x[: one.alone]), len(x[: one.many])]
            yield (
                f"| {subject.name} | {search} | {counts[0]} {_numbers(alone, counts[0])} "
                f"| {counts[1]} {_numbers(together, counts[1])} |"
            )


def _alone(subject: Subject, search: str, x: np.ndarray, model: Any) -> None:
    for one in x:
        bb.explain(
            model, one, subject.method(search), features=subject.features, background=subject.background
        )


def _together(subject: Subject, search: str, x: np.ndarray, model: Any) -> None:
    # equal things in one cluster: what is measured is the search, not the clustering
    bb.sis_profile(
        model, x, subject.method(search), features=subject.features, background=subject.background,
        eps=1e9, min_samples=1,
    )  # fmt: skip


def _numbers(result: Measured, inputs: int) -> str:
    return (
        f"| {result.rows:,} | {result.floor / result.rows * 1e6:.2f} | {result.over_floor:.2f} "
        f"| {result.over_same_runs:.2f} | {result.excess / inputs * 1e3:.2f}"
    )


def write_between(block: str) -> None:
    """Replace what stands between the markers of the README."""
    before, rest = README.read_text().split(BEGIN)
    README.write_text(f"{before}{BEGIN}\n{block}\n{END}{rest.split(END)[1]}")


def written() -> str:
    """Return what stands before the table of overheads between the markers of the README."""
    between = README.read_text().split(BEGIN)[1].split(END)[0]
    return between.split("\n".join(OVERHEADS))[0].strip("\n")


def main() -> None:
    """Measure, print, and write the README's tables when everything was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few inputs and one round; write nothing")
    parser.add_argument("--seconds", type=float, default=3.0, help="rounds per overhead (default 3)")
    parser.add_argument("--only", default="", help="overheads of these inputs alone; write nothing")
    parser.add_argument("--overheads", action="store_true", help="the overheads alone; write their table")
    asked = parser.parse_args()
    block = [written() if asked.overheads else environment(1)]

    def say(*lines: str) -> None:
        block.extend(lines)
        print("\n".join(lines), flush=True)

    with threadpoolctl.threadpool_limits(1):
        if not asked.only and not asked.overheads:
            say(*SEARCHED)
            for subject in subjects(asked.quick):
                for line in searched(subject):
                    say(line)
            say(*GAPS, *gaps())
            say(*PROOFS)
            for line in proofs(asked.quick):
                say(line)
        say(*OVERHEADS)
        for line in overheads(asked.seconds, asked.quick, asked.only):
            say(line)
    if not asked.quick and not asked.only:
        write_between("\n".join(block))


if __name__ == "__main__":
    main()
