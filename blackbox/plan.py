"""The plan file behind an audit: what is asked of which model, with which data, and what must hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from blackbox import checks as known_checks
from blackbox import methods as known_methods
from blackbox.errors import RequestError, nearest, unknown
from blackbox.inputs import DataSpec, ImageSpec
from blackbox.model import missing_file
from blackbox.numerics.links import SCALES
from blackbox.settings import parse
from blackbox.yamls import read_yaml, refuse_converted, shortened


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelPart(_Strict):
    """The model: its file (relative to the plan), what it must hash to, where it runs, how it is read.

    classes : names of the output's columns, or a text file with one name per line. batch_size : rows per
    forward pass, ``rule`` or ``probe``. constants : inputs that are the same in every pass, name -> value or
    .npy file. allow_cpu : use the CPU where the GPU that is asked for does not start.
    """

    path: str
    sha256: str | None = None
    device: str = "auto"
    output: str | None = None
    select: str | None = None
    kind: str | None = None
    classes: tuple[str, ...] | str = ()
    batch_size: int | Literal["rule", "probe"] | None = None
    threads: int | None = None
    constants: dict[str, int | float | str | list[Any]] = {}
    allow_cpu: bool = False


class ImagePart(_Strict):
    """What the model wants of a picture; see ``blackbox.inputs.ImageSpec``."""

    size: tuple[int, int] | None = None
    layout: str | None = None
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


class DataPart(_Strict):
    """The inputs to explain: a table, arrays, a picture or a folder of pictures.

    rows : names or numbers of the rows to explain, None = all; first : only so many of them.
    """

    path: str
    id: str | None = None
    columns: tuple[str, ...] | None = None
    not_inputs: tuple[str, ...] = ()
    rows: Annotated[tuple[int | str, ...], Field(min_length=1)] | None = None
    first: int | None = Field(default=None, ge=1)
    image: ImagePart = ImagePart()

    def spec(self) -> DataSpec:
        """Return how the file is read."""
        image = ImageSpec(**self.image.model_dump())
        return DataSpec(self.columns, self.id, self.not_inputs, image)


class BackgroundPart(_Strict):
    """What stands in for hidden features: rows of a file, their mean, or zeros.

    path : read like the data; None = no file, so zeros. use : ``rows``, ``mean`` or
    ``medoids``. most : rows kept at the most, drawn with the plan's seed.
    """

    path: str | None = None
    use: Literal["rows", "mean", "medoids"] = "rows"
    most: int = Field(default=100, ge=1)


class FeaturesPart(_Strict):
    """Which cells belong together.

    groups : feature name -> its columns. never_hidden : columns that stay as they are. labels :
    column or group name -> words for people, or a CSV file with columns ``column`` and ``label``.
    grid : (down, across) patches of a picture. superpixels : about so many regions of a picture.
    """

    groups: dict[str, tuple[str, ...]] = {}
    never_hidden: tuple[str, ...] = ()
    labels: dict[str, str] | str = {}
    grid: tuple[int, int] | None = None
    superpixels: int | None = Field(default=None, ge=1)


class ReasonsPart(_Strict):
    """Principal reasons in words: from which method, and how many in each direction."""

    method: str = "kernelshap"
    count: int = Field(default=4, ge=1)


class OutputsPart(_Strict):
    """Where the audit is written, relative to where it is started; None = named after the plan."""

    folder: str | None = None


def _named(values: Any) -> Any:
    """Accept a list of names, or names with settings, or names with nothing behind them."""
    if isinstance(values, str):
        values = [values]
    if isinstance(values, (list, tuple)):
        return {str(name): {} for name in values}
    return (
        {name: {} if s is None else s for name, s in values.items()} if isinstance(values, dict) else values
    )


Named = Annotated[dict[str, dict[str, Any]], BeforeValidator(_named)]


class Plan(_Strict):
    """A whole audit, as it stands in ``audit.yaml``."""

    model: ModelPart
    data: DataPart
    background: BackgroundPart = BackgroundPart()
    features: FeaturesPart = FeaturesPart()
    targets: int | str | Annotated[tuple[int | str, ...], Field(min_length=1)] | None = None
    methods: Named = Field(default={"occlusion": {}, "kernelshap": {}, "sis": {}}, min_length=1)
    checks: Named = Field(default={key: {} for key in known_checks.DEFAULT})
    reasons: ReasonsPart | None = None
    seed: int = Field(default=0, ge=0)
    budget: int | None = Field(default=None, ge=1)
    outputs: OutputsPart = OutputsPart()

    def target_list(self) -> list[int | str | None]:
        """Return the targets one by one; [None] = the predicted class of every case."""
        return list(self.targets) if isinstance(self.targets, tuple) else [self.targets]

    def parsed_methods(self) -> dict[str, tuple[known_methods.Method, str | None]]:
        """Return every method with its settings and its scale, refusing unknown ones."""
        found = {}
        for name, settings in self.methods.items():
            own = {key: value for key, value in settings.items() if key != "scale"}
            scale = settings.get("scale")
            if scale is not None and scale not in SCALES:
                raise unknown(f"scale of method {name}:", scale, SCALES)
            found[name] = (known_methods.method(name, own), scale)
        return found

    def parsed_checks(self) -> list[known_checks.Check]:
        """Return every check with its settings, refusing unknown ones."""
        found = []
        for name, settings in self.checks.items():
            if name not in known_checks.CHECKS:
                raise unknown("check", name, known_checks.CHECKS)
            found.append(parse(known_checks.CHECKS[name], settings, f"check {name}"))
        return found


def load_plan(path: Path) -> Plan:
    """Read and check a plan without opening the model.

    Raises
    ------
    RequestError : missing, no YAML, or an unknown key (with the nearest one) or wrong value.
    """
    if not path.exists():
        raise missing_file(path, "plan")
    if path.is_dir() or path.suffix.lower() == ".onnx":
        what = "a folder" if path.is_dir() else "a model"
        raise RequestError(f"{path} is {what}, no plan: write one with   blackbox init MODEL --data ROWS.csv")
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise RequestError(f"{path} is no plan: it needs keys such as model, data and methods.")
    refuse_converted(
        {str(key): value for key, value in raw.items()}, "", ("methods", "checks", "model.allow_cpu")
    )
    try:
        plan = Plan.model_validate({str(key): value for key, value in raw.items()})
    except ValidationError as error:
        raise RequestError(f"{path}: {_explain(error.errors()[0])}") from None
    plan.parsed_methods()
    plan.parsed_checks()
    _refuse_contradictions(plan)
    return plan


def _refuse_contradictions(plan: Plan) -> None:
    """Refuse keys that are right by themselves and wrong together."""
    if plan.reasons is not None and plan.reasons.method not in plan.methods:
        raise unknown("method in reasons (it must be one of the plan's):", plan.reasons.method, plan.methods)
    if plan.background.use == "mean" and plan.background.path is None:
        raise RequestError("background: use is mean, but there is no path to rows whose mean it could be.")
    if plan.features.grid is not None and plan.features.superpixels is not None:
        raise RequestError("features: give a grid or superpixels, not both.")


TYPES = {"model_type": "a mapping of keys to values", "dict_type": "a mapping of names to values"}


def _explain(problem: Any) -> str:
    """Say in one sentence what pydantic found, naming the nearest known key."""
    # pydantic adds the member of a union and the position in it to the place
    names = [part for part in problem["loc"] if isinstance(part, str) and re.fullmatch(r"\w+", part)]
    names = [part for part in names if part not in ("int", "str", "float")]
    where = ".".join(names)
    if problem["type"] == "extra_forbidden":
        known = _keys_at(tuple(names[:-1]))
        return f"unknown key {where!r}.{nearest(names[-1], known)} Known here: {', '.join(known)}."
    if problem["type"] == "missing":
        return f"the key {where!r} is missing."
    shown = shortened(problem["input"] if not isinstance(problem["input"], str) else repr(problem["input"]))
    wanted = TYPES.get(problem["type"])
    reason = f"it must be {wanted}" if wanted else problem["msg"].lower().replace("input ", "it ")
    return f"{where} cannot be {shown}: {reason}."


def _keys_at(place: tuple[str, ...]) -> list[str]:
    """Return the keys that a plan knows at a place such as ("data", "image")."""
    part: Any = Plan
    for name in place:
        inner = part.model_fields[name].annotation if name in getattr(part, "model_fields", {}) else None
        options = [inner, *getattr(inner, "__args__", ())]
        part = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), part)
    return list(part.model_fields)
