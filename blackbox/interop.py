"""Explanations handed to other people's objects; their libraries are imported only here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from blackbox.errors import RequestError

if TYPE_CHECKING:
    from blackbox.explanation import Explanation


def to_shap(explanation: Explanation) -> Any:
    """Return a ``shap.Explanation`` with the same values, base values, data and names.

    Its ``error_std`` stays empty: shap means the spread of repeated runs by it, not a standard error.
    """
    import shap

    many = explanation.values.ndim == 2
    base = explanation.base_values if many else float(explanation.base_values)
    return shap.Explanation(
        values=explanation.values,
        base_values=base,
        data=explanation.data,
        feature_names=list(explanation.feature_names),
        output_names=list(explanation.output_names) if many else None,
        lower_bounds=explanation.lower_bounds,
        upper_bounds=explanation.upper_bounds,
    )


def columns(explanation: Explanation) -> dict[str, list[Any]]:
    """Return one line per feature and target: feature, target, data, value, bounds where there are any."""
    d, targets = len(explanation.feature_names), explanation.output_names
    table: dict[str, list[Any]] = {
        "feature": [name for name in explanation.feature_names for _ in targets],
        "target": list(targets) * d,
        "data": [held for held in explanation.data for _ in targets],
        "value": np.ravel(explanation.values).tolist(),
    }
    for name in ("lower_bounds", "upper_bounds"):
        bound = getattr(explanation, name)
        if bound is not None:
            table[name.removesuffix("_bounds")] = np.ravel(bound).tolist()
    return table


def to_dataframe(explanation: Explanation) -> Any:
    """Return the same as a ``pandas.DataFrame``.

    Raises
    ------
    RequestError : pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise RequestError("to_dataframe needs pandas: python -m pip install pandas.") from None
    return pd.DataFrame(columns(explanation))


def as_list(explanation: Explanation, target: int = 0) -> list[tuple[str, float]]:
    """Return (feature, value) of one target, the largest size first, as lime does."""
    values = explanation.values if explanation.values.ndim == 1 else explanation.values[:, target]
    order = np.argsort(-np.abs(values), kind="stable")
    return [(explanation.feature_names[k], float(values[k])) for k in order]


def to_html(explanation: Explanation, most: int = 20) -> str:
    """Return a table of the strongest features with their intervals, for notebooks; escaped."""
    wide = explanation.values.reshape(len(explanation.feature_names), -1)
    strongest = np.argsort(-np.abs(wide).max(axis=1), kind="stable")[:most]
    head = "".join(f"<th>{escape(name)}</th>" for name in ("feature", "data", *explanation.output_names))
    lines = []
    for k in strongest:
        cells = [escape(explanation.feature_names[k]), escape(str(explanation.data[k]))]
        cells += [_cell(explanation, int(k), t) for t in range(wide.shape[1])]
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    rest = len(wide) - len(strongest)
    more = f"<p>and {rest} weaker features</p>" if rest else ""
    said = f"{explanation.method}: {explanation.outcome} {explanation.rows:,} forward rows."
    return f"<p>{escape(said)}</p><table><tr>{head}</tr>{''.join(lines)}</table>{more}"


def _cell(explanation: Explanation, k: int, t: int) -> str:
    def one(array: np.ndarray) -> float:
        return float(array.reshape(len(explanation.feature_names), -1)[k, t])

    shown = f"{one(explanation.values):+.4g}"
    if explanation.lower_bounds is None or explanation.upper_bounds is None:
        return shown
    return f"{shown} [{one(explanation.lower_bounds):.4g}, {one(explanation.upper_bounds):.4g}]"


@dataclass(frozen=True)
class Stack:
    """Explanations of several rows by the same features and targets, in order.

    ``values`` : Float[np.ndarray, "n d t"], without t for one target; ``base_values`` : Float["n t"] or "n".
    """

    explanations: Sequence[Explanation]

    def __len__(self) -> int:
        return len(self.explanations)

    @property
    def values(self) -> np.ndarray:
        """Values of all rows."""
        return np.stack([one.values for one in self.explanations])

    @property
    def base_values(self) -> np.ndarray:
        """Base values of all rows."""
        return np.stack([np.asarray(one.base_values) for one in self.explanations])

    def to_shap(self) -> Any:
        """Return one ``shap.Explanation`` of all rows, for beeswarm, bar and heatmap plots."""
        import shap

        first = self.explanations[0]
        held = np.stack([one.data for one in self.explanations])
        with contextlib.suppress(TypeError, ValueError):  # text stays text; shap colours it grey
            held = held.astype(float)
        return shap.Explanation(
            values=self.values, base_values=self.base_values, data=held,
            feature_names=list(first.feature_names),
            output_names=list(first.output_names) if first.values.ndim == 2 else None,
        )  # fmt: skip

    def to_dataframe(self) -> Any:
        """Return all rows as one ``pandas.DataFrame``, with the row's number in the column ``row``."""
        import pandas as pd

        tables = [to_dataframe(one) for one in self.explanations]
        return pd.concat(tables, keys=range(len(tables)), names=["row", None]).reset_index(level=0)


def stack(explanations: Iterable[Explanation]) -> Stack:
    """Gather explanations that belong together, for example those of ``explain_many``.

    Raises
    ------
    RequestError : there are none, or they differ in features or number of targets.

    Examples
    --------
    >>> import blackbox as bb
    >>> found = bb.stack(bb.explain_many(lambda x: x[:, 0] * x[:, 1], [[1.0, 2.0], [3.0, 4.0]]))
    >>> found.values.tolist()
    [[1.0, 1.0], [6.0, 6.0]]
    """
    given = tuple(explanations)
    if not given:
        raise RequestError("There are no explanations to stack.")
    first = given[0]
    for one in given:
        if one.feature_names != first.feature_names or one.values.shape != first.values.shape:
            raise RequestError("Explanations to stack need the same features and number of targets.")
    return Stack(given)
