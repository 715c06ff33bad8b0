"""Options of the verbs that look at many inputs, and what they become: rows, features, background, search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from blackbox import backgrounds
from blackbox.backgrounds import Background
from blackbox.cli import options
from blackbox.cli.explain import background_for, features_for
from blackbox.errors import RequestError, unknown
from blackbox.features import Features
from blackbox.inputs import Dataset, DataSpec, read_dataset
from blackbox.methods.sis import Sis
from blackbox.model import Model, Rows
from blackbox.settings import parse

HIDE_WITH = ("zero", "mean", "blur", "rows")

QUESTION = [
    click.option("--inputs", "--input", "data", required=True, type=click.Path(path_type=Path),
                 help="Rows: .csv, .parquet, .npy, .npz or a folder of pictures."),
    click.option("--first", type=click.IntRange(1), help="Only the first so many rows."),
    click.option("-o", "--output-folder", "folder", required=True, type=click.Path(path_type=Path),
                 help="Folder for page, numbers and records; started again, it goes on where it stopped."),
    click.option("--target", help="Class name or number; default: the predicted class of every input."),
    click.option("--threshold", help="A score such as 0.7, 90% of the way to the full score, or q90."),
    click.option("--below", is_flag=True, help="Ask what keeps the score at or under the threshold."),
    click.option("--search", default="auto", show_default=True,
                 help="auto, backselect, batched, greedy, ranked or exact."),
    click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Another setting; repeatable."),
    click.option("--scale", help="raw, probability, logit or log-probability."),
    click.option("--background", type=click.Path(path_type=Path), help="File with rows for --hide-with."),
    click.option("--hide-with", help="zero, mean or rows (of --background), blur[:PIXELS], or a number such "
                                     "as a mask token's id; default: the table's own rows, else zero."),
    click.option("--group", "groups", multiple=True, metavar="NAME=COL,COL",
                 help="Columns that belong together; repeatable."),
    click.option("--grid", help="Patches of a picture, DOWNxACROSS; 60x1 makes positions of a sequence."),
    click.option("--superpixels", type=int, help="About so many regions of a picture."),
    click.option("--distance", default="auto", show_default=True,
                 help="Between subsets: energy, jaccard or edit."),
    click.option("--eps", type=float, help="Radius of DBSCAN; default: scanned."),
    click.option("--min-samples", type=int, help="Neighbours that make a core of DBSCAN; default: scanned."),
    click.option("--seed", default=0, show_default=True, help="Draws the rows of a large background."),
]  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A question as the command line put it, read and checked."""

    data: Dataset
    method: Sis
    target: int | str | None
    features: Callable[[Rows], Features]
    background: Background | Callable[[Rows], Background] | None


def asked(model: Model, given: dict[str, Any]) -> Asked:
    """Read the data and turn the options into a question; takes its options out of ``given``."""
    take = given.pop
    path, first, target = take("data"), take("first"), take("target")
    groups, grid, regions = take("groups"), options.pair("--grid", take("grid")), take("superpixels")
    method = _method(take("threshold"), take("below"), take("search"), take("pairs"))
    background, hide_with, seed = take("background"), take("hide_with"), take("seed")
    spec = options.data_from(**given)
    data = _first(read_dataset(path, model.signature, spec), first)

    def features(x: Rows) -> Features:
        return features_for(data, x, groups, grid, regions)

    hidden = _hidden(background, hide_with, model, data, spec, seed)
    return Asked(data, method, target, features, hidden)


def _method(threshold: str | None, below: bool, search: str, pairs: tuple[str, ...]) -> Sis:
    settings = options.settings(pairs) | {"search": search, "direction": "below" if below else "above"}
    if threshold is not None:
        settings |= options.settings((f"threshold={threshold}",))
    return parse(Sis, settings, "method sis")


def _first(data: Dataset, count: int | None) -> Dataset:
    if count is None or count >= len(data):
        return data
    rows = {name: array[:count] for name, array in data.rows.items()}
    return Dataset(data.ids[:count], rows, data.columns, data.files, data.images)


def _hidden(
    path: Path | None, how: str | None, model: Model, data: Dataset, spec: DataSpec, seed: int
) -> Background | Callable[[Rows], Background] | None:
    """Return what stands in for what is hidden."""
    name, _, detail = (how or "rows").partition(":")
    if how is None or (name == "rows" and path is not None):
        return background_for(path, model, data, spec, seed)
    if name == "zero":
        return backgrounds.zeros(data.row(0))
    if name == "blur":
        sigma = options.numbers("--hide-with blur:", detail)[0] if detail else 3.0
        return lambda x: backgrounds.blur(x, sigma)
    if name in ("mean", "rows"):
        own = DataSpec(columns=data.columns or None, image=spec.image)
        rows = data.rows if path is None else read_dataset(path, model.signature, own).rows
        return backgrounds.mean(rows) if name == "mean" else background_for(path, model, data, spec, seed)
    try:
        return backgrounds.filled(data.row(0), float(how))
    except ValueError:
        raise unknown("--hide-with:", how, (*HIDE_WITH, "a number")) from None


def labels_for(path: Path, data: Dataset) -> list[str]:
    """Read the true class of every input from a table with a column ``label``.

    Rows belong to the inputs whose name another column holds (with or without a file's suffix), else
    they stand in the inputs' order.

    Raises
    ------
    RequestError : no column ``label``, or an input without a label.
    """
    from blackbox.inputs import read_table

    table = read_table(path)
    labels = [str(label) for label in table.column("label").tolist()]
    for name, column in table.columns.items():
        known = {Path(str(value)).stem: label for value, label in zip(column, labels, strict=True)}
        known |= {str(value): label for value, label in zip(column, labels, strict=True)}
        if name != "label" and not any(i.isdigit() for i in data.ids) and set(data.ids) <= set(known):
            return [known[one] for one in data.ids]
    if len(labels) < len(data):
        raise RequestError(
            f"{path} has {len(labels)} labels for {len(data)} inputs, and no column names them."
        )
    return labels[: len(data)]
