"""Reason codes: a table from features to the words that a notice uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blackbox.errors import RequestError, unknown
from blackbox.inputs import read_table

DIRECTIONS = ("low", "high", "any")
COLUMNS = ("feature", "code", "text")


@dataclass(frozen=True)
class Code:
    """One line of the table. direction : when the text is true of an input: its value is lower or higher
    than the mean of those it is compared with, or in any case."""

    feature: str
    code: str
    text: str
    direction: str = "any"


@dataclass(frozen=True)
class CodeTable:
    """All lines, in the order of the file."""

    codes: tuple[Code, ...]

    @property
    def features(self) -> frozenset[str]:
        """Features and columns that have a code."""
        return frozenset(code.feature for code in self.codes)

    def find(self, feature: str, below: bool | None) -> Code | None:
        """Return the first line whose text is true; None where there is none.

        Parameters
        ----------
        below : whether the input's value is below the mean of those it is compared with; None where that
            means nothing, as for a group of columns.

        Examples
        --------
        >>> table = CodeTable((Code("income", "R1", "Income too low", "low"),))
        >>> table.find("income", True).code, table.find("income", False)
        ('R1', None)
        """
        wanted = {"any"} if below is None else {"any", "low" if below else "high"}
        fits = (code for code in self.codes if code.feature == feature and code.direction in wanted)
        return next(fits, None)


def read_codes(path: Path, features: Mapping[str, object] | tuple[str, ...]) -> CodeTable:
    """Read a table with the columns ``feature``, ``code``, ``text`` and, if there is one, ``direction``.

    Parameters
    ----------
    features : names of the features and columns that may be coded.

    Raises
    ------
    RequestError : missing, a missing column, an empty text, or an unknown feature or direction.
    """
    table = read_table(path)
    for column in COLUMNS:
        if column not in table.columns:
            raise RequestError(
                f"The code table {path} has no column {column!r}: it needs {', '.join(COLUMNS)}, and may "
                "have direction (low, high or any)."
            )
    directions = table.columns.get("direction", np.full(len(table), "any", dtype=object))
    rows = zip(*(map(str, table.columns[name]) for name in COLUMNS), map(str, directions), strict=True)
    codes = tuple(Code(feature, code, text.strip(), direction) for feature, code, text, direction in rows)
    for code in codes:
        if features and code.feature not in features:
            raise unknown(f"feature in {path}:", code.feature, features)
        if code.direction not in DIRECTIONS:
            raise unknown(f"direction of {code.feature} in {path}:", code.direction, DIRECTIONS)
        if not code.text:
            raise RequestError(f"The code table {path} has no text for {code.feature!r}.")
    return CodeTable(codes)
