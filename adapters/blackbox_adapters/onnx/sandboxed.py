"""An ONNX file whose session lives in a confined process; the model in here has the port's face only."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from blackbox.errors import ModelError
from blackbox.model import Hide, Hiding, Identity, Limits, Readout, Rows, Signature
from blackbox_adapters.onnx import fused, pace
from blackbox_adapters.onnx.constants import read_value
from blackbox_adapters.onnx.faces import Face, face_from
from blackbox_adapters.onnx.files import Folder
from blackbox_adapters.onnx.model import library_of
from blackbox_adapters.onnx.options import OnnxOptions
from blackbox_adapters.onnx.played import Played
from blackbox_adapters.sandbox import custody
from blackbox_adapters.sandbox.bounds import Bounds, bounds
from blackbox_adapters.sandbox.watchdog import resident

INMATE = "blackbox_adapters.onnx.inmate"


@dataclass
class Custody:
    """Which process answers now. One that died is replaced at the next question, with the same file."""

    path: Path
    device: str
    settings: OnnxOptions
    child: custody.Child | None = field(default=None, repr=False)
    sha256: dict[str, str] = field(default_factory=dict)

    @property
    def deadline(self) -> float:
        """Seconds that loading or one talk may take."""
        return bounds(self.settings.memory, self.settings.deadline).deadline

    def open(self, running: custody.Child | None = None) -> Face:
        """Start a process and let it open the file.

        Parameters
        ----------
        running : a process to use instead of a new one; what it had open is closed.

        Raises
        ------
        RequestError, ModelError : as ``open_onnx``; the file is not the one that was opened first.
        """
        limits = bounds(self.settings.memory, self.settings.deadline)
        folder = Folder(self.path)
        settings, arrays = self._settings()
        library = library_of(self.settings)
        question = {
            "verb": "open", "name": self.path.name, "device": self.device, "settings": settings,
            "library": library.place if library else None,
        }  # fmt: skip
        handle = library.handle if library is not None else None
        child = running or custody.start(INMATE, limits, () if handle is None else (handle,))
        if handle is not None:
            os.close(handle)  # it is the process's now; nothing was loaded out here
        answer, _ = child.ask(question, arrays, folder.pieces)
        try:
            face = face_from(answer["face"])
            held = {str(key): str(value) for key, value in answer["sandbox"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
            raise ModelError("The model's process does not describe the model: it is not trusted.") from None
        if self.sha256 and folder.sha256 != self.sha256:
            raise ModelError(f"{self.path} was changed while it was in use: open it again.")
        self.child, self.sha256 = child, dict(folder.sha256)
        facts = {
            **face.identity.facts,
            "custom_ops": library.facts() if library else None,
            "sandbox": {**_bounded(limits), **held},
        }
        identity = replace(face.identity, source=str(self.path), sha256=dict(self.sha256), facts=facts)
        return replace(face, identity=identity)

    def _settings(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the settings as plain JSON, and the constant inputs that are arrays or files."""
        given = {
            n: read_value(f"The constant for input {n!r}", v) for n, v in self.settings.constants.items()
        }
        plain = {
            name: value for name, value in given.items() if isinstance(value, (bool, int, float, str, list))
        }
        rest = {name: np.asarray(value) for name, value in given.items() if name not in plain}
        return dataclasses.asdict(replace(self.settings, constants=plain)), rest

    def ask(self, question: Mapping[str, Any], rows: Rows) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Ask the process that runs, or a new one."""
        if self.child is None:
            self.open()
        child = self.child
        assert child is not None
        try:
            return child.ask(question, rows)
        finally:
            if child.watch.stopping:
                self.child = None


def _bounded(limits: Bounds) -> dict[str, Any]:
    """What the confining end enforces, for the record."""
    watched = resident(os.getpid()) > 0  # a system that does not tell cannot be held to it
    return {
        "process": "own interpreter",
        "memory_bytes": limits.memory if watched else "not enforced: the system does not tell",
        "memory_of": "both processes" if limits.together else "the confined process",
        "seconds_a_call": limits.deadline,
    }


@dataclass(frozen=True)
class SandboxedModel:
    """The port's face of a model in a confined process.

    A pass that crashes it, or takes more time or memory than allowed, ends in a ModelError; the next
    one starts a new process.
    """

    custody: Custody
    signature: Signature
    limits: Limits
    identity: Identity
    traits: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, rows: Rows) -> Rows:
        """Run one forward pass of the answer's output.

        Raises
        ------
        ModelError : the runtime failed on the rows, or the process had to be given up.
        """
        return self.custody.ask({"verb": "predict"}, rows)[1]

    def hide(self, hiding: Hiding, readout: Readout) -> Hide:
        """Return how masks are played: by the graph in there where that pays, else by rows from here."""
        if wasted := fused.wasted(self.custody.settings.fuse, self.identity.device):
            return Hide(wasted)
        played = Played(self.custody.ask, hiding, readout, self.custody.deadline)
        return Hide(played.how, played) if played.begin() else Hide(played.how)

    def rehearse(self, rows: Rows) -> Callable[[], object]:
        """Lay rows where the model runs and return what makes one pass over them, to be timed."""
        if self.identity.device == "cpu":
            return partial(self.predict, rows)
        self.custody.ask({"verb": "rehearse"}, rows)
        return partial(self.custody.ask, {"verb": "repeat"}, {})

    def fit(self, x: Rows) -> SandboxedModel:
        """Return the model with the rows per run that suit one input."""
        limits = pace.suited(self, self.rehearse, x, self.custody.settings)
        return self if limits == self.limits else replace(self, limits=limits)

    def randomised(self, rng: np.random.Generator) -> SandboxedModel:
        """Open the same file with its weights shuffled, in a process of its own."""
        settings = replace(self.custody.settings, redraw=int(rng.integers(2**31)))
        return open_sandboxed(self.custody.path, self.custody.device, settings)


def open_sandboxed(path: Path, device: str, settings: OnnxOptions) -> SandboxedModel:
    """Open an ONNX file in a confined process.

    Raises
    ------
    RequestError, ModelError : as ``open_onnx``; no process could be started, or it was given up.
    """
    return opened(Custody(path, device, settings))


def opened(keeper: Custody, running: custody.Child | None = None) -> SandboxedModel:
    """Let a process open a keeper's file and return the model; a new process, or a running one.

    Raises
    ------
    RequestError, ModelError : as ``open_sandboxed``.
    """
    face = keeper.open(running)
    return SandboxedModel(keeper, face.signature, face.limits, face.identity, face.traits)
