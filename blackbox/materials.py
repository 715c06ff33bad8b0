"""What a plan names, opened and read: model, data, background, labels, features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blackbox import backgrounds, seeds
from blackbox.backgrounds import Background
from blackbox.errors import RequestError, unknown
from blackbox.features import Features, choose, from_labels, grouped, patches, superpixels
from blackbox.inputs import Dataset, DataSpec, read_dataset, read_table
from blackbox.model import Model, fitted, missing_file, open_model

if TYPE_CHECKING:  # importing pydantic takes longer than the command line's help may
    from blackbox.plan import FeaturesPart, Plan


@dataclass(frozen=True)
class Materials:
    """Everything that an audit works with.

    labels : column or feature name -> words for people. files : what was read, by its role.
    """

    model: Model
    data: Dataset
    background: Background
    labels: Mapping[str, str]
    files: Mapping[str, tuple[Path, ...]]

    def features(self, part: FeaturesPart, x: Mapping[str, np.ndarray]) -> Features:
        """Return the features of one input, as the plan wants them."""
        if part.grid is not None or part.superpixels is not None:
            return picture_features(x, part.grid, part.superpixels)
        if self.data.columns:
            return grouped(x, self.data.columns, part.groups, part.never_hidden)
        if part.groups or part.never_hidden:
            raise RequestError("features.groups and never_hidden need a table with named columns.")
        return choose(x)


def picture_features(
    x: Mapping[str, np.ndarray], grid: tuple[int, int] | None, regions: int | None
) -> Features:
    """Return a grid of patches, or about so many superpixels, of a model's one picture."""
    if grid is not None and regions is not None:
        raise RequestError("Give a grid of patches or superpixels, not both.")
    if len(x) != 1:
        raise RequestError("A grid or superpixels need a model with one input, a picture.")
    ((name, array),) = x.items()
    if grid is not None:
        labels, names = patches(array.shape, *grid)
        return from_labels({name: labels}, x, names, f"{grid[0]} x {grid[1]} patches")
    labels, names = superpixels(array, 1 if regions is None else regions)
    return from_labels({name: labels}, x, names, f"about {regions} superpixels")


def gather(plan: Plan, folder: Path) -> Materials:
    """Open and read what the plan names.

    Parameters
    ----------
    folder : what the plan's paths are relative to.

    Raises
    ------
    RequestError : a file is missing or does not fit, or the model is not the one that was hashed.
    ModelError : the model cannot be loaded.
    """
    files: dict[str, tuple[Path, ...]] = {}
    model = _model(plan, folder, files)
    data = read_dataset(folder / plan.data.path, model.signature, plan.data.spec())
    files["data"] = data.files
    model = fitted(model, data.row(0))
    background = _background(plan, folder, model, data, files)
    return Materials(model, data, background, _labels(plan, folder, data, files), files)


def _model(plan: Plan, folder: Path, files: dict[str, tuple[Path, ...]]) -> Model:
    part = plan.model
    path = folder / part.path
    classes = part.classes
    if isinstance(classes, str):
        classes = class_names(folder / classes)
        files["classes"] = (folder / str(part.classes),)
    wanted: dict[str, Any] = {
        "output": part.output, "select": part.select, "kind": part.kind, "classes": classes or None,
        "batch_size": part.batch_size, "threads": part.threads, "allow_cpu": part.allow_cpu or None,
        "constants": _constants(part.constants, folder, files) or None,
    }  # fmt: skip
    model = open_model(path, part.device, {k: v for k, v in wanted.items() if v is not None})
    found = model.identity.sha256.get(path.name, "")
    if part.sha256 is not None and part.sha256.lower() != found:
        raise RequestError(
            f"{path} is not the model of the plan: its SHA-256 is {found}, the plan says {part.sha256}."
        )
    files["model"] = tuple(path.parent / name for name in model.identity.sha256)
    return model


def _constants(given: Mapping[str, Any], folder: Path, files: dict[str, tuple[Path, ...]]) -> dict[str, Any]:
    """Find the files that hold constant inputs, which are named relative to the plan."""
    held = {name: folder / value for name, value in given.items() if str(value).lower().endswith(".npy")}
    if held:
        files["constants"] = tuple(held.values())
    return {**given, **held}


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


def _background(
    plan: Plan, folder: Path, model: Model, data: Dataset, files: dict[str, tuple[Path, ...]]
) -> Background:
    part = plan.background
    if part.path is None:
        return backgrounds.zeros(data.row(0))
    spec = DataSpec(columns=data.columns or None, image=plan.data.spec().image)
    read = read_dataset(folder / part.path, model.signature, spec)
    files["background"] = read.files
    if part.use == "mean":
        return backgrounds.mean(read.rows)
    if part.use == "medoids":
        return backgrounds.medoids(read.rows, part.most, seeds.generator(plan.seed, "background"))
    return backgrounds.sample(read.rows, part.most, seeds.generator(plan.seed, "background"))


def _labels(plan: Plan, folder: Path, data: Dataset, files: dict[str, tuple[Path, ...]]) -> dict[str, str]:
    labels = plan.features.labels
    if isinstance(labels, dict):
        known = (*data.columns, *plan.features.groups)
        for name in labels:
            if data.columns and name not in known:
                raise unknown("column or group in features.labels:", name, known)
        return labels
    table = read_table(folder / labels)
    files["labels"] = (folder / labels,)
    return dict(zip(map(str, table.column("column")), map(str, table.column("label")), strict=True))
