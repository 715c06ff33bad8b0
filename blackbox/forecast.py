"""What an audit will cost, before it is played: rows as the methods declare them, time from a probe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from blackbox import methods
from blackbox.checks import costs
from blackbox.examination import examine
from blackbox.materials import Materials, gather
from blackbox.plan import Plan
from blackbox.score import Ledger, forward
from blackbox.study import metered, probe_cost
from blackbox.watcher import Watcher

PROBE_SECONDS = 0.3
"""Passes are timed for about so long; the first case is then played for as many rows as fit PILOT_SECONDS."""

PILOT_SECONDS = 2.0

FEW = 64
"""Rows of each of the two passes that are timed where passes may cost money; no case is played then."""

RECORD = 1500
"""Bytes of a record beside its values: names, settings, provenance."""


@dataclass(frozen=True)
class Question:
    """What costs depend on: d features, B background rows, columns of a table or not, cells of the input."""

    d: int
    background: int
    table: bool
    cells: int


@dataclass(frozen=True)
class Forecast:
    """What a plan costs at the most, shared passes not subtracted.

    cases : with targets. methods, checks : name -> rows per case, None where it is not known; for ``sis``
    without a budget the rows of two subsets; ``reasons`` as if every decision were adverse. once : rows of
    the probe and the checks before the cases, and of selecting whom to compare with. budget : rows that
    each case may spend. case_seconds : measured on the first case, as far as a short budget of rows went.
    rows_per_run : by rule. probed : rows spent on finding out. memory : bytes of one process, as measured
    after that, with room for remembered masks. disk : bytes of the bundle.
    """

    cases: int
    methods: Mapping[str, int]
    checks: Mapping[str, int | None]
    once: int
    budget: int | None
    case_seconds: float
    rows_per_run: int
    probed: int
    memory: int
    disk: int

    @property
    def rows_per_case(self) -> int:
        """Forward rows of one case and target at the most."""
        asked = sum(self.methods.values()) + sum(rows or 0 for rows in self.checks.values())
        return asked if self.budget is None else min(asked, self.budget)

    @property
    def rows(self) -> int:
        """Forward rows of all cases at the most."""
        return self.once + self.cases * self.rows_per_case

    @property
    def passes(self) -> int:
        """Forward passes if every one were full."""
        return -(-self.rows // self.rows_per_run)

    def seconds(self, workers: int = 1) -> float:
        """Return the time of all cases, if processes do not slow each other down."""
        return self.cases * self.case_seconds / max(1, workers)

    def to_dict(self, workers: int = 1) -> dict[str, Any]:
        """Return the forecast as plain JSON."""
        return {
            "schema": "blackbox.forecast/1", "cases": self.cases, "rows": self.rows, "passes": self.passes,
            "rows_per_case": self.rows_per_case, "methods": dict(self.methods), "checks": dict(self.checks),
            "rows_once": self.once,
            "seconds_per_case": round(self.case_seconds, 4), "rows_per_run": self.rows_per_run,
            "seconds": round(self.seconds(workers), 1), "workers": workers, "rows_probed": self.probed,
            "memory_bytes": self.memory * workers, "disk_bytes": self.disk,
        }  # fmt: skip

    def lines(self, workers: int = 1) -> list[str]:
        """Return the forecast in words."""
        unknown = [name for name, rows in self.checks.items() if rows is None]
        parts = ", ".join(f"{name} {rows:,}" for name, rows in self.methods.items())
        checks = sum(rows or 0 for rows in self.checks.values())
        how = f" in {workers} processes" if workers > 1 else ""
        memory, disk = self.memory * workers / 2**20, self.disk / 2**20
        told = [
            f"{self.cases:,} cases, at most {self.rows_per_case:,} rows each: {parts}; checks {checks:,}",
            f"{self.once:,} rows before the first case",
            f"{self.rows:,} forward rows at most (shared ones included), {self.passes:,} passes",
            f"about {_duration(self.seconds(workers))}{how}, by the first case",
            f"about {memory:,.0f} MiB of memory, and {disk:,.1f} MiB on disk",
            f"{self.probed:,} rows were spent on finding out",
        ]
        return [*told, f"not counted: {', '.join(unknown)}"] if unknown else told


def forecast(plan: Plan, folder: Path) -> Forecast:
    """Open what a plan names, time a few passes, and add up what its methods may cost.

    Raises
    ------
    RequestError, ModelError : as the audit itself would.
    """
    materials = gather(plan, folder)
    cases = len(materials.positions(plan.data)) * len(plan.target_list())
    question = _question(plan, materials)
    asked = {name: rows_of(method, question) for name, (method, _) in plan.parsed_methods().items()}
    d, background, played = question.d, question.background, plan.parsed_checks()
    checks = {check.name: costs.per_case(check, asked, d, background) for check in played}
    positions = len(materials.positions(plan.data))
    once = materials.asked + probe_cost(plan, materials.model, positions)
    once += sum(costs.once(check, positions, d, background) for check in played)
    if materials.rule is not None and materials.rule.population is not None:
        compared = replace(question, background=len(materials.rule.population.background))
        asked["reasons"] = rows_of(materials.rule.method, compared)
    budget = plan.budget.of_case(cases)
    most = sum(asked.values()) + sum(rows or 0 for rows in checks.values())
    seconds, probed = _pilot(plan, materials, most if budget is None else min(most, budget))
    masks = sum(asked.values()) // question.background
    remembered = min(128 * 2**20, masks * (200 + question.d // 8))
    disk = cases * (len(asked) + 1) * (RECORD + 90 * question.d)
    return Forecast(
        cases, asked, checks, once, budget, seconds, materials.model.limits.rows_per_run, probed,
        _resident() + remembered, disk,
    )  # fmt: skip


def _question(plan: Plan, materials: Materials) -> Question:
    x = materials.data.row(materials.positions(plan.data)[0])
    features = materials.features(plan.features, x)
    cells = sum(array.size for array in x.values())
    return Question(len(features), len(materials.background), bool(materials.data.columns), cells)


def _pilot(plan: Plan, materials: Materials, most: int) -> tuple[float, int]:
    """Play the first case for a few seconds' worth of passes.

    Returns
    -------
    seconds of a whole case, and the rows spent on finding out. most : rows of a case at the most.
    """
    speed, spent = _speed(materials)
    if metered(materials.model):
        return most / speed, spent
    allowed = min(most, int(speed * PILOT_SECONDS) + 1)
    begun = time.perf_counter()
    first = materials.positions(plan.data)[0]
    found = examine(plan, materials, first, plan.target_list()[0], allowed, Watcher())
    seconds, rows = time.perf_counter() - begun, max(1, found.rows)
    cut = allowed < most and (bool(found.failures) or rows > 0.9 * allowed)
    return (seconds * most / rows if cut else seconds), spent + found.rows


def _speed(materials: Materials) -> tuple[float, int]:
    """Time passes over rows of the data and return rows per second, and how many rows that took."""
    ledger, model = Ledger(), materials.model
    most, have = model.limits.rows_per_run, len(materials.data)
    costly = metered(model)
    if costly:
        most = min(most, FEW)
    batch = {name: array[np.arange(most) % have] for name, array in materials.data.rows.items()}
    forward(model, batch, model.signature.answer, ledger)
    begun, before = time.perf_counter(), ledger.rows
    while ledger.rows == before or (not costly and time.perf_counter() - begun < PROBE_SECONDS):
        forward(model, batch, model.signature.answer, ledger)
    return (ledger.rows - before) / (time.perf_counter() - begun), ledger.rows


def _derivatives(_: Any, asked: Question) -> int:
    # 2k + 62 for the Jacobian, base and full score; see the cost lines of the methods' docstrings
    return 2 * asked.d + 64 + 2 * asked.background


def _kernelshap(setting: Any, asked: Question) -> int:
    limit: int = setting.budget if isinstance(setting.budget, int) else 2 * asked.d + 2048
    return (min(limit, 1 << asked.d) + 2) * asked.background


def _occlusion(setting: Any, asked: Question) -> int:
    return ((asked.cells if setting.window else asked.d) + 2) * asked.background


def _lime(setting: Any, asked: Question) -> int:
    table = setting.form == "table" or (setting.form == "auto" and asked.table)
    own: int = (setting.samples or 5000) if table else (setting.samples or 1000) * asked.background
    return own + 2 * asked.background


def _sis(setting: Any, asked: Question) -> int:
    whole = asked.d * (asked.d + 1) // 2 + 1
    masks: int = setting.budget or (min(2 * whole, 20_000) if setting.search == "auto" else 2 * whole)
    masks = 2**20 if setting.search == "exact" and not setting.budget else masks
    return (masks + 2) * asked.background


def _second(setting: Any, asked: Question) -> int:
    # pairs up to 32 variables, products of 4k rows above; three times as many for mixed networks
    curved = 2 * asked.d**2 + 8 * asked.d if asked.d <= 32 else 60 * 4 * asked.d
    return _derivatives(setting, asked) + 3 * curved


def _along(points: int, asked: Question) -> int:
    return points * (2 * asked.d + 1)


COSTS: dict[str, Callable[[Any, Question], int]] = {
    "occlusion": _occlusion,
    "lime": _lime,
    "kernelshap": _kernelshap,
    "rise": lambda setting, asked: (int(setting.masks) + 2) * asked.background,
    "sis": _sis,
    "cafo": _derivatives,
    "caso": _second,
    "saliency": _derivatives,
    "gradient-x-input": lambda setting, asked: _derivatives(setting, asked) + 2,
    "smoothgrad": lambda setting, asked: _derivatives(setting, asked) + _along(setting.samples, asked),
    "integrated-gradients": lambda setting, asked: (
        _derivatives(setting, asked) + 3 + _along(setting.points, asked)
    ),
}
"""Rows of a method at the most, by the costs that its docstring declares."""


def rows_of(method: methods.Method, asked: Question) -> int:
    """Return the forward rows of one method and one input at the most, base and full score included."""
    rows = COSTS[method.name](method, asked)
    budget = getattr(method, "budget", None)
    derived = method.scale != "raw"
    return min(rows, budget) if derived and isinstance(budget, int) else rows


def _resident() -> int:
    """The most memory that this process has held, in bytes."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} seconds" if seconds < 10 else f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
