"""``blackbox inspect``: what a model file is and takes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackbox.cli import options, terminal
from blackbox.model import Model, fitted, told

if TYPE_CHECKING:
    from rich.console import Console


@click.command()
@click.argument("model")
@options.add(options.MODEL)
@click.option("--probe", "probed", is_flag=True, help="Ask it: speed, repeatability, noise, kind, flatness.")
@click.option("--data", type=click.Path(path_type=Path), help="Rows for --probe; default: drawn ones.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def inspect(model: str, device: str, probed: bool, data: Path | None, as_json: bool, **given: Any) -> None:
    """Show a model's inputs, outputs, opsets, producer, digests and the device it really runs on."""
    opened = options.model_from(model, device, **given)
    facts = describe(opened)
    if probed or data is not None:
        # where a GPU answers, the CPU is asked the same
        other = (
            options.model_from(model, "cpu", **given)
            if opened.identity.device != "cpu" and _file(model)
            else None
        )
        facts["probe"] = _probe(opened, data, other)
    if as_json:
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
    else:
        _show(facts)


def describe(model: Model) -> dict[str, Any]:
    """Return everything that is known about a model as plain JSON."""
    signature, identity = model.signature, model.identity
    return {
        "source": identity.source,
        "sha256": dict(identity.sha256),
        "runtime": identity.runtime,
        "device": identity.device,
        **told(signature),
        "rows_per_run": model.limits.rows_per_run,
        "rows_per_run_chosen": model.limits.chosen,
        "fixed_batch": model.limits.fixed_batch,
        **identity.facts,
    }


def _file(model: str) -> bool:
    return Path(model).exists()


def _probe(model: Model, data: Path | None, other: Model | None) -> dict[str, Any]:
    from blackbox import seeds
    from blackbox.inputs import read_dataset
    from blackbox.probe import probe, sample_rows, speeds
    from blackbox.score import Ledger

    if data is None:
        rows, rule = sample_rows(model, 256, seeds.generator(0, "probe")), "256 standard normal rows"
    else:
        read = read_dataset(data, model.signature)
        rows, rule = dict(read.rows), f"{len(read)} rows of {data.name}"
    model = fitted(model, {name: array[0] for name, array in rows.items()})
    ledger = Ledger()
    seen = dataclasses.asdict(probe(model, rows, other, ledger))
    found = {"asked_about": rule, "speeds": speeds(model, rows, ledger), **seen}
    return found | {"rows": ledger.rows}


def _axes(shape: list[int | str | None]) -> str:
    """Write a shape with fixed axes as numbers and free ones by name, ``?`` where nothing is known."""
    return " x ".join("?" if axis is None else str(axis) for axis in shape) or "scalar"


def _show(facts: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    console = terminal.out()
    tensors = Table(
        "", "name", "dtype", "shape", "classes", title="Signature", title_justify="left", box=box.SIMPLE_HEAD
    )
    for role in ("inputs", "outputs"):
        for tensor in facts[role]:
            asked = " (asked)" if role == "outputs" and tensor["name"] == facts["answer"] else ""
            classes = ", ".join(tensor["classes"][:6]) + (" ..." if len(tensor["classes"]) > 6 else "")
            tensors.add_row(
                role[:-1] + asked, tensor["name"], tensor["dtype"], _axes(tensor["shape"]), classes
            )
    about = Table.grid(padding=(0, 2))
    for key, value in _rows(facts):
        about.add_row(f"[bold]{key}[/bold]", value)
    console.print(tensors)
    console.print(about)
    if "probe" in facts:
        _show_probe(console, facts["probe"])


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    from rich.markup import escape

    file = "protocol" not in facts
    rows = [
        ("file" if file else "endpoint", facts["source"] + (f" ({facts['bytes']:,} bytes)" if file else "")),
        *((f"SHA-256 {name}", digest) for name, digest in facts["sha256"].items()),
        ("runs on", f"{facts['device']} ({facts['runtime']})"),
        *([] if file else _of_endpoint(facts)),
        ("rows a pass", f"{facts['rows_per_run']} ({facts['rows_per_run_chosen']})"),
        ("opsets", ", ".join(f"{k} {v}" for k, v in facts.get("opsets", {}).items())),
        ("producer", facts.get("producer", "")),
        ("operators", ", ".join(f"{k} {v}" for k, v in list(facts.get("operators", {}).items())[:12])),
        *((f"metadata {k}", str(v)[:200]) for k, v in facts.get("metadata", {}).items()),
    ]
    return [(escape(key), escape(value)) for key, value in rows if value]


def _of_endpoint(facts: dict[str, Any]) -> list[tuple[str, str]]:
    carried = "bytes" if facts["binary"] else "JSON"
    return [
        ("SHA-256", facts["digest"]),
        (
            "rows a request",
            f"{facts['rows_per_request']:,}, {facts['in_flight']} requests at a time, as {carried}",
        ),
        ("versions", ", ".join(facts.get("versions", ()))),
    ]


def _show_probe(console: Console, seen: dict[str, Any]) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from blackbox.probe import said

    top = max(seen["speeds"].values())
    speed = Table("rows a pass", "rows per second", "", title="Probe", box=box.SIMPLE_HEAD)
    for size, rate in seen["speeds"].items():
        speed.add_row(str(size), f"{rate:,.0f}", "█" * max(1, round(24 * rate / top)))
    console.print(speed)
    about = Table.grid(padding=(0, 2))
    for key, value in said(seen):
        about.add_row(f"[bold]{escape(key)}[/bold]", escape(value))
    console.print(about)
