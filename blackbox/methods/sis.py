"""Sufficient input subsets: the few features that alone keep the score above a threshold."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from blackbox.errors import RequestError
from blackbox.explanation import Explanation, Outcome
from blackbox.game import Game
from blackbox.settings import number, whole

Stack = list[tuple[int, float]]
"""(feature, score after its removal), in the order of removal."""

Search = Generator[np.ndarray, np.ndarray, Stack]
"""Yields masks to score, receives Float[np.ndarray, "n"], returns what it found."""


@dataclass(frozen=True)
class Fraction:
    """A threshold between the fully hidden and the full score: base + value (full - base)."""

    value: float

    def __post_init__(self) -> None:
        number("fraction", self.value, 0.0, strict=True)
        if self.value > 1:
            raise RequestError(f"fraction must be at most 1; got {self.value!r}.")


@dataclass(frozen=True)
class Sis:
    """Disjoint sufficient input subsets by BackSelect, as published.

    BackSelect removes, one at a time, the feature whose removal leaves the highest score (ties: the
    lowest position goes first). FindSIS takes features back from the end of that order until the
    score reaches the threshold. The collection hides the found subset for good and starts again,
    while what is left still reaches the threshold.

    Parameters
    ----------
    threshold : a number in score units, ``Fraction(0.9)`` (also written ``"90%"``), or None for
        Fraction(0.9).
    max_subsets : stop after so many subsets; None = all there are.

    Cost: 1 + d (d + 1) / 2 masks for the first subset, fewer for every further one.

    ``values`` : 1 for members of the first subset, 0 for the others.

    details
    -------
    ``threshold`` : in score units. ``subsets`` : lists of feature positions, in the order in which
    they were added. ``subset_scores`` : the score with only that subset kept, one per subset.
    ``removal_order``, ``removal_scores`` : one list per subset, BackSelect's order over the
    features that were still there and the score after each removal.

    outcome : DONE; NO_SUBSET when the whole input is below the threshold; UNINFORMATIVE when the
    fully hidden input already reaches it (the published code returns an empty subset there).

    References
    ----------
    Carter, Mueller, Jain and Gifford 2019, arXiv 1810.03805.

    Examples
    --------
    >>> import blackbox as bb
    >>> e = bb.explain(lambda x: x.sum(axis=1), [5.0, 1.0, 4.0], method=bb.Sis(threshold=8))
    >>> e.details["subsets"], e.details["subset_scores"]
    ([[0, 2]], [9.0])
    """

    name: ClassVar[str] = "sis"
    scale: ClassVar[str] = "raw"
    one_target: ClassVar[bool] = True

    threshold: float | Fraction | str | None = None
    max_subsets: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.threshold, str):
            object.__setattr__(self, "threshold", _percentage(self.threshold))
        if self.threshold is not None and not isinstance(self.threshold, Fraction):
            number("threshold", self.threshold, -np.inf)
        if self.max_subsets is not None:
            whole("max_subsets", self.max_subsets, 1)

    def explain(self, game: Game, rng: np.random.Generator) -> Explanation:
        """Play the game; nothing is drawn from ``rng``."""
        base, full = float(game.base()[0]), float(game.full()[0])
        threshold = self._in_units(base, full)
        subsets: list[list[int]] = []
        stacks: list[Stack] = []
        scores: list[float] = []
        if full >= threshold > base:
            subsets, stacks, scores = self._collection(game, threshold, full)
        values = np.zeros((game.d, 1))
        values[subsets[0] if subsets else []] = 1
        details = {
            "threshold": threshold,
            "subsets": subsets,
            "subset_scores": scores,
            "removal_order": [[feature for feature, _ in stack] for stack in stacks],
            "removal_scores": [[score for _, score in stack] for stack in stacks],
        }
        outcome = _outcome(base, full, threshold)
        return game.explanation(self.name, dataclasses.asdict(self), values, outcome, details)

    def _in_units(self, base: float, full: float) -> float:
        asked = Fraction(0.9) if self.threshold is None else self.threshold
        if isinstance(asked, Fraction):
            # the whole fraction is the full score itself, not what rounding makes of it
            return full if asked.value == 1 else base + asked.value * (full - base)
        assert not isinstance(asked, str)
        return float(asked)

    def _collection(
        self, game: Game, threshold: float, full: float
    ) -> tuple[list[list[int]], list[Stack], list[float]]:
        subsets: list[list[int]] = []
        stacks: list[Stack] = []
        scores: list[float] = []
        available = np.ones(game.d, dtype=bool)
        while full >= threshold and len(subsets) < (self.max_subsets or game.d):
            stack = _play(game, back_select(available))
            subset = find_sis(stack, threshold)
            kept = np.isin(np.arange(game.d), subset)
            subsets.append(subset)
            stacks.append(stack)
            scores.append(float(game(kept[None])[0, 0]))
            available &= ~kept
            if len(subsets) < (self.max_subsets or game.d):
                full = float(game(available[None])[0, 0])
        return subsets, stacks, scores


def back_select(kept: np.ndarray) -> Search:
    """Search the order in which features are given up.

    Parameters
    ----------
    kept : Bool[np.ndarray, "d"], the features that are still there.

    Returns
    -------
    (feature, score after its removal) in the order of removal; empty when nothing is kept.
    """
    kept, stack = kept.copy(), []
    while kept.any():
        candidates = np.flatnonzero(kept)
        masks = np.repeat(kept[None], len(candidates), axis=0)
        masks[np.arange(len(candidates)), candidates] = False
        scores = yield masks
        best = int(np.argmax(scores))  # argmax takes the first of equals: the published tie rule
        stack.append((int(candidates[best]), float(scores[best])))
        kept[candidates[best]] = False
    return stack


def find_sis(stack: Stack, threshold: float) -> list[int]:
    """Take features back, last removed first, until the rest of the order reaches the threshold.

    Raises
    ------
    ValueError : the stack is empty.
    """
    if not stack:
        raise ValueError("BackSelect returned no order")
    subset: list[int] = []
    for feature, score in reversed(stack):
        if score >= threshold:
            break
        subset.append(feature)
    return subset


def _play(game: Game, search: Search) -> Stack:
    """Answer a search's masks with the game until it returns."""
    masks = next(search)
    while True:
        try:
            masks = search.send(game(masks)[:, 0])
        except StopIteration as stop:
            return list(stop.value)


def _outcome(base: float, full: float, threshold: float) -> Outcome:
    if base >= threshold:
        return Outcome.UNINFORMATIVE
    return Outcome.DONE if full >= threshold else Outcome.NO_SUBSET


def _percentage(text: str) -> Fraction:
    try:
        return Fraction(float(text.removesuffix("%")) / 100) if text.endswith("%") else _fail(text)
    except ValueError:
        return _fail(text)


def _fail(text: str) -> Fraction:
    raise RequestError(f"threshold must be a number or a percentage such as 90%; got {text!r}.")
