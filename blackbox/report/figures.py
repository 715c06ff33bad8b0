"""Figures of an audit as SVG files that have the same bytes every time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from blackbox.records import Dossier
from blackbox.report.page import Told
from blackbox.report.plot import bars

MOST_CASES = 4
"""Cases that get a figure of their own: drawing one takes a quarter of a second."""

MOST_BARS = 15


def draw(told: Told) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents: the mean sizes over all cases, and the first cases one by one.

    The method is the one that the reasons speak of, else the first that gives every feature a number.
    """
    means = told.tally.means()
    method = next((m for m in (_asked(told), *means) if m in means), None)
    if method is not None and told.tally.features is not None and told.tally.cases > 1:
        yield "overall.svg", _overall(told, method, means[method])
    for dossier in told.tally.shown[:MOST_CASES]:
        explanation = dossier.explanations.get(method or "")
        if explanation is not None and np.isfinite(explanation.values).all():
            yield f"case-{dossier.number:06d}.svg", _one(told, dossier, method or "")


def _asked(told: Told) -> str:
    return told.plan.reasons.method if told.plan.reasons else "kernelshap"


def _overall(told: Told, method: str, means: np.ndarray) -> bytes:
    names = [told.materials.labels.get(name, name) for name in told.tally.features or ()]
    title = f"{method}: mean size over {told.tally.cases:,} cases"
    return _svg(names, means, title)


def _one(told: Told, dossier: Dossier, method: str) -> bytes:
    explanation = dossier.explanations[method]
    names = [told.materials.labels.get(name, name) for name in explanation.feature_names]
    return _svg(names, explanation.values, f"{dossier.id}: {method} for {dossier.target}")


def _svg(names: list[str], values: np.ndarray, title: str) -> bytes:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    height = 1.2 + 0.3 * min(MOST_BARS, len(values))
    figure = Figure(figsize=(7.2, height), layout="constrained")
    panel: Any = figure.subplots()
    left = bars(panel, names, values, MOST_BARS)
    panel.set_xlabel("value" + (f"; {left} weaker ones not drawn" if left else ""))
    panel.set_title(title.replace("$", r"\$"), fontsize=10)
    file = io.BytesIO()
    # the salt names SVG elements the same way every time; without a date the same figure has the same bytes
    with rc_context({"svg.hashsalt": "blackbox"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
