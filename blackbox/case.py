"""A case: one input of one model with its features and background, open to any number of questions."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np

from blackbox import seeds
from blackbox.backgrounds import Background
from blackbox.errors import BlackboxError, RequestError
from blackbox.explanation import Explanation
from blackbox.features import Features
from blackbox.game import Game
from blackbox.memory import Memory, Tally
from blackbox.methods import Method
from blackbox.model import Model, Readout, Rows
from blackbox.score import Ledger, Score, Target, asked_names, choose_readout, forward, output_labels


@dataclass(frozen=True)
class Case:
    """One input with everything that is needed to ask about it.

    Methods that are asked about the same case share what they have learnt: the model's answer to
    the input, and a memory of masks per targets and scale. ``ledger`` counts the rows that were
    really spent on the case, and may limit them.
    """

    model: Model
    x: Rows
    features: Features
    background: Background
    ledger: Ledger = field(default_factory=Ledger, repr=False)
    memories: dict[tuple[tuple[int, ...], str], Memory] = field(default_factory=dict, repr=False)
    answers: list[np.ndarray] = field(default_factory=list, repr=False)

    def explain(self, method: Method, target: Target, scale: str | None, seed: int) -> Explanation:
        """Let a method play the case's game and complete the record with what was asked.

        Raises
        ------
        BlackboxError : with the model, method and shapes named once.
        """
        try:
            if method.one_target and isinstance(target, (list, tuple)) and len(target) != 1:
                raise RequestError(f"{method.name} explains one target at a time; got {list(target)}.")
            game = self.game(target, scale or method.scale)
            rng = seeds.generator(seed, method.name, game.d)
            played = method.explain(game, rng)
        except BlackboxError as error:
            raise error.within(self._context(method)) from None
        return self.complete(played, game, seed)

    def complete(self, played: Explanation, game: Game, seed: int) -> Explanation:
        """Add to a record what was asked of which model."""
        return dataclasses.replace(played, seed=seed, provenance=self.provenance(game))

    def output_names(self) -> tuple[str, ...]:
        """Names of the answer's columns; the input must have been asked about before."""
        return output_labels(self.model, self.answers[0].shape[1])

    def game(self, target: Target, scale: str, readout: Readout | None = None) -> Game:
        """Ask the model for the input itself, once, and build the game about the target.

        readout : what ``choose_readout`` makes of the target, where that is known.
        """
        ledger = Ledger(above=self.ledger)
        tally = Tally()
        outputs = self._answer(ledger, tally)
        readout = readout or choose_readout(self.model, outputs, target, scale)
        score = Score(self.model, readout, ledger)
        asked = asked_names(self.model, readout, outputs.shape[1])
        memory = self.memories.setdefault((readout.indices, readout.scale), Memory())
        game = Game(score, self.x, self.features, self.background, memory, asked, tally)
        game.told(True, score.mean(outputs))
        return game

    def _answer(self, ledger: Ledger, tally: Tally) -> np.ndarray:
        """The raw outputs for the full mask, as the game defines it: one row per background row."""
        count = len(self.background)
        if self.answers:
            tally.shared += count
            return self.answers[0]
        rows = {name: np.repeat(array[None], count, axis=0) for name, array in self.x.items()}
        self.answers.append(forward(self.model, rows, self.model.signature.answer, ledger).astype(float))
        return self.answers[0]

    def _context(self, method: Method) -> str:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in self.x.items())
        source = self.model.identity.source.replace("\\", "/").rsplit("/", 1)[-1]
        return f"model {source}, method {method.name}, input {shapes}, {len(self.features)} features"

    def provenance(self, game: Game) -> dict[str, object]:
        """Return what was asked of what, as plain JSON."""
        identity, readout = self.model.identity, game.score.readout
        return {
            "model": {
                "source": identity.source, "sha256": dict(identity.sha256),
                "runtime": identity.runtime, "device": identity.device,
                "sandboxed": "sandbox" in identity.facts,
            },
            "output": readout.output,
            "output_kind": readout.kind,
            "targets": list(readout.indices),
            "features": self.features.rule,
            "background": {
                "rule": self.background.rule, "rows": len(self.background),
                "sha256": self.background.sha256,
            },
            "rows_per_run": self.model.limits.rows_per_run,
            "hiding": game.hiding,
            "calls": game.score.ledger.calls,
            "scores_at_least_logarithm": game.score.ledger.floored,
        }  # fmt: skip
