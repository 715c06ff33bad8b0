"""Canonical JSON against RFC 8785's own examples, and the hash tree against its recursive definition."""

from __future__ import annotations

import hashlib
import json
import math
import struct

import numpy as np
import pytest

from blackbox.canonical import canonical, parse
from blackbox.evidence import merkle

# RFC 8785, appendix B: the bits of a float64 and how it is written
NUMBERS = [
    ("0000000000000000", "0"), ("8000000000000000", "0"), ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"), ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"), ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"), ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"), ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"), ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"), ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"), ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"), ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"), ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"), ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]  # fmt: skip


@pytest.mark.parametrize(("bits", "written"), NUMBERS)
def test_numbers_are_written_as_the_rfc_writes_them(bits, written):
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical(value) == written.encode()
    assert parse(written.encode()) == value


def test_the_rfc_s_document_comes_out_byte_for_byte():
    given = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '\u20ac$\u000f\u000aA\'\u0042\u0022\u005c\\"/',
        "literals": [None, True, False],
    }
    wanted = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical(given) == wanted.encode()


def test_keys_are_sorted_by_utf16_units_as_in_the_rfc():
    keys = {"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\U0001f600": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin"}  # fmt: skip
    order = list(json.loads(canonical(keys)).values())
    assert order == ["Carriage Return", "One", "Control", "Latin", "Euro Sign", "Emoji: Grinning Face",
                     "Hebrew Letter Dalet With Dagesh"]  # fmt: skip


def test_every_finite_float_comes_back():
    bits = np.random.default_rng(0).integers(0, 2**64, 4000, dtype=np.uint64)
    for value in bits.view(np.float64)[np.isfinite(bits.view(np.float64))].tolist():
        assert parse(canonical([value])) == [value]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "no canonical form"),
        ([math.inf], "no canonical form"),
        ({"a": -math.inf}, "no canonical form"),
        (2**53 + 1, "beyond 2"),
        (-(2**60), "beyond 2"),
        ("\ud800", "surrogate"),
        ({"\udc00": 1}, "surrogate"),
        ({1: 2}, "text for keys"),
        (b"x", "cannot hold a bytes"),
        ({1.5, 2.5}, "cannot hold a set"),
        (np.float32(1), "cannot hold a float32"),
    ],
)
def test_what_has_no_single_spelling_is_refused(value, words):
    with pytest.raises(ValueError, match=words):
        canonical(value)


@pytest.mark.parametrize(
    "text",
    ['{"a": 1}', '{"b":1,"a":2}', '{"a":1,"a":1}', "1.0", "1e2", "-0", "NaN", "Infinity", '"\\u0041"', '"\\/"',
     "\ufeff1", "[1] ", "", "{", '"\\ud800"', "9007199254740993", "[" * 100_000],
)  # fmt: skip
def test_another_spelling_is_refused(text):
    with pytest.raises(ValueError, match=r"no JSON|canonical form|surrogate|too deeply|beyond 2|no canonical"):
        parse(text.encode())


def recursive_root(entries):
    """RFC 9162, 2.1.1, word for word."""
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = split(len(entries))
    return hashlib.sha256(b"\x01" + recursive_root(entries[:k]) + recursive_root(entries[k:])).digest()


def recursive_path(m, entries):
    """RFC 9162, 2.1.3.1, word for word."""
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if m < k:
        return [*recursive_path(m, entries[:k]), recursive_root(entries[k:])]
    return [*recursive_path(m - k, entries[k:]), recursive_root(entries[:k])]


def split(n):
    return 1 << ((n - 1).bit_length() - 1)


SIZES = [*range(34), 63, 64, 65, 100]


@pytest.mark.parametrize("size", SIZES)
def test_root_and_proofs_are_those_of_the_recursive_definition(size):
    entries = [f"record {k}".encode() for k in range(size)]
    top = merkle.root(iter(entries))
    assert top == recursive_root(entries)
    proofs = merkle.proofs(iter(entries), range(size))
    for index in range(size):
        assert proofs[index] == recursive_path(index, entries)
        assert merkle.holds(entries[index], index, size, proofs[index], top)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 11])
def test_a_proof_holds_for_its_own_entry_place_and_tree_only(size):
    entries = [f"record {k}".encode() for k in range(size)]
    top, proofs = merkle.root(entries), merkle.proofs(entries, range(size))
    for index in range(size):
        entry, path = entries[index], proofs[index]
        assert not merkle.holds(entry + b" ", index, size, path, top)
        assert not merkle.holds(entry, index, size, [*path, top], top)
        assert not merkle.holds(entry, index, size, path, b"\x00" * 32)
        assert not any(merkle.holds(entry, other, size, path, top) for other in range(-1, size + 1) if other != index)
        for k in range(len(path)):
            flipped = [bytes([p[0] ^ 1]) + p[1:] if j == k else p for j, p in enumerate(path)]
            assert not merkle.holds(entry, index, size, flipped, top)
            assert not merkle.holds(entry, index, size, path[:k] + path[k + 1 :], top)


def test_two_nodes_are_not_a_leaf():
    left, right = merkle.leaf(b"a"), merkle.leaf(b"b")
    assert merkle.root([left + right]) != merkle.root([b"a", b"b"])


def test_a_leaf_outside_the_tree_is_an_error():
    with pytest.raises(IndexError, match="leaf 3 of 3"):
        merkle.proofs([b"a", b"b", b"c"], [3])


def test_the_tree_holds_no_more_than_a_logarithm_of_its_leaves():
    import tracemalloc

    tracemalloc.start()
    merkle.root(b"%d" % k for k in range(20_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000  # bytes: fewer than one per leaf
