"""The floor: what the bare ONNX Runtime session needs for the very rows that a method asked."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from blackbox.model import Identity, Limits, Model, Rows, Signature

BATCHES = (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
"""Candidate rows per run of the replay: the best ones measured lie between 4 (ResNet-50) and 4,096."""

ROUNDS = (5, 61)
"""Fewest and most rounds: a millisecond needs many, a second shows its median in few."""


@dataclass(frozen=True)
class Recorder:
    """A Model that answers like the one inside it and keeps a copy of every run's rows."""

    inner: Model
    runs: list[dict[str, np.ndarray]] = field(default_factory=list, repr=False)

    @property
    def signature(self) -> Signature:
        """Named inputs and outputs of the model inside."""
        return self.inner.signature

    @property
    def identity(self) -> Identity:
        """Identity of the model inside."""
        return self.inner.identity

    @property
    def limits(self) -> Limits:
        """Limits of the model inside."""
        return self.inner.limits

    @property
    def traits(self) -> Any:
        """Operators of the model inside, which may decide how a method asks."""
        return getattr(self.inner, "traits", {})

    def predict(self, rows: Rows) -> Rows:
        """Keep a copy of the rows and pass them on."""
        self.runs.append({name: np.array(array, order="C") for name, array in rows.items()})
        return self.inner.predict(rows)


@dataclass(frozen=True)
class Replay:
    """Recorded rows in pieces that are ready to run: contiguous, in the order of the method.

    session : the bare session, an ``onnxruntime.InferenceSession``. output : the only one asked.
    """

    session: Any
    output: str
    pieces: Sequence[Rows]

    def __call__(self) -> None:
        for piece in self.pieces:
            self.session.run([self.output], piece)


@dataclass(frozen=True)
class Measured:
    """One explanation against its floor; seconds are medians over the rounds.

    ``over_floor`` and ``over_same_runs`` are medians of the rounds' own ratios, ``excess`` of their
    differences. ``same runs`` are the recorded rows in the recorded pieces, on the bare session.
    """

    rows: int
    runs: int
    batch: int
    rounds: int
    floor: float
    explain: float
    over_floor: float
    over_same_runs: float
    excess: float


def measure(explain: Callable[[Model], object], model: Any, seconds: float, quick: bool) -> Measured:
    """Record one explanation, then time it in turn with the replays of its rows.

    Parameters
    ----------
    explain : asks one question of the model it is given. model : an ``OnnxModel``.
    seconds : to spend on the rounds, within ``ROUNDS``. quick : one round, one candidate batch.
    """
    recorder = Recorder(model)
    explain(recorder)
    rows = _joined(recorder.runs)
    count = len(next(iter(rows.values())))
    replay = _replays(model, rows, count)
    sizes = (model.limits.rows_per_run,) if quick else _candidates(count)
    tried = _in_turn([replay(size) for size in sizes], seconds / 4, quick)
    batch = sizes[int(np.median(tried, axis=0).argmin())]
    same = Replay(model.session, model.signature.answer, recorder.runs)
    taken = _in_turn((lambda: explain(model), replay(batch), same), seconds, quick)
    return _summary(taken, count, len(recorder.runs), batch)


ALLOWED = 0.005
"""Seconds per explanation that no ratio counts: what a millisecond of passes takes is not the question."""


@dataclass(frozen=True)
class Compared:
    """Several ways of answering the same question against one floor, the rows of the first.

    floor : seconds. over : medians of the rounds' own ratios. allowed : the same with ``ALLOWED`` taken off
    for every explanation.
    """

    rows: int
    batch: int
    floor: float
    over: tuple[float, ...]
    allowed: tuple[float, ...]


def compare(
    explain: Callable[[Model], object], models: Sequence[Any], answers: int, seconds: float, quick: bool
) -> Compared:
    """Time several models that answer alike, in turn with the replay of the first one's rows.

    Parameters
    ----------
    models : ``OnnxModel`` of one file. answers : explanations in one call of ``explain``.
    """
    recorder = Recorder(models[0])
    explain(recorder)
    rows = _joined(recorder.runs)
    count = len(next(iter(rows.values())))
    replay = _replays(models[0], rows, count)
    sizes = (models[0].limits.rows_per_run,) if quick else _candidates(count)
    tried = _in_turn([replay(size) for size in sizes], seconds / 4, quick)
    batch = sizes[int(np.median(tried, axis=0).argmin())]
    asked = [partial(explain, model) for model in models]
    for ask in asked:
        ask()
    taken = _in_turn((replay(batch), *asked), seconds, quick)
    floor, walls = taken[:, :1], taken[:, 1:]
    over, allowed = walls / floor, (walls - ALLOWED * answers) / floor
    medians = [tuple(float(v) for v in np.median(each, axis=0)) for each in (over, allowed)]
    return Compared(count, batch, float(np.median(floor)), medians[0], medians[1])


def _joined(runs: Sequence[Rows]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}


def _replays(model: Any, rows: Rows, count: int) -> Callable[[int], Replay]:
    """Return what makes a replay at a batch size; slices of the leading axis stay contiguous."""

    def replay(batch: int) -> Replay:
        starts = range(0, count, batch)
        pieces = [{name: array[at : at + batch] for name, array in rows.items()} for at in starts]
        return Replay(model.session, model.signature.answer, pieces)

    return replay


def _candidates(count: int) -> tuple[int, ...]:
    """Batch sizes up to the first that holds all rows: more would be the same run again."""
    return tuple(size for size in BATCHES if size < 2 * count) or BATCHES[:1]


def _once(run: Callable[[], object]) -> float:
    start = perf_counter()
    run()
    return perf_counter() - start


def _in_turn(runs: Sequence[Callable[[], object]], seconds: float, quick: bool) -> np.ndarray:
    """Time every run once a round, in another order every round: Float["rounds runs"]."""
    rounds = 1 if quick else int(np.clip(seconds / sum(map(_once, runs)), *ROUNDS))
    taken = np.zeros((rounds, len(runs)))
    gc.collect()
    for turn in range(rounds):
        order = np.roll(range(len(runs)), turn)
        for which in order if turn % 2 == 0 else order[::-1]:
            taken[turn, which] = _once(runs[which])
    return taken


def _summary(taken: np.ndarray, rows: int, runs: int, batch: int) -> Measured:
    explain, floor, same = taken.T
    return Measured(
        rows=rows,
        runs=runs,
        batch=batch,
        rounds=len(taken),
        floor=float(np.median(floor)),
        explain=float(np.median(explain)),
        over_floor=float(np.median(explain / floor)),
        over_same_runs=float(np.median(explain / same)),
        excess=float(np.median(explain - floor)),
    )
