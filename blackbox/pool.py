"""Searches played against games: one, or many in lockstep so that their masks share forward passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from blackbox.errors import BlackboxError, BudgetSpent
from blackbox.game import Game
from blackbox.score import Ledger, forward
from blackbox.searches.steps import Search


@dataclass(frozen=True)
class Play:
    """One search on one game. sign : what scores are multiplied by (-1 searches for low scores)."""

    game: Game
    search: Search[Any]
    sign: float = 1.0


@dataclass
class _Turn:
    """A play in progress: the masks it waits for, or its result."""

    play: Play
    masks: np.ndarray | None = None
    result: Any = None

    def advance(self, scores: np.ndarray | None, error: BlackboxError | None = None) -> None:
        """Hand scores (or an error) to the search and take its next masks, its result or its error."""
        search = self.play.search
        try:
            if error is not None:
                self.masks = search.throw(error)
            else:
                self.masks = next(search) if scores is None else search.send(self.play.sign * scores)
        except StopIteration as stop:
            self.masks, self.result = None, stop.value
        except BlackboxError as raised:
            self.masks, self.result = None, raised


def play(one: Play) -> Any:
    """Answer one search with its game until it returns; masks asked before cost no pass.

    Raises
    ------
    BlackboxError : the model's, or a spent budget that the search cannot end on.
    """
    turn = _Turn(one)
    turn.advance(None)
    while turn.masks is not None:
        try:
            scores = one.game(turn.masks)[:, 0]
        except BudgetSpent as spent:
            turn.advance(None, spent)
        else:
            turn.advance(scores)
    if isinstance(turn.result, BlackboxError):
        raise turn.result
    return turn.result


def play_together(plays: Sequence[Play], ledger: Ledger) -> list[Any]:
    """Answer many searches of one model in lockstep; their masks fill forward passes together.

    Every search gets the scores that it would get alone, up to the runtime's rounding between batch
    sizes. Nothing is remembered. A search that fails leaves the others alone: its result is its error.

    Parameters
    ----------
    plays : games of one model and output, with equally many background rows. ledger : counts the
        rows really spent; every game's own ledger counts its share.
    """
    turns = [_Turn(one) for one in plays]
    for turn in turns:
        turn.advance(None)
    while waiting := [turn for turn in turns if turn.masks is not None]:
        _round(waiting, ledger)
    return [turn.result for turn in turns]


def _round(waiting: list[_Turn], ledger: Ledger) -> None:
    scores: list[np.ndarray | BlackboxError]
    try:
        scores = [*_pooled(waiting, ledger)]
    except BudgetSpent as spent:
        scores = [spent] * len(waiting)
    except BlackboxError:
        scores = [_alone(turn, ledger) for turn in waiting]  # one row spoilt the pass: find out whose
    for turn, score in zip(waiting, scores, strict=True):
        if isinstance(score, BlackboxError):
            turn.advance(None, score)
        else:
            turn.advance(score)


def _alone(turn: _Turn, ledger: Ledger) -> np.ndarray | BlackboxError:
    try:
        return _pooled([turn], ledger)[0]
    except BlackboxError as error:
        return error


def _pooled(waiting: Sequence[_Turn], ledger: Ledger) -> list[np.ndarray]:
    """Score everybody's masks: filled together, run together, read one by one."""
    count = len(waiting[0].play.game.background)
    scores = [np.empty(0 if turn.masks is None else len(turn.masks)) for turn in waiting]
    for pieces in _passes(waiting, count):
        filled = [waiting[k].play.game.fill(_masks(waiting[k])[start:stop]) for k, start, stop in pieces]
        rows = {name: np.concatenate([part[name] for part in filled]) for name in filled[0]}
        score = waiting[0].play.game.score
        outputs = forward(score.model, rows, score.readout.output, ledger)
        at = 0
        for k, start, stop in pieces:
            game, rows_here = waiting[k].play.game, (stop - start) * count
            read = game.score.read(outputs[at : at + rows_here])[:, 0]
            scores[k][start:stop] = read if count == 1 else read.reshape(-1, count).mean(axis=1)
            game.score.ledger.rows += rows_here
            at += rows_here
    return scores


def _masks(turn: _Turn) -> np.ndarray:
    assert turn.masks is not None
    return turn.masks


def _passes(waiting: Sequence[_Turn], count: int) -> Iterator[list[tuple[int, int, int]]]:
    """Cut everybody's masks into passes of at most the model's rows: (who, from, to) in order."""
    most = max(1, waiting[0].play.game.score.model.limits.rows_per_run // count)
    pieces, room = [], most
    for k, turn in enumerate(waiting):
        start, end = 0, len(_masks(turn))
        while start < end:
            stop = min(end, start + room)
            pieces.append((k, start, stop))
            room -= stop - start
            start = stop
            if room == 0:
                yield pieces
                pieces, room = [], most
    if pieces:
        yield pieces
