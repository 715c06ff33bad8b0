"""The plan's JSON Schema, for editors that complete and check while a plan is written."""

from __future__ import annotations

import dataclasses
from typing import Any

from pydantic import TypeAdapter

from blackbox.checks import CHECKS
from blackbox.methods import METHODS
from blackbox.numerics.links import SCALES
from blackbox.plan import Plan

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def plan_schema() -> dict[str, Any]:
    """Return the schema of a whole plan; settings of methods and checks are read off their dataclasses."""
    whole = Plan.model_json_schema(mode="validation")
    definitions: dict[str, Any] = whole.pop("$defs", {})
    properties = whole["properties"]
    properties["methods"] = _named(METHODS, {"scale": {"enum": [None, *SCALES]}}, definitions)
    properties["checks"] = _named(CHECKS, {}, definitions)
    total = {"type": "integer", "minimum": 1, "description": "Forward rows in total."}
    properties["budget"] = {"anyOf": [properties["budget"], total]}
    return {"$schema": DIALECT, **whole, "title": "blackbox plan", "$defs": definitions}


def _named(register: dict[str, Any], more: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Names with settings, a list of names, or one name."""
    names = {"enum": list(register)}
    settings = {name: _settings(cls, more, definitions) for name, cls in register.items()}
    by_name = {"type": "object", "properties": settings, "additionalProperties": False}
    return {"anyOf": [by_name, {"type": "array", "items": names}, names]}


def _settings(cls: Any, more: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    own = TypeAdapter(cls).json_schema(ref_template="#/$defs/{model}")
    definitions.update(own.pop("$defs", {}))
    about = " ".join((cls.__doc__ or "").split()).partition(". ")[0].rstrip(".") + "."
    told = {field.name: own["properties"][field.name] for field in dataclasses.fields(cls)}
    return {
        "type": ["object", "null"], "description": about, "properties": told | more,
        "additionalProperties": False,
    }  # fmt: skip
