"""Where a campaign keeps what is finished."""

from __future__ import annotations

import shutil
from pathlib import Path


def working_folder(target: Path) -> Path:
    """Return where a bundle's finished shards lie until it is sealed: beside it."""
    return target.with_name(f"{target.name}.partial")


def empty(working: Path) -> None:
    """Delete what is finished, but for the lock that is held meanwhile."""
    # the plan goes first: shards without it are nothing that anybody would go on with
    for path in sorted(working.iterdir(), key=lambda path: path.name != "campaign.json"):
        if path.name != "lock":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
