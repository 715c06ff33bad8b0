"""The model of a plan, opened: in the sandbox, where nothing else is said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackbox.errors import RequestError
from blackbox.mlmodel import located
from blackbox.model import Model, is_url, missing_file, open_model

if TYPE_CHECKING:  # importing pydantic takes longer than the command line's help may
    from blackbox.plan_model import ModelPart

KEYS = (
    "output", "select", "kind", "classes", "batch_size", "threads", "constants", "allow_cpu", "sandbox",
)  # fmt: skip
"""Options of adapters that a plan has keys for."""

FILES = ("token_file", "custom_ops")
"""Options of adapters that name a file."""


def open_planned(
    part: ModelPart, folder: Path, files: dict[str, tuple[Path, ...]], rows_per_run: int | None = None
) -> Model:
    """Open the model that a plan names.

    Parameters
    ----------
    folder : what the plan's paths are relative to. files : role -> files; what is read is added.
    rows_per_run : as recorded earlier; None = as the plan says, or by a probe.

    Raises
    ------
    RequestError : a file is missing, or the model is not the one that was hashed. ModelError : the model
        cannot be loaded.
    """
    path = folder / part.path if is_url(part.path) else located(folder / part.path)
    source = part.path if is_url(part.path) else path
    classes = part.classes
    if isinstance(classes, str):
        classes = class_names(folder / classes)
        files["classes"] = (folder / str(part.classes),)
    wanted: dict[str, Any] = {
        "output": part.output, "select": part.select, "kind": part.kind, "classes": classes or None,
        "batch_size": rows_per_run or part.batch_size or _pace(part, path), "threads": part.threads,
        "allow_cpu": part.allow_cpu or None, "constants": _constants(part.constants, folder, files) or None,
        "sandbox": _confined(part, path), **_options(part, folder),
    }  # fmt: skip
    model = open_model(source, part.device, {k: v for k, v in wanted.items() if v is not None})
    found = model.identity.sha256.get(path.name, "unknown")
    if part.sha256 is not None and part.sha256.lower() != found:
        raise RequestError(
            f"{path} is not the model of the plan: its SHA-256 is {found}, the plan says {part.sha256}."
        )
    if not is_url(part.path):
        files["model"] = tuple(path.parent / name for name in model.identity.sha256)
    return model


def _constants(given: Mapping[str, Any], folder: Path, files: dict[str, tuple[Path, ...]]) -> dict[str, Any]:
    """Find the files that hold constant inputs, which are named relative to the plan."""
    held = {name: folder / value for name, value in given.items() if is_array_file(value)}
    if held:
        files["constants"] = tuple(held.values())
    return {**given, **held}


def is_array_file(value: object) -> bool:
    """Whether a constant input is named by the file that holds it."""
    return isinstance(value, str) and value.lower().endswith(".npy")


def _options(part: ModelPart, folder: Path) -> dict[str, Any]:
    """Return the adapter's own options; their files are relative to the plan, as all are."""
    for name in KEYS:
        if name in part.options:
            raise RequestError(f"model.options: {name} is a key of model itself; set it there.")
    found = {name: part.options[name] for name in FILES if part.options.get(name) is not None}
    return {**part.options, **{name: str(folder / str(path)) for name, path in found.items()}}


def _confined(part: ModelPart, path: Path) -> bool | None:
    """An audit does not trust an ONNX file unless its plan says so; other adapters are asked nothing."""
    if part.sandbox is not None or is_url(part.path):
        return part.sandbox
    return True if path.suffix.lower() == ".onnx" else None


def _pace(part: ModelPart, path: Path) -> str | None:
    """An audit asks long enough for a probe of the rows per pass to pay; other adapters have none."""
    return "probe" if path.suffix.lower() == ".onnx" and not is_url(part.path) else None


def class_names(path: Path) -> tuple[str, ...]:
    """Read class names from a text file, one per line."""
    if not path.is_file():
        raise missing_file(path, "class names")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise RequestError(f"The class names file {path} is no UTF-8 text: save it as UTF-8.") from None
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise RequestError(f"{path} holds no class names: it needs one per line.")
    return names
