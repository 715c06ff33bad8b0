"""What a machine may remember between runs: small JSON files that can be lost at any time."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from blackbox.errors import RequestError
from blackbox.files import written

FOLDER = "BLACKBOX_CACHE"
"""Environment variable that names the folder; an empty one switches remembering off."""


def folder() -> Path | None:
    """Return where to remember: ``BLACKBOX_CACHE``, else the user's cache folder; None = nowhere."""
    given = os.environ.get(FOLDER)
    if given is not None:
        return Path(given) if given else None
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    try:
        return Path(base) / "blackbox" if base else Path.home() / ".cache" / "blackbox"
    except RuntimeError:  # a user without a home
        return None


def recall(topic: str, question: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what was remembered for a question, or None where there is nothing that can be read.

    Parameters
    ----------
    topic : a folder name. question : plain JSON; equal questions have equal answers.
    """
    path = _path(topic, question)
    if path is None:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    fits = isinstance(found, dict) and found.get("question") == json.loads(_text(question))
    return found["answer"] if fits and isinstance(found.get("answer"), dict) else None


def remember(topic: str, question: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    """Remember an answer; a folder that cannot be written to is no error."""
    path = _path(topic, question)
    if path is None:
        return
    with suppress(OSError, RequestError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with written(path) as temporary:
            temporary.write_text(
                _text({"question": dict(question), "answer": dict(answer)}) + "\n", encoding="utf-8"
            )


def _path(topic: str, question: Mapping[str, Any]) -> Path | None:
    there = folder()
    name = hashlib.sha256(_text(question).encode()).hexdigest()[:32]
    return None if there is None else there / topic / f"{name}.json"


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
