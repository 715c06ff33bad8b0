"""YAML read strictly: one key once, and no word silently turned into something else."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from blackbox.errors import RequestError


class _Strict(yaml.SafeLoader):
    """A safe loader that refuses a key that stands twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice!r} stands twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises
    ------
    RequestError : no YAML, no text, or a key that stands twice.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_Strict)  # a safe loader
    except UnicodeDecodeError:
        raise RequestError(f"{path} is no readable YAML: it is no text.") from None
    except (yaml.YAMLError, OSError, RecursionError) as error:
        told = " ".join(str(error).split())
        raise RequestError(f"{path} is no readable YAML: {shortened(told)}.") from None


def refuse_converted(value: Any, where: str, free: Collection[str]) -> None:
    """Refuse truth values and dates, which YAML makes of words such as no, on or 2020-01-01.

    Parameters
    ----------
    where : the place in the file, "" at the top. free : places below which truth values are meant.
    """
    if where in free or where.count(".") > 20:  # an alias may hold itself
        return
    if isinstance(value, (bool, datetime.date)):
        read = str(value).lower() if isinstance(value, bool) else value.isoformat()
        raise RequestError(
            f"{where} holds what YAML reads as {read}, not as a word: put it in quotes if a name is meant."
        )
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        inside = f"{where}.{key}" if isinstance(value, dict) and where else where or str(key)
        refuse_converted(inner, inside, free)


def shortened(value: object, most: int = 120) -> str:
    """Write a value for a message, cut where it gets long."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= most else text[: most - 4] + " ..."
