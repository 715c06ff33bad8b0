"""``blackbox init``: a working plan for one's own model."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import click

from blackbox.cli import options
from blackbox.errors import RequestError


@click.command()
@click.argument("model")
@click.option("--data", required=True, type=click.Path(path_type=Path),
              help="Rows to explain: a table, arrays, a picture or a folder of pictures.")  # fmt: skip
@click.option("-o", "--plan", type=click.Path(path_type=Path), default=Path("audit.yaml"), show_default=True,
              help="Where to write the plan.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace a plan that is there already.")
@options.add(options.MODEL)
@options.add(options.DATA)
def init(
    model: str, data: Path, plan: Path, force: bool, **given: Any
) -> None:  # fmt: skip
    """Write a plan that audits MODEL on your own data, with comments on what to check."""
    from blackbox.draft import draft
    from blackbox.files import written
    from blackbox.plan import load_plan

    if plan.exists() and not force:
        raise RequestError(f"{plan} exists already: name another file with -o, or add --force.")
    opening, reading = options.split(given)
    opened = options.model_from(model, **opening)
    text = draft(
        opened, data, options.data_from(**reading), plan, opening["class_names"], _own(opening, plan)
    )
    with written(plan) as temporary:
        temporary.write_text(text, encoding="utf-8")
        load_plan(temporary)  # what is written must be readable
    checks = text.count("# CHECK")
    click.echo(
        f"wrote {plan}; {checks} lines say CHECK. Then run: blackbox audit {shlex.quote(str(plan))}", err=True
    )


def _own(opening: dict[str, Any], plan: Path) -> dict[str, Any]:
    """Return the settings of the adapter that the plan must repeat; files are relative to it."""
    token, folder = opening["token_file"], plan.resolve().parent
    held = options.settings(opening["constants"], "--constant")
    files = {name: value for name, value in held.items() if str(value).lower().endswith(".npy")}
    named = {
        "token_env": opening["token_env"],
        "token_file": os.path.relpath(token, folder) if token is not None else None,
        "kind": opening["kind"], "select": opening["select"],
        "constants": held | {name: os.path.relpath(file, folder) for name, file in files.items()} or None,
    }  # fmt: skip
    given = options.settings(opening["model_options"], "--model-option")
    return given | {key: value for key, value in named.items() if value is not None}
