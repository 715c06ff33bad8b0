"""pytest: the fixture ``blackbox_audit``, and where the bundles of a test run are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import blackbox as bb


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that keeps the bundles."""
    parser.getgroup("blackbox").addoption(
        "--blackbox-audits",
        metavar="DIR",
        help="keep the bundles of audits played by the fixture blackbox_audit in DIR/PLAN, for example as an "
        "artifact of a pipeline; without it they are temporary",
    )


@pytest.fixture(scope="session")
def blackbox_audit(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., bb.AuditResult]:
    """A function that plays the audit of a plan file and returns it as a ``bb.AuditResult``.

    ``blackbox_audit("audit.yaml", baseline=None, workers=1)``: the same plan is played once per test run, so
    any number of tests can look at it. A failed gate is no error here: assert what you need, or hand the
    result to ``assert_audit_passes``.
    """
    played: dict[tuple[Path, Path | None], bb.AuditResult] = {}

    def play(plan: str | Path, baseline: str | Path | None = None, workers: int = 1) -> bb.AuditResult:
        import blackbox as bb

        key = (Path(plan).resolve(), Path(baseline).resolve() if baseline is not None else None)
        if key not in played:
            folder = _place(request.config, tmp_path_factory, key[0], len(played))
            played[key] = bb.audit(key[0], folder=folder, baseline=key[1], workers=workers)
        return played[key]

    return play


def _place(config: pytest.Config, temporary: pytest.TempPathFactory, plan: Path, number: int) -> Path:
    """Name a bundle's folder after its plan, or after the plan's folder where the plan is just audit.yaml."""
    name = plan.parent.name if plan.stem == "audit" else plan.stem
    kept = config.getoption("--blackbox-audits")
    if kept is None:
        return temporary.mktemp("blackbox") / name
    return Path(kept) / (f"{name}-{number + 1}" if (Path(kept) / name).exists() and number else name)
