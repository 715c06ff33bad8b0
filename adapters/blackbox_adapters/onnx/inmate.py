"""What answers inside the confined process: opens one ONNX model at a time and runs it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from blackbox.errors import BlackboxError, ModelError
from blackbox.model import Rows
from blackbox_adapters.onnx import runtime
from blackbox_adapters.onnx.diagnosis import one_node
from blackbox_adapters.onnx.faces import face_of
from blackbox_adapters.onnx.model import OnnxModel, open_files
from blackbox_adapters.onnx.options import OnnxOptions
from blackbox_adapters.onnx.played import Plays
from blackbox_adapters.sandbox import confinement
from blackbox_adapters.sandbox.frames import REFUSED, Channel

Answer = tuple[dict[str, Any], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Handed:
    """Files that the other end reads, hashes and hands over; nothing is opened in here."""

    channel: Channel
    name: str

    def model(self) -> bytes:
        """Return the model file's content."""
        return self._ask(None)

    def weights(self, location: str) -> bytes:
        """Return the content of a file of weights."""
        return self._ask(location)

    def _ask(self, location: str | None) -> bytes:
        self.channel.send({"verb": "file", "location": location})
        pieces = []
        while length := int.from_bytes(self.channel.exactly(8), "little"):
            if length == REFUSED:
                size = int.from_bytes(self.channel.exactly(8), "little")
                raise ModelError(self.channel.exactly(size).decode())
            pieces.append(self.channel.exactly(length))
        return b"".join(pieces)


@dataclass
class Inmate:
    """The one model that is open, if any."""

    channel: Channel
    facts: dict[str, Any]
    model: OnnxModel | None = None
    confined: bool = False
    plays: Plays = field(default_factory=Plays)
    rehearsed: Callable[[], object] | None = None

    def open(self, question: Mapping[str, Any], arrays: Rows) -> Answer:
        """Open a model in place of the last one and describe it."""
        self.model, self.plays, self.rehearsed = None, Plays(), None
        held = {**question["settings"]["constants"], **arrays}
        settings = OnnxOptions(**_tuples(question["settings"]) | {"constants": held})
        device = question["device"]
        if not self.confined:
            # a device is opened by a graph of our own, so that nothing of the file is seen before
            # the last door is closed
            runtime.start_graph(one_node(), device)
            self.facts = confinement.late(self.facts)
            self.confined = True
        self.model = open_files(Handed(self.channel, question["name"]), device, settings, question["library"])
        return {"face": face_of(self.model), "sandbox": self.facts}, {}

    def predict(self, _: Mapping[str, Any], rows: Rows) -> Answer:
        """Run one forward pass."""
        return {}, self._opened().predict(rows)

    def rehearse(self, _: Mapping[str, Any], rows: Rows) -> Answer:
        """Keep rows where the model runs, so that passes over them can be timed."""
        self.rehearsed = self._opened().rehearse({name: array.copy() for name, array in rows.items()})
        return {}, {}

    def repeat(self, _: Mapping[str, Any], rows: Rows) -> Answer:
        """Make one pass over the rows that were kept."""
        if self.rehearsed is None:
            raise ModelError("No rows are kept.")
        self.rehearsed()
        return {}, {}

    def hide(self, question: Mapping[str, Any], arrays: Rows) -> Answer:
        """Keep an input and its background, whose masks are played from now on."""
        return self.plays.hide(self._opened().hide, question, arrays), {}

    def play(self, question: Mapping[str, Any], arrays: Rows) -> Answer:
        """Play masks inside the graph."""
        return self.plays.play(question, arrays)

    def _opened(self) -> OnnxModel:
        if self.model is None:
            raise ModelError("No model is open.")
        return self.model


def serve(channel: Channel, facts: dict[str, Any], deadline: float) -> None:
    """Answer questions until the other end is gone.

    Raises
    ------
    Garbled : the other end is gone.
    """
    inmate = Inmate(channel, facts)
    verbs: dict[str, Callable[[Mapping[str, Any], Rows], Answer]] = {
        "open": inmate.open,
        "predict": inmate.predict,
        "rehearse": inmate.rehearse,
        "repeat": inmate.repeat,
        "hide": inmate.hide,
        "play": inmate.play,
    }
    while True:
        # while nobody waits: what has been used by now is what the next call finds
        confinement.renew_time(deadline)
        question, arrays = channel.receive()
        header, found = _answered(verbs[question["verb"]], question, arrays)
        if lacking := channel.needs(found):
            channel.send({"verb": "grow", "bytes": lacking})
            grown, _ = channel.receive()
            assert channel.outgoing is not None
            channel.outgoing.reach(grown["bytes"])
        channel.send(header, found)
        del arrays, found


def _answered(
    verb: Callable[[Mapping[str, Any], Rows], Answer], question: Mapping[str, Any], arrays: Rows
) -> Answer:
    try:
        return verb(question, arrays)
    except BlackboxError as error:
        return {"error": type(error).__name__, "message": error.message}, {}
    except MemoryError:
        return {"error": "ModelError", "message": "The model needs more memory than there is."}, {}
    except Exception as error:  # a file nobody thought of: told as the model's fault, with the place's name
        words = f"The model cannot be used: {type(error).__name__}: {runtime.reason(error)}"
        return {"error": "ModelError", "message": words}, {}


def _tuples(settings: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists only."""
    known = {field.name for field in dataclasses.fields(OnnxOptions)}
    return {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items() if k in known}
