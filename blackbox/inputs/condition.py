"""A condition on the columns of a table, such as ``income < 20000 and region == 'north'``; no code is run.

The condition is read as a Python expression, and only what is listed here is understood: names of columns
(in back quotes where they are no plain words), numbers, text in quotes, the comparisons ``<``, ``<=``,
``>``, ``>=``, ``==``, ``!=``, ``in`` and ``not in`` (a list), and ``and``, ``or``, ``not`` with brackets.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from blackbox.casts import is_number
from blackbox.errors import RequestError
from blackbox.inputs.table import Table

COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
MOST_CHARACTERS = 2000


def parsed(condition: str) -> tuple[ast.expr, dict[str, str]]:
    """Check a condition's form without any table; return its tree and the names in back quotes.

    Raises
    ------
    RequestError : it holds anything but comparisons of columns.
    """
    quoted: dict[str, str] = {}

    def stand_in(found: re.Match[str]) -> str:
        name = f"_quoted_{len(quoted)}_"
        quoted[name] = found[1]
        return name

    if len(condition) > MOST_CHARACTERS:
        raise RequestError(f"The condition has {len(condition)} characters; {MOST_CHARACTERS} are the most.")
    try:
        tree = ast.parse(re.sub(r"`([^`]+)`", stand_in, condition).strip(), mode="eval").body
        _check(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _wrong(condition) from None
    return tree, quoted


def matching(table: Table, condition: str) -> tuple[int, ...]:
    """Return the numbers of the rows that fulfil a condition.

    Raises
    ------
    RequestError : it is none, names an unknown column, orders text against numbers, or no row fulfils it.
    """
    tree, quoted = parsed(condition)
    found = np.flatnonzero(_truth(tree, table, quoted))
    if not len(found):
        raise RequestError(f"No row of {table.source} fulfils {condition!r}.")
    return tuple(found.tolist())


def _wrong(condition: str) -> RequestError:
    return RequestError(
        f"{condition!r} is no condition: compare columns with numbers or text in quotes, for example "
        "income < 20000 and region == 'north'."
    )


def _check(node: ast.expr) -> None:
    if isinstance(node, ast.BoolOp):
        for part in node.values:
            _check(part)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _check(node.operand)
    elif isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        for sign, side in zip(node.ops, sides[1:], strict=True):
            known = (
                isinstance(side, ast.List)
                if isinstance(sign, (ast.In, ast.NotIn))
                else type(sign) in COMPARISONS
            )
            if not known or (isinstance(side, ast.List) and not isinstance(sign, (ast.In, ast.NotIn))):
                raise ValueError
        if not any(isinstance(side, ast.Name) for side in sides):
            raise ValueError
        for side in sides:
            _check_value(side)
    else:
        raise ValueError


def _check_value(node: ast.expr) -> None:
    if isinstance(node, ast.List):
        for item in node.elts:
            if isinstance(item, (ast.Name, ast.List)):
                raise ValueError
            _check_value(item)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        _check_value(node.operand)
        if not isinstance(node.operand, ast.Constant):
            raise ValueError
    elif not isinstance(node, ast.Name) and not (
        isinstance(node, ast.Constant) and type(node.value) in (int, float, str)
    ):
        raise ValueError


def _truth(node: ast.expr, table: Table, quoted: dict[str, str]) -> np.ndarray:
    if isinstance(node, ast.BoolOp):
        parts = [_truth(part, table, quoted) for part in node.values]
        joined = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        return np.asarray(joined.reduce(parts))
    if isinstance(node, ast.UnaryOp):
        return ~_truth(node.operand, table, quoted)
    assert isinstance(node, ast.Compare)
    sides = [node.left, *node.comparators]
    held = [
        _compared(left, sign, right, table, quoted)
        for left, sign, right in zip(sides[:-1], node.ops, sides[1:], strict=True)
    ]
    return np.asarray(np.logical_and.reduce(held))


def _compared(
    left: ast.expr, sign: ast.cmpop, right: ast.expr, table: Table, quoted: dict[str, str]
) -> np.ndarray:
    if isinstance(right, ast.List):
        hits = [_compared(left, ast.Eq(), item, table, quoted) for item in right.elts]
        inside = np.logical_or.reduce([np.zeros(len(table), dtype=bool), *hits])
        return np.asarray(inside if isinstance(sign, ast.In) else ~inside)
    a, b = _value(left, table, quoted), _value(right, table, quoted)
    two = isinstance(a, np.ndarray) and isinstance(b, np.ndarray)
    # a CSV holds text; beside a number, or where two columns hold numbers, it is read as numbers
    if _is_text(a) != _is_text(b) or (two and _all_numbers(a) and _all_numbers(b)):
        a, b = _numbers(a), _numbers(b)
    found = COMPARISONS[type(sign)](a, b)
    return np.broadcast_to(np.asarray(found, dtype=bool), (len(table),))


def _value(node: ast.expr, table: Table, quoted: dict[str, str]) -> Any:
    if isinstance(node, ast.Name):
        return table.column(quoted.get(node.id, node.id))
    return ast.literal_eval(node)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype.kind in "OUT")


def _all_numbers(column: np.ndarray) -> bool:
    return all(value is not None and is_number(value) for value in column.tolist())


def _numbers(value: Any) -> Any:
    if not _is_text(value):
        return value
    items = value.tolist() if isinstance(value, np.ndarray) else [value]
    if wrong := [item for item in items if item is None or not is_number(item)][:1]:
        raise RequestError(f"The condition compares {wrong[0]!r} with a number, and it is none.")
    return np.array([float(item) for item in items]) if isinstance(value, np.ndarray) else float(value)
