"""The published picture for one's own model: impact against confidence; matplotlib is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from blackbox.files import written
from blackbox.impact import HessianImpact

BLUE, ORANGE, GREY = "#2166ac", "#ca5820", "0.45"
FORMS = {
    "closed-form": (BLUE, "closed form"),
    "finite-difference": (ORANGE, "finite differences"),
    "mixed": ("#5aae61", "both terms"),
}


def save_impact(found: HessianImpact, path: Path) -> None:
    """Draw every input as a point and the median of every band of confidence as a line.

    The second panel shows what explains it: how far the leading eigenvector runs along the gradient.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    told = [point for point in found.told() if not np.isnan(point.probability)]
    if not told:
        _bare(left, right, found)
    else:
        _against_confidence(left, found, told)
        _against_alignment(right, told)
    figure.suptitle(
        f"Hessian impact on {found.model}: {len(found.told())} of {len(found.points)} inputs, "
        f"lambda2 = {found.lambda2:g} of the largest eigenvalue",
        fontsize=11,
    )
    with written(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def _against_confidence(panel: Any, found: HessianImpact, told: list[Any]) -> None:
    for form, (colour, label) in FORMS.items():
        some = [point for point in told if point.hessian == form]
        if some:
            x, y = [p.probability for p in some], [p.difference for p in some]
            panel.scatter(x, y, s=22, color=colour, alpha=0.65, linewidths=0, label=f"{label} ({len(some)})")
    for low, high, count, median in found.bands():
        # a band of one or two inputs has no median worth a line
        if count > 2:
            panel.plot([low, high], [median, median], color="0.1", linewidth=1.8, solid_capstyle="butt")
    panel.plot([], [], color="0.1", linewidth=1.8, label="median of a band")
    panel.set_xlim(max(0.0, min(p.probability for p in told) - 0.05), 1.01)
    panel.set_ylim(0, max(0.05, 1.08 * max(p.difference for p in told)))
    panel.set_xlabel("probability of the target")
    panel.set_ylabel("difference of CASO's and CAFO's directions")
    panel.set_title("0 = the second order changes nothing", fontsize=9, color=GREY)
    panel.legend(frameon=False, fontsize=8, loc="best")
    _clean(panel)


def _against_alignment(panel: Any, told: list[Any]) -> None:
    colours = [FORMS.get(p.hessian, (GREY, ""))[0] for p in told]
    panel.scatter(
        [p.cosine for p in told], [p.difference for p in told], s=22, color=colours, alpha=0.65, linewidths=0
    )
    panel.set_xlim(-0.02, 1.02)
    panel.set_ylim(0, max(0.05, 1.08 * max(p.difference for p in told)))
    panel.set_xlabel("cosine of the leading eigenvector and the gradient")
    panel.set_title("1 = the Hessian's first direction is the gradient's", fontsize=9, color=GREY)
    _clean(panel)


def _bare(left: Any, right: Any, found: HessianImpact) -> None:
    """A regression has no confidence, and a flat model no figures: say so, and draw what there is."""
    told = found.told()
    right.set_axis_off()
    if not told:
        left.set_axis_off()
        left.text(0, 0.5, found.sentence, wrap=True)
        return
    left.hist([point.difference for point in told], bins=20, color=BLUE)
    left.set_xlabel("difference of CASO's and CAFO's directions")
    left.set_ylabel("inputs")
    _clean(left)


def _clean(panel: Any) -> None:
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(alpha=0.25, linewidth=0.6)
    panel.set_axisbelow(True)
