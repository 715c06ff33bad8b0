"""The report: one self-contained HTML page about an audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from blackbox.case import Case
from blackbox.checks import Finding
from blackbox.explanation import Explanation, Outcome
from blackbox.materials import Materials
from blackbox.numerics.ranks import rank_correlation
from blackbox.plan import Plan
from blackbox.reasons import show
from blackbox.records import Dossier
from blackbox.report import pictures, sections
from blackbox.report.templating import fill
from blackbox.tally import Tally

SHOWN = 12
"""Features shown at once; the others unfold."""

SIGNS = {"passed": "✓", "warned": "!", "failed": "✗", "skipped": "–"}


@dataclass(frozen=True)
class Bar:
    """One value as drawn: its text, and the width of its bar in percent of half the cell.

    interval : in words, and as (left, width) in percent of the whole cell; None where there is none.
    """

    text: str
    width: float
    positive: bool
    interval: tuple[str, float, float] | None = None


@dataclass(frozen=True)
class Line:
    """One feature across all methods. sets : numbers of the sufficient subsets it is in."""

    label: str
    held: str
    bars: tuple[Bar | None, ...]
    sets: tuple[int, ...]


@dataclass(frozen=True)
class Picture:
    """One picture with its caption."""

    source: str
    caption: str


@dataclass(frozen=True)
class Told:
    """What the page tells of an audit.

    tally : what the records came to, with the cases that are shown. general : findings about the whole.
    rows : forward rows in all. pictures : number of a case -> the case itself, where its picture may be
    shown. tool, runtime, device, rows_per_run : what played the audit. probe : what was asked of the model
    beforehand.
    """

    plan: Plan
    materials: Materials
    tally: Tally
    general: tuple[Finding, ...]
    rows: int
    pictures: Mapping[int, Case]
    tool: str
    runtime: str
    device: str
    rows_per_run: int
    probe: Mapping[str, Any] | None = None

    @property
    def passed(self) -> bool:
        """No gate failed."""
        return self.tally.passed

    def count(self, status: str) -> int:
        """Return how many findings have a status."""
        return self.tally.count(status)


def render(told: Told) -> str:
    """Return the page; everything that came from outside is escaped."""
    return fill("audit.html", _context(told))


def _context(told: Told) -> dict[str, Any]:
    identity, shown = told.materials.model.identity, told.tally.shown
    return {
        "version": told.tool.partition(" ")[2],
        "result": told,
        "identity": identity,
        "source": identity.source.replace("\\", "/").rsplit("/", 1)[-1],
        "features": shown[0].feature_names,
        "features_rule": shown[0].feature_rule,
        "methods": {name: dict(settings) for name, settings in told.plan.methods.items()},
        "probe": sections.probed(told.probe),
        "summary": sections.checks_by_kind(told.tally),
        "decisions": sections.decisions(told),
        "crosswalk": sections.crosswalk(told.materials.rule is not None),
        "overall": _overall(told),
        "overall_methods": list(told.tally.means()),
        "cases": [_case(one, told.materials.labels, told.pictures.get(one.number)) for one in shown],
        "signs": SIGNS,
        "rows_if_alone": told.tally.rows_alone,
        "findings": sum(told.count(status) for status in SIGNS),
    }


def _overall(told: Told) -> list[Line]:
    """Mean size of every feature's value over the cases, per method; tables with equal features only."""
    names, means = told.tally.features, told.tally.means()
    if names is None or told.materials.data.images or told.tally.cases < 2 or not means:
        return []
    return _lines(means, names, [""] * len(names), told.materials.labels, [])


def _valued(case: Dossier) -> list[str]:
    """Names of the methods that gave every feature a number of its own."""
    return [
        name
        for name, e in case.explanations.items()
        if name != "sis" and e.outcome is not Outcome.FLAT and np.isfinite(e.values).all()
    ]


def _case(result: Dossier, labels: Mapping[str, str], picture: Case | None) -> dict[str, Any]:
    methods = _valued(result)
    any_explanation = next(iter(result.explanations.values()), None)
    lines: list[Line] = []
    if any_explanation is not None and picture is None:
        columns = {name: result.explanations[name].values for name in methods}
        held = ["" if value is None else labels.get(str(value), show(value)) for value in result.held]
        bounds = {name: _bounds(result.explanations[name]) for name in methods}
        lines = _lines(columns, any_explanation.feature_names, held, labels, _subsets(result), bounds)
    return {
        "result": result,
        "raw": next((e for e in result.explanations.values() if e.scale == "raw"), any_explanation),
        "status": result.status,
        "methods": methods,
        "lines": lines[:SHOWN],
        "more": lines[SHOWN:],
        "pictures": _pictures(result, picture, methods) if picture is not None else [],
        "subsets": _subset_words(result, labels, picture is not None),
        "agreement": _agreement(result, methods),
        "second_order": [
            str(e.details["second_order_text"])
            for e in result.explanations.values()
            if "second_order_text" in e.details
        ],
        "scores": _scores(result),
    }


