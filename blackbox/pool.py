"""Searches played against games: one, or many in lockstep so that their masks share forward passes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from blackbox.errors import BlackboxError, BudgetSpent
from blackbox.fill import FillMany
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
    number: int = 0
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
    turns = [_Turn(one, number) for number, one in enumerate(plays)]
    for turn in turns:
        turn.advance(None)
    many = FillMany.of([one.game.fill for one in plays]) if plays else None
    while waiting := [turn for turn in turns if turn.masks is not None]:
        _round(waiting, ledger, many)
    return [turn.result for turn in turns]


def _round(waiting: list[_Turn], ledger: Ledger, many: FillMany | None) -> None:
    scores: list[np.ndarray | BlackboxError]
    try:
        scores = [*_pooled(waiting, ledger, many)]
    except BudgetSpent as spent:
        scores = [spent] * len(waiting)
    except BlackboxError:
        scores = [_alone(turn, ledger, many) for turn in waiting]  # one row spoilt the pass: find out whose
    for turn, score in zip(waiting, scores, strict=True):
        if isinstance(score, BlackboxError):
            turn.advance(None, score)
        else:
            turn.advance(score)


def _alone(turn: _Turn, ledger: Ledger, many: FillMany | None) -> np.ndarray | BlackboxError:
    try:
        return _pooled([turn], ledger, many)[0]
    except BlackboxError as error:
        return error


def _pooled(waiting: Sequence[_Turn], ledger: Ledger, many: FillMany | None) -> list[np.ndarray]:
    """Score everybody's masks: filled together, run together, read together."""
    games = [turn.play.game for turn in waiting]
    first, count = games[0], len(games[0].background)
    columns = np.array([game.score.readout.indices[0] for game in games])
    alike = len({dataclasses.replace(game.score.readout, indices=()) for game in games}) == 1
    scores = [np.empty(len(_masks(turn))) for turn in waiting]
    for pieces in _passes(waiting, count):
        outputs = forward(
            first.score.model, _filled(waiting, pieces, many), first.score.readout.output, ledger
        )
        who, sizes = [k for k, _, _ in pieces], [(stop - start) * count for _, start, stop in pieces]
        if alike:
            read = first.score.read_each(outputs, np.repeat(columns[who], sizes))
        else:
            parts = np.split(outputs, np.cumsum(sizes)[:-1])
            each = zip(who, parts, strict=True)
            read = np.concatenate([games[k].score.read(part)[:, 0] for k, part in each])
        means = read if count == 1 else read.reshape(-1, count).mean(axis=1)
        at = 0
        for k, start, stop in pieces:
            scores[k][start:stop] = means[at : at + stop - start]
            games[k].score.ledger.rows += (stop - start) * count
            at += stop - start
    return scores


def _filled(
    waiting: Sequence[_Turn], pieces: list[tuple[int, int, int]], many: FillMany | None
) -> dict[str, np.ndarray]:
    masks = [_masks(waiting[k])[start:stop] for k, start, stop in pieces]
    if many is not None:
        owners = np.repeat([waiting[k].number for k, _, _ in pieces], [len(part) for part in masks])
        return many(np.concatenate(masks), owners)
    filled = [waiting[k].play.game.fill(part) for (k, _, _), part in zip(pieces, masks, strict=True)]
    return {name: np.concatenate([part[name] for part in filled]) for name in filled[0]}


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
