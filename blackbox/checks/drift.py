"""The check against an earlier audit: do scores and explanations say what they said before?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from blackbox.checks.finding import AUDIT, GATES, Context, Finding, judge, skip
from blackbox.errors import RequestError
from blackbox.files import sha256
from blackbox.numerics.ranks import rank_correlation
from blackbox.settings import choice, number

RECORDS, MANIFEST = "records.jsonl", "manifest.json"

Key = tuple[str, str]
Told = Mapping[str, Any]


@dataclass(frozen=True)
class Drift:
    """Scores and explanations are distributed as in an earlier audit, and equal cases get equal answers.

    Three statements on the records of ``method``. Scores: the Kolmogorov-Smirnov statistic of the two sets
    of scores, at most ``scores``. Importance: with s_j the share of feature j in the sum of mean |value|,
    sum_j |s_j - s'_j| / 2, at most ``importance``. Equal cases: of the (case, target) pairs that both audits
    hold, the share whose values have a rank correlation below ``least``, at most ``changed``. Defaults 0.2,
    0.2, 0.8 and 0.1: a fifth of the population or of the importance moved is more than sampling does with a
    hundred cases. Names the baseline by the digest of its manifest. Read from finished records; no pass.

    ``blackbox audit --baseline OLD`` plays it whether or not the plan names it.
    """

    name: ClassVar[str] = "drift"
    method: str = "kernelshap"
    scores: float = 0.2
    importance: float = 0.2
    least: float = 0.8
    changed: float = 0.1
    gate: str = "warn"

    def __post_init__(self) -> None:
        for name in ("scores", "importance", "changed"):
            number(name, getattr(self, name), 0.0)
        number("least", self.least, -1.0)
        choice("gate", self.gate, GATES)

    def review(self, records: Iterable[Mapping[str, Any]], context: Context) -> list[Finding]:
        if context.baseline is None:
            return [skip(self, AUDIT, "No earlier audit was named: give one with --baseline FOLDER.")]
        old, new = _Summary(), _Summary()
        matched = changed = 0
        for before, now in _joined(
            self._of_method(read_records(context.baseline), old), self._of_method(records, new)
        ):
            matched += 1
            changed += _correlation(before, now) < self.least
        if not old.scores or not new.scores:
            which = "The earlier audit" if not old.scores else "This audit"
            return [skip(self, AUDIT, f"{which} holds no explanation by {self.method} to compare.")]
        return self._judged(old, new, matched, changed, context)

    def _of_method(self, records: Iterable[Told], summary: _Summary) -> Iterator[tuple[Key, Told]]:
        for record in records:
            if record["kind"] == "explanation" and record["method"] == self.method:
                told = record["explanation"]
                if np.ndim(told["full_values"]) == 0:  # one target; several are no single case
                    summary.add(told)
                    yield (str(record["case"]), str(record["target"])), told

    def _judged(
        self, old: _Summary, new: _Summary, matched: int, changed: int, context: Context
    ) -> list[Finding]:
        model = "the same model" if old.model == new.model else "another model"
        source = f"Against the audit with manifest {context.digest} of {model}: "
        apart, moved = _kolmogorov_smirnov(old.scores, new.scores), _shift(old.shares(), new.shares())
        told = [
            (
                f"{source}the scores' distributions differ by {apart:.2f} (Kolmogorov-Smirnov).",
                apart,
                self.scores,
            ),
            (f"{source}{moved:.0%} of the importance lies with other features.", moved, self.importance),
        ]
        if matched:
            share = changed / matched
            sentence = f"{source}{changed} of {matched} equal cases are explained differently."
            told.append((sentence, share, self.changed))
        return [judge(self, AUDIT, value <= most, sentence, value, most) for sentence, value, most in told]


@dataclass
class _Summary:
    """What is kept of one audit: its scores, the sum of |value| per feature, the model's digests."""

    scores: list[float] = field(default_factory=list)
    sizes: dict[str, float] = field(default_factory=dict)
    model: object = None

    def add(self, told: Told) -> None:
        self.scores.append(float(told["full_values"]))
        self.model = told["provenance"].get("model", {}).get("sha256")
        for name, value in zip(told["feature_names"], told["values"], strict=True):
            if value is not None:
                self.sizes[name] = self.sizes.get(name, 0.0) + abs(value)

    def shares(self) -> dict[str, float]:
        total = sum(self.sizes.values())
        return {name: size / total for name, size in self.sizes.items()} if total else {}


def context_of(baseline: Path | None) -> Context:
    """Name an earlier audit's folder, having seen that its records are those of its manifest.

    Raises
    ------
    RequestError : it is no finished audit, or its records were changed.
    """
    if baseline is None:
        return Context()
    try:
        listed = json.loads((baseline / MANIFEST).read_text(encoding="utf-8"))["files"][RECORDS]["sha256"]
        found = sha256(baseline / RECORDS)
    except (OSError, ValueError, KeyError, TypeError):
        raise RequestError(
            f"{baseline} is no finished audit: a baseline needs {MANIFEST} and the {RECORDS} that it lists."
        ) from None
    if found != listed:
        raise RequestError(
            f"{baseline / RECORDS} is not the file of its manifest: it was changed, so it is no baseline."
        )
    return Context(baseline, sha256(baseline / MANIFEST))


def read_records(folder: Path) -> Iterator[dict[str, Any]]:
    """Read an audit's records one by one."""
    with (folder / RECORDS).open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _joined(old: Iterator[tuple[Key, Told]], new: Iterator[tuple[Key, Told]]) -> Iterator[tuple[Told, Told]]:
    """Pair equal keys, reading both to their ends. Only what comes in another order is kept waiting."""
    waiting: tuple[dict[Key, Told], dict[Key, Told]] = ({}, {})
    sides = (old, new)
    going = [True, True]
    while any(going):
        for side in (0, 1):
            item = next(sides[side], None) if going[side] else None
            if item is None:
                going[side] = False
                continue
            key, told = item
            other = waiting[1 - side].pop(key, None)
            if other is None:
                waiting[side][key] = told
            else:
                yield (other, told) if side else (told, other)


def _correlation(before: Told, now: Told) -> float:
    """Rank correlation over the features that both have; 1 for fewer than two, and for equal values."""
    then = dict(zip(before["feature_names"], before["values"], strict=True))
    pairs = [
        (then[name], value)
        for name, value in zip(now["feature_names"], now["values"], strict=True)
        if name in then and value is not None and then[name] is not None
    ]
    a, b = np.array(pairs, dtype=float).reshape(-1, 2).T
    return 1.0 if len(a) < 2 or np.array_equal(a, b) else rank_correlation(a, b)


def _kolmogorov_smirnov(a: list[float], b: list[float]) -> float:
    """Largest gap between the two empirical distribution functions."""
    one, two = np.sort(a), np.sort(b)
    at = np.concatenate([one, two])
    gaps = np.searchsorted(one, at, "right") / len(one) - np.searchsorted(two, at, "right") / len(two)
    return float(np.abs(gaps).max())


def _shift(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    names = sorted({*a, *b})
    return sum(abs(a.get(name, 0.0) - b.get(name, 0.0)) for name in names) / 2
