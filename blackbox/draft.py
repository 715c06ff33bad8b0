"""A first plan for somebody's own model: what can be read off the files, and what to check."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from blackbox.inputs import Dataset, DataSpec, read_dataset, read_table
from blackbox.model import Model, is_url

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

FEW = 512
"""Up to so many features the methods' own budgets are modest."""


def draft(
    model: Model, data: Path, spec: DataSpec, plan: Path, classes: Path | None,
    options: Mapping[str, Any] | None = None,
) -> str:  # fmt: skip
    """Return the text of a working plan, with comments on what to check.

    Parameters
    ----------
    data : the file with rows or pictures. plan : where the plan will lie; paths in it are relative
        to its folder. classes : file with class names, if there is one. options : the adapter's own
        settings that the model was opened with.

    Raises
    ------
    RequestError : the data does not fit the model.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    given = read_dataset(data, model.signature, spec)
    environment = Environment(
        loader=PackageLoader("blackbox"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,  # YAML: every value goes through the yaml filter
    )  # fmt: skip
    environment.filters["yaml"] = _quoted
    further = dict(options or {})
    own: dict[str, Any] = {name: further.pop(name, None) for name in ("kind", "select", "constants")}
    own["options"] = further
    context = own | _model(model, plan, classes) | _data(given, data, spec, plan) | _shape(model, given, spec)
    if own["select"]:  # the answer is named after the output and the part
        context["answer"] = str(context["answer"]).removesuffix(own["select"].replace(" ", ""))
    return environment.get_template("plan.yaml").render(context)


def _quoted(value: object) -> str:
    """Write a value as YAML on one line, so that names such as ``no`` or ``012`` stay text."""
    from blackbox.yamls import write_yaml

    text = write_yaml(value, in_one_line=True)
    return text.strip().removesuffix("...").strip()


def _relative(path: Path, plan: Path) -> str:
    return Path(os.path.relpath(path.resolve(), plan.resolve().parent)).as_posix()


def _model(model: Model, plan: Path, classes: Path | None) -> dict[str, Any]:
    source, signature = model.identity.source, model.signature
    path = Path(source)
    answer = signature.output(signature.answer)
    columns = answer.shape[-1] if len(answer.shape) > 1 else 1
    return {
        "name": plan.name,
        "model_path": source if is_url(source) else _relative(path, plan),
        "sha256": model.identity.sha256.get(path.name, ""),
        "answer": signature.answer,
        "outputs": [output.name for output in signature.outputs],
        "classes": _relative(classes, plan) if classes else list(answer.labels),
        "columns": columns if isinstance(columns, int) else 1,
    }


def _data(given: Dataset, data: Path, spec: DataSpec, plan: Path) -> dict[str, Any]:
    named, others = None, []
    if given.columns:
        read = read_table(data)
        others = [name for name in read.columns if name not in given.columns]
        matches = (name for name in others if tuple(map(str, read.columns[name].tolist())) == given.ids)
        named = spec.id or next(matches, None)
    return {
        "data_path": _relative(data, plan),
        "id": named,
        "not_inputs": [name for name in others if name != named],
        "inputs": list(given.columns),
        "first": min(5, len(given)),
        "total": len(given),
    }


def _shape(model: Model, given: Dataset, spec: DataSpec) -> dict[str, Any]:
    """Say what follows from the input's shape: picture settings, groups, patches, budgets."""
    cells = sum(int(np.prod(array.shape[1:])) for array in given.rows.values())
    image = _image(model, spec) if given.images else None
    large = image is not None and cells > 1024
    return {
        "image": image,
        "grid": [min(14, side) for side in image["size"]] if image is not None and large else None,
        "groups": one_hot_groups(given.columns, given.rows) if given.columns else {},
        "smooth": all(array.dtype.kind == "f" for array in given.rows.values()) and cells <= FEW,
    }


def _image(model: Model, spec: DataSpec) -> dict[str, Any]:
    found, channels = spec.image.resolved(model.signature)
    untold = channels == 3 and spec.image.mean == (0.0,) and spec.image.std == (1.0,)
    return {
        "size": list(found.size or ()),
        "layout": found.layout,
        "range": list(found.range),
        "mean": list(IMAGENET_MEAN if untold else found.mean),
        "std": list(IMAGENET_STD if untold else found.std),
        "why": ": the usual ImageNet numbers, if the vendor says nothing else" if untold else "",
    }


def one_hot_groups(columns: Sequence[str], rows: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
    """Find neighbouring columns ``prefix_*`` of which exactly one is 1 in every row.

    Returns
    -------
    prefix -> its columns, for every group of at least two.
    """
    flat = [array.reshape(len(array), -1) for array in rows.values()]
    if any(array.dtype.kind not in "fiub" for array in flat):
        return {}
    table = np.concatenate(flat, axis=1)
    found: dict[str, list[str]] = {}
    for prefix in dict.fromkeys(name.rpartition("_")[0] for name in columns if "_" in name):
        members = [k for k, name in enumerate(columns) if name.rpartition("_")[0] == prefix]
        part = table[:, members]
        one_hot = bool(np.isin(part, (0, 1)).all() and (part.sum(axis=1) == 1).all())
        if len(members) > 1 and one_hot and prefix not in columns:
            found[prefix] = [columns[k] for k in members]
    return found
