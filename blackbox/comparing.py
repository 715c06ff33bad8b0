"""One case as it was recorded beside the same case played again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from blackbox.comparing_decisions import changes
from blackbox.examination import Examined
from blackbox.explanation import Explanation
from blackbox.records import Dossier

TOLERANCE = 1e-4
"""Share of the values' range that another machine, device or runtime may move them by."""


MOST_TOLD = 1000
"""Differences and near ties that are kept one by one; all are counted."""


@dataclass(frozen=True)
class Difference:
    """One thing that differs: in which case, of which method, what, and by how much (None = not a number)."""

    case: str
    target: str
    method: str
    what: str
    by: float | None = None


@dataclass
class Replay:
    """What came of a replay: a notebook that is told every comparison.

    cases : how many were played again, of ``total``. changed : what is not as it was: model, runtime, device,
    tool. differences, near_ties : the first ones; differing, tied : how many there are. model_changed : the
    answers are another model's. largest : the largest difference of a value, as a share of its range.
    """

    total: int = 0
    cases: int = 0
    rows: int = 0
    changed: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    near_ties: list[Difference] = field(default_factory=list)
    differing: int = 0
    tied: int = 0
    largest: float = 0.0
    model_changed: bool = False

    @property
    def same(self) -> bool:
        """The same model gave the same answers."""
        return self.differing == 0 and not self.model_changed

    def differs(self, difference: Difference) -> None:
        """Note a difference."""
        self.differing += 1
        if len(self.differences) < MOST_TOLD:
            self.differences.append(difference)

    def ties(self, difference: Difference) -> None:
        """Note what came out otherwise and was as good as tied in the record."""
        self.tied += 1
        if len(self.near_ties) < MOST_TOLD:
            self.near_ties.append(difference)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON."""
        return {
            "schema": "blackbox.replay/1", "same": self.same, "cases": self.cases,
            "cases_in_bundle": self.total, "rows": self.rows, "changed": self.changed,
            "largest_difference": self.largest,
            "differing": self.differing, "tied": self.tied,
            "differences": [vars(one) for one in self.differences],
            "near_ties": [vars(one) for one in self.near_ties],
        }  # fmt: skip

    def lines(self) -> list[str]:
        """Return the result in words."""
        told = [f"changed: {change}" for change in self.changed]
        told += [_told("differs", one) for one in self.differences[:20]]
        if self.differing > 20:
            told.append(f"... and {self.differing - 20:,} more differences")
        told += [_told("near tie", one) for one in self.near_ties[:10]]
        if self.tied > 10:
            told.append(f"... and {self.tied - 10:,} more near ties")
        verdict = "THE SAME" if self.same else "NOT THE SAME"
        played = f"{self.cases:,} of {self.total:,} cases played again with {self.rows:,} rows"
        moved = f"differ by {self.largest:.1e} of their range at the most" if self.largest else "are equal"
        return [*told, f"{verdict}: {played}; values {moved}"]


def _told(word: str, one: Difference) -> str:
    by = "" if one.by is None else f", by {one.by:.2e} of the range"
    return f"{word}: case {one.case}, {one.target}, {one.method}: {one.what}{by}"


def compare(found: Replay, then: Dossier, now: Examined) -> None:
    """Compare every method, and the order of the reasons."""
    failed = {failure.method for failure in now.failures}
    for method in then.failures:
        if method not in failed:
            found.differs(_difference(then, method, "it gave no answer then and gives one now"))
    for method, was in then.explanations.items():
        if method in failed:
            found.differs(_difference(then, method, "it gave an answer then and gives none now"))
        else:
            _explanation(found, then, method, was, now.explanations[method])
    _reasons(found, then, now)


def _difference(then: Dossier, method: str, what: str, by: float | None = None) -> Difference:
    return Difference(then.id, then.target, method, what, by)


def scale_of(explanation: Explanation) -> float:
    """The range of the values, with zero, that differences are a share of.

    Values that are nothing but rounding have no range of their own: it is at least a thousandth of what
    hiding everything moves, and a millionth of the score.
    """
    values = explanation.values[np.isfinite(explanation.values)]
    spread = float(np.ptp(np.append(values, 0.0)))
    full, base = float(explanation.full_values), float(explanation.base_values)
    return max(spread, 1e-3 * abs(full - base), 1e-6 * abs(full)) or 1.0


def _explanation(found: Replay, then: Dossier, method: str, was: Explanation, now: Explanation) -> None:
    if was.feature_names != now.feature_names or was.output_names != now.output_names:
        found.differs(_difference(then, method, "the features or the target are others"))
        return
    if method == "sis":
        _subsets(found, then, was, now)
        return
    scale = scale_of(was)
    if not np.array_equal(np.isnan(was.values), np.isnan(now.values)):
        found.differs(_difference(then, method, f"it ended otherwise: {was.outcome} Now: {now.outcome}"))
        return
    moved = np.abs(np.nan_to_num(now.values - was.values)) / scale
    ends = [abs(float(now.full_values - was.full_values)), abs(float(now.base_values - was.base_values))]
    found.largest = max(found.largest, float(moved.max(initial=0.0)), *(end / scale for end in ends))
    if moved.max(initial=0.0) > TOLERANCE:
        worst = int(moved.argmax())
        what = f"{was.feature_names[worst]} was {was.values[worst]:.6g} and is {now.values[worst]:.6g}"
        found.differs(_difference(then, method, what, float(moved[worst])))
    for name, end in zip(("the score", "the score with all hidden"), ends, strict=True):
        if end / scale > TOLERANCE:
            found.differs(_difference(then, method, f"{name} moved", end / scale))


def _subsets(found: Replay, then: Dossier, was: Explanation, now: Explanation) -> None:
    """Subsets are all or nothing: another is a difference where the recorded margin exceeds the tolerance."""
    before, after = _sets(was), _sets(now)
    if before == after and was.outcome is now.outcome:
        return
    scale = abs(float(was.full_values - was.base_values)) or 1.0
    margin = min(_margins(was), default=np.inf) / scale
    if before == after:
        what = f"it ended otherwise: {was.outcome} Now: {now.outcome}"
    else:
        what = f"other subsets: {before} then, {after} now"
    told = _difference(then, "sis", what, None if np.isinf(margin) else margin)
    (found.differs if margin > TOLERANCE else found.ties)(told)


def _sets(explanation: Explanation) -> list[list[str]]:
    names = explanation.feature_names
    return [sorted(names[k] for k in members) for members in explanation.details["subsets"]]


def _margins(explanation: Explanation) -> Iterator[float]:
    """How far every subset's score is from the threshold, and how far below it falls without one member."""
    threshold = explanation.details["threshold"]
    if threshold is None:
        return
    for certificate in explanation.details["certificates"]:
        yield abs(certificate["score"] - threshold)
        yield from (abs(score - threshold) for score in certificate["left_out"])
    yield abs(float(explanation.full_values) - threshold)
    yield abs(float(explanation.base_values) - threshold)


