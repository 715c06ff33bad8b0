"""``blackbox replay``: play what a bundle records again, and say where the answers differ."""

from __future__ import annotations

import json
from pathlib import Path

import click

from blackbox.cli import terminal


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--model", required=True, help="The model's file.")
@click.option("--data", type=click.Path(path_type=Path), help="The data; default: where the plan says.")
@click.option("--background", type=click.Path(path_type=Path), help="Its rows; default: where the plan says.")
@click.option("--base", type=click.Path(path_type=Path),
              help="Where the plan's paths start; default: here, else beside the model. What is not there "
                   "is looked for beside model and data.")  # fmt: skip
@click.option("--sample", type=click.IntRange(1), help="Only so many cases, drawn with the plan's seed.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def replay(
    context: click.Context, folder: Path, model: str, data: Path | None, background: Path | None,
    base: Path | None, sample: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Play the cases of the bundle in DIR again and compare the answers with its records.

    Values may differ by 1e-4 of their range; subsets and the order of reasons are compared where the recorded
    margin is larger than that. Another device, runtime or model is named.

    Exit codes: 0 the same, 2 a wrong request, 3 the model's side, 4 something differs.
    """
    from blackbox.replay import replay as play

    with terminal.progress("opening") as watcher:
        found = play(folder, model, data, background, base, sample, watcher)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=1, ensure_ascii=False))
    else:
        for line in found.lines():
            click.echo(line)
    context.exit(0 if found.same else 4)
