"""Findings: what must hold before an explanation is trusted, each with a formula and a threshold."""

from blackbox.checks.again import Sensitivity, Stability
from blackbox.checks.drift import Drift, context_of
from blackbox.checks.faithfulness import Correlation, Curves, Erasure, Infidelity
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
from blackbox.checks.manifold import Manifold, Scaffolding
from blackbox.checks.material import BackgroundCheck, Randomisation
from blackbox.checks.protected import Protected, ProtectedShare
from blackbox.checks.quality import Additivity, Agreement, Fidelity, LocalFit, Sufficiency
from blackbox.checks.trust import Determinism, Omission, Outcomes

__all__ = [
    "AUDIT", "CHECKS", "DEFAULT", "MODEL", "Check", "Context", "Drift", "Examiner", "Finding", "Reviewer",
    "Study", "Subject", "Surveyor", "context_of",
]  # fmt: skip

CHECKS: dict[str, type[Check]] = {
    "determinism": Determinism,
    "background": BackgroundCheck,
    "scaffolding": Scaffolding,
    "randomisation": Randomisation,
    "omission": Omission,
    "outcomes": Outcomes,
    "additivity": Additivity,
    "sufficiency": Sufficiency,
    "fidelity": Fidelity,
    "agreement": Agreement,
    "local_fit": LocalFit,
    "stability": Stability,
    "sensitivity": Sensitivity,
    "curves": Curves,
    "erasure": Erasure,
    "correlation": Correlation,
    "infidelity": Infidelity,
    "manifold": Manifold,
    "protected": Protected,
    "protected_share": ProtectedShare,
    "drift": Drift,
}

DEFAULT = (
    "determinism", "background", "omission", "outcomes", "additivity", "sufficiency", "fidelity", "agreement",
    "local_fit", "stability",
)  # fmt: skip
"""What an audit checks unless its plan says otherwise. ``protected`` and ``protected_share`` need to be told
names, ``drift`` an earlier audit, and the others cost passes that a plan should ask for."""
