"""``blackbox doctor``: the environment in one table."""

from __future__ import annotations

import dataclasses
import json

import click

from blackbox.cli import terminal
from blackbox.diagnosis import Reading


@click.command()
@click.option("--device", default="auto", show_default=True, help="Has to work: auto, cpu, cuda or cuda:N.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.pass_context
def doctor(context: click.Context, device: str, as_json: bool) -> None:
    """Show what is installed, which devices really start, and what to install for what is missing.

    Exit code 1 when something that is needed, or asked for with --device, cannot work.
    """
    from blackbox.diagnosis import diagnose

    readings = diagnose(device)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(reading) for reading in readings], indent=1))
    else:
        _show(readings)
    context.exit(0 if all(reading.works for reading in readings) else 1)


def _show(readings: list[Reading]) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table("", "item", "found", "what to do", box=box.SIMPLE_HEAD)
    for reading in readings:
        mark = "[green]ok[/]" if reading.works else "[red]no[/]"
        table.add_row(mark, escape(reading.item), escape(reading.found), escape(reading.advice))
    terminal.out().print(table)
