"""The models that are served: opened, shared by all requests, and ready once they answered a first pass."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from blackbox import api, backgrounds, seeds
from blackbox.backgrounds import Background
from blackbox.case import Case
from blackbox.errors import BlackboxError, ModelError, RequestError, nearest
from blackbox.inputs import Dataset, DataSpec, read_dataset
from blackbox.materials import Materials, gather, gather_without_data
from blackbox.methods import METHODS, Method, method
from blackbox.model import Model, Rows, is_url, open_model
from blackbox.plan import DataPart, FeaturesPart, Plan
from blackbox.plan_model import ModelPart
from blackbox.score import Ledger, forward
from blackbox.service.clock import Clock
from blackbox.service.description import Described, Description, describe, together
from blackbox.service.failures import Unknown, Unready
from blackbox.service.pool import Pool, Seat
from blackbox.service.settings import Settings

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]|_(?!_))*")
"""Names go into URLs; two underscores set the method apart in the name of a virtual model."""

VIRTUAL = "__"
FIRST_PASS_SECONDS = 120.0
LEAST_DEADLINE = 60.0
"""Seconds that a confined process may take for loading, and for a pass, whatever requests may take."""

AGAIN_SECONDS = 2.0
"""How long a model that could not be reached is left alone before it is asked again."""

Watch = Callable[[str, int, int], None]


@dataclass
class Served:
    """One model under its name, with what is known beyond its file.

    background : rows that stand in for what is hidden; None = zeros. methods : the ones offered, with
    their settings. described : the description, and the folder of its paths; None behind a URL. ready : it
    answered a first pass; why : what keeps it from it.
    """

    name: str
    pool: Pool
    materials: Materials
    background: Background | None
    part: FeaturesPart
    spec: DataSpec
    methods: Mapping[str, Method]
    seed: int
    described: tuple[Description, Path] | None = None
    ready: bool = False
    why: str = "It has not been asked yet."

    @property
    def model(self) -> Model:
        """The model itself, for its signature; passes go through ``seat``."""
        return self.pool.model

    @contextmanager
    def seat(self, clock: Clock) -> Iterator[Seat]:
        """Take part in the shared passes for one question."""
        with self.pool.seat(clock, self.name) as seat:
            yield seat

    def case(self, seat: Seat, x: Rows, ledger: Ledger) -> Case:
        """Build the case of one input, with the features and the background of this model."""
        features = self.materials.features(self.part, x)
        return api.case(seat, x, features, self.background, ledger)

    def prove(self) -> None:
        """Make a first pass; the model is ready when it gives finite numbers.

        Raises
        ------
        BlackboxError : it did not.
        """
        shapes = [tensor.shape for tensor in self.model.signature.inputs]
        if all(shapes) or self.background is not None:  # an endpoint that declares no shape takes any
            with self.seat(Clock.of(FIRST_PASS_SECONDS)) as seat:
                forward(seat, self._example(), self.model.signature.answer, Ledger())
        self.ready, self.why = True, ""

    def _example(self) -> dict[str, np.ndarray]:
        """One row of the background, or zeros where every axis is fixed."""
        if self.background is not None:
            return {name: array[:1] for name, array in self.background.rows.items()}
        rows = {}
        for tensor in self.model.signature.inputs:
            if not all(isinstance(size, int) for size in tensor.cell_shape):
                raise ModelError(
                    f"Input {tensor.name!r} has open axes {tensor.shape}: put a background beside the "
                    "model, so that it can be asked once before it is served."
                )
            text = tensor.dtype == "string"
            shape = (1, *(int(size) for size in tensor.cell_shape))  # type: ignore[arg-type]
            rows[tensor.name] = np.full(shape, "", dtype=object) if text else np.zeros(shape, tensor.dtype)
        return rows


@dataclass
class Shelf:
    """All models of a service. Those behind a URL may come up later than the service itself.

    waiting : name -> how to open a model that could not be opened yet.
    """

    models: dict[str, Served] = field(default_factory=dict)
    waiting: dict[str, Callable[[], Served]] = field(default_factory=dict)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def names(self) -> list[str]:
        """Names of all models, ready or not."""
        return [*self.models, *self.waiting]

    @property
    def ready(self) -> bool:
        """Every model answered its first pass."""
        return not self.waiting and all(served.ready for served in self.models.values())

    def find(self, name: str) -> Served:
        """Return a model that is there and ready.

        Raises
        ------
        Unknown : there is none of that name. Unready : it cannot answer yet.
        """
        if name in self.waiting or (name in self.models and not self.models[name].ready):
            raise Unready(f"The model {name!r} is not ready yet: ask again in a moment.")
        if name not in self.models:
            raise Unknown(f"There is no model {name[:80]!r}.{nearest(name, self.names)}")
        return self.models[name]

    def virtual(self, name: str) -> tuple[Served, str]:
        """Split ``credit__kernelshap`` into the model and the method."""
        base, _, asked = name.rpartition(VIRTUAL)
        served = self.find(base)
        if asked not in served.methods:
            raise Unknown(f"Model {base!r} has no method {asked[:80]!r}.{nearest(asked, served.methods)}")
        return served, asked

    def prove(self, log: Callable[[str, Mapping[str, Any]], None]) -> None:
        """Ask every model once, again and again those that cannot answer, until all are ready."""
        while not self.closing.is_set() and not self.ready:
            for name in list(self.waiting):
                self._open(name, log)
            for served in [one for one in self.models.values() if not one.ready]:
                self._prove(served, log)
            if self.ready:
                return
            self.closing.wait(AGAIN_SECONDS)

    def open_all(self) -> None:
        """Open the models behind a URL now.

        Raises
        ------
        ModelError : one cannot be reached.
        """
        for name in list(self.waiting):
            self.models[name] = self.waiting.pop(name)()

    def _open(self, name: str, log: Callable[[str, Mapping[str, Any]], None]) -> None:
        try:
            served = self.waiting[name]()
        except BlackboxError as error:
            log("model unreachable", {"model": name, "why": str(error)})
            return
        self.models[name] = served
        del self.waiting[name]

    def _prove(self, served: Served, log: Callable[[str, Mapping[str, Any]], None]) -> None:
        try:
            served.prove()
            log("model ready", {"model": served.name})
        except BlackboxError as error:
            if served.why != str(error):
                served.why = str(error)
                log("model not ready", {"model": served.name, "why": served.why})

    def close(self) -> None:
        """Stop asking; sessions end with their process."""
        self.closing.set()
        for served in self.models.values():
            served.pool.close()


def open_shelf(settings: Settings, watch: Watch) -> Shelf:
    """Open every model file now; models behind a URL are opened when ``Shelf.prove`` runs.

    Parameters
    ----------
    watch : told (model, rows, calls merged) of every pass.

    Raises
    ------
    RequestError : nothing there, a wrong description, or a name that stands twice. ModelError : a file
    that cannot be loaded.
    """
    shelf = Shelf()
    found: Described = {}
    for source in settings.models:
        found = together(found, describe(source))
    for name in (*found, *settings.remote):
        if not NAME.fullmatch(name):
            raise RequestError(
                f"{name!r} cannot be a model's name in a URL: use letters, digits, dots, hyphens and single "
                "underscores, or name it in blackbox.yaml."
            )
    for name, (description, folder) in found.items():
        shelf.models[name] = _from_file(name, description, folder, settings, watch)
    for name in settings.remote:
        shelf.waiting[name] = lambda name=name: _from_url(name, settings, watch)  # type: ignore[misc]
    return shelf


def _from_file(name: str, d: Description, folder: Path, settings: Settings, watch: Watch) -> Served:
    model = confined(d.model, folder, settings)
    data = DataPart(path=d.background.path or "", columns=d.columns, image=d.image)
    plan = Plan(
        model=model, data=data, background=d.background, features=d.features, methods=d.methods, seed=d.seed
    )
    has_rows = d.background.path is not None
    materials = gather(plan, folder) if has_rows else gather_without_data(plan, folder)
    return Served(
        name, _pool(name, materials.model, watch), materials, materials.background if has_rows else None,
        d.features, DataSpec(materials.data.columns or None, image=data.spec().image), d.offered(), d.seed,
        (d, folder),
    )  # fmt: skip


def confined(part: ModelPart, folder: Path, settings: Settings) -> ModelPart:
    """Have a file run in a process of its own, whose passes may take as long as a request at the most."""
    device = part.device if settings.device == "auto" else settings.device
    onnx = part.path.lower().endswith(".onnx") or (folder / part.path).is_dir()
    if is_url(part.path) or not onnx:
        return part.model_copy(update={"device": device})
    inside = settings.sandbox if part.sandbox is None else part.sandbox
    deadline = {"deadline": max(LEAST_DEADLINE, settings.ceilings.seconds)} if inside else {}
    changed = {"device": device, "sandbox": inside, "options": deadline | part.options}
    return part.model_copy(update=changed)


def _from_url(name: str, settings: Settings, watch: Watch) -> Served:
    url, options = settings.remote[name]
    model = open_model(url, options=options)
    background: Background | None = None
    columns: tuple[str, ...] = ()
    if settings.background is not None:
        read = read_dataset(Path(settings.background), model.signature)
        background, columns = (
            backgrounds.sample(read.rows, 100, seeds.generator(0, "background")),
            read.columns,
        )
    materials = Materials(model, Dataset((), {}, columns, ()), Background({}), {}, {})
    offered = {each: method(each) for each in METHODS}
    spec = DataSpec(columns or None)
    pool = _pool(name, model, watch)
    return Served(name, pool, materials, background, FeaturesPart(), spec, offered, 0)


def _pool(name: str, model: Model, watch: Watch) -> Pool:
    return Pool(model, lambda rows, calls: watch(name, rows, calls))
