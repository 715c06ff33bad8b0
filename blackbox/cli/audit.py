"""``blackbox audit``: every case, every method, every check, and a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from blackbox.cli import terminal

if TYPE_CHECKING:
    from rich.console import Console

    from blackbox.audit import AuditResult, CaseResult

MOST_CASES = 15
STYLES = {"passed": "green", "warned": "yellow", "failed": "red"}


@click.command()
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("-o", "--output", "folder", type=click.Path(path_type=Path), help="Folder for the result.")
@click.pass_context
def audit(context: click.Context, plan: Path, folder: Path | None) -> None:
    """Play a PLAN and write report.html, one record per explanation, and a manifest of digests.

    Exit codes: 0 passed, 1 a check with gate fail did not hold, 2 a wrong request, 3 the model's side.
    """
    from blackbox.audit import run
    from blackbox.evidence.bundle import check_target, write_bundle
    from blackbox.plan import load_plan

    loaded = load_plan(plan)
    target = folder or Path(loaded.outputs.folder or f"audit-{_name(plan)}")
    check_target(target)
    with terminal.progress("opening") as watcher:
        result = run(loaded, plan.parent, watcher)
    terminal.bill(result.materials.model)
    report = write_bundle(result, target)
    _show(terminal.out(), result, report)
    context.exit(0 if result.passed else 1)


def _name(plan: Path) -> str:
    """Name an audit after its plan, or after the plan's folder when the plan is just audit.yaml."""
    resolved = plan.resolve()
    return resolved.parent.name if resolved.stem == "audit" else resolved.stem


def _show(console: Console, result: AuditResult, report: Path) -> None:
    from rich.markup import escape
    from rich.panel import Panel

    console.print(_cases(result))
    if len(result.cases) > MOST_CASES:
        console.print(f"... and {len(result.cases) - MOST_CASES} more cases in the report", style="dim")
    for line in _remarks(result):
        console.print(line)
    verdict, colour = ("PASSED", "green") if result.passed else ("NOT PASSED", "red")
    counts = ", ".join(f"{result.count(status)} {status}" for status in STYLES)
    console.print(
        Panel(
            f"[bold {colour}]{verdict}[/]  {counts}  ({result.rows:,} forward rows)\n"
            f"report: {escape(str(report))}",
            expand=False,
            border_style=colour,
        ),
        soft_wrap=True,
    )


def _remarks(result: AuditResult) -> list[str]:
    """One line per check that did not hold everywhere, failed ones first, with its first sentence."""
    from rich.markup import escape

    lines = []
    for status in ("failed", "warned"):
        open_ones = [finding for finding in result.findings if finding.status == status]
        for check in dict.fromkeys(finding.check for finding in open_ones):
            mine = [finding for finding in open_ones if finding.check == check]
            cases = len({finding.case for finding in mine})
            name = check.replace("_", " ")
            told = escape(f"{name}, {cases} of {len(result.cases)} cases; {mine[0].case}: {mine[0].sentence}")
            lines.append(f"[{STYLES[status]}]{status}[/] {told}")
    return lines


def _cases(result: AuditResult) -> object:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    source = result.materials.model.identity.source
    table = Table("case", "asked about", "score", "all hidden", "what counted most", "checks",
                  title=f"Audit of {escape(source)}", title_justify="left", box=box.SIMPLE_HEAD)  # fmt: skip
    for case in result.cases[:MOST_CASES]:
        shown = next((e for e in case.explanations.values() if e.scale == "raw"), None)
        scores = (f"{shown.full_values:.3g}", f"{shown.base_values:.3g}") if shown else ("-", "-")
        table.add_row(
            escape(case.id), escape(case.target), *scores, escape(_strongest(result, case)), _checks(case)
        )
    return table


def _strongest(result: AuditResult, case: CaseResult) -> str:
    """Name the three strongest features of the reasons' method, else of the first that has values."""
    import numpy as np

    labels = result.materials.labels
    wanted = result.plan.reasons.method if result.plan.reasons else "kernelshap"
    candidates = [case.explanations.get(wanted), *case.explanations.values()]
    found = next((e for e in candidates if e is not None and np.isfinite(e.values).all()), None)
    if found is None:
        return ""
    order = np.argsort(-np.abs(found.values), kind="stable")[:3]
    names = [found.feature_names[k] for k in order if found.values[k]]
    return ", ".join(
        f"{labels.get(name, name)} {found.values[found.feature_names.index(name)]:+.2g}" for name in names
    )


def _checks(case: CaseResult) -> str:
    parts = []
    for status, colour in STYLES.items():
        count = sum(finding.status == status for finding in case.findings)
        if count:
            parts.append(f"[{colour}]{count} {status}[/]")
    return " ".join(parts)
