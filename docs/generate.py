"""Write the generated parts of the documents: the README's table of methods, and docs/cli.md,
docs/plan.md, docs/checks.md and the settings in docs/remote.md.

Run it from the top of the checkout: ``python docs/generate.py``; with ``--check`` it writes nothing
and ends with 1 when something is out of date.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel

from blackbox.checks import CHECKS
from blackbox.cli import cli
from blackbox.cli.methods import table
from blackbox.plan import ImagePart, Plan
from blackbox.plan_reasons import ReferencePart
from blackbox_adapters.remote import RemoteOptions

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 100
PLAYED = {
    "examine": "for every case",
    "survey": "once, before the cases",
    "review": "once, on all records",
}


def help_pages() -> str:
    """Return every command's help as one Markdown page."""
    pages = ["# The command line", "", "Generated from the code by `python docs/generate.py`."]
    root = click.Context(cli, info_name="blackbox", max_content_width=WIDTH, terminal_width=WIDTH)
    pages += ["", "```", cli.get_help(root), "```"]
    for name in cli.list_commands(root):
        command = cli.commands[name]
        context = click.Context(
            command, info_name=name, parent=root, max_content_width=WIDTH, terminal_width=WIDTH
        )
        pages += ["", f"## blackbox {name}", "", "```", command.get_help(context), "```"]
    return "\n".join(line.rstrip() for line in "\n".join(pages).splitlines()) + "\n"


def check_pages() -> str:
    """Return the checks, with formula, default and cost, as one Markdown page."""
    pages = ["# Checks", "", "Generated from the code by `python docs/generate.py`. Every check takes"]
    pages += ["`gate: warn` or `gate: fail`; a failed gate makes `blackbox audit` end with 1. A check that"]
    pages += ["cannot be made here is `skipped`, and its sentence says why."]
    for name, cls in CHECKS.items():
        doc = " ".join((cls.__doc__ or "").split())
        played = [told for verb, told in PLAYED.items() if hasattr(cls, verb)]
        settings = [f"`{f.name}={_default(f.default)}`" for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
        pages += ["", f"## {name}", "", doc, ""]
        pages += [f"Played {' and '.join(played)}. Settings: {', '.join(settings)}."]
    return "\n".join(pages) + "\n"


def plan_pages() -> str:
    """Return every key of a plan, with type and default, as one Markdown page."""
    pages = ["# The plan", "", "Generated from the code by `python docs/generate.py`. `blackbox init` writes"]
    pages += ["a plan for your own model; `sample_models/*/audit.yaml` are worked examples. Paths are"]
    pages += ["relative to the plan; an unknown key is an error that names the nearest known one.", ""]
    pages += [" ".join((Plan.__doc__ or "").split()), "", *_keys("plan", Plan)]
    for name, field in Plan.model_fields.items():
        part = next((t for t in (field.annotation, *get_args(field.annotation)) if _is_part(t)), None)
        if part is not None:
            pages += [f"## {name}", "", " ".join((part.__doc__ or "").split()), "", *_keys(name, part)]
    for name, part in {"data.image": ImagePart, "reasons.background": ReferencePart}.items():
        about = " ".join((part.__doc__ or "").split())
        pages += [f"## {name}", "", about, "", *_keys(name.partition(".")[2], part)]
    return "\n".join(pages).rstrip() + "\n"


def _is_part(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _keys(name: str, part: type[BaseModel]) -> list[str]:
    lines = [f"| key of {name} | type | default |", "|---|---|---|"]
    for key, field in part.model_fields.items():
        value = field.get_default(call_default_factory=True)
        default = "required" if field.is_required() else f"`{_default(value)}`"
        lines.append(f"| `{key}` | {_type(field.annotation)} | {default} |")
    return [*lines, ""]


def _default(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "its own defaults"
    return ", ".join(value) if isinstance(value, dict) and value else str(value)


def _type(annotation: Any) -> str:
    """Write a type as a reader wants it: without what validates it."""
    inner = get_args(annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        return _type(inner[0])
    if origin in (Union, UnionType):
        return " or ".join(_type(one) for one in inner)
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in inner)
    if origin is not None:
        return f"{origin.__name__}[{', '.join('...' if one is ... else _type(one) for one in inner)}]"
    return "None" if annotation is type(None) else str(getattr(annotation, "__name__", annotation))


def remote_table() -> str:
    """Return the settings of the remote adapter with their defaults, read off its dataclass."""
    defaults = {field.name: field.default for field in dataclasses.fields(RemoteOptions)}
    body = " ".join((RemoteOptions.__doc__ or "").partition("\n\n")[2].split())
    _, *parts = re.split(r"(?:(?<=\.)|^) *((?:\w+, )*\w+) : ", body)
    lines = ["| setting | default | |", "|---|---|---|"]
    for names, text in zip(parts[::2], parts[1::2], strict=True):
        listed = names.split(", ")
        shown = ", ".join(f"`{defaults.pop(name)}`" for name in listed)
        lines.append(f"| {', '.join(f'`{name}`' for name in listed)} | {shown} | {text.replace('``', '`')} |")
    if defaults:
        raise SystemExit(f"RemoteOptions does not describe {', '.join(defaults)}")
    return "\n".join(lines)


def with_section(text: str, name: str, content: str) -> str:
    """Replace what stands between a document's markers."""
    pattern = rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)"
    return re.sub(pattern, lambda found: f"{found[1]}{content}\n{found[2]}", text, flags=re.S)


def documents() -> dict[Path, str]:
    """Return every generated file with the text that it should hold."""
    readme, remote = ROOT / "README.md", ROOT / "docs" / "remote.md"
    return {
        readme: with_section(readme.read_text(encoding="utf-8"), "methods", table()),
        remote: with_section(remote.read_text(encoding="utf-8"), "remote", remote_table()),
        ROOT / "docs" / "cli.md": help_pages(),
        ROOT / "docs" / "checks.md": check_pages(),
        ROOT / "docs" / "plan.md": plan_pages(),
    }


def stale() -> list[Path]:
    """Return the generated files that are out of date."""
    return [p for p, text in documents().items() if not p.exists() or p.read_text(encoding="utf-8") != text]


def main() -> None:
    """Write what is out of date, or only say so."""
    found = stale()
    if "--check" in sys.argv:
        for path in found:
            click.echo(f"out of date: {path.relative_to(ROOT)}; run python docs/generate.py", err=True)
        sys.exit(bool(found))
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
