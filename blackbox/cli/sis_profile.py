"""``blackbox sis-profile``: what a model relies on in general."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackbox.cli import many, options, terminal

if TYPE_CHECKING:
    from blackbox.mistakes import Mistake
    from blackbox.profile import SisProfile


@click.command("sis-profile")
@click.argument("model")
@options.add(many.QUESTION)
@click.option("--misclassified", type=click.Path(path_type=Path), metavar="LABELS.CSV",
              help="Table with a column 'label': wrong beside right class where MODEL errs.")  # fmt: skip
@click.option("--budget", type=click.IntRange(1), help="Forward rows at the most.")
@options.add(options.MODEL)
@options.add(options.DATA)
def sis_profile(
    model: str, folder: Path, misclassified: Path | None, budget: int | None, scale: str | None,
    distance: str, eps: float | None, min_samples: int | None, **given: Any,
) -> None:  # fmt: skip
    """Find the features that are enough for MODEL's decisions on many inputs, and group them.

    Writes report.html, profile.json and one record per input. Stopped and started again, it goes on
    where it was.
    """
    from blackbox import mistakes, profile
    from blackbox.evidence.subsets import write_profile

    opening, question = options.split(given)
    opened = options.model_from(model, **opening)
    asked = many.asked(opened, question)
    labels = many.labels_for(misclassified, asked.data) if misclassified else None
    with terminal.progress("sis-profile") as watcher:
        found = profile.sis_profile(
            opened, asked.data, asked.method, asked.target, scale, asked.features, asked.background,
            distance, eps, min_samples, folder, budget, watcher,
        )  # fmt: skip
    wrong = mistakes.misclassified(found, labels, scale or "probability") if labels else ()
    report = write_profile(found, wrong, folder)
    _show(found, wrong, report)


def _show(found: SisProfile, wrong: tuple[Mistake, ...], report: Path) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from blackbox.subsets import words

    console = terminal.out()
    columns = ("cluster", "subsets", "share", "inputs", "its medoid")
    title = f"What {escape(found.model)} relies on"
    table = Table(*columns, box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for group in found.clustering.clusters[:15]:
        medoid = found.subsets[group.medoid]
        told = words(medoid, found.cases[medoid.row])
        rows = len({found.subsets[k].row for k in group.members})
        share = f"{len(group.members) / len(found.subsets):.0%}"
        table.add_row(
            str(group.number + 1), str(len(group.members)), share, str(rows), escape(_short(told, 60))
        )
    console.print(table)
    for told, count in found.outcomes().items():
        console.print(f"{count} of {len(found.ids)}: {escape(told)}", style="dim")
    noise = found.clustering.chosen.noise
    console.print(
        f"{len(found.subsets)} subsets, {noise:.0%} in no cluster; {found.rows:,} forward rows.", style="dim"
    )
    if wrong:
        listed = ", ".join(f"{found.ids[m.row]} (said {m.said}, is {m.truth})" for m in wrong[:6])
        console.print(f"misclassified: {escape(listed)}")
    console.print(f"report: {escape(str(report))}", soft_wrap=True)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
