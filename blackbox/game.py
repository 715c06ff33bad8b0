"""The question itself: what is the score if only these features are kept?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from blackbox.backgrounds import Background
from blackbox.explanation import Explanation, Outcome
from blackbox.features import Features, picture_axes
from blackbox.fill import Fill
from blackbox.fused import FILLED, Fused, fused
from blackbox.memory import Memory, Tally, pack, whole
from blackbox.model import Hiding, Rows
from blackbox.score import Score

Masks = np.ndarray | Iterable[np.ndarray]
"""Bool[np.ndarray, "n d"], True = kept; or an iterable of such chunks."""


@dataclass(frozen=True)
class Game:
    """A score, an input, its features and a background.

    Called with masks it returns Float64[np.ndarray, "n t"]: background rows are put in the hidden
    cells and the score is averaged over them. Masks asked before cost no pass. A feature whose
    cells equal the background's everywhere is never in play: with it or without it is one mask.
    """

    score: Score
    x: Rows
    features: Features
    background: Background
    memory: Memory
    output_names: tuple[str, ...]
    tally: Tally = field(default_factory=Tally)

    @property
    def d(self) -> int:
        """Number of features."""
        return len(self.features)

    @property
    def rows(self) -> int:
        """Forward rows of this play, counted as if it had run alone."""
        return self.score.ledger.rows + self.tally.shared

    @cached_property
    def in_play(self) -> np.ndarray:
        """Return Bool[np.ndarray, "d"]: the features that differ from some background row."""
        differs = np.zeros(self.d, dtype=bool)
        for name, array in self.x.items():
            labels = self.features.labels[name]
            unequal = (self.background.rows[name] != array).any(axis=0) & (labels >= 0)
            differs[labels[unequal]] = True
        return differs

    def __call__(self, masks: Masks) -> np.ndarray:
        chunks = [masks] if isinstance(masks, np.ndarray) else masks
        answers = [self._answer(np.asarray(chunk, dtype=bool)) for chunk in chunks]
        return np.concatenate(answers) if answers else np.zeros((0, len(self.output_names)))

    def once(self, masks: np.ndarray) -> np.ndarray:
        """Score distinct masks Bool["n d"] that nobody will ask again, without remembering them.

        Where more is known than both ends, they are looked up as always.
        """
        return self._evaluate(masks) if len(self.memory.index) <= 2 else self._answer(masks)

    def per_row(self, masks: np.ndarray) -> np.ndarray | None:
        """Return Float["n B t"], what each background row gave for masks that were asked before.

        Only masks that keep or hide at most one feature in play are kept apart; None where one of
        the given ones is not.
        """
        found = [self.memory.apart.get(key) for key in pack(masks | ~self.in_play)]
        known = [scores for scores in found if scores is not None]
        return np.stack(known) if known and len(known) == len(found) else None

    def base(self) -> np.ndarray:
        """Return Float[np.ndarray, "t"], the score of the fully hidden input."""
        return self._base.copy()

    def full(self) -> np.ndarray:
        """Return Float[np.ndarray, "t"], the score of the input itself."""
        return self._full.copy()

    def told(self, full: bool, score: np.ndarray) -> None:
        """Take Float["t"], the score of the whole input or of the fully hidden one, asked elsewhere.

        It is remembered. The rows of the fully hidden one count as shared; those of the whole input are the
        caller's to count.
        """
        key = whole(self.d) if full else np.packbits(~self.in_play).tobytes()
        place = self.memory.put(key, score)
        if place is not None:
            score = self.memory.values[place]
        if not full and place not in self.tally.seen:
            self.tally.shared += len(self.background)
        if place is not None:
            self.tally.seen.add(place)
        vars(self)["_full" if full else "_base"] = score

    def blend(
        self, weights: Iterable[np.ndarray], axes: tuple[int, ...] | None = None
    ) -> Iterator[np.ndarray]:
        """Score soft masks over the pixels of a picture or the steps of a series; never remembered.

        Every weight chunk is Float[np.ndarray, "n height width"] in [0, 1]: 1 keeps the input's
        pixel, 0 puts the background's there. Yields Float64[np.ndarray, "n t"] per chunk.

        Parameters
        ----------
        axes : of the input, which the weights lie along; None = height and width.

        Raises
        ------
        ValueError : the input is not one picture (callers check ``picture_axes`` first).
        """
        ((name, array),) = self.x.items()
        axes = axes or picture_axes(array.shape)
        if axes is None:
            raise ValueError("blend needs a picture")
        frame = [array.shape[axis] if axis in axes else 1 for axis in range(array.ndim)]
        rows = self.background.rows[name]
        step = max(1, self.score.model.limits.rows_per_run // len(rows))  # what fits one run, not all at once
        for chunk in weights:
            scores = []
            for start in range(0, len(chunk), step):
                soft = chunk[start : start + step].reshape(-1, 1, *frame)
                hidden = (1 - soft) * rows[None]
                mixed = np.add(soft * array, hidden, out=hidden)
                mixed = (mixed if array.dtype.kind == "f" else np.rint(mixed)).astype(array.dtype)
                scores.append(self.score({name: mixed.reshape(-1, *array.shape)}))
            yield np.concatenate(scores).reshape(len(chunk), len(rows), -1).mean(axis=1)

    def explanation(
        self, method: str, settings: Mapping[str, Any], values: np.ndarray, outcome: Outcome,
        details: Mapping[str, Any] | None = None, half_widths: np.ndarray | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> Explanation:  # fmt: skip
        """Write the record of this play.

        Parameters
        ----------
        values : Float[np.ndarray, "d t"]. details : arrays whose last axis is t lose it, like
            ``values``, when there is one target and the method says so by passing them ready.
        half_widths : of the values' intervals, Float[np.ndarray, "d t"]; None = no interval.
        provenance : of the record, where it is known already.
        """
        base, full = self.base(), self.full()
        one = len(self.output_names) == 1
        return Explanation(
            method=method,
            settings=dict(settings),
            values=_narrow(values, one),
            base_values=base[0] if one else base,
            full_values=full[0] if one else full,
            feature_names=self.features.names,
            output_names=self.output_names,
            data=self.features.data(self.x),
            rows=self.rows,
            rows_shared=self.tally.shared,
            outcome=outcome,
            details=dict(details or {}),
            lower_bounds=None if half_widths is None else _narrow(values - half_widths, one),
            upper_bounds=None if half_widths is None else _narrow(values + half_widths, one),
            scale=self.score.readout.scale,
            provenance=dict(provenance or {}),
        )

    @cached_property
    def _base(self) -> np.ndarray:
        return np.asarray(self(np.zeros((1, self.d), dtype=bool))[0])

    @cached_property
    def _full(self) -> np.ndarray:
        return np.asarray(self(np.ones((1, self.d), dtype=bool))[0])

    def _answer(self, masks: np.ndarray) -> np.ndarray:
        """Look masks up, ask the new ones, and put both together."""
        keys = pack(masks | ~self.in_play)
        known = self.memory.index
        rows = dict(zip(keys, range(len(keys)), strict=True))
        new = rows if known.keys().isdisjoint(rows) else {k: r for k, r in rows.items() if k not in known}
        if len(new) < len(rows):
            self._note([known[key] for key in rows if key in known])
        if not new:
            return np.asarray(self.memory.values[[known[key] for key in keys]])
        fresh = self._evaluate(masks if len(new) == len(keys) else masks[list(new.values())])
        before = len(known)
        self.memory.put_many(list(new), fresh)
        self.tally.seen.update(range(before, len(known)))
        return fresh if len(new) == len(keys) else self._together(keys, new, fresh)

    def _together(self, keys: list[bytes], new: dict[bytes, int], fresh: np.ndarray) -> np.ndarray:
        """Gather the answers to all masks; new ones may not have found room in the memory."""
        known, position = self.memory.index, {key: row for row, key in enumerate(new)}
        values = np.empty((len(keys), fresh.shape[1]))
        for row, key in enumerate(keys):
            values[row] = fresh[position[key]] if key in position else self.memory.values[known[key]]
        return values

    def _note(self, places: list[int]) -> None:
        """Count remembered masks that this play asks for the first time as shared rows."""
        first = [place for place in places if place not in self.tally.seen]
        self.tally.seen.update(first)
        self.tally.shared += len(first) * len(self.background)

    def _evaluate(self, masks: np.ndarray) -> np.ndarray:
        """Score masks in runs of at most the model's limit, mask after mask."""
        most, count = self.score.model.limits.rows_per_run, len(self.background)
        outer = self._outer(masks) if count > 1 else np.zeros(len(masks), dtype=bool)
        if count > most:
            each = zip(masks[:, None], outer[:, None], strict=True)
            return np.concatenate([self._over_background(mask, out, most) for mask, out in each])
        step = max(1, most // count)
        runs = [(masks[at : at + step], outer[at : at + step]) for at in range(0, len(masks), step)]
        filled = not isinstance(self.fused, Fused)
        means = [self._filled(*run) for run in runs] if filled else list(self._played(runs))
        return means[0] if len(means) == 1 else np.concatenate(means)

    def _filled(self, masks: np.ndarray, outer: np.ndarray) -> np.ndarray:
        """Score what fits one run by filling rows."""
        return self._mean(masks, outer, self.score(self.fill(masks)))

    def _played(self, runs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        """Score runs in the model's graph; one whose answer is no number is asked again by filled rows."""
        assert isinstance(self.fused, Fused)
        answers = self.fused([(masks, bool(outer.any())) for masks, outer in runs])
        for (masks, outer), answer in zip(runs, answers, strict=True):
            if answer is None:
                yield self._filled(masks, outer)
            elif answer.apart is None:
                yield answer.scores
            else:
                yield self._mean(masks, outer, answer.apart.reshape(-1, answer.apart.shape[2]))

    def _over_background(self, mask: np.ndarray, outer: np.ndarray, most: int) -> np.ndarray:
        count = len(self.background)
        pieces = [slice(start, start + most) for start in range(0, count, most)]
        return self._mean(
            mask, outer, np.concatenate([self.score(self.fill(mask, piece)) for piece in pieces])
        )

    def _mean(self, masks: np.ndarray, outer: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Average Float["n*B t"] over each mask's background rows; keep the outermost masks' rows apart."""
        count = len(self.background)
        if count == 1:
            return scores
        rows = scores.reshape(-1, count, scores.shape[1])
        if outer.any() and len(self.memory.apart) * rows[0].nbytes < self.memory.most_bytes // 4:
            keys = pack(masks[outer] | ~self.in_play)
            self.memory.apart.update(zip(keys, rows[outer], strict=True))
        return np.asarray(np.add.reduce(rows, axis=1) / count)  # what mean does, without its checks

    def _outer(self, masks: np.ndarray) -> np.ndarray:
        """Bool[np.ndarray, "n"]: masks that keep or hide at most one feature in play."""
        players = int(np.count_nonzero(self.in_play))
        # an eighth of the time of counting booleans along an axis
        bits = np.packbits(masks if players == self.d else masks & self.in_play, axis=1)
        kept = np.bitwise_count(bits).sum(axis=1, dtype=np.int64)
        return np.asarray((kept <= 1) | (kept >= players - 1))

    @cached_property
    def fused(self) -> Fused | str:
        """The model's own hiding, or why rows are filled instead."""
        return fused(self.score, self.fill.hiding)

    @property
    def hiding(self) -> str:
        """How features were hidden, for the record."""
        used = vars(self).get("fused", FILLED)  # nothing is looked up for a play that hid nothing
        return used.hide.how if isinstance(used, Fused) else str(used)

    @cached_property
    def fill(self) -> Fill:
        """Turns masks into rows: background rows in the hidden cells, mask after mask."""
        return Fill(Hiding(self.x, self.features.labels, self.background.rows), self.d)


def _narrow(values: np.ndarray, one: bool) -> np.ndarray:
    """Drop the last axis where one target was asked."""
    return np.array(values[:, 0] if one else values, dtype=float)
