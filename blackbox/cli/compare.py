"""``blackbox compare``: two models side by side on the same inputs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackbox.cli import many, options, terminal

if TYPE_CHECKING:
    from blackbox.comparison import Comparison, CrossFeed


@click.command()
@click.argument("a")
@click.argument("b")
@options.add(many.QUESTION)
@click.option("--attribution", default="occlusion", show_default=True, help="Method compared input by input.")
@click.option("--top", default=5, show_default=True, help="Strongest features counted in an overlap.")
@options.add(options.MODEL)
@options.add(options.DATA)
def compare(
    a: str, b: str, folder: Path, scale: str | None, distance: str, eps: float | None,
    min_samples: int | None, attribution: str, top: int, **given: Any,
) -> None:  # fmt: skip
    """Compare what models A and B rely on: two vendors, or last year's model and this year's.

    Writes report.html, compare.json and the records of both. Scores are probabilities where both
    models are classifiers.
    """
    from blackbox import compare as function
    from blackbox.evidence.subsets import write_comparison

    opening, question = options.split(given)
    first, second = (options.model_from(source, **opening) for source in (a, b))
    asked = many.asked(first, question)
    with terminal.progress("compare") as watcher:
        found = function(
            first, second, asked.data, asked.method, asked.target, scale, asked.features, asked.background,
            distance, eps, min_samples, attribution, top, folder, watcher,
        )  # fmt: skip
    _show(found, write_comparison(found, folder))


def _show(found: Comparison, report: Path) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    a, b = (escape(profile.model) for profile in (found.a, found.b))
    console = terminal.out()
    table = Table("cluster", "subsets", a, b, "", box=box.SIMPLE_HEAD, title_justify="left",
                  title=f"What {a} and {b} rely on, pooled")  # fmt: skip
    for share in found.shares[:15]:
        most = f"{share.of_a:.0%} {a}" if share.of_a >= 0.5 else f"{1 - share.of_a:.0%} {b}"
        table.add_row(str(share.cluster + 1), str(share.a + share.b), str(share.a), str(share.b), most)
    console.print(table)
    console.print(f"subsets of {a} shown to {b}: {_fed(found.a_to_b)}")
    console.print(f"subsets of {b} shown to {a}: {_fed(found.b_to_a)}")
    console.print(
        f"same answer on {found.agreeing:.0%} of {len(found.meetings)} inputs; mean rank correlation "
        f"{found.mean('correlation'):.2f}, {found.mean('overlap'):.0%} of the top {found.top} in common"
    )
    for meeting in [m for m in found.meetings if m.said_a != m.said_b][:6]:
        told = f"{found.a.ids[meeting.row]}: {meeting.said_a} against {meeting.said_b}"
        console.print(f"  {escape(told)}", style="dim")
    console.print(f"report: {escape(str(report))}", soft_wrap=True)


def _fed(fed: CrossFeed) -> str:
    if not fed.count:
        return "none to show"
    return f"mean score {fed.mean:.3g}, {fed.passing:.0%} of {fed.count} still pass"
