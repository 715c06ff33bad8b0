"""``blackbox audit``: every case, every method, every check, and a bundle of evidence."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blackbox.cli import terminal
from blackbox.model import is_url

if TYPE_CHECKING:
    from rich.console import Console

    from blackbox.auditing import AuditResult
    from blackbox.plan import Plan
    from blackbox.records import Dossier

MOST_CASES = 15
STYLES = {"passed": "green", "warned": "yellow", "failed": "red", "skipped": "dim"}


@click.command()
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("-o", "--output", "folder", type=click.Path(path_type=Path), help="Folder for the result.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True,
              help="Processes; the result does not depend on it. Mind model.threads.")  # fmt: skip
@click.option("--baseline", type=click.Path(path_type=Path), help="Earlier audit to compare with.")
@click.option("--fresh", is_flag=True, help="Delete what an interrupted audit left, and start anew.")
@click.option("--dry-run", is_flag=True, help="Forecast rows, time and memory; only a probe is spent.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON instead of a table.")
@click.pass_context
def audit(
    context: click.Context, plan: Path, folder: Path | None, workers: int, baseline: Path | None, fresh: bool,
    dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Play a PLAN and write a bundle: report.html, records, tables, findings, and a manifest of digests.

    An audit that was stopped, or killed, goes on where it was when the same command is run again; what is
    finished lies in FOLDER.partial until then.

    Exit codes: 0 passed, 1 a check with gate fail did not hold, 2 a wrong request, 3 the model's side, 4
    what was finished is damaged.
    """
    from blackbox import auditing

    if dry_run:
        _forecast(plan, workers, as_json)
        return
    target = auditing.target_of(plan, folder)
    try:
        with terminal.progress("opening") as watcher:
            result = auditing.audit(plan, target, None, workers, fresh, baseline, watcher)
    except KeyboardInterrupt:
        _stopped(target)
        context.exit(130)
    if as_json:
        _print_json(result.summary())
    else:
        _show(terminal.out(), result, auditing.load_plan(plan))
    if is_url(source := auditing.load_plan(plan).model.path):
        click.echo(f"asked {source}: {result.rows:,} rows", err=True)
    context.exit(0 if result.passed else 1)


def _print_json(told: object) -> None:
    import json

    click.echo(json.dumps(told, indent=1, ensure_ascii=False))


def _forecast(plan: Path, workers: int, as_json: bool) -> None:
    from blackbox.forecast import forecast
    from blackbox.plan import load_plan

    found = forecast(load_plan(plan), plan.parent)
    if as_json:
        _print_json(found.to_dict(workers))
        return
    for line in found.lines(workers):
        click.echo(line)


def _stopped(target: Path) -> None:
    from blackbox.campaign.places import working_folder

    left = len(list((working_folder(target) / "shards").glob("*.json")))
    kept = f"{left} finished parts are kept in {working_folder(target)}; the same command goes on from there."
    click.echo(f"Stopped. {kept if left else 'Nothing is half-written.'}", err=True)
    sys.stderr.flush()


def _show(console: Console, result: AuditResult, plan: Plan) -> None:
    from rich.markup import escape
    from rich.panel import Panel

    count = result.manifest["cases"]
    console.print(_cases(result, plan))
    if count > MOST_CASES:
        console.print(f"... and {count - MOST_CASES:,} more cases in the bundle", style="dim")
    for line in _remarks(result):
        console.print(line)
    verdict, colour = ("PASSED", "green") if result.passed else ("NOT PASSED", "red")
    counts = ", ".join(
        f"{result.count(status):,} {status}"
        for status in STYLES
        if status != "skipped" or result.count(status)
    )
    console.print(
        Panel(
            f"[bold {colour}]{verdict}[/]  {counts}  ({result.rows:,} forward rows)\n"
            f"report: {escape(str(result.report))}",
            expand=False,
            border_style=colour,
        ),
        soft_wrap=True,
    )


def _remarks(result: AuditResult) -> list[str]:
    """One line per check that did not hold everywhere, failed ones first, with its first sentence."""
    from rich.markup import escape

    from blackbox.checks import AUDIT, MODEL

    lines = []
    for status in ("failed", "warned", "skipped"):
        open_ones = [finding for finding in result.findings if finding.status == status]
        for check in dict.fromkeys(finding.check for finding in open_ones):
            mine = [finding for finding in open_ones if finding.check == check]
            cases = len({finding.case for finding in mine})
            name = check.replace("_", " ")
            about = mine[0].case in (MODEL, AUDIT)
            where = "" if about else f", {cases:,} of {result.manifest['cases']:,} cases"
            told = escape(f"{name}{where}; {mine[0].case}: {mine[0].sentence}")
            lines.append(f"[{STYLES[status]}]{status}[/] {told}")
    return lines


def _cases(result: AuditResult, plan: Plan) -> object:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    source = Path(plan.model.path).name
    table = Table("case", "asked about", "score", "all hidden", "what counted most", "checks",
                  title=f"Audit of {escape(source)}", title_justify="left", box=box.SIMPLE_HEAD)  # fmt: skip
    for case in islice(result.cases(), MOST_CASES):
        shown = next((e for e in case.explanations.values() if e.scale == "raw"), None)
        scores = (f"{shown.full_values:.3g}", f"{shown.base_values:.3g}") if shown else ("-", "-")
        table.add_row(
            escape(case.id), escape(case.target), *scores, escape(_strongest(case, plan)), _checks(case)
        )
    return table


def _strongest(case: Dossier, plan: Plan) -> str:
    """Name the three strongest features of the reasons' method, else of the first that has values."""
    import numpy as np

    wanted = plan.reasons.method if plan.reasons else "kernelshap"
    candidates = [case.explanations.get(wanted), *case.explanations.values()]
    found = next((e for e in candidates if e is not None and np.isfinite(e.values).all()), None)
    if found is None:
        return ""
    order = np.argsort(-np.abs(found.values), kind="stable")[:3]
    return ", ".join(f"{found.feature_names[k]} {found.values[k]:+.2g}" for k in order if found.values[k])


def _checks(case: Dossier) -> str:
    parts = []
    for status, colour in STYLES.items():
        count = sum(finding.status == status for finding in case.findings)
        if count:
            parts.append(f"[{colour}]{count} {status}[/]")
    return " ".join(parts)
