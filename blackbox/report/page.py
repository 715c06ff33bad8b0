"""The report: one self-contained HTML page about an audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from blackbox.audit import AuditResult, CaseResult
from blackbox.explanation import Explanation, Outcome
from blackbox.numerics.ranks import rank_correlation
from blackbox.reasons import show
from blackbox.report import pictures
from blackbox.report.templating import fill

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


def render(result: AuditResult) -> str:
    """Return the page; everything that came from outside is escaped."""
    return fill("audit.html", _context(result))


def _context(result: AuditResult) -> dict[str, Any]:
    from blackbox import __version__

    identity = result.materials.model.identity
    return {
        "version": __version__,
        "result": result,
        "identity": identity,
        "source": identity.source.replace("\\", "/").rsplit("/", 1)[-1],
        "features": result.cases[0].case.features,
        "methods": {name: dict(settings) for name, settings in result.plan.methods.items()},
        "summary": _by_check(result),
        "overall": _overall(result),
        "cases": [_case(case, result.materials.labels) for case in result.cases],
        "signs": SIGNS,
        "rows_if_alone": sum(e.rows for case in result.cases for e in case.explanations.values()),
    }


def _by_check(result: AuditResult) -> list[dict[str, Any]]:
    """Count the findings of every check, and keep the sentences of those that did not pass."""
    table = []
    for name in dict.fromkeys(finding.check for finding in result.findings):
        mine = [finding for finding in result.findings if finding.check == name]
        counts = {status: sum(f.status == status for f in mine) for status in SIGNS}
        worst = "failed" if counts["failed"] else "warned" if counts["warned"] else "passed"
        table.append(
            {"name": name.replace("_", " "), "counts": counts, "worst": worst,
             "open": [f for f in mine if f.status == worst != "passed"][:2],
             "more": max(0, counts["failed"] + counts["warned"] - 2), "example": mine[0].sentence}
        )  # fmt: skip
    return table


def _overall(result: AuditResult) -> list[Line]:
    """Mean size of every feature's value over the cases, per method; tables with equal features only."""
    first = result.cases[0]
    names = first.case.features.names
    if pictures.is_picture(first.case) or len(result.cases) < 2:
        return []
    columns = {}
    for method in _valued(first):
        found = [c.explanations[method].values for c in result.cases if method in _valued(c)]
        columns[method] = np.mean(np.abs(found), axis=0)
    held = [""] * len(names)
    return _lines(columns, names, held, result.materials.labels, [])


def _valued(case: CaseResult) -> list[str]:
    """Names of the methods that gave every feature a number of its own."""
    return [
        name
        for name, e in case.explanations.items()
        if name != "sis" and e.outcome is not Outcome.FLAT and np.isfinite(e.values).all()
    ]


def _case(result: CaseResult, labels: Mapping[str, str]) -> dict[str, Any]:
    picture = pictures.is_picture(result.case)
    methods = _valued(result)
    any_explanation = next(iter(result.explanations.values()), None)
    lines: list[Line] = []
    if any_explanation is not None and not picture:
        columns = {name: result.explanations[name].values for name in methods}
        held = [labels.get(str(value), show(value)) for value in any_explanation.data]
        bounds = {name: _bounds(result.explanations[name]) for name in methods}
        lines = _lines(columns, any_explanation.feature_names, held, labels, _subsets(result), bounds)
    status = {s: sum(f.status == s for f in result.findings) for s in SIGNS}
    return {
        "result": result,
        "raw": next((e for e in result.explanations.values() if e.scale == "raw"), any_explanation),
        "status": "failed" if status["failed"] else "warned" if status["warned"] else "passed",
        "methods": methods,
        "lines": lines[:SHOWN],
        "more": lines[SHOWN:],
        "pictures": _pictures(result, methods) if picture else [],
        "subsets": _subset_words(result, labels, picture),
        "agreement": _agreement(result, methods),
        "second_order": [
            str(e.details["second_order_text"])
            for e in result.explanations.values()
            if "second_order_text" in e.details
        ],
        "scores": _scores(result),
    }


def _subsets(result: CaseResult) -> list[list[int]]:
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


def _pictures(result: CaseResult, methods: list[str]) -> list[Picture]:
    case = result.case
    found = [Picture(pictures.data_uri(pictures.original(case)), "input")]
    found.extend(
        Picture(pictures.data_uri(pictures.heat(case, result.explanations[name].values)), name)
        for name in methods
    )
    for number, members in enumerate(_subsets(result)[:3], start=1):
        caption = f"sufficient subset {number}: {len(members)} of {len(case.features)}"
        found.append(Picture(pictures.data_uri(pictures.subset(case, members)), caption))
    return found


def _subset_words(result: CaseResult, labels: Mapping[str, str], picture: bool) -> list[str]:
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


def _agreement(result: CaseResult, methods: list[str]) -> list[str]:
    if len(result.case.features) < 3:
        return []
    values = {name: result.explanations[name].values for name in methods}
    return [f"{a} and {b} {rank_correlation(values[a], values[b]):.2f}" for a, b in combinations(values, 2)]


def _scores(result: CaseResult) -> list[tuple[str, str]]:
    """The model's own answer: up to five columns, largest first."""
    e: Explanation | None = next(iter(result.explanations.values()), None)
    if e is None or len(result.outputs) == 0:
        return []
    names = result.case.output_names()
    order = np.argsort(-result.outputs, kind="stable")[:5]
    return [(names[k], f"{result.outputs[k]:.4g}") for k in order]
