"""What pydantic found wrong with a plan, as a sentence for the person who wrote it."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel

from blackbox.errors import nearest
from blackbox.yamls import shortened

TYPES = {"model_type": "a mapping of keys to values", "dict_type": "a mapping of names to values"}


def sentence(whole: type[BaseModel], problem: Any) -> str:
    """Say in one sentence what pydantic found, naming the nearest known key of a plan such as ``whole``."""
    # pydantic adds the member of a union and the position in it to the place
    names = [part for part in problem["loc"] if isinstance(part, str) and re.fullmatch(r"\w+", part)]
    names = [part for part in names if part not in ("int", "str", "float")]
    where = ".".join(names)
    if problem["type"] == "extra_forbidden":
        known = _keys_at(whole, tuple(names[:-1]))
        return f"unknown key {where!r}.{nearest(names[-1], known)} Known here: {', '.join(known)}."
    if problem["type"] == "missing":
        return f"the key {where!r} is missing."
    shown = shortened(problem["input"] if not isinstance(problem["input"], str) else repr(problem["input"]))
    wanted = TYPES.get(problem["type"])
    reason = f"it must be {wanted}" if wanted else problem["msg"].lower().replace("input ", "it ")
    return f"{where} cannot be {shown}: {reason}."


def _keys_at(whole: type[BaseModel], place: tuple[str, ...]) -> list[str]:
    """Return the keys that a plan knows at a place such as ("data", "image")."""
    part: Any = whole
    for name in place:
        inner = part.model_fields[name].annotation if name in getattr(part, "model_fields", {}) else None
        options = [inner, *getattr(inner, "__args__", ())]
        part = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), part)
    return list(part.model_fields)
