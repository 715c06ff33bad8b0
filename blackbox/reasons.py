"""Principal reasons in words: what counted most for and against the target."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from blackbox.explanation import Explanation


@dataclass(frozen=True)
class Reason:
    """One feature that counted: its name for people, what the input holds, and its value."""

    feature: str
    label: str
    held: Any
    value: float

    @property
    def sentence(self) -> str:
        """One line such as ``yearly income (24000): +0.12``."""
        return f"{self.label} ({show(self.held)}): {self.value:+.3g}"


@dataclass(frozen=True)
class Reasons:
    """The strongest reasons in each direction, strongest first.

    decision : the principal reasons for an adverse decision, as ``decisions.Decision.to_dict`` gives them;
    None where the plan names no favourable output.
    """

    target: str
    method: str
    supporting: tuple[Reason, ...]
    opposing: tuple[Reason, ...]
    decision: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the reasons as plain JSON, with their sentences."""
        told = dataclasses.asdict(self)
        for side in ("supporting", "opposing"):
            for reason, written in zip(getattr(self, side), told[side], strict=True):
                written["sentence"] = reason.sentence
        return told


def principal(explanation: Explanation, count: int, labels: Mapping[str, str]) -> Reasons:
    """Take the ``count`` strongest positive and negative values of a one-target explanation."""
    reasons = [
        Reason(name, labels.get(name, name), labels.get(str(held), held), float(value))
        for name, held, value in zip(
            explanation.feature_names, explanation.data, explanation.values, strict=True
        )
    ]
    order = [reasons[k] for k in np.argsort(-np.abs(explanation.values), kind="stable")]
    supporting = tuple(reason for reason in order if reason.value > 0)[:count]
    opposing = tuple(reason for reason in order if reason.value < 0)[:count]
    return Reasons(explanation.output_names[0], explanation.method, supporting, opposing)


def show(value: Any) -> str:
    """Write what an input holds as a person would: whole numbers without a fraction."""
    if isinstance(value, float):
        return f"{value:,.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:,.4g}"
    return str(value)
