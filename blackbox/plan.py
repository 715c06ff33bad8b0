"""The plan file behind an audit: what is asked of which model, with which data, and what must hold."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
)

from blackbox import checks as known_checks
from blackbox import methods as known_methods
from blackbox.errors import RequestError, unknown
from blackbox.files import bound
from blackbox.inputs import DataSpec, ImageSpec, check_condition
from blackbox.messages import DIGEST, sentence
from blackbox.model import missing_file
from blackbox.numerics.links import SCALES
from blackbox.plan_model import ModelPart
from blackbox.plan_reasons import ReasonsPart, check_reasons
from blackbox.settings import parse
from blackbox.strict import Strict as _Strict
from blackbox.yamls import read_yaml, refuse_converted


class ImagePart(_Strict):
    """What the model wants of a picture; see ``blackbox.inputs.ImageSpec``."""

    size: tuple[int, int] | None = None
    layout: str | None = None
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


def _condition(text: str) -> str:
    check_condition(text)
    return text


class DataPart(_Strict):
    """The inputs to explain: a table, arrays, a picture or a folder of pictures.

    rows : names or numbers of the rows to explain, None = all; first : only so many of them. where : only
    rows of a table that fulfil a condition such as ``income < 20000 and region == 'north'``. sha256 : what
    the file must hash to.
    """

    path: str
    sha256: str | None = Field(default=None, pattern=DIGEST)
    id: str | None = None
    columns: tuple[str, ...] | None = None
    not_inputs: tuple[str, ...] = ()
    rows: Annotated[tuple[StrictInt | StrictStr, ...], Field(min_length=1)] | None = None
    where: Annotated[str, AfterValidator(_condition)] | None = None
    first: int | None = Field(default=None, ge=1)
    image: ImagePart = ImagePart()

    def spec(self) -> DataSpec:
        """Return how the file is read."""
        image = ImageSpec(**self.image.model_dump())
        return DataSpec(self.columns, self.id, self.not_inputs, image, self.where)


class BackgroundPart(_Strict):
    """What stands in for hidden features: rows of a file, their mean, or zeros.

    path : read like the data; None = no file, so zeros. use : ``rows``, ``mean`` or ``medoids``. most :
    rows kept at the most, drawn with the plan's seed. sha256 : what the file must hash to.
    """

    path: str | None = None
    sha256: str | None = Field(default=None, pattern=DIGEST)
    use: Literal["rows", "mean", "medoids"] = "rows"
    most: int = Field(default=100, ge=1)


class FeaturesPart(_Strict):
    """Which cells belong together.

    groups : feature name -> its columns. never_hidden : columns that stay as they are. labels :
    column or group name -> words for people, or a CSV file with columns ``column`` and ``label``.
    grid : (down, across) patches of a picture. superpixels : about so many regions of a picture.
    """

    groups: dict[str, tuple[str, ...]] = Field(default={})
    never_hidden: tuple[str, ...] = ()
    labels: dict[str, str] | str = Field(default={})
    grid: tuple[int, int] | None = None
    superpixels: int | None = Field(default=None, ge=1)


class BudgetPart(_Strict):
    """Forward rows that may be spent: on each case and target, and in total; None = no limit.

    The total is divided evenly over the cases before anything is asked, so that what a case gets does not
    depend on the others. A number alone is the total.
    """

    case: int | None = Field(default=None, ge=1)
    total: int | None = Field(default=None, ge=1)

    def of_case(self, count: int) -> int | None:
        """Return the rows that each of ``count`` cases and targets may spend."""
        shares = [self.case] if self.case is not None else []
        if self.total is not None:
            shares.append(self.total // max(1, count))
        return min(shares, default=None)


class OutputsPart(_Strict):
    """Where the audit is written, relative to where it is started; None = named after the plan.

    cases : how many cases the report shows one by one, from the first; as many again that failed a check.
    """

    folder: str | None = None
    cases: int = Field(default=25, ge=1)


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


def _total(value: Any) -> Any:
    return {"total": value} if isinstance(value, (int, float, str)) and not isinstance(value, bool) else value


class Plan(_Strict):
    """A whole audit, as it stands in ``audit.yaml``.

    probe : ask the model beforehand how far its answers repeat, scatter and move, and record it.
    purpose : why the audit is made, in free words (for whom, under which rules, how long it is kept).
    """

    model: ModelPart
    data: DataPart
    background: BackgroundPart = BackgroundPart()
    features: FeaturesPart = FeaturesPart()
    targets: (
        StrictInt | StrictStr | Annotated[tuple[StrictInt | StrictStr, ...], Field(min_length=1)] | None
    ) = None
    methods: Named = Field(default={"occlusion": {}, "kernelshap": {}, "sis": {}}, min_length=1)
    checks: Named = Field(default={key: {} for key in known_checks.DEFAULT})
    probe: StrictBool = True
    reasons: ReasonsPart | None = None
    seed: int = Field(default=0, ge=0)
    budget: Annotated[BudgetPart, BeforeValidator(_total)] = BudgetPart()
    privacy: Literal["keep", "hash", "omit"] = "keep"
    outputs: OutputsPart = OutputsPart()
    purpose: StrictStr | None = None

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

    def effective(self, files: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
        """Return the plan as plain JSON with every default filled in and its files bound by their digests.

        Parameters
        ----------
        files : role -> file name -> SHA-256, as ``Materials.digests`` gives it.
        """
        told = self.model_dump(mode="json")
        for name, (method, scale) in self.parsed_methods().items():
            settings = {field.name: field.default for field in dataclasses.fields(method)}  # type: ignore[arg-type]
            filled = settings | self.methods[name] | {"scale": scale or method.scale}
            told["methods"][name] = json.loads(json.dumps(filled))
        for name, check in zip(self.checks, self.parsed_checks(), strict=True):
            own = {field.name: field.default for field in dataclasses.fields(check)}  # type: ignore[arg-type]
            told["checks"][name] = json.loads(json.dumps(own | self.checks[name]))
        if files["model"]:
            main = files["model"].get(PurePath(self.model.path).name)
            told["model"]["sha256"] = main or bound(files["model"])
        for role in ("data", "background"):
            if files.get(role):
                told[role]["sha256"] = bound(files[role])
        return told

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
    return as_plan(read_yaml(path), str(path))


def as_plan(raw: Any, source: str = "The plan") -> Plan:
    """Check a plan that was read or written as a mapping; ``source`` is how messages call it.

    Raises
    ------
    RequestError : no mapping, an unknown key (with the nearest one) or a wrong value.
    """
    if isinstance(raw, Plan):
        return raw
    if not isinstance(raw, Mapping):
        raise RequestError(f"{source} is no plan: it needs keys such as model, data and methods.")
    named = {str(key): value for key, value in raw.items()}
    refuse_converted(named, "", ("methods", "checks", "probe", "model.allow_cpu", "model.sandbox"))
    try:
        plan = Plan.model_validate(named)
    except ValidationError as error:
        raise RequestError(f"{source}: {sentence(Plan, error.errors())}") from None
    plan.parsed_methods()
    plan.parsed_checks()
    _refuse_contradictions(plan)
    return plan


def _refuse_contradictions(plan: Plan) -> None:
    """Refuse keys that are right by themselves and wrong together."""
    if plan.reasons is not None:
        check_reasons(plan.reasons, plan.methods)
    if plan.background.use == "mean" and plan.background.path is None:
        raise RequestError("background: use is mean, but there is no path to rows whose mean it could be.")
    if plan.features.grid is not None and plan.features.superpixels is not None:
        raise RequestError("features: give a grid or superpixels, not both.")
