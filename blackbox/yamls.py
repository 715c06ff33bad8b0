"""YAML read strictly: one key once, and no word silently turned into something else.

PyYAML speaks YAML 1.1, where 012 is ten, 1:30 is ninety and 1e-3 is text. Here the first two are refused and
the third is a number, as in YAML 1.2.
"""

from __future__ import annotations

import datetime
import re
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


def _whole(loader: _Strict, node: yaml.ScalarNode) -> Any:
    """Read a whole number as it is written; refuse 012, 1:30, 0x1f and 0b1."""
    read = loader.construct_yaml_int(node)
    return read if re.fullmatch(r"[-+]?(0|[1-9][0-9_]*)", node.value) else _refused(node, read)


def _decimal(loader: _Strict, node: yaml.ScalarNode) -> Any:
    """Read a number as it is written; refuse 1:30.5."""
    read = loader.construct_yaml_float(node)
    return _refused(node, read) if ":" in node.value else read


def _refused(node: yaml.ScalarNode, read: object) -> None:
    raise yaml.constructor.ConstructorError(
        None,
        None,
        f"{node.value} would be read as {read}: put it in quotes if a name is meant",
        node.start_mark,
    )


# to the end: PyYAML asks for a match at the beginning only, and a digest may begin like a number
EXPONENT = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+\Z")
_Strict.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+0123456789"))
_Strict.add_constructor("tag:yaml.org,2002:int", _whole)
_Strict.add_constructor("tag:yaml.org,2002:float", _decimal)


class _Writer(yaml.SafeDumper):
    """A safe dumper that puts in quotes what would be read as a number here, such as the name 1e3."""


_Writer.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+0123456789"))


def write_yaml(value: Any, in_one_line: bool = False) -> str:
    """Write plain values so that ``read_yaml`` reads the same."""
    width = 10_000 if in_one_line else 80
    written: str = yaml.dump(
        value, Dumper=_Writer, allow_unicode=True, sort_keys=False, width=width,
        default_flow_style=in_one_line,
    )  # fmt: skip
    return written


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
    except (yaml.YAMLError, OSError, RecursionError, ValueError) as error:
        told = " ".join(str(error).split()).replace(' in "<unicode string>",', ",")
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
