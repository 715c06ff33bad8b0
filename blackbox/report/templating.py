"""Templates into pages: one place for escaping, one style for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blackbox.reasons import show


def fill(name: str, context: Mapping[str, Any], package: str = "blackbox.report") -> str:
    """Return a filled template; everything that came from outside is escaped.

    package : whose templates are looked at first; the report's serve all.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("blackbox.report")]),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["show"] = show
    return environment.get_template(name).render(context)
