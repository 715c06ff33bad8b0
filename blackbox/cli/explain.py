"""``blackbox explain``: why one row of data gets its score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from blackbox import api, backgrounds, seeds
from blackbox import methods as register
from blackbox.backgrounds import Background
from blackbox.case import Case
from blackbox.cli import options, terminal
from blackbox.errors import RequestError
from blackbox.explanation import Explanation
from blackbox.features import Features, choose, grouped
from blackbox.files import check_place, written
from blackbox.inputs import Dataset, DataSpec, read_dataset
from blackbox.materials import picture_features
from blackbox.model import Model, Rows
from blackbox.score import Ledger

MOST_ROWS = 100
"""Background rows taken from a file at the most, drawn with the seed."""

MOST_LINES = 40


@click.command()
@click.argument("model")
@click.option("--input", "data", required=True, type=click.Path(path_type=Path),
              help="Rows: .csv, .parquet, .npy, .npz, a picture or a folder of pictures.")  # fmt: skip
@click.option("--row", default="0", show_default=True, help="Number (from 0) or name of the row.")
@click.option("--background", type=click.Path(path_type=Path),
              help="Rows put in place of what is hidden; default: the table's own, else zeros.")  # fmt: skip
@click.option("--method", default="kernelshap", show_default=True, help="See: blackbox methods.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="A setting; repeatable.")
@click.option("--target", "targets", multiple=True, help="Class name or number; repeatable.")
@click.option("--scale", help="raw, probability, logit or log-probability.")
@click.option("--group", "groups", multiple=True, metavar="NAME=COL,COL",
              help="Columns that belong together; repeatable.")  # fmt: skip
@click.option("--grid", help="Patches of a picture, DOWNxACROSS, for example 14x14.")
@click.option("--superpixels", type=int, help="About so many regions of a picture.")
@click.option("--seed", default=0, show_default=True, help="Names the random streams.")
@click.option("--most-rows", type=click.IntRange(1), help="Stop before more forward rows than this.")
@click.option(
    "--json", "json_file", metavar="FILE|-", help="Write the record; - = stdout, instead of the table."
)
@click.option("--plot", type=click.Path(path_type=Path), help="Draw it: .png, .svg or .pdf.")
@options.add(options.MODEL)
@options.add(options.DATA)
def explain(
    model: str, data: Path, row: str, background: Path | None, method: str, pairs: tuple[str, ...],
    targets: tuple[str, ...], scale: str | None, groups: tuple[str, ...], grid: str | None,
    superpixels: int | None, seed: int, most_rows: int | None, json_file: str | None, plot: Path | None,
    **given: Any,
) -> None:  # fmt: skip
    """Explain one row of data under MODEL and print its attributions."""
    asked = register.method(method, options.settings(pairs))
    seed = seeds.resolve(seed)
    for file in (plot, Path(json_file) if json_file not in (None, "-") else None):
        check_place(file)
    opening, reading = options.split(given)
    opened = options.model_from(model, **opening)
    spec = options.data_from(**reading)
    rows = read_dataset(data, opened.signature, spec)
    x = rows.row(rows.position(row))
    features = features_for(rows, x, groups, options.pair("--grid", grid), superpixels)
    hidden = background_for(background, opened, rows, spec, seed)
    ledger = Ledger(most=most_rows)
    case = api.case(opened, x, features, hidden, ledger)
    if hasattr(opened, "account"):
        _foretell(asked, case, len(rows.columns) > 0)
    with terminal.progress(f"{method} on row {row}") as watcher:
        ledger.observer = watcher.rows
        explanation = case.explain(asked, _target(targets), scale, seed)
    _write(explanation, case, json_file, plot)


def _foretell(method: register.Method, case: Case, table: bool) -> None:
    """Say on stderr what will be asked of a model whose passes may cost money, before it is asked."""
    from blackbox.forecast import Question, rows_of

    cells = sum(array.size for array in case.x.values())
    most = rows_of(method, Question(len(case.features), len(case.background), table, cells))
    click.echo(f"{method.name} asks {case.model.identity.source} for at most {most:,} rows", err=True)


def features_for(
    data: Dataset, x: Rows, groups: tuple[str, ...], grid: tuple[int, int] | None, regions: int | None
) -> Features:
    """Return one input's features as the command line asks for them."""
    if grid is not None or regions is not None:
        return picture_features(x, grid, regions)
    if not data.columns:
        if groups:
            raise RequestError("--group needs a table with named columns.")
        return choose(x)
    named = {}
    for text in groups:
        name, equals, listed = text.partition("=")
        if not equals:
            raise RequestError(f"--group needs NAME=COLUMN,COLUMN; got {text!r}.")
        named[name.strip()] = [column.strip() for column in listed.split(",")]
    return grouped(x, data.columns, named)


def background_for(
    path: Path | None, model: Model, data: Dataset, spec: DataSpec, seed: int
) -> Background | None:
    """Return the rows of a file, of the table itself, or None for zeros; says which on stderr."""
    rng = seeds.generator(seed, "background")
    if path is not None:
        own = DataSpec(columns=data.columns or None, image=spec.image)
        return backgrounds.sample(read_dataset(path, model.signature, own).rows, MOST_ROWS, rng)
    if data.columns and len(data) > 1:
        chosen = backgrounds.sample(data.rows, MOST_ROWS, rng)
        click.echo("No --background: the rows of the input file stand in for what is hidden.", err=True)
        return Background(chosen.rows, f"the input file's own rows: {chosen.rule}")
    click.echo("No --background: zeros stand in for what is hidden.", err=True)
    return None


def _target(texts: tuple[str, ...]) -> int | str | list[int | str] | None:
    return None if not texts else texts[0] if len(texts) == 1 else list(texts)


def _write(explanation: Explanation, case: Case, json_file: str | None, plot: Path | None) -> None:
    if plot is not None:
        from blackbox.report.plot import save_plot

        save_plot(explanation, case, plot)
        click.echo(f"picture: {plot}", err=True)
    if json_file == "-":
        click.echo(explanation.to_json(indent=1))
        return
    if json_file is not None:
        with written(Path(json_file)) as temporary:
            temporary.write_text(explanation.to_json(indent=1) + "\n", encoding="utf-8")
        click.echo(f"record: {json_file}", err=True)
    _show(explanation)


def _show(e: Explanation) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    console = terminal.out()
    values = e.values.reshape(len(e.feature_names), -1)
    for column, name, base, full in zip(
        values.T, e.output_names, np.atleast_1d(e.base_values), np.atleast_1d(e.full_values), strict=True
    ):
        title = f"{e.method}: {name}   score {full:.4g}, all hidden {base:.4g} ({e.scale} scale)"
        table = Table(
            "feature", "holds", "value", "", title=escape(title), title_justify="left", box=box.SIMPLE_HEAD
        )
        order = np.argsort(-np.abs(np.nan_to_num(column)), kind="stable")
        top = float(np.abs(np.nan_to_num(column)).max())
        for k in order[:MOST_LINES]:
            held, value = _short(e.data[k]), float(column[k])
            shown = "-" if np.isnan(value) else f"{value:+.4g}"
            table.add_row(escape(e.feature_names[k]), escape(held), shown, terminal.bar(value, top))
        console.print(table)
        if len(order) > MOST_LINES:
            console.print(f"... and {len(order) - MOST_LINES} weaker ones: --json - shows all", style="dim")
    console.print(f"{e.outcome}  {e.rows:,} forward rows.", style="dim")


def _short(value: Any) -> str:
    from blackbox.reasons import show

    return show(value)[:24]
