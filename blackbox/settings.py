"""Settings are frozen dataclasses; this file turns plain mappings into them and checks them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from blackbox.errors import RequestError, unknown

T = TypeVar("T")


def parse(cls: type[T], values: Mapping[str, Any], what: str) -> T:
    """Build ``cls`` from a mapping, refusing unknown names and wrong types.

    Parameters
    ----------
    cls : a frozen dataclass whose fields are the settings.
    values : setting name -> value, as read from YAML, JSON or a command line.
    what : how to name the owner in an error, for example ``"method kernelshap"``.

    Raises
    ------
    RequestError : an unknown setting (with the nearest known one) or a wrong value.
    """
    known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise unknown(f"setting of {what}:", name, known)
    if not values:
        return cls()
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(cls).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "?"
        shown = values.get(name, first.get("input"))
        raise RequestError(
            f"Setting {name!r} of {what} cannot be {shown!r}: {first['msg'].lower()}."
        ) from None


def shared(cls: type[T], settings: object, fixed: Mapping[str, Any] | None = None) -> T:
    """Build ``cls`` from the fields that another settings object has under the same names.

    Parameters
    ----------
    cls : a dataclass; fields that ``settings`` lacks keep their defaults. fixed : values that
        ``settings`` has no say in.
    """
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    values = {name: getattr(settings, name) for name in names if hasattr(settings, name)}
    return cls(**values | dict(fixed or {}))


def whole(name: str, value: object, least: int) -> None:
    """Refuse a setting that is not a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise RequestError(f"{name} must be a whole number of at least {least}; got {value!r}.")


def number(name: str, value: object, least: float, strict: bool = False) -> None:
    """Refuse a setting that is not a finite number of at least (or above) ``least``."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not fits or not (value > least if strict else value >= least) or value == float("inf"):  # type: ignore[operator]
        bound = "above" if strict else "of at least"
        raise RequestError(f"{name} must be a number {bound} {least:g}; got {value!r}.")


def choice(name: str, value: object, known: tuple[str, ...]) -> None:
    """Refuse a setting that is not one of the known names."""
    if value not in known:
        raise unknown(f"value for {name}:", value, known)
