"""What the environment offers: packages, memory, and what every adapter says about its runtime."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version

GROUP = "blackbox.diagnoses"
"""Entry-point group; an entry loads ``diagnose(device) -> list[Reading]``."""

PACKAGES = ("blackbox", "onnx", "numpy", "scikit-learn", "shap", "matplotlib", "pyarrow", "pillow")


@dataclass(frozen=True)
class Reading:
    """One line of the table: what was looked at, what was found, and what to do.

    works : False where something that was asked for, or that is always needed, cannot work.
    """

    item: str
    found: str
    works: bool = True
    advice: str = ""


def diagnose(device: str = "auto") -> list[Reading]:
    """Look at the environment and ask every adapter about its own part of it.

    Parameters
    ----------
    device : what somebody wants to run on; adapters say whether it can work.
    """
    found = [
        Reading("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Reading("cores", str(os.cpu_count() or "?")),
        Reading("memory", _memory()),
        *(_package(name) for name in PACKAGES),
    ]
    for entry in entry_points(group=GROUP):
        found += entry.load()(device)
    return found


def _package(name: str) -> Reading:
    try:
        return Reading(name, version(name))
    except PackageNotFoundError:
        return Reading(name, "missing", False, f"python -m pip install {name}")


def _memory() -> str:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return "unknown"
    return f"{total / 2**30:.1f} GiB"
