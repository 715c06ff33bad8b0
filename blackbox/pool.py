"""Searches played against games: one, or many in lockstep so that their masks share forward passes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from blackbox.errors import BlackboxError, BudgetSpent
from blackbox.fill import FillMany
from blackbox.game import Game
from blackbox.model import Readout
from blackbox.score import Ledger, forward
from blackbox.searches.steps import Ask, Search

T = TypeVar("T")

FILLED = 2**20
"""Bytes of rows that are filled at once and then run piece by piece. After every pass the processor's caches
hold the model's data, and the Python around it takes half its time again: a few long stretches cost less than
many short ones, as long as the filled rows themselves stay near."""


def play(game: Game, search: Search[T], sign: float = 1.0) -> T:
    """Answer the search of one game until it returns; masks asked before cost no pass.

    Parameters
    ----------
    sign : what scores are multiplied by (-1 searches for low scores).

    Raises
    ------
    BlackboxError : the model's, or a spent budget that the search cannot end on.
    """
    try:
        ask = next(search)
        while True:
            try:
                scores = game(ask.masks)[:, 0]
            except BudgetSpent as spent:
                ask = search.throw(spent)
            else:
                ask = search.send(sign * scores)
    except StopIteration as stop:
        result: T = stop.value
        return result


@dataclass(frozen=True)
class Play:
    """One search over several games of equally many features; it returns a list with a result for each."""

    games: tuple[Game, ...]
    search: Search[Any]
    sign: float = 1.0


@dataclass
class _Turn:
    """A play in progress: the masks it waits for, its results, and who has failed.

    columns : Int[np.ndarray, "G"], what every game reads; readings : their readouts but for it.
    answered : Int[np.ndarray, "G"], masks scored so far. base : the game, the mask and the rows that the
    latest sweep of large rows started from: it goes on in the next pass. bases : the rows of ``ask.given``,
    from which a sweep of small rows starts.
    """

    play: Play
    many: FillMany | None
    columns: np.ndarray
    readings: set[Readout]
    answered: np.ndarray
    ask: Ask | None = None
    base: tuple[int, np.ndarray, dict[str, np.ndarray]] | None = field(default=None, repr=False)
    bases: dict[str, np.ndarray] | None = field(default=None, repr=False)
    results: list[Any] = field(default_factory=list)
    errors: dict[int, BlackboxError] = field(default_factory=dict)

    @classmethod
    def of(cls, play: Play) -> _Turn:
        """Take the first masks."""
        readouts = [game.score.readout for game in play.games]
        turn = cls(
            play,
            FillMany.of([game.fill for game in play.games]),
            np.array([readout.indices[0] for readout in readouts]),
            {dataclasses.replace(r, indices=()) for r in {id(r): r for r in readouts}.values()},
            np.zeros(len(play.games), dtype=np.int64),
        )
        turn.advance(None)
        return turn

    def advance(self, scores: np.ndarray | BudgetSpent | None) -> None:
        """Hand scores (NaN where the model has failed) to the search; take its next masks or its results."""
        search, self.bases = self.play.search, None
        try:
            if scores is None:
                self.ask = next(search)
            elif isinstance(scores, BudgetSpent):
                self.ask = search.throw(scores)
            else:
                self.ask = search.send(self.play.sign * scores)
        except StopIteration as stop:
            self.ask = None
            self.results = [self.errors.get(number, one) for number, one in enumerate(stop.value)]

    def filled(self, ask: Ask) -> dict[str, np.ndarray]:
        """Turn masks into rows: together where the games allow it, else game by game."""
        if self.many is not None:
            if ask.rows is None or ask.flips is None:
                return self.many(ask.masks, ask.games)
            if self.bases is None:
                self.bases = self._started(self.many)
            return self.many.flipped(self.bases, ask.games, ask.rows, ask.flips)
        games = self.play.games
        if ask.rows is not None and all(games[number].fill.wide for number in set(ask.games.tolist())):
            return self._flipped(ask)
        parts = [games[number].fill(ask.masks[some]) for number, some in _by_game(ask)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _started(self, many: FillMany) -> dict[str, np.ndarray]:
        """Fill the masks that the sweep in progress starts from, once for all its pieces."""
        assert self.ask is not None
        owners = np.zeros(len(self.ask.given), dtype=np.int64)
        owners[self.ask.rows] = self.ask.games
        return many(self.ask.given, owners)

    def _flipped(self, ask: Ask) -> dict[str, np.ndarray]:
        """Write a sweep's rows game by game: every game's sweep has one mask to start from."""
        assert ask.rows is not None
        assert ask.flips is not None
        count = len(self.play.games[0].background)
        like = self.play.games[int(ask.games[0])].x
        rows = {name: np.empty((len(ask) * count, *array.shape), array.dtype) for name, array in like.items()}
        for number, some in _by_game(ask):
            fill, mask = self.play.games[number].fill, ask.given[ask.rows[some.start]]
            if self.base is None or self.base[0] != number or not np.array_equal(self.base[1], mask):
                self.base = (number, mask, fill(mask[None]))
            room = {name: array[some.start * count : some.stop * count] for name, array in rows.items()}
            fill.flip(self.base[2], mask, ask.flips[some], room)
        return rows

    def charge(self) -> None:
        """Write the rows into the ledgers of those who asked."""
        for game, masks in zip(self.play.games, self.answered.tolist(), strict=True):
            game.score.ledger.rows += masks * len(game.background)


def play_together(plays: Sequence[Play], ledger: Ledger) -> list[list[Any]]:
    """Answer the searches of many games of one model in lockstep; their masks fill forward passes together.

    Every game gets the scores that it would get alone, up to the runtime's rounding between batch
    sizes. Nothing is remembered. A game that fails leaves the others alone: its result is its error.

    Parameters
    ----------
    plays : games of one model and output, with equally many background rows. ledger : counts the
        rows really spent; every game's own ledger counts its share.
    """
    turns = [_Turn.of(one) for one in plays]
    while waiting := [turn for turn in turns if turn.ask is not None]:
        _round(waiting, ledger)
    for turn in turns:
        turn.charge()
    return [turn.results for turn in turns]


def _round(waiting: Sequence[_Turn], ledger: Ledger) -> None:
    scores: Sequence[np.ndarray | BudgetSpent]
    try:
        scores = _scores(waiting, ledger)
    except BudgetSpent as spent:
        scores = [spent] * len(waiting)
    for turn, some in zip(waiting, scores, strict=True):
        turn.advance(some)


def _scores(waiting: Sequence[_Turn], ledger: Ledger) -> list[np.ndarray]:
    asks = [(turn, turn.ask) for turn in waiting if turn.ask is not None]
    try:
        return _pooled(asks, ledger)
    except BudgetSpent:
        raise
    except BlackboxError:  # one row spoilt the pass: find out whose
        return [_one_by_one(turn, ask, ledger) for turn, ask in asks]


def _one_by_one(turn: _Turn, ask: Ask, ledger: Ledger) -> np.ndarray:
    """Score every game's masks by themselves; NaN for those that fail."""
    scores = np.full(len(ask.games), np.nan)
    for number, some in _by_game(ask):
        try:
            scores[some] = _pooled([(turn, ask.some(some))], ledger)[0]
        except BudgetSpent:
            raise
        except BlackboxError as error:
            turn.errors[number] = error
    return scores


