"""One explanation as a figure: bars for tables, a heat map for pictures; matplotlib is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from blackbox.case import Case
from blackbox.errors import RequestError
from blackbox.explanation import Explanation
from blackbox.files import written
from blackbox.reasons import show
from blackbox.report import pictures

FORMATS = (".png", ".svg", ".pdf")
MOST_BARS = 30
BLUE, ORANGE = "#2166ac", "#ca5820"


def save_plot(explanation: Explanation, case: Case, path: Path) -> None:
    """Draw an explanation and write it; several targets become panels side by side.

    Raises
    ------
    RequestError : the file's suffix is not .png, .svg or .pdf, or the folder does not exist.
    """
    if path.suffix.lower() not in FORMATS:
        raise RequestError(f"--plot writes {', '.join(FORMATS)}; got {path.name!r}.")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    values = explanation.values.reshape(len(explanation.feature_names), -1)
    picture = pictures.is_picture(case)
    height = 3.6 if picture else 1.4 + 0.32 * min(MOST_BARS, len(values))
    width = 3.6 * (values.shape[1] + 1) if picture else 7.2 * values.shape[1]
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, values.shape[1] + picture, squeeze=True))
    if picture:
        _image(panels[0], pictures.original(case), "input")
    for panel, column, name in zip(panels[int(picture) :], values.T, explanation.output_names, strict=True):
        title = f"{explanation.method}: {name}"
        if picture:
            _image(panel, pictures.heat(case, np.nan_to_num(column)), title)
        else:
            _bars(panel, explanation, column, title)
    # the salt names SVG elements the same way every time
    with written(path) as temporary, rc_context({"svg.hashsalt": "blackbox"}):
        figure.savefig(temporary, dpi=150, format=path.suffix[1:].lower(), metadata=_undated(path))


def _undated(path: Path) -> dict[str, None]:
    """Leave the date out, so that the same explanation gives the same bytes."""
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower(), {})


def _image(panel: Any, pixels: np.ndarray, title: str) -> None:
    panel.imshow(pixels, interpolation="nearest")
    panel.set_title(title, fontsize=10)
    panel.set_axis_off()


def _bars(panel: Any, explanation: Explanation, column: np.ndarray, title: str) -> None:
    """Draw the strongest features, strongest on top; what is left out is said in the axis label."""
    held = zip(explanation.feature_names, explanation.data, strict=True)
    rest = bars(panel, [f"{name} = {show(value)}" for name, value in held], column, MOST_BARS)
    panel.set_xlabel(
        f"value ({explanation.scale} scale)" + (f"; {rest} weaker ones not drawn" if rest else "")
    )
    panel.set_title(title, fontsize=10)


def bars(panel: Any, names: Sequence[str], column: np.ndarray, most: int) -> int:
    """Draw the ``most`` strongest values, strongest on top, and return how many are left out.

    Parameters
    ----------
    panel : matplotlib Axes. names : one per value. column : Float[np.ndarray, "d"], NaN = nothing.
    """
    order = np.argsort(-np.abs(np.nan_to_num(column)), kind="stable")[:most][::-1]
    colours = [BLUE if column[k] >= 0 else ORANGE for k in order]
    panel.barh(range(len(order)), np.nan_to_num(column[order]), color=colours)
    panel.set_yticks(range(len(order)), [names[k].replace("$", r"\$") for k in order], fontsize=8)
    panel.axvline(0, color="0.4", linewidth=0.8)
    panel.spines[["top", "right", "left"]].set_visible(False)
    return len(column) - len(order)
