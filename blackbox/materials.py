"""What a plan names, opened and read: model, data, background, labels, features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from blackbox import backgrounds, seeds
from blackbox.backgrounds import Background
from blackbox.decisions import Rule
from blackbox.errors import RequestError, unknown
from blackbox.features import Features, choose, from_labels, grouped, patches, superpixels
from blackbox.files import digests_of, hold
from blackbox.inputs import Dataset, DataSpec, read_dataset, read_table
from blackbox.model import Model, fitted
from blackbox.opening import open_planned
from blackbox.ruling import ruled

if TYPE_CHECKING:  # importing pydantic takes longer than the command line's help may
    from blackbox.plan import DataPart, FeaturesPart, Plan


@dataclass(frozen=True)
class Materials:
    """Everything that an audit works with.

    labels : column or feature name -> words for people. files : what was read, by its role. rule : how
    reasons for adverse decisions are stated, where the plan wants them. asked : rows that were asked to
    gather all this.
    """

    model: Model
    data: Dataset
    background: Background
    labels: Mapping[str, str]
    files: Mapping[str, tuple[Path, ...]]
    rule: Rule | None = None
    asked: int = 0

    def positions(self, part: DataPart) -> list[int]:
        """Return the row numbers of the cases that a plan asks about, in its order.

        Raises
        ------
        RequestError : a row does not exist, or none is left.
        """
        if part.rows is None:
            found = list(self.data.chosen if self.data.chosen is not None else range(len(self.data)))
        else:
            allowed = None if self.data.chosen is None else set(self.data.chosen)
            asked = [self.data.position(which) for which in part.rows]
            found = [k for k in asked if allowed is None or k in allowed]
        if not found:
            raise RequestError(f"None of the rows asked for fulfils {part.where!r}.")
        return found[: part.first]

    @cached_property
    def digests(self) -> dict[str, dict[str, str]]:
        """Role -> file name -> SHA-256; names are relative to the folder of the role's first file."""
        # the model's own digests are of the bytes that were loaded
        return self.read_again() | {"model": dict(self.model.identity.sha256)}

    def read_again(self) -> dict[str, dict[str, str]]:
        """Return the digests of the files as they are now."""
        return {role: digests_of(paths) for role, paths in self.files.items()}

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


def gather(plan: Plan, folder: Path, rows_per_run: int | None = None) -> Materials:
    """Open and read what the plan names.

    Parameters
    ----------
    folder : what the plan's paths are relative to. rows_per_run : as recorded earlier; None = as the plan
        says, or by a probe.

    Raises
    ------
    RequestError : a file is missing or does not fit, or the model is not the one that was hashed.
    ModelError : the model cannot be loaded.
    """
    files: dict[str, tuple[Path, ...]] = {}
    model = open_planned(plan.model, folder, files, rows_per_run)
    data = read_dataset(folder / plan.data.path, model.signature, plan.data.spec())
    files["data"] = data.files
    hold("data", plan.data.sha256, data.files)
    model = fitted(model, data.row(0))
    background = _background(plan, folder, model, data, files)
    found = Materials(model, data, background, _labels(plan, folder, data, files), files)
    if plan.reasons is None or plan.reasons.favourable is None:
        return found
    features = found.features(plan.features, data.row(0)).names
    rule, asked = ruled(plan, folder, model, data, features, found.labels, files)
    return replace(found, rule=rule, asked=asked)


def reopened(plan: Plan, folder: Path, device: str) -> Model:
    """Open the plan's model once more, on another device."""
    part = plan.model.model_copy(update={"device": device})
    return open_planned(part, folder, {})


def gather_without_data(plan: Plan, folder: Path) -> Materials:
    """Open and read what a plan names, but neither its data nor a background; raises as ``gather``."""
    files: dict[str, tuple[Path, ...]] = {}
    model = open_planned(plan.model, folder, files)
    data = Dataset((), {}, plan.data.columns or (), ())
    return Materials(model, data, Background({}), _labels(plan, folder, data, files), files)


def _background(
    plan: Plan, folder: Path, model: Model, data: Dataset, files: dict[str, tuple[Path, ...]]
) -> Background:
    part = plan.background
    if part.path is None:
        return backgrounds.zeros(data.row(0))
    spec = DataSpec(columns=data.columns or None, image=plan.data.spec().image)
    read = read_dataset(folder / part.path, model.signature, spec)
    files["background"] = read.files
    hold("background", part.sha256, read.files)
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
