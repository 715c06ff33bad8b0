"""What an estimator returns: Shapley values, how far they may be off, and what it found out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Pairs:
    """Complementary pairs that were asked.

    halves : Bool[np.ndarray, "n d"], one mask of each pair. odd : Float[np.ndarray, "n t"], half of v(that
    mask) - v(its complement). ends : Float[np.ndarray, "t"], half of v(N) - v(empty). chances :
    Float[np.ndarray, "n"], the chance that the design contained the pair, up to a common factor; 1 for
    the ``start`` first pairs, which every design contains. even : Float[np.ndarray, "n t"], half of v(that
    mask) + v(its complement), which Shapley values do not need and interactions do; None = not kept.
    """

    halves: np.ndarray
    odd: np.ndarray
    ends: np.ndarray
    chances: np.ndarray
    start: int
    even: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.halves)

    @property
    def d(self) -> int:
        """Number of features."""
        return int(self.halves.shape[1])

    @property
    def signs(self) -> np.ndarray:
        """+1 where kept, -1 where hidden: Float[np.ndarray, "n d"]."""
        return np.where(self.halves, 1.0, -1.0)


@dataclass(frozen=True)
class Estimate:
    """Shapley values of d features for t targets, and their uncertainty.

    values : Float[np.ndarray, "d t"], summing to v(N) - v(empty). covariance : Float[np.ndarray, "t d d"];
    None where nothing can be said. freedom : degrees of freedom behind the covariance's scale, one for all
    targets or Float["t"]. error : Float[np.ndarray, "t"], mean squared leave-one-out error of h over the
    drawn pairs. notes : what was chosen, for the record. chosen : the same for an estimate from more pairs
    of the design.
    """

    name: str
    values: np.ndarray
    covariance: np.ndarray | None
    freedom: float | np.ndarray
    error: np.ndarray
    notes: Mapping[str, object] = field(default_factory=dict)
    chosen: object = field(default=None, repr=False)


def efficient(values: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Spread what is missing to 2 h(N) equally over the features: Float["d t"]."""
    return np.asarray(values + (2 * ends - values.sum(axis=0)) / len(values))
