"""``blackbox methods``: the register as a table, generated from the dataclasses."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from blackbox.cli import terminal
from blackbox.methods import METHODS


@click.command()
@click.option("--markdown", is_flag=True, help="Print a Markdown table, as in the README.")
def methods(markdown: bool) -> None:
    """List the methods, what they do, and their settings with defaults."""
    if markdown:
        click.echo(table())
        return
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    shown = Table(
        "method", "what it does", "settings (default)", "targets", show_lines=True, box=box.SIMPLE_HEAD
    )
    for row in rows():
        shown.add_row(*map(escape, (row["name"], row["summary"], row["settings"], row["targets"])))
    terminal.out().print(shown)


def rows() -> list[dict[str, str]]:
    """Return one row per registered method, read off its dataclass."""
    return [
        {
            "name": name,
            "summary": (cls.__doc__ or "").strip().splitlines()[0],
            "settings": ", ".join(f"{f.name}={_default(f)}" for f in dataclasses.fields(cls)),  # type: ignore[arg-type]
            "targets": "one" if cls.one_target else "several",
        }
        for name, cls in METHODS.items()
    ]


def table() -> str:
    """Return the register as a Markdown table."""
    lines = ["| method | what it does | settings (default) | targets |", "|---|---|---|---|"]
    lines += [f"| `{r['name']}` | {r['summary']} | `{r['settings']}` | {r['targets']} |" for r in rows()]
    return "\n".join(lines)


def _default(field: dataclasses.Field[Any]) -> str:
    return str(field.default)
