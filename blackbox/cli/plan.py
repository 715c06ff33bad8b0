"""``blackbox plan``: check a plan without opening its model, and print the schema of all plans."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def plan() -> None:
    """Check a plan, or print the JSON Schema of plans for editors."""


@plan.command()
@click.argument("file", metavar="PLAN", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check PLAN in milliseconds: its keys, names, settings and files; the model is not opened.

    Exit codes: 0 it can be played as far as can be told, 2 it cannot.
    """
    from blackbox.plan import load_plan
    from blackbox.plan_files import missing

    loaded = load_plan(file)
    if absent := missing(loaded, file.parent):
        raise absent
    methods, checks = ", ".join(loaded.methods), len(loaded.checks)
    click.echo(f"{file} is a plan: {methods}; {checks} {'check' if checks == 1 else 'checks'}.")


@plan.command()
def schema() -> None:
    """Print the JSON Schema of a plan. Editors use it to complete keys and to explain them."""
    import json

    from blackbox.schema import plan_schema

    click.echo(json.dumps(plan_schema(), indent=1, ensure_ascii=False))
