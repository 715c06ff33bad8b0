"""What pydantic found wrong with a plan, as a sentence for the person who wrote it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from blackbox.errors import nearest
from blackbox.yamls import shortened

KINDS = {
    "model_type": "a mapping of keys to values", "dict_type": "a mapping of names to values",
    "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
    "float_type": "a number", "float_parsing": "a number", "string_type": "a text", "tuple_type": "a list",
    "bool_type": "true or false", "bool_parsing": "true or false",
}  # fmt: skip
"""What pydantic calls a wrong type -> what a plan's author would have to write."""

DIGEST = "^[0-9a-fA-F]{64}$"
DEVICE = r"^(auto|cpu|cuda(:\d+)?)$"
FORMS = {DIGEST: "a SHA-256, 64 hexadecimal digits", DEVICE: "auto, cpu, cuda or cuda:N"}
"""The form that a text of a plan has -> how to say so."""


def sentence(whole: type[BaseModel], problems: Sequence[Any]) -> str:
    """Say in one sentence what pydantic found first, naming the nearest known key of a plan such as
    ``whole``.
    """
    problem, names = problems[0], _names(problems[0])
    where = ".".join(names)
    if problem["type"] == "extra_forbidden":
        known = _keys_at(whole, tuple(names[:-1]))
        return f"unknown key {where!r}.{nearest(names[-1], known)} Known here: {', '.join(known)}."
    if problem["type"] == "missing" and isinstance(problem["loc"][-1], int):
        return f"{where} has no value number {problem['loc'][-1] + 1}."
    if problem["type"] == "missing":
        return f"the key {where!r} is missing."
    shown = shortened(problem["input"] if not isinstance(problem["input"], str) else repr(problem["input"]))
    # of a key that takes several kinds of value, pydantic tells each by itself
    wanted = [kind for one in problems if _names(one) == names and (kind := _kind(one))]
    reason = f"it must be {_or(wanted)}" if wanted else problem["msg"].lower().replace("input ", "it ")
    return f"{where} cannot be {shown}: {reason}."


def _names(problem: Any) -> list[str]:
    """The place of a problem, without the member of a union and the position in it that pydantic adds."""
    names = [part for part in problem["loc"] if isinstance(part, str) and re.fullmatch(r"\w+", part)]
    return [part for part in names if part not in ("int", "str", "float")]


def _kind(problem: Any) -> str | None:
    if problem["type"] == "literal_error":
        return str(problem["ctx"]["expected"])
    if problem["type"] == "string_pattern_mismatch":
        return FORMS.get(problem["ctx"]["pattern"])
    return KINDS.get(problem["type"])


def _or(kinds: Sequence[str]) -> str:
    known = list(dict.fromkeys(kinds))
    return f"{', '.join(known[:-1])} or {known[-1]}" if len(known) > 1 else known[0]


def _keys_at(whole: type[BaseModel], place: tuple[str, ...]) -> list[str]:
    """Return the keys that a plan knows at a place such as ("data", "image")."""
    part: Any = whole
    for name in place:
        inner = part.model_fields[name].annotation if name in getattr(part, "model_fields", {}) else None
        options = [inner, *getattr(inner, "__args__", ())]
        part = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), part)
    return list(part.model_fields)
