"""Which coalitions to ask: complementary pairs, each given by one of its two masks.

Shapley values depend only on the odd part of a game, h(S) = (v(S) - v(N - S)) / 2, so every design
here asks a coalition together with its complement.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Protocol

import numpy as np


class Design(Protocol):
    """Pairs in the order in which they are asked, after those that leave one feature out."""

    def __len__(self) -> int: ...

    def first(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the first pairs, Bool["count d"], and the chance that each is there, up to a factor."""
        ...


@dataclass(frozen=True)
class Drawn:
    """A design that was drawn at once: Bool["n d"] and Float["n"]."""

    halves: np.ndarray
    chances: np.ndarray

    def __len__(self) -> int:
        return len(self.halves)

    def first(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the first pairs and their chances."""
        return self.halves[:count], self.chances[:count]


def singles(d: int) -> np.ndarray:
    """Return the pairs (all but i, only i), as the masks that leave one out: Bool["d d"]; "1 d" for d = 2.

    With the empty and the full mask these are the 2 d + 2 passes that are exact on games whose
    interactions have at most two members.
    """
    masks = ~np.eye(d, dtype=bool)
    return masks[:1] if d == 2 else masks


def asked(halves: np.ndarray) -> np.ndarray:
    """Return every pair's two masks, one after the other: Bool["n d"] -> Bool["2n d"]."""
    both = np.empty((2 * len(halves), halves.shape[1]), dtype=bool)
    both[0::2], both[1::2] = halves, ~halves
    return both


def odd_part(scores: np.ndarray) -> np.ndarray:
    """Return h = (v(S) - v(N - S)) / 2 of scores in the order of ``asked``: Float["2n t"] -> Float["n t"]."""
    return np.asarray((scores[0::2] - scores[1::2]) / 2)


def even_part(scores: np.ndarray) -> np.ndarray:
    """Return (v(S) + v(N - S)) / 2 of scores in the order of ``asked``: Float["2n t"] -> Float["n t"]."""
    return np.asarray((scores[0::2] + scores[1::2]) / 2)


def pair_counts(d: int) -> np.ndarray:
    """Return how many pairs there are whose smaller side has 1, 2, ... floor(d/2) members."""
    counts = [min(comb(d, size), 10**300) // (2 if 2 * size == d else 1) for size in range(1, d // 2 + 1)]
    return np.array(counts, dtype=float)


def leverage_pairs(
    d: int, count: int, rng: np.random.Generator, lean: float = 0.0, smallest: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Draw distinct pairs with near-uniform sizes, and the chance that each had to be drawn.

    A pair whose smaller side has s members is included with probability min(1, c q_s), q_s
    proportional to (s (d-s))^-lean / (number of such pairs); c follows from the count. Sizes whose
    probability is 1 are taken whole; the others get their share, rounded at random, and distinct
    subsets of that size.

    Parameters
    ----------
    count : pairs wanted; fewer are returned when there are fewer. lean : 0 = uniform sizes, the
        leverage scores of the regression; 1 = the Shapley kernel's own sizes. smallest : least size.

    Returns
    -------
    halves : Bool[np.ndarray, "n d"]; a random side of each pair. chances : Float[np.ndarray, "n"].

    References
    ----------
    Musco and Witter 2024, arXiv 2410.01917.
    """
    sizes = np.arange(1, d // 2 + 1)
    there = np.where(sizes >= smallest, pair_counts(d), 0.0)
    mass = np.where(2 * sizes == d, 0.5, 1.0) * (sizes * (d - sizes)) ** -float(lean) * (there > 0)
    wanted = _shares(there, mass, min(float(count), there.sum()))
    taken = _rounded(wanted, there, min(count, int(min(there.sum(), 2**62))), rng)
    parts = [
        _of_one_size(d, int(s), int(n), there[s - 1], rng) for s, n in zip(sizes, taken, strict=True) if n
    ]
    halves = np.concatenate(parts) if parts else np.zeros((0, d), dtype=bool)
    chances = np.repeat(np.minimum(1.0, wanted / np.maximum(there, 1)), taken)
    flip = rng.random(len(halves)) < 0.5
    halves[flip] = ~halves[flip]
    order = rng.permutation(len(halves))
    return halves[order], chances[order]


def _shares(there: np.ndarray, mass: np.ndarray, count: float) -> np.ndarray:
    """Expected pairs per size: proportional to mass, no more than there are."""
    wanted, full = np.zeros(len(there)), np.zeros(len(there), dtype=bool)
    while True:
        rest = np.where(full, 0.0, mass)
        wanted = np.where(full, there, 0.0)
        if rest.sum() > 0:
            wanted = wanted + rest / rest.sum() * max(0.0, count - there[full].sum())
        over = (wanted > there) & ~full
        if not over.any():
            return np.asarray(np.minimum(wanted, there))
        full |= over


def _rounded(wanted: np.ndarray, there: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Round shares so that they sum to the count: systematic sampling of the fractions."""
    ends = np.floor(np.concatenate([[0.0], np.cumsum(wanted)]) + rng.random() * (1 - 1e-9) + 1e-12)
    taken = np.minimum(np.diff(ends), there).astype(np.int64)
    for place in rng.permutation(len(there)):
        missing = count - int(taken.sum())
        if missing == 0:
            break
        taken[place] += int(np.clip(missing, -taken[place], min(there[place] - taken[place], 2**31)))
    return np.asarray(taken)


def _of_one_size(d: int, size: int, count: int, there: float, rng: np.random.Generator) -> np.ndarray:
    """Draw distinct subsets of one size (distinct as pairs where the size is half of d)."""
    if there <= 4 * count and there < 2**20:
        from blackbox.numerics.coalitions import of_size

        every = of_size(d, size)
        every = every[every[:, 0]] if 2 * size == d else every
        return np.asarray(every[rng.permutation(len(every))[:count]])
    found: dict[bytes, np.ndarray] = {}
    while len(found) < count:
        order = rng.random((count - len(found) + 8, d)).argpartition(size - 1, axis=1)[:, :size]
        masks = np.zeros((len(order), d), dtype=bool)
        np.put_along_axis(masks, order, True, axis=1)
        if 2 * size == d:
            masks ^= ~masks[:, :1]
        for key, mask in zip(np.packbits(masks, axis=1), masks, strict=True):
            found.setdefault(key.tobytes(), mask)
    return np.array(list(found.values())[:count])


def chains(d: int, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw random orders and the pairs that an order and its reverse ask: the prefixes and their complements.

    Returns
    -------
    orders : Int[np.ndarray, "count d"]. halves : Bool[np.ndarray, "count d-1 d"], the prefixes.
    """
    orders = rng.random((count, d)).argsort(axis=1)
    ranks = orders.argsort(axis=1)
    return orders, ranks[:, None, :] < np.arange(1, d)[None, :, None]
