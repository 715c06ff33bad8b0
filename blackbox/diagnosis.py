"""What the environment offers: packages, memory, and what every adapter says about its runtime."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version

GROUP = "blackbox.diagnoses"
"""Entry-point group; an entry loads ``diagnose(device) -> list[Reading]``."""

PACKAGES = ("blackbox", "onnx", "numpy", "scikit-learn", "shap", "matplotlib", "pyarrow", "pillow")

INSTALLED = (*PACKAGES, "onnxruntime", "onnxruntime-gpu", "scipy", "pydantic", "PyYAML", "cryptography")
"""Packages that a run names with their versions."""


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


def environment() -> dict[str, object]:
    """Return what the interpreter runs on and with, as plain JSON."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "packages": {name: found for name in INSTALLED if (found := _version(name)) is not None},
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            named = (line.partition(":")[2].strip() for line in file if line.startswith("model name"))
            return next(named, "") or platform.processor()
    except OSError:
        return platform.processor()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _package(name: str) -> Reading:
    found = _version(name)
    if found is None:
        return Reading(name, "missing", False, f"python -m pip install {name}")
    return Reading(name, found)


def _memory() -> str:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return "unknown"
    return f"{total / 2**30:.1f} GiB"
