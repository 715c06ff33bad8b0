"""Findings: what must hold before an explanation is trusted, each with a formula and a threshold."""

from blackbox.checks.faithfulness import Correlation, Curves, Erasure
from blackbox.checks.finding import (
    AUDIT,
    MODEL,
    Check,
    Context,
    Examiner,
    Finding,
    Reviewer,
    Study,
    Subject,
    Surveyor,
)
from blackbox.checks.quality import Additivity, Agreement, Fidelity, LocalFit, Stability, Sufficiency
from blackbox.checks.trust import Determinism, Omission, Outcomes, Protected

__all__ = [
    "AUDIT", "CHECKS", "DEFAULT", "MODEL", "Check", "Context", "Examiner", "Finding", "Reviewer", "Study",
    "Subject", "Surveyor",
]  # fmt: skip

CHECKS: dict[str, type[Check]] = {
    "determinism": Determinism,
    "omission": Omission,
    "outcomes": Outcomes,
    "additivity": Additivity,
    "sufficiency": Sufficiency,
    "fidelity": Fidelity,
    "agreement": Agreement,
    "local_fit": LocalFit,
    "stability": Stability,
    "curves": Curves,
    "erasure": Erasure,
    "correlation": Correlation,
    "protected": Protected,
}

DEFAULT = tuple(name for name in CHECKS if name not in ("protected", "curves", "erasure", "correlation"))
"""What an audit checks unless its plan says otherwise: ``protected`` needs to be told the names, and the
three that ask the model about every method's ranking cost passes."""
