"""An audit as an assertion: it passes, or the test says which check did not hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import blackbox as bb

MOST = 12
"""Findings that a failure quotes; the report has them all."""


def assert_audit_passes(
    plan: str | Path | Mapping[str, Any] | bb.AuditResult,
    folder: str | Path | None = None,
    baseline: str | Path | None = None,
    workers: int = 1,
) -> bb.AuditResult:
    """Play an audit and fail the test unless every check with ``gate: fail`` holds.

    Parameters
    ----------
    plan : the path of a plan, a plan as a mapping, or an audit that was played already.
    folder, baseline, workers : as for ``bb.audit``: where the bundle is written, an earlier bundle to
        compare with, processes.

    Returns
    -------
    the audit, for further assertions

    Raises
    ------
    AssertionError : a gate failed; the message quotes what did not hold and names the report.
    """
    __tracebackhide__ = True
    import blackbox as bb

    if isinstance(plan, bb.AuditResult):
        result = plan
    else:
        result = bb.audit(plan, folder=folder, baseline=baseline, workers=workers)
    if not result.passed:
        raise AssertionError(told(result))
    return result


def told(result: bb.AuditResult) -> str:
    """Return what a failed audit found, one line per finding that a gate does not allow."""
    failed = [finding for finding in result.findings if finding.status == "failed"]
    lines = [f"  {finding.check}, {finding.case}: {finding.sentence}" for finding in failed[:MOST]]
    if len(failed) > MOST:
        lines.append(f"  ... and {len(failed) - MOST} more")
    head = f"The audit did not pass: {len(failed)} failed findings in {result.manifest['cases']} cases."
    return "\n".join([head, *lines, f"  report: {result.report}"])
