"""An Explanation handed to other people's objects; their libraries are imported only here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blackbox.explanation import Explanation


def to_shap(explanation: Explanation) -> Any:
    """Return a ``shap.Explanation`` with the same values, base values, data and names."""
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
