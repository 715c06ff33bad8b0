"""Options that several verbs share, and how their text becomes values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from blackbox.cli import terminal
from blackbox.errors import RequestError
from blackbox.inputs import DataSpec, ImageSpec
from blackbox.model import Model, open_model
from blackbox.opening import class_names

F = TypeVar("F", bound=Callable[..., Any])

MODEL = [
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    click.option("--output", "output", help="Output to ask; default: the last floating-point one."),
    click.option("--select", help="Part of the output, for example [0,:,1]."),
    click.option("--kind", help="What it holds: probabilities, logits, values or embedding (the score is "
                                "then the similarity to the input's own); default: observed."),
    click.option("--class-names", type=click.Path(path_type=Path), help="Text file, one class a line."),
    click.option("--batch-size", help="Rows per forward pass, rule (from the size of one row) or probe (the "
                                      "fastest of four, tried once and remembered); default: rule on a "
                                      "CPU, probe on a GPU."),
    click.option("--threads", type=int, help="Threads within one pass; default: one per core."),
    click.option("--constant", "constants", multiple=True, metavar="NAME=VALUE|FILE",
                 help="An input that is the same in every pass, a value or an .npy file; repeatable."),
    click.option("--sandbox/--no-sandbox", default=None,
                 help="Run the file in a confined process; default: only with the next two."),
    click.option("--memory", metavar="AMOUNT", help="Most memory of both processes, for example 2GiB."),
    click.option("--deadline", type=float, metavar="SECONDS", help="Most time to load, and for a pass."),
    click.option("--custom-ops", metavar="PATH", help="Library of custom operators: native code."),
    click.option("--custom-ops-sha256", metavar="DIGEST", help="What that library must hash to."),
    click.option("--allow-cpu", is_flag=True, help="Use the CPU where the GPU asked for does not start."),
    click.option("--token-env", metavar="NAME", help="Environment variable with the token of a URL."),
    click.option("--token-file", metavar="FILE", help="File with the token of a URL."),
    click.option("--model-option", "model_options", multiple=True, metavar="KEY=VALUE",
                 help="Another setting of the model's adapter, see docs/remote.md; repeatable."),
]  # fmt: skip
OPENING = (
    "device", "output", "select", "kind", "class_names", "batch_size", "threads", "constants", "allow_cpu",
    "sandbox", "memory", "deadline", "custom_ops", "custom_ops_sha256", "token_env", "token_file",
    "model_options",
)  # fmt: skip
DATA = [
    click.option("--id", "id_column", help="Column that names the rows."),
    click.option("--columns", help="Input columns in the model's order, separated by commas."),
    click.option("--not-input", multiple=True, help="Column that is no model input; repeatable."),
    click.option("--size", help="Picture size HEIGHTxWIDTH; default: the model's."),
    click.option("--layout", help="NCHW, NHWC or NHW; default: from the model."),
    click.option("--mean", help="Picture mean per channel, for example 0.485,0.456,0.406."),
    click.option("--std", help="Picture standard deviation per channel."),
    click.option("--range", "span", help="What 0..255 becomes; default 0,1."),
]


EXAMPLES = {"--set": "budget=512", "--model-option": "in_flight=8", "--constant": "rate=16000"}


def add(options: list[Callable[[F], F]]) -> Callable[[F], F]:
    """Return a decorator that adds a list of options, first one first in the help."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def split(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell the options of ``MODEL`` from those of ``DATA``."""
    opening = {key: given[key] for key in OPENING}
    return opening, {key: value for key, value in given.items() if key not in opening}


def model_from(model: str, device: str, **given: Any) -> Model:
    """Open a model with the options of the command line; what it cost is told when the command ends."""
    names, further = given.pop("class_names"), settings(given.pop("model_options"), "--model-option")
    held, size = settings(given.pop("constants"), "--constant"), given.pop("batch_size")
    wanted = {
        **given, **further, "classes": class_names(names) if names else None, "constants": held or None,
        "allow_cpu": given["allow_cpu"] or None,
        "batch_size": int(size) if size is not None and size.lstrip("-").isdecimal() else size,
    }  # fmt: skip
    opened = open_model(model, device, {key: value for key, value in wanted.items() if value is not None})
    click.get_current_context().call_on_close(lambda: terminal.bill(opened))
    return opened


def data_from(
    id_column: str | None, columns: str | None, not_input: tuple[str, ...], size: str | None,
    layout: str | None, mean: str | None, std: str | None, span: str | None,
) -> DataSpec:  # fmt: skip
    """Return how data is read, from the options of the command line."""
    low_high = numbers("--range", span) if span else (0.0, 1.0)
    if len(low_high) != 2:
        raise RequestError(f"--range needs two numbers such as 0,1; got {span!r}.")
    image = ImageSpec(
        pair("--size", size), layout, (low_high[0], low_high[1]),
        numbers("--mean", mean) if mean else (0.0,), numbers("--std", std) if std else (1.0,),
    )  # fmt: skip
    listed = tuple(name.strip() for name in columns.split(",")) if columns else None
    return DataSpec(listed, id_column, not_input, image)


def pair(option: str, text: str | None) -> tuple[int, int] | None:
    """Read ``7x7`` as (7, 7)."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise RequestError(f"{option} needs HEIGHTxWIDTH, for example 224x224; got {text!r}.")
    return int(parts[0]), int(parts[1])


def numbers(option: str, text: str) -> tuple[float, ...]:
    """Read ``0.5,0.25`` as numbers."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise RequestError(f"{option} needs numbers separated by commas; got {text!r}.") from None


def settings(pairs: tuple[str, ...], option: str = "--set") -> dict[str, Any]:
    """Read ``key=value`` pairs; values are YAML, so 512, true, [3, 3] and 90% all work."""
    import yaml

    found = {}
    for text in pairs:
        key, equals, value = text.partition("=")
        if not equals:
            raise RequestError(
                f"{option} needs key=value, for example {option} {EXAMPLES[option]}; got {text!r}."
            )
        try:
            found[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            found[key.strip()] = value
    return found
