"""``blackbox.yaml``: what the service knows of a model beyond its file, in a plan's own keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blackbox.errors import RequestError
from blackbox.methods import METHODS, Method, method
from blackbox.plan import BackgroundPart, FeaturesPart, ImagePart, Named
from blackbox.plan_model import ModelPart
from blackbox.yamls import read_yaml, refuse_converted

FILE = "blackbox.yaml"
Described = dict[str, tuple["Description", Path]]
BACKGROUNDS = ("background.csv", "background.parquet", "background.npy", "background.npz")


class Description(BaseModel):
    """One model as it is served.

    model, background, features : as in a plan, paths relative to this file. columns : the table's columns in
    the model's order; default: the background's. image : what the model wants of a picture. methods :
    the ones offered, with their settings where a request names none; default: all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: ModelPart
    background: BackgroundPart = BackgroundPart()
    features: FeaturesPart = FeaturesPart()
    columns: tuple[str, ...] | None = None
    image: ImagePart = ImagePart()
    methods: Named = Field(default={name: {} for name in METHODS}, min_length=1)
    seed: int = Field(default=0, ge=0)

    def offered(self) -> dict[str, Method]:
        """Return the methods with their settings, refusing unknown ones."""
        return {name: method(name, settings) for name, settings in self.methods.items()}


def describe(source: str) -> Described:
    """Return name -> (description, folder) of the models of a file or a folder.

    A folder is described by its ``blackbox.yaml``; without one, every ``.onnx`` file in it is served under
    its stem, with the ``background.*`` beside it. A folder that holds neither is searched one level down.

    Raises
    ------
    RequestError : nothing there to serve, or a description that is wrong.
    """
    path = Path(source)
    if path.is_file():
        if path.suffix.lower() in (".yaml", ".yml"):
            return _read(path)
        return {path.stem: (_bare(path), path.parent)}
    if not path.is_dir():
        raise RequestError(f"There is no model file or folder {path}.")
    found = _folder(path)
    for inner in sorted(path.iterdir()) if not found else []:
        found = together(found, _folder(inner) if inner.is_dir() else {})
    if not found:
        raise RequestError(f"The folder {path} holds no .onnx files and no {FILE}.")
    return found


def together(some: Described, more: Described) -> Described:
    """Join two sets of models.

    Raises
    ------
    RequestError : a name stands in both.
    """
    if twice := sorted(set(some) & set(more)):
        raise RequestError(
            f"Two models are named {twice[0]!r}: serve one of them elsewhere, or name them in {FILE}."
        )
    return some | more


def _folder(folder: Path) -> Described:
    if (folder / FILE).is_file():
        return _read(folder / FILE)
    return {path.stem: (_bare(path), folder) for path in sorted(folder.glob("*.onnx"))}


def _bare(path: Path) -> Description:
    beside = next((name for name in BACKGROUNDS if (path.parent / name).is_file()), None)
    return Description(model=ModelPart(path=path.name), background=BackgroundPart(path=beside))


def _read(path: Path) -> Described:
    raw = read_yaml(path)
    if not isinstance(raw, dict) or not raw:
        raise RequestError(
            f"{path} describes no model: it needs a name with keys such as model and background."
        )
    return {str(name): (_checked(path, str(name), value), path.parent) for name, value in raw.items()}


def _checked(path: Path, name: str, value: Any) -> Description:
    if not isinstance(value, dict):
        raise RequestError(f"{path}: {name} needs keys such as model, background and features.")
    keys = {str(key): inner for key, inner in value.items()}
    refuse_converted(keys, "", ("methods", "model.allow_cpu", "model.sandbox", "model.options"))
    try:
        found = Description.model_validate(keys)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in (name, *first["loc"]))
        raise RequestError(f"{path}: {where}: {first['msg'].lower()}.") from None
    found.offered()
    return found