def _reasons(found: Replay, then: Dossier, now: Examined) -> None:
    if then.reasons is None or now.reasons is None:
        if (then.reasons is None) != (now.reasons is None):
            found.differs(_difference(then, "reasons", "there are reasons at one time only"))
        return
    _decision(found, then, now.reasons.decision)
    sides = {"supporting", "opposing"}
    before = list(_features({key: then.reasons[key] for key in sides}))
    after = list(_features({key: value for key, value in now.reasons.to_dict().items() if key in sides}))
    if before == after:
        return
    method = str(then.reasons.get("method", ""))
    was = then.explanations.get(method)
    differs = f"the order was {', '.join(before)} and is {', '.join(after)}"
    if was is None or len(before) != len(after):
        found.differs(_difference(then, "reasons", differs))
        return
    values, scale = dict(zip(was.feature_names, was.values.tolist(), strict=True)), scale_of(was)
    gaps = [
        abs(abs(values[a]) - abs(values[b])) / scale if a in values and b in values else np.inf
        for a, b in zip(before, after, strict=True)
        if a != b
    ]
    told = _difference(then, "reasons", differs, max(gaps) if np.isfinite(max(gaps)) else None)
    (found.differs if max(gaps) > TOLERANCE else found.ties)(told)


def _decision(found: Replay, then: Dossier, now: Mapping[str, Any] | None) -> None:
    """Note how the stated reasons differ; values within the tolerance are the same."""
    assert then.reasons is not None
    for change in changes(then.reasons.get("decision"), now):
        told = _difference(then, "reasons", change.what, change.by)
        if change.by is None or change.by > TOLERANCE:
            found.differs(told)
        elif change.turned:
            found.ties(told)


def _features(told: Any) -> Iterator[str]:
    """The features that reasons name, in the order in which they stand."""
    if isinstance(told, dict):
        if isinstance(told.get("feature"), str):
            yield told["feature"]
        for key in sorted(told):  # a record's keys are sorted
            yield from _features(told[key])
    elif isinstance(told, (list, tuple)):
        for value in told:
            yield from _features(value)
