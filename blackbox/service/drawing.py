"""An explanation as the page shows it: bars or pictures, subsets in words, and what it cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from blackbox.case import Case
from blackbox.explanation import Explanation
from blackbox.reasons import show
from blackbox.report import pictures

SHOWN = 14
"""Features shown at once; the others unfold."""


@dataclass(frozen=True)
class Line:
    """One feature: its name for people, what the input holds, its value, and its bar.

    width : in percent of half the cell. interval : in words, and as (left, width) in percent of the
    whole cell; None where there is none.
    """

    label: str
    held: str
    text: str
    width: float
    positive: bool
    interval: tuple[str, float, float] | None


@dataclass(frozen=True)
class Picture:
    """One picture with its caption."""

    source: str
    caption: str


def drawn(case: Case, explanation: Explanation, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return what the page's template needs of one explanation of one target."""
    picture = pictures.is_picture(case)
    lines = [] if picture else _lines(explanation, labels)
    outputs, names = case.answers[0][0], case.output_names()
    order = np.argsort(-outputs, kind="stable")[:5]
    return {
        "explanation": explanation,
        "target": explanation.output_names[0],
        "answer": [(names[k], f"{outputs[k]:.4g}") for k in order],
        "lines": lines[:SHOWN],
        "more": lines[SHOWN:],
        "pictures": _pictures(case, explanation) if picture else [],
        "subsets": _subsets(explanation, labels, picture),
        "background": case.background.rule,
        "features": case.features.rule,
        "record": json.dumps(json.loads(explanation.to_json()), indent=1, ensure_ascii=False),
    }


def _lines(e: Explanation, labels: Mapping[str, str]) -> list[Line]:
    """One line per feature, largest first; a value that is not reported comes last."""
    sizes = np.abs(np.nan_to_num(e.values))
    top = float(sizes.max()) or 1.0
    found = []
    for k in np.argsort(-sizes, kind="stable"):
        value = float(e.values[k])
        ends = (
            None
            if e.lower_bounds is None or e.upper_bounds is None
            else (e.lower_bounds[k], e.upper_bounds[k])
        )
        text = "none" if np.isnan(value) else f"{value:+.3g}" if value else "0"
        held = labels.get(str(e.data[k]), show(e.data[k]))
        name = labels.get(e.feature_names[k], e.feature_names[k])
        width = round(100 * float(sizes[k]) / top, 1)
        found.append(Line(name, held, text, width, value >= 0, _interval(ends, top)))
    return found


def _interval(ends: tuple[float, float] | None, top: float) -> tuple[str, float, float] | None:
    if ends is None or not np.isfinite(ends).all():
        return None
    left, right = (float(np.clip(50 + 50 * end / top, 0, 100)) for end in ends)
    return f"between {ends[0]:+.3g} and {ends[1]:+.3g}", round(left, 1), round(right - left, 1)


def _pictures(case: Case, e: Explanation) -> list[Picture]:
    found = [Picture(pictures.data_uri(pictures.original(case)), "input")]
    if e.method != "sis":
        heat = pictures.heat(case, np.nan_to_num(e.values))
        found.append(Picture(pictures.data_uri(heat), f"{e.method}, for {e.output_names[0]}"))
    for number, members in enumerate(e.details.get("subsets", [])[:3], start=1):
        caption = f"sufficient subset {number}: {len(members)} of {len(case.features)}"
        found.append(Picture(pictures.data_uri(pictures.subset(case, members)), caption))
    return found


def _subsets(e: Explanation, labels: Mapping[str, str], picture: bool) -> list[str]:
    words = []
    for members, score in zip(e.details.get("subsets", []), e.details.get("subset_scores", []), strict=False):
        names = [labels.get(e.feature_names[k], e.feature_names[k]) for k in members]
        listed = f"{len(members)} features" if picture or len(names) > 12 else ", ".join(names)
        words.append(
            f"{listed}: kept alone, score {float(score):.3g} (threshold {e.details['threshold']:.3g})"
        )
    return words
