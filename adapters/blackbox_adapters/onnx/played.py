"""Masks played in a confined process: the input and background cross once, then masks in and scores out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from blackbox.errors import ModelError
from blackbox.model import Hidden, Hide, Hiding, Readout, Rows

Tell = Callable[[Mapping[str, Any], Rows], tuple[dict[str, Any], dict[str, np.ndarray]]]
"""Asks the process: (question, arrays) -> (answer, arrays)."""

MOST_BYTES = 256 * 2**20
"""Inputs and backgrounds that the process keeps, the latest one in any case; one that was dropped is sent
again."""


@dataclass
class Played:
    """The caller's end of one hiding. number : what the process knows it by, which a new one does not."""

    tell: Tell
    hiding: Hiding
    readout: Readout
    number: int = -1
    how: str = ""

    def begin(self) -> bool:
        """Send the hiding; return whether the process will play it.

        Raises
        ------
        ModelError : the process answered nonsense, or had to be given up.
        """
        sides = {"x": self.hiding.x, "labels": self.hiding.labels, "background": self.hiding.background}
        arrays = {f"{side}.{name}": array for side, held in sides.items() for name, array in held.items()}
        question = {
            "verb": "hide",
            "readout": dataclasses.asdict(self.readout),
            "inputs": list(self.hiding.x),
        }
        answer, _ = self.tell(question, arrays)
        number, self.how = answer.get("number"), str(answer.get("how", ""))
        self.number = number if isinstance(number, int) else -1
        return self.number >= 0

    def __call__(self, masks: np.ndarray, apart: bool) -> Hidden:
        """Play masks in one pass.

        Raises
        ------
        ModelError : the model failed on them, or what came back are no scores.
        """
        question: dict[str, Any] = {"verb": "play", "number": self.number, "apart": apart}
        answer, found = self.tell(question, {"masks": masks})
        if answer.get("unknown") is True:  # the process is a new one, or it dropped this hiding
            if not self.begin():
                raise ModelError("The model's process no longer hides by itself: ask again.")
            answer, found = self.tell({**question, "number": self.number}, {"masks": masks})
        return self._trusted(answer, found, len(masks), apart)

    def _trusted(
        self, answer: Mapping[str, Any], found: Mapping[str, np.ndarray], count: int, apart: bool
    ) -> Hidden:
        """Take only what has the shape and type that was asked for."""
        targets = len(self.readout.indices)
        rows = len(next(iter(self.hiding.background.values())))
        wanted = {"scores": (count, targets), **({"apart": (count, rows, targets)} if apart else {})}
        shapes = {name: array.shape for name, array in found.items() if array.dtype == np.float64}
        floored = answer.get("floored")
        if shapes != wanted or not isinstance(floored, int) or floored < 0:
            raise ModelError("The model's process returned no scores for the masks: it is not trusted.")
        return Hidden(found["scores"], found.get("apart"), answer.get("finite") is True, floored)


@dataclass
class Plays:
    """The process's end: the hidings that it was sent, the latest ones."""

    runs: dict[int, Callable[[np.ndarray, bool], Hidden]] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    # where two processes numbered from the same start, a caller whose process was replaced would get
    # the answers to somebody else's hiding
    sent: int = field(default_factory=lambda: int.from_bytes(os.urandom(5), "little") << 20)

    def hide(
        self, offered: Callable[[Hiding, Readout], Hide], question: Mapping[str, Any], arrays: Rows
    ) -> dict[str, Any]:
        """Keep one hiding and return its number, or say why it is not played in here."""
        told = question["readout"]
        readout = Readout(
            told["output"], tuple(told["indices"]), told["scale"], told["kind"], tuple(told["reference"])
        )
        sides = [
            {name: np.array(arrays[f"{side}.{name}"]) for name in question["inputs"]}  # the caller's memory
            for side in ("x", "labels", "background")
        ]
        hide = offered(Hiding(*sides), readout)
        if hide.run is None:
            return {"how": hide.how, "number": None}
        self.sent += 1
        self.runs[self.sent] = hide.run
        self.sizes[self.sent] = sum(array.nbytes for array in arrays.values())
        while sum(self.sizes.values()) > MOST_BYTES and len(self.sizes) > 1:
            oldest = next(iter(self.sizes))
            del self.runs[oldest], self.sizes[oldest]
        return {"how": hide.how, "number": self.sent}

    def play(self, question: Mapping[str, Any], arrays: Rows) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Play masks of one hiding."""
        run = self.runs.get(question["number"])
        if run is None:
            return {"unknown": True}, {}
        hidden = run(arrays["masks"], question["apart"])
        apart = {} if hidden.apart is None else {"apart": hidden.apart}
        return {"finite": hidden.finite, "floored": hidden.floored}, {"scores": hidden.scores, **apart}
