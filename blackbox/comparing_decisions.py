"""The reasons for one adverse decision as they were recorded, beside those of the same case played again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Told = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """What came out otherwise.

    by : by how much, or how far apart it was in the record, as a share of the largest value; None = not a
    number. turned : a verdict or an order changed, which is worth telling however close it was.
    """

    what: str
    by: float | None = None
    turned: bool = True


def changes(then: Told | None, now: Told | None) -> Iterator[Change]:
    """Yield how two decisions, as ``Decision.to_dict`` gives them, differ.

    A verdict that turned, and an order that did, are told with the recorded margin between what
    changed places; values with their own difference.
    """
    if then is None or now is None:
        if then is not now:
            yield Change("a decision was stated at one time only")
        return
    top = max((reason["value"] for reason in then["reasons"]), default=0.0) or 1.0
    if then["adverse"] != now["adverse"]:
        margin = abs(then["score"] - then["passing"]) / (abs(then["passing"]) or 1.0)
        yield Change("the decision is adverse at one time only", margin)
        return
    before, after = ([reason["feature"] for reason in told["reasons"]] for told in (then, now))
    if before != after:
        yield Change(
            f"the stated reasons were {_listed(before)} and are {_listed(after)}", _gap(then, after, top)
        )
    elif then["footing"] != now["footing"]:
        yield Change(f"the reasons' footing was {then['footing']} and is {now['footing']}")
    else:
        for one, other in zip(then["reasons"], now["reasons"], strict=True):
            moved = abs(one["value"] - other["value"]) / top
            yield Change(f"{one['feature']} was {one['value']:.6g} and is {other['value']:.6g}", moved, False)


def _gap(then: Told, after: list[str], top: float) -> float | None:
    """The largest recorded difference between features that changed places; None where others came in."""
    values = {reason["feature"]: reason["value"] for reason in then["reasons"]}
    if set(values) != set(after):
        return None
    pairs = zip(values, after, strict=True)
    return float(np.max([abs(values[a] - values[b]) for a, b in pairs])) / top


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"
