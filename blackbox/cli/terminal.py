"""What a person sees in a terminal: colours on stdout, progress on stderr, neither in a pipe."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from blackbox.watcher import Watcher

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from blackbox.model import Model


def out() -> Console:
    """Return the console for results."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=max(100, console.width))


@contextmanager
def progress(label: str) -> Iterator[Watcher]:
    """Show steps, rows and time while the block runs, on stderr, when that is a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rows]:,} rows, {task.fields[speed]:,.0f} a second"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    shown = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with shown:
        task = shown.add_task(label, total=1, rows=0, speed=0.0)
        begun = [0, 0]  # steps begun, rows spent
        since = time.perf_counter()

        def step(name: str) -> None:
            begun[0] += 1
            shown.update(task, description=name, completed=begun[0] - 1)

        def rows(count: int) -> None:
            begun[1] += count
            seconds = time.perf_counter() - since
            shown.update(task, rows=begun[1], speed=begun[1] / seconds if seconds else 0.0)

        yield Watcher(lambda total: shown.update(task, total=total), step, rows)


def bill(model: Model) -> None:
    """Say on stderr what a model that keeps an account has cost; an endpoint's passes may cost money."""
    account = getattr(model, "account", None)
    if account is None or not account["rows"]:
        return
    again = f" ({account['retries']:,} of them again)" if account["retries"] else ""
    sizes = f"{account['bytes_sent'] / 1e6:,.1f} MB sent, {account['bytes_received'] / 1e6:,.1f} MB received"
    click.echo(
        f"asked {model.identity.source}: {account['rows']:,} rows in {account['requests']:,} requests"
        f"{again}, {sizes}",
        err=True,
    )


def bar(value: float, top: float, width: int = 24) -> Text:
    """Draw a value as a bar from the middle: blue to the right, orange to the left."""
    from rich.text import Text

    half = width // 2
    if math.isnan(value) or not top:
        return Text("" if top else "·".rjust(half + 1), style="dim")
    filled = round(half * abs(value) / top)
    left = " " * (half - filled) + "█" * filled if value < 0 else " " * half
    right = "█" * filled if value > 0 else ""
    text = Text(left, style="dark_orange3")
    return text.append("│", style="dim").append(right, style="dodger_blue2")