def _by_game(ask: Ask) -> Iterator[tuple[int, slice]]:
    numbers, starts = np.unique(ask.games, return_index=True)
    for number, start, stop in zip(numbers, starts, [*starts[1:], len(ask.games)], strict=True):
        yield int(number), slice(int(start), int(stop))


def _pooled(asks: Sequence[tuple[_Turn, Ask]], ledger: Ledger) -> list[np.ndarray]:
    """Score everybody's masks: filled together, run together, read together."""
    first = asks[0][0].play.games[0]
    count = len(first.background)
    scores = [np.empty(len(ask.games)) for _, ask in asks]
    for pieces in _stretches([len(ask.games) for _, ask in asks], first, 1 if ledger.limited else FILLED):
        some = [(asks[k][0], asks[k][1].some(slice(start, stop))) for k, start, stop in pieces]
        parts = [turn.filled(ask) for turn, ask in some]
        rows = {n: np.concatenate([part[n] for part in parts]) for n in parts[0]} if parts[1:] else parts[0]
        outputs = forward(first.score.model, rows, first.score.readout.output, ledger)
        read = _read(some, outputs, count)
        at = 0
        for k, start, stop in pieces:
            scores[k][start:stop] = read[at : at + stop - start]
            at += stop - start
        for turn, ask in some:
            turn.answered += np.bincount(ask.games, minlength=len(turn.answered))
    return scores


def _read(asks: Sequence[tuple[_Turn, Ask]], outputs: np.ndarray, count: int) -> np.ndarray:
    """Put outputs on every game's scale, take its column, and average over the background."""
    score = asks[0][0].play.games[0].score
    if len(set().union(*(turn.readings for turn, _ in asks))) == 1:
        columns = np.concatenate([turn.columns[ask.games] for turn, ask in asks])
        read = score.read_each(outputs, columns if count == 1 else np.repeat(columns, count))
    else:
        games = [turn.play.games[number] for turn, ask in asks for number in ask.games.tolist()]
        parts = np.split(outputs, len(games))
        read = np.concatenate([g.score.read(part)[:, 0] for g, part in zip(games, parts, strict=True)])
    return read if count == 1 else np.asarray(read.reshape(-1, count).mean(axis=1))


def _stretches(sizes: Sequence[int], game: Game, most_bytes: int) -> Iterator[list[tuple[int, int, int]]]:
    """Cut everybody's masks into stretches of one pass or a few: (who, from, to) in order.

    most_bytes : of the rows of several passes.
    """
    count = len(game.background)
    most = max(1, game.score.model.limits.rows_per_run // count)
    each = count * sum(array.nbytes for array in game.x.values())
    most *= max(1, most_bytes // max(1, most * each))
    pieces, room = [], most
    for k, end in enumerate(sizes):
        start = 0
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
