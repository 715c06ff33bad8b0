"""JSON with exactly one spelling (RFC 8785), so that equal content has equal digests."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from json.encoder import encode_basestring
from typing import Any

LARGEST = 2**53
"""Every whole number up to here is one float64, the only kind of number that RFC 8785 knows."""


def canonical(value: Any) -> bytes:
    """Return a value as canonical JSON in UTF-8: no spaces, sorted keys, shortest numbers.

    Parameters
    ----------
    value : None, booleans, whole numbers, finite floats, text, lists or tuples, and dicts with text keys.

    Raises
    ------
    ValueError : NaN or an infinity, a whole number beyond 2^53, half a surrogate pair, or another type.

    References
    ----------
    RFC 8785, JSON Canonicalization Scheme; ECMA-262, Number::toString.

    Examples
    --------
    >>> canonical({"b": [1.0, 1e21, 1e-7, -0.0], "a": None})
    b'{"a":null,"b":[1,1e+21,1e-7,0]}'
    """
    try:
        return "".join(_pieces(value)).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("Text with half a surrogate pair has no canonical form.") from None


def parse(text: bytes) -> Any:
    """Return what canonical JSON holds, and refuse any other spelling of it.

    Whole numbers beyond 2^53 come back as floats, so that every float survives the way there and back.

    Raises
    ------
    ValueError : it is no JSON, names a key twice, or is not spelt canonically.

    Examples
    --------
    >>> parse(b'{"a":[1,0.5]}')
    {'a': [1, 0.5]}
    """
    try:
        value = json.loads(text.decode("utf-8"), parse_int=_whole)
        again = canonical(value)
    except RecursionError:
        raise ValueError("It is nested too deeply to be read.") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"It is no JSON: {error}.") from None
    if again != text:
        raise ValueError("It is JSON, but not in canonical form (RFC 8785).")
    return value


def _whole(digits: str) -> int | float:
    if len(digits) <= 17 and abs(int(digits)) <= LARGEST:
        return int(digits)
    return float(digits)


def _pieces(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from _members(value)
    elif isinstance(value, (list, tuple)):
        yield "["
        for number, item in enumerate(value):
            if number:
                yield ","
            yield from _pieces(item)
        yield "]"
    else:
        yield _scalar(value)


def _members(value: dict[str, Any]) -> Iterator[str]:
    yield "{"
    for number, key in enumerate(sorted(value, key=_utf16)):
        yield f"{',' if number else ''}{encode_basestring(key)}:"
        yield from _pieces(value[key])
    yield "}"


def _utf16(key: Any) -> bytes:
    """Sort keys by their UTF-16 code units, as JavaScript does: emoji come before U+FB33."""
    if not isinstance(key, str):
        raise ValueError(f"Canonical JSON has text for keys; got {key!r}.")
    return key.encode("utf-16-be")


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, int):
        if abs(value) > LARGEST:
            raise ValueError(f"{value} is beyond 2^53 and would not survive as JSON; write it as text.")
        return int.__repr__(value)
    if isinstance(value, float):
        return _number(value)
    raise ValueError(f"Canonical JSON cannot hold a {type(value).__name__}: {value!r}.")


def _number(value: float) -> str:
    """Write a float as ECMAScript does: Python's digits, the point at ECMAScript's place."""
    if not math.isfinite(value):
        raise ValueError(f"{value} has no canonical form; write null or text.")
    if value == 0:
        return "0"  # also for -0
    mantissa, _, exponent = float.__repr__(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    return ("-" if value < 0 else "") + _placed(digits.rstrip("0"), point)


def _placed(digits: str, point: int) -> str:
    """Write 0.digits x 10^point; ``digits`` neither starts nor ends with a zero."""
    count = len(digits)
    if count <= point <= 21:
        return digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if count > 1 else ""
    return f"{digits[0]}{fraction}e{point - 1:+d}"
