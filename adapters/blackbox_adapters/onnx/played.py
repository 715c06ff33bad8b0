"""Masks played in a confined process: the input and background cross once, then masks in and scores out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from blackbox.errors import ModelError
from blackbox.model import Hidden, Hide, Hiding, Pass, Readout, Rows

Tell = Callable[[Mapping[str, Any], Rows], tuple[dict[str, Any], dict[str, np.ndarray]]]
"""Asks the process: (question, arrays) -> (answer, arrays)."""

MOST_BYTES = 256 * 2**20
"""Inputs and backgrounds that the process keeps, the latest one in any case; one that was dropped is sent
again."""

MOST_TOGETHER = 16
"""Passes of one talk at the most, whose masks cross at once."""

SHARE = 0.05
"""Of the deadline, which is that of one talk: so much time the passes of one may be expected to take, so
that a pass that hangs is still told from many that work. How passes are grouped changes no score."""


@dataclass
class Played:
    """The caller's end of one hiding.

    deadline : seconds that one talk may take. number : what the process knows the hiding by, which a new one
    does not. together : passes that may cross in one talk.
    """

    tell: Tell
    hiding: Hiding
    readout: Readout
    deadline: float
    number: int = -1
    how: str = ""
    together: int = 1

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

    def __call__(self, passes: Sequence[Pass]) -> list[Hidden]:
        """Play passes. Several cross together, as many as a small part of the deadline has room for.

        Raises
        ------
        ModelError : the model failed on them, or what came back are no scores.
        """
        found: list[Hidden] = []
        while len(found) < len(passes):
            begun, few = perf_counter(), passes[len(found) : len(found) + self.together]
            found += self._talk(few)
            each = (perf_counter() - begun) / len(few)
            self.together = int(np.clip(self.deadline * SHARE / each, 1, MOST_TOGETHER))
        return found

    def _talk(self, passes: Sequence[Pass]) -> list[Hidden]:
        asked = {"passes": [[len(masks), apart] for masks, apart in passes]}
        masks = {"masks": np.concatenate([masks for masks, _ in passes])}
        answer, found = self.tell({"verb": "play", "number": self.number, **asked}, masks)
        if answer.get("unknown") is True:  # the process is a new one, or it dropped this hiding
            if not self.begin():
                raise ModelError("The model's process no longer hides by itself: ask again.")
            answer, found = self.tell({"verb": "play", "number": self.number, **asked}, masks)
        return self._trusted(answer, found, passes)

    def _trusted(
        self, answer: Mapping[str, Any], found: Mapping[str, np.ndarray], passes: Sequence[Pass]
    ) -> list[Hidden]:
        """Take only what has the shape and type that was asked for."""
        targets = len(self.readout.indices)
        rows = len(next(iter(self.hiding.background.values())))
        counts = [len(masks) for masks, _ in passes]
        apart = [len(masks) for masks, wanted in passes if wanted]
        wanted: dict[str, tuple[int, ...]] = {"scores": (sum(counts), targets)}
        wanted |= {"apart": (sum(apart), rows, targets)} if apart else {}
        shapes = {name: array.shape for name, array in found.items() if array.dtype == np.float64}
        finite, floored = answer.get("finite"), answer.get("floored")
        told = [isinstance(each, list) and len(each) == len(passes) for each in (finite, floored)]
        if shapes != wanted or not all(told) or not all(isinstance(n, int) and n >= 0 for n in floored or ()):
            raise ModelError("The model's process returned no scores for the masks: it is not trusted.")
        scores = iter(np.split(found["scores"], np.cumsum(counts)[:-1]))
        each = iter(np.split(found["apart"], np.cumsum(apart)[:-1]) if apart else ())
        return [
            Hidden(next(scores), next(each) if asked else None, fine is True, low)
            for (_, asked), fine, low in zip(passes, finite or (), floored or (), strict=True)
        ]


@dataclass
class Plays:
    """The process's end: the hidings that it was sent, the latest ones."""

    runs: dict[int, Callable[[Sequence[Pass]], Sequence[Hidden]]] = field(default_factory=dict)
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
        """Play passes of one hiding, whose masks came one after the other."""
        run = self.runs.get(question["number"])
        if run is None:
            return {"unknown": True}, {}
        counts = [count for count, _ in question["passes"]]
        pieces = np.split(arrays["masks"], np.cumsum(counts)[:-1])
        hidden = run([(piece, apart) for piece, (_, apart) in zip(pieces, question["passes"], strict=True)])
        apart = [each.apart for each in hidden if each.apart is not None]
        told = {"finite": [each.finite for each in hidden], "floored": [each.floored for each in hidden]}
        found = {"scores": np.concatenate([each.scores for each in hidden])}
        return told, found | ({"apart": np.concatenate(apart)} if apart else {})
