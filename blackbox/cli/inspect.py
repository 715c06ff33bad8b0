"""``blackbox inspect``: what a model file is and takes."""

from __future__ import annotations

import json
from typing import Any

import click

from blackbox.cli import options, terminal
from blackbox.model import Model, Tensor


@click.command()
@click.argument("model")
@options.add(options.MODEL)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def inspect(model: str, device: str, as_json: bool, **given: Any) -> None:
    """Show a model's inputs, outputs, opsets, producer, digests and the device it really runs on."""
    opened = options.model_from(model, device, **given)
    facts = describe(opened)
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
        "inputs": [_tensor(tensor) for tensor in signature.inputs],
        "outputs": [_tensor(tensor) for tensor in signature.outputs],
        "answer": signature.answer,
        "rows_per_run": model.limits.rows_per_run,
        "fixed_batch": model.limits.fixed_batch,
        **identity.facts,
    }


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "classes": list(tensor.labels),
    }


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


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    from rich.markup import escape

    batch = facts["fixed_batch"]
    rows = [
        ("file", f"{facts['source']} ({facts.get('bytes', 0):,} bytes)"),
        *((f"SHA-256 {name}", digest) for name, digest in facts["sha256"].items()),
        ("runs on", f"{facts['device']} ({facts['runtime']})"),
        ("rows a pass", f"{facts['rows_per_run']}" + (" (fixed by the model)" if batch else "")),
        ("opsets", ", ".join(f"{k} {v}" for k, v in facts.get("opsets", {}).items())),
        ("producer", facts.get("producer", "")),
        ("operators", ", ".join(f"{k} {v}" for k, v in list(facts.get("operators", {}).items())[:12])),
        *((f"metadata {k}", str(v)[:200]) for k, v in facts.get("metadata", {}).items()),
    ]
    return [(escape(key), escape(value)) for key, value in rows]
