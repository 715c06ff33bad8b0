"""How far a ranking of reasons holds: what can be told apart, and where a list of reasons may be cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

import numpy as np

from blackbox.explanation import Explanation


class Footing(Enum):
    """How far the reasons hold; each value is a sentence for people."""

    SEPARABLE = "These reasons, and their order, hold at the stated confidence."
    ORDER_OPEN = "These are the reasons at the stated confidence; the order of some of them is open."
    SHORTENED = (
        "Only the reasons that can be told from the rest at the stated confidence are given; the ones named "
        "as close cannot be told from those left out."
    )
    ABSTAINED = (
        "No reasons are stated: which features lowered the score the most cannot be told at the stated "
        "confidence. Allow the method more passes."
    )
    UNTESTED = "The method gives no confidence, so nobody can say how sure these reasons and their order are."
    NOTHING_HURT = "No feature lowered the score below that of those compared with."
    FAVOURABLE = "The decision is favourable: there are no adverse reasons to state."

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Hurt:
    """How much every feature lowered the favourable score, and what can be told apart.

    sign : -1 where the explanation is about the favourable output, whose loss is the harm. values, lower,
    upper : Float["d"]. order : Int["d"], most hurting first. apart : Bool["d-1"], neighbours
    in that order; None where the method does not say.
    """

    sign: float
    values: np.ndarray
    lower: np.ndarray | None
    upper: np.ndarray | None
    order: np.ndarray
    apart: np.ndarray | None

    @classmethod
    def of(cls, explanation: Explanation, favourable: int) -> Hurt:
        """Read an explanation of one target; ``favourable`` is the output's number."""
        (target,) = explanation.provenance["targets"]
        against = target == favourable
        sign = -1.0 if against else 1.0
        values = sign * explanation.values
        bounds = (explanation.lower_bounds, explanation.upper_bounds)
        low, high = bounds[::-1] if against else bounds
        apart = explanation.details.get("rank_separable")
        order = explanation.details.get("ranking")
        if apart is None or order is None:
            order, apart = np.argsort(-values, kind="stable"), None
        else:
            order, apart = (np.asarray(a)[::-1] if against else np.asarray(a) for a in (order, apart))
        ends = [None if bound is None else sign * bound for bound in (low, high)]
        return cls(sign, values, ends[0], ends[1], order, apart)

    @property
    def rounding(self) -> float:
        """What rounding alone can do is no harm."""
        return 1e-9 * float(np.abs(self.values).max(initial=0.0))

    def between(self, first: int, second: int) -> bool:
        """Tell whether all neighbours from one feature to another, further down, are apart."""
        if self.apart is None:
            return False
        place = {int(k): n for n, k in enumerate(self.order)}
        return bool(self.apart[place[first] : place[second]].all())

    def surely(self, k: int) -> bool:
        """Tell whether the whole interval of a feature lies on the hurting side."""
        return self.lower is None or float(self.lower[k]) > 0

    def group(self, allowed: Sequence[int], start: int, count: int) -> list[int]:
        """Return the features from a place on that cannot be told from their neighbour, and its first."""
        found = list(allowed[start : start + 1])
        for a, b in pairwise(allowed[start:]):
            if self.between(a, b) or len(found) > count:
                break
            found.append(b)
        return found


def cut(ranking: Hurt, allowed: Sequence[int], count: int) -> tuple[list[int], Footing]:
    """Choose how many of the hurting features are stated.

    The longest list of at most ``count`` whose features all surely hurt, and whose last one can be told from
    the first one left out, by the claims on neighbours.

    Parameters
    ----------
    allowed : the hurting features, most hurting first.
    """
    if not allowed:
        return [], Footing.NOTHING_HURT
    if ranking.apart is None:
        return list(allowed[:count]), Footing.UNTESTED
    sure = 0
    while sure < min(count, len(allowed)) and ranking.surely(allowed[sure]):
        sure += 1
    full = min(count, len(allowed))
    for k in range(sure, 0, -1):
        if k == len(allowed) or ranking.between(allowed[k - 1], allowed[k]):
            inside = all(ranking.between(a, b) for a, b in pairwise(allowed[:k]))
            footing = Footing.SEPARABLE if inside else Footing.ORDER_OPEN
            return list(allowed[:k]), footing if k == full else Footing.SHORTENED
    return [], Footing.ABSTAINED
