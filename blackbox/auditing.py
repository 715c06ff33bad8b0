"""audit(): a plan played from its first shard to the sealed bundle, and the bundle as a result to read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackbox.errors import RequestError
from blackbox.watcher import Watcher

if TYPE_CHECKING:  # importing pydantic takes longer than the command line's help may
    from blackbox.checks import Finding
    from blackbox.plan import Plan
    from blackbox.records import Dossier


@dataclass(frozen=True)
class AuditResult:
    """A sealed audit, read from its folder as it is asked for; nothing grows with the number of cases
    but what is asked for whole.
    """

    folder: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The content of manifest.json: counts, digests, runtime and device."""
        found: dict[str, Any] = self._read("manifest.json")
        return found

    @property
    def passed(self) -> bool:
        """No check with ``gate: fail`` failed."""
        return bool(self.manifest["passed"])

    @property
    def report(self) -> Path:
        """The page for people."""
        return self.folder / "report.html"

    @property
    def rows(self) -> int:
        """Forward rows spent on the model, the cases and their checks."""
        return int(self.manifest["rows"])

    @cached_property
    def checks(self) -> dict[str, dict[str, int]]:
        """Check -> status -> how many findings."""
        found: dict[str, dict[str, int]] = self._read("findings.json")["checks"]
        return found

    @cached_property
    def findings(self) -> list[Finding]:
        """Findings about the model and the whole, and every finding about a case that did not pass."""
        from blackbox.checks import Finding

        told = self._read("findings.json")
        return [Finding(**finding) for finding in (*told["general"], *told["cases"])]

    def count(self, status: str) -> int:
        """Return how many findings have a status: passed, warned, failed or skipped."""
        return int(self.manifest["findings"][status])

    def cases(self) -> Iterator[Dossier]:
        """Yield every case and target with all its findings, one after the other."""
        from blackbox.records import dossiers

        with (self.folder / "records.jsonl").open("rb") as file:
            yield from dossiers(file)

    def case(self, name: str) -> Dossier:
        """Return one case by its name (of several targets, the first).

        Raises
        ------
        RequestError : there is no such case.
        """
        found = next((case for case in self.cases() if case.id == name), None)
        if found is None:
            raise RequestError(f"The audit in {self.folder} has no case {name!r}.")
        return found

    def to_dataframe(self) -> Any:
        """Return a ``pandas.DataFrame``, one line per case, target, method and feature.

        Raises
        ------
        RequestError : pandas is not installed.
        """
        from blackbox.evidence.frame import to_dataframe

        return to_dataframe(self.folder / "explanations.parquet")

    def summary(self) -> dict[str, Any]:
        """Return what ``blackbox audit --json`` prints: verdict, counts, open findings, paths."""
        manifest = self.manifest
        keys = ("passed", "cases", "explanations", "rows", "runtime", "device", "tool", "inputs", "records")
        return {
            "schema": "blackbox.audit/1",
            **{key: manifest[key] for key in keys},
            "findings": manifest["findings"],
            "checks": self.checks,
            "open": [vars(finding) for finding in self.findings if finding.status != "passed"],
            "folder": str(self.folder),
            "report": str(self.report),
        }

    def _read(self, name: str) -> Any:
        try:
            return json.loads((self.folder / name).read_bytes())
        except (OSError, ValueError):
            raise RequestError(
                f"{self.folder} is no sealed audit: it has no readable {name}. Run  blackbox audit PLAN -o "
                f"{self.folder}  first."
            ) from None


def audit(
    plan: Plan | Mapping[str, Any] | str | Path,
    folder: Path | str | None = None,
    base: Path | str | None = None,
    workers: int = 1,
    fresh: bool = False,
    baseline: Path | str | None = None,
    watcher: Watcher | None = None,
) -> AuditResult:
    """Play a plan and seal its bundle; an audit that was interrupted goes on where it was.

    Parameters
    ----------
    plan : the path of a plan, or a plan as a mapping or object.
    folder : of the bundle; None = the plan's ``outputs.folder``, or ``audit-NAME`` where one stands.
    base : what the plan's paths are relative to; None = the plan's own folder, or where one stands.
    workers : processes; the result does not depend on it. With more than one, a script needs the usual
        ``if __name__ == "__main__":``. fresh : delete what an interrupted audit left and start anew.
    baseline : folder of an earlier audit to compare with. watcher : who is told how far it has come.

    Raises
    ------
    RequestError : the plan, its files or the folder are not as they must be. ModelError : the model
        cannot be loaded, or answered no question. A method that fails alone is a finding, no error.

    Examples
    --------
    >>> import blackbox as bb
    >>> bb.audit({"model": {"path": "missing.onnx"}, "data": {"path": "rows.csv"}})
    Traceback (most recent call last):
    ...
    blackbox.errors.RequestError: There is no model file missing.onnx.
    """
    from blackbox.campaign import open_campaign
    from blackbox.campaign.workers import play_missing
    from blackbox.plan import as_plan

    path = Path(plan) if isinstance(plan, (str, Path)) else None
    read = load_plan(path) if path is not None else as_plan(plan)
    target = Path(folder) if folder is not None else target_of(read if path is None else path)
    inside = Path(base) if base is not None else path.parent if path is not None else Path()
    earlier = None if baseline is None else Path(baseline)
    campaign = open_campaign(read, inside, target, fresh=fresh, baseline=earlier)
    try:
        play_missing(campaign, workers, watcher)
        campaign.seal()
    finally:
        campaign.close()
    return AuditResult(target)


def load_plan(path: Path) -> Plan:
    """Read a plan; see ``blackbox.plan.load_plan``."""
    from blackbox import plan

    return plan.load_plan(path)


def target_of(plan: Plan | Path, folder: Path | None = None) -> Path:
    """Return the folder of a plan's bundle: the one asked for, the plan's own, or one named after it.

    Named after the plan's file, after its folder where the file is just audit.yaml, or after the model.
    """
    if folder is not None:
        return folder
    read = load_plan(plan) if isinstance(plan, Path) else plan
    if read.outputs.folder is not None:
        return Path(read.outputs.folder)
    if not isinstance(plan, Path):
        return Path(f"audit-{Path(read.model.path).stem}")
    resolved = plan.resolve()
    return Path(f"audit-{resolved.parent.name if resolved.stem == 'audit' else resolved.stem}")
