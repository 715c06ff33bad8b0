"""The record: what was asked, what came out, how sure it is and what it cost."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from blackbox.errors import RequestError

SCHEMA = "blackbox.explanation/1"


class Outcome(Enum):
    """How a method ended; the value is the sentence a person reads."""

    DONE = "The explanation is complete."
    EXACT = "Every coalition was asked: the values are exact."
    NO_SUBSET = "No sufficient subset: the score of the whole input is below the threshold."
    UNINFORMATIVE = (
        "The fully hidden input already passes the threshold, so no feature is needed: "
        "choose another background (the mean, a blur, or rows of other inputs) or a stricter threshold."
    )
    BUDGET_SPENT = (
        "The budget ended the search: every subset reported suffices, but the last may be reducible "
        "and further ones may exist."
    )
    FLAT = (
        "The model does not change in proportion to a small step (flat pieces, as in tree "
        "ensembles or saturated outputs), so it has no derivatives to report: "
        "use a method that hides features instead (occlusion, kernelshap, lime or sis), or ask for the "
        "derivatives of a smoothed surrogate."
    )
    SATURATED = (
        "The probability of the target is so close to 1 that float32 cannot show how it changes: "
        "derivatives need the model's logits. Name the output that holds them, or use a method that "
        "hides features instead."
    )
    UNRESOLVED = (
        "The curvature of the logits is above the noise but could not be told from the kinks: the values "
        "use the curvature of the softmax alone, and details say how large the missing part may be."
    )
    NOT_CONVERGED = "The solver did not converge within its iterations: raise them and ask again."
    SECOND_ORDER = (
        "Every question asked agrees with interactions of at most two features, for which the values are "
        "exact."
    )
    REACHED = "The explanation is complete: its intervals are within the tolerance."
    SPENT = (
        "The budget ended before the intervals were within the tolerance; the details forecast how many "
        "masks that takes."
    )
    POOR_FIT = (
        "The linear model does not describe the score around this input: its R2 is below the level asked, so "
        "read the values as a summary at the most."
    )
    CONSTANT = "The score did not change in any question that was asked: every value is zero."

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, eq=False)
class Explanation:
    """One answer of one method.

    With d features and t targets; arrays lose their last axis when one target was asked.

    values : Float[np.ndarray, "d t"], positive = supports the target; NaN where a method has no
        value to report (null in JSON).
    base_values, full_values : Float[np.ndarray, "t"], score of the fully hidden input, and of the
        input itself.
    feature_names, output_names : d and t names.
    data : Object[np.ndarray, "d"], what the input holds in each feature.
    lower_bounds, upper_bounds : as ``values``; None where the method has no interval.
    rows : forward rows, counted as if the method had run alone; rows_shared : how many of them
        memory saved.
    outcome : how the method ended. details : method-specific arrays and lists, see its docstring.
    method, settings, seed, scale : what was asked. provenance : model, features, background,
        rows per run and the kind of output, as plain JSON.
    """

    method: str
    settings: Mapping[str, Any]
    values: np.ndarray
    base_values: np.ndarray | np.float64
    full_values: np.ndarray | np.float64
    feature_names: tuple[str, ...]
    output_names: tuple[str, ...]
    data: np.ndarray
    rows: int
    rows_shared: int
    outcome: Outcome
    details: Mapping[str, Any] = field(default_factory=dict)
    lower_bounds: np.ndarray | None = None
    upper_bounds: np.ndarray | None = None
    scale: str = "raw"
    seed: int = 0
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self, indent: int | None = None) -> str:
        """Return the record as JSON text; ``from_json`` reads it back."""
        record: dict[str, Any] = {"schema": SCHEMA}
        for item in dataclasses.fields(self):
            record[item.name] = _plain(getattr(self, item.name))
        record["outcome_text"] = str(self.outcome)
        record["detail_arrays"] = {
            name: str(value.dtype) for name, value in self.details.items() if isinstance(value, np.ndarray)
        }
        return json.dumps(record, indent=indent, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Explanation:
        """Read a record written by ``to_json``.

        Raises
        ------
        RequestError : the text is not such a record.
        """
        try:
            record = json.loads(text)
            if record["schema"] != SCHEMA:
                raise RequestError(f"The record's schema is {record['schema']!r}, not {SCHEMA!r}.")
            return cls(**_fields(record))
        except (KeyError, TypeError, ValueError) as error:
            raise RequestError(f"This is no explanation record: {error!r}.") from None

    def to_shap(self) -> Any:
        """Return a ``shap.Explanation``, so that shap's plots work; shap is imported here.

        Shapes follow shap: values "d" or "d t", base_values scalar or "t".
        """
        from blackbox.interop import to_shap

        return to_shap(self)

    def to_dataframe(self) -> Any:
        """Return a ``pandas.DataFrame``, one line per feature and target; pandas is imported here."""
        from blackbox.interop import to_dataframe

        return to_dataframe(self)

    def as_list(self, target: int = 0) -> list[tuple[str, float]]:
        """Return (feature, value) pairs of one target, the largest size first."""
        from blackbox.interop import as_list

        return as_list(self, target)

    def _repr_html_(self) -> str:
        from blackbox.interop import to_html

        return to_html(self)

    def __repr__(self) -> str:
        targets = ", ".join(self.output_names)
        return f"<Explanation {self.method}: {len(self.feature_names)} features, {targets}; {self.rows} rows>"


def _plain(value: Any) -> Any:
    """Turn arrays, tuples, enumerations and settings into what JSON can say."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.generic):
        return _plain(value.item())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {type(value).__name__.lower(): _plain(dataclasses.asdict(value))}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _fields(record: Mapping[str, Any]) -> dict[str, Any]:
    """Undo ``_plain`` for the fields that are not plain."""
    known = {item.name for item in dataclasses.fields(Explanation)}
    fields = {name: value for name, value in record.items() if name in known}
    for name in ("values", "base_values", "full_values", "lower_bounds", "upper_bounds"):
        missing = fields[name] is None and name.endswith("bounds")
        fields[name] = None if missing else np.array(fields[name], dtype=float)[()]
    fields["data"] = _objects(fields["data"])
    fields["outcome"] = Outcome[fields["outcome"]]
    fields["feature_names"] = tuple(fields["feature_names"])
    fields["output_names"] = tuple(fields["output_names"])
    arrays = record["detail_arrays"]
    fields["details"] = {
        name: np.array(value, dtype=arrays[name]) if name in arrays else value
        for name, value in fields["details"].items()
    }
    return fields


def _objects(values: list[Any]) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
