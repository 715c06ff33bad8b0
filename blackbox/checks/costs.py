"""What checks cost, in forward rows, as their docstrings declare it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blackbox.methods import METHODS

FREE = (
    "omission", "outcomes", "additivity", "sufficiency", "agreement", "local_fit", "protected", "background",
    "scaffolding", "randomisation", "protected_share", "drift",
)  # fmt: skip
"""Checks that ask the model nothing about a single case."""


def per_case(check: Any, asked: Mapping[str, int], d: int, background: int) -> int | None:
    """Return the rows of a check of one case at the most, None where they are not known.

    Parameters
    ----------
    asked : method -> its rows for one case. d : features; background : its rows.
    """
    hiding = [name for name in asked if METHODS[name].scale == "raw"]
    if check.name == "determinism":
        return 2 + 1 + background
    if check.name == "stability":
        return sum(rows for name, rows in asked.items() if name in ("lime", "kernelshap", "rise"))
    if check.name == "sensitivity":
        return int(check.draws) * sum(asked[name] for name in hiding if name != "sis")
    if check.name == "manifold":
        return max(2 * d, check.masks or 4 * d + 32) * min(int(check.rows), background)
    per_mask = {
        "fidelity": 2 * len(hiding), "curves": 2 * getattr(check, "steps", 0) * len(hiding),
        "erasure": 10 * len(hiding), "correlation": getattr(check, "subsets", 0),
        "infidelity": getattr(check, "subsets", 0),
    }  # fmt: skip
    if check.name in per_mask:
        return per_mask[check.name] * background
    return 0 if check.name in FREE else None


def once(check: Any, rows: int, d: int, background: int) -> int:
    """Return the rows of a check before the cases at the most.

    Parameters
    ----------
    rows : inputs to explain; d : features; background : its rows.
    """
    if check.name == "determinism" and check.devices is not None:
        return 2 * min(rows, 64)
    if check.name == "background":
        return min(rows, int(check.inputs)) + background
    if check.name == "scaffolding":
        return 4 * d * min(rows, int(check.inputs))
    if check.name == "randomisation":
        return (
            (1 + int(check.draws)) * min(rows, int(check.inputs)) * (d + 1) * min(int(check.rows), background)
        )
    return 0