def _subsets(result: Dossier) -> list[list[int]]:
    sis = result.explanations.get("sis")
    return list(sis.details["subsets"]) if sis is not None else []


def _lines(
    columns: Mapping[str, np.ndarray], names: tuple[str, ...], held: list[str],
    labels: Mapping[str, str], subsets: list[list[int]],
    bounds: Mapping[str, tuple[np.ndarray, np.ndarray] | None] | None = None,
) -> list[Line]:  # fmt: skip
    """One line per feature, strongest first by the mean of its shares over the methods."""
    tops = {name: float(np.abs(values).max()) or 1.0 for name, values in columns.items()}
    shares = [np.abs(values) / tops[name] for name, values in columns.items()]
    strength = np.mean(shares, axis=0) if shares else np.zeros(len(names))
    lines = []
    for k in np.argsort(-strength, kind="stable"):
        ends = {
            name: both and (float(both[0][k]), float(both[1][k])) for name, both in (bounds or {}).items()
        }
        bars = tuple(_bar(float(v[k]), tops[name], ends.get(name)) for name, v in columns.items())
        sets = tuple(number for number, members in enumerate(subsets, start=1) if k in members)
        lines.append(Line(labels.get(names[k], names[k]), held[k], bars, sets))
    return lines


def _bounds(explanation: Explanation) -> tuple[np.ndarray, np.ndarray] | None:
    lower, upper = explanation.lower_bounds, explanation.upper_bounds
    return None if lower is None or upper is None else (lower, upper)


def _bar(value: float, top: float, ends: tuple[float, float] | None = None) -> Bar:
    text, width = f"{value:+.3g}" if value else "0", round(100 * abs(value) / top, 1)
    if ends is None or not np.isfinite(ends).all():
        return Bar(text, width, value >= 0)
    left, right = (float(np.clip(50 + 50 * end / top, 0, 100)) for end in ends)
    words = f"between {ends[0]:+.3g} and {ends[1]:+.3g}"
    return Bar(text, width, value >= 0, (words, round(left, 1), round(right - left, 1)))


def _pictures(result: Dossier, case: Case, methods: list[str]) -> list[Picture]:
    found = [Picture(pictures.data_uri(pictures.original(case)), "input")]
    found.extend(
        Picture(pictures.data_uri(pictures.heat(case, result.explanations[name].values)), name)
        for name in methods
    )
    for number, members in enumerate(_subsets(result)[:3], start=1):
        caption = f"sufficient subset {number}: {len(members)} of {len(case.features)}"
        found.append(Picture(pictures.data_uri(pictures.subset(case, members)), caption))
    return found


def _subset_words(result: Dossier, labels: Mapping[str, str], picture: bool) -> list[str]:
    sis = result.explanations.get("sis")
    if sis is None:
        return []
    if not sis.details["subsets"]:
        return [str(sis.outcome)]
    words = []
    for members, score in zip(sis.details["subsets"], sis.details["subset_scores"], strict=True):
        names = [labels.get(sis.feature_names[k], sis.feature_names[k]) for k in members]
        listed = f"{len(members)} features" if picture or len(names) > 12 else ", ".join(names)
        words.append(f"{listed}: kept alone, score {score:.3g} (threshold {sis.details['threshold']:.3g})")
    return words


def _agreement(result: Dossier, methods: list[str]) -> list[str]:
    if len(result.feature_names) < 3:
        return []
    values = {name: result.explanations[name].values for name in methods}
    return [f"{a} and {b} {rank_correlation(values[a], values[b]):.2f}" for a, b in combinations(values, 2)]


def _scores(result: Dossier) -> list[tuple[str, str]]:
    """The model's own answer: up to five columns, largest first."""
    if not result.explanations or len(result.outputs) == 0:
        return []
    names = result.output_names
    order = np.argsort(-result.outputs, kind="stable")[:5]
    return [(names[k], f"{result.outputs[k]:.4g}") for k in order]
