"""A profile or a comparison as a folder: its page and its numbers, beside the records that lie there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from blackbox.comparison import Comparison
from blackbox.files import written
from blackbox.mistakes import Mistake
from blackbox.profile import SisProfile
from blackbox.report.subset_pages import render_comparison, render_profile


def write_profile(profile: SisProfile, mistakes: Sequence[Mistake], folder: Path) -> Path:
    """Write profile.json and report.html into a profile's folder and return the page's path."""
    numbers = profile.to_dict() | {"misclassified": [mistake.to_dict() for mistake in mistakes]}
    _write(folder / "profile.json", numbers)
    return _page(folder, render_profile(profile, mistakes))


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Write compare.json and report.html into a comparison's folder and return the page's path."""
    _write(folder / "compare.json", comparison.to_dict())
    return _page(folder, render_comparison(comparison))


def _write(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    with written(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _page(folder: Path, text: str) -> Path:
    path = folder / "report.html"
    with written(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
