"""Make the hostile files: each a few hundred bytes that ask for what no honest model asks for.

``CASES`` is the table: name -> (how it is made, what has to happen, words of the sentence that tells it).
``refused`` is told when the file is opened, ``given up`` when the process had to be ended, ``failed`` when
the runtime itself said no, ``answered`` when the file turned out harmless. Written to look at:

    python tests/corpus/hostile/hostile.py FOLDER
"""

from __future__ import annotations

import os
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto as Kind
from onnx import helper, numpy_helper

FLOAT, INT, BOOL = Kind.FLOAT, Kind.INT64, Kind.BOOL
node, value = helper.make_node, helper.make_tensor_value_info
SAMPLES = Path(__file__).parents[3] / "sample_models"
SECRET = b"\x00\x00\x80?" * 4


def graph(nodes, weights=(), domains=("",), shape=("n", 2)):
    body = helper.make_graph(nodes, "g", [value("x", FLOAT, shape)], [value("y", FLOAT, None)], list(weights))
    opsets = [helper.make_opsetid(domain, 17 if not domain else 1) for domain in domains]
    return helper.make_model(body, opset_imports=opsets, ir_version=9)


def save(model, folder):
    (folder / "m.onnx").write_bytes(model.SerializeToString())


def numbers(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def simple(*nodes, weights=(), domains=("",)):
    return lambda folder: save(graph(list(nodes), weights, domains), folder)


def external(entries, prepare=None):
    def make(folder):
        home = folder / "home"
        home.mkdir()
        (folder / "secret").write_bytes(SECRET)
        (home / "w.bin").write_bytes(SECRET)
        if prepare is not None:
            prepare(home)
        tensor = onnx.TensorProto(name="w", data_type=FLOAT, dims=[4], data_location=Kind.EXTERNAL)
        for key, text in entries.items():
            tensor.external_data.add(key=key, value=str(text))
        save(graph([node("Identity", ["x"], ["y"])], [tensor]), home)
        (home / "m.onnx").rename(folder / "home" / "model.onnx")

    return make


def of_input(*nodes, weights=()):
    """A graph whose sizes follow from the input, so that no look at the file can tell."""
    before = [
        node("Constant", [], ["many"], value_float=1e6),
        node("Mul", ["x", "many"], ["scaled"]),
        node("Cast", ["scaled"], ["whole"], to=INT),
        node("ReduceMax", ["whole"], ["top"], keepdims=0),
        node("Constant", [], ["one"], value_ints=[-1]),
        node("Reshape", ["top", "one"], ["size"]),
    ]
    return simple(*before, *nodes, weights=weights)


def loop(turns):
    body = helper.make_graph(
        [node("Identity", ["c"], ["d"]), node("Identity", ["s"], ["t"])], "b",
        [value("k", INT, []), value("c", BOOL, []), value("s", FLOAT, None)],
        [value("d", BOOL, []), value("t", FLOAT, None)],
    )  # fmt: skip
    yes = numpy_helper.from_array(np.array(True), "yes")
    weights = [yes] if turns is None else [yes, numpy_helper.from_array(np.array(turns, np.int64), "turns")]
    return simple(node("Loop", ["" if turns is None else "turns", "yes", "x"], ["y"], body=body), weights=weights)


def nested(depth):
    def make(folder):
        inner = helper.make_graph([node("Identity", ["x"], ["z"])], "b", [], [value("z", FLOAT, None)])
        for _ in range(depth):
            deeper = node("If", ["flag"], ["z"], then_branch=inner)
            inner = helper.make_graph([deeper], "b", [], [value("z", FLOAT, None)])
        save(graph(list(inner.node)), folder)

    return make


def deep(depth):
    """Nest deeper than any library that writes protobuf would, so by hand."""

    def field(number, data):
        size, text = len(data), bytearray([number << 3 | 2])
        while size > 127:
            text.append(size & 127 | 128)
            size >>= 7
        return bytes([*text, size]) + data

    inner = field(1, field(4, b"Identity"))
    for _ in range(depth):
        inner = field(1, field(4, b"If") + field(5, field(1, b"body") + field(6, inner)))
    return raw(b"\x08\x09" + field(7, inner))


def cut(share):
    def make(folder):
        whole = (SAMPLES / "digits" / "mlp.onnx").read_bytes()
        (folder / "m.onnx").write_bytes(whole[: int(share * len(whole))])

    return make


def flipped(seed):
    def make(folder):
        data = bytearray((SAMPLES / "toys" / "softmax.onnx").read_bytes())
        rng = np.random.default_rng(seed)
        for at in rng.integers(len(data), size=8):
            data[at] ^= 1 << int(rng.integers(8))
        (folder / "m.onnx").write_bytes(bytes(data))

    return make


def raw(content):
    return lambda folder: (folder / "m.onnx").write_bytes(content)


def doubling(times):
    """Each node concatenates the last one's output with itself."""
    names = ["x", *(f"h{k}" for k in range(times - 1)), "y"]
    return simple(*(node("Concat", [a, a], [b], axis=1) for a, b in pairwise(names)))


def link(home):
    (home / "link.bin").symlink_to(home.parent / "secret")


def folder_link(home):
    (home / "sub").symlink_to(home.parent)


def pipe(home):
    os.mkfifo(home / "pipe.bin")


REFUSED, GIVEN_UP, FAILED, ANSWERED = "refused", "given up", "failed", "answered"
IDENTITY = node("Identity", ["x"], ["y"])
FILL = node("ConstantOfShape", ["size"], ["c"])
SUM = node("ReduceSum", ["c"], ["sum"], keepdims=0)
ADD = node("Add", ["x", "sum"], ["y"])

CASES = {
    "traversal": (external({"location": "../secret"}), REFUSED, "outside the model's folder"),
    "traversal in the middle": (external({"location": "a/../../secret"}), REFUSED, "outside"),
    "absolute place": (external({"location": "/etc/passwd"}), REFUSED, "outside"),
    "symbolic link": (external({"location": "link.bin"}, link), REFUSED, "behind a link"),
    "folder behind a link": (external({"location": "sub/secret"}, folder_link), REFUSED, "behind a link"),
    "hard link": (external({"location": "hard.bin"}, lambda home: os.link(home / "w.bin", home / "hard.bin")), REFUSED, "hard link"),
    "named pipe": (external({"location": "pipe.bin"}, pipe), REFUSED, "missing"),
    "wrong length": (external({"location": "w.bin", "length": 8}), REFUSED, "needs 16 bytes"),
    "length beyond the file": (external({"location": "w.bin", "length": 2**62}), REFUSED, "damaged"),
    "place in memory": (external({"location": "*/_ORT_MEM_ADDR_/*", "offset": 4096, "length": 16}), REFUSED, "memory of the process"),
    "python node": (simple(node("PyOp", ["x"], ["y"], domain="com.microsoft"), domains=("", "com.microsoft")), REFUSED, "Python code"),
    "engine context": (simple(node("EPContext", ["x"], ["y"], domain="com.microsoft"), domains=("", "com.microsoft")), REFUSED, "compiled engine"),
    "foreign operator": (simple(node("Evil", ["x"], ["y"], domain="acme"), domains=("", "acme")), REFUSED, "library of its own"),
    "giant constant of shape": (simple(node("ConstantOfShape", ["s"], ["c"]), IDENTITY, weights=[numbers("s", 2**20, 2**20)]), REFUSED, "would make"),
    "giant constant, folded": (simple(node("ConstantOfShape", ["s"], ["c"]), SUM, ADD, weights=[numbers("s", 2**31)]), GIVEN_UP, "of memory"),
    "giant of the input": (of_input(FILL, SUM, ADD), GIVEN_UP, "of memory"),
    "giant range": (of_input(node("Constant", [], ["a"], value_int=0), node("Constant", [], ["b"], value_int=1),
                             node("Range", ["a", "top", "b"], ["r"]), node("Cast", ["r"], ["c"], to=FLOAT), SUM, ADD), GIVEN_UP, "of memory"),
    "doubling": (doubling(40), GIVEN_UP, "of memory"),
    "long loop": (loop(2**40), REFUSED, "would turn"),
    "endless loop": (loop(None), GIVEN_UP, "did not answer"),
    "deep nesting": (nested(30), REFUSED, "nested"),
    "nesting beyond the decoder": (deep(5000), REFUSED, "decoded"),
    "cycle": (simple(node("Add", ["x", "y"], ["h"]), node("Add", ["h", "x"], ["y"])), REFUSED, "cannot load"),
    "absurd weight": (simple(IDENTITY, weights=[onnx.TensorProto(name="w", data_type=FLOAT, dims=[2**40])]), REFUSED, "declares the shape"),
    "weight without data": (simple(node("Add", ["x", "w"], ["y"]), weights=[onnx.TensorProto(name="w", data_type=FLOAT, dims=[2])]), REFUSED, "cannot load"),
    "empty": (raw(b""), REFUSED, "no ONNX model"),
    "a pickle": (raw(b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00cos\nsystem\n."), REFUSED, "no ONNX model"),
    **{f"cut at {share:.0%}": (cut(share), REFUSED, "no ONNX model") for share in (0.1, 0.5, 0.9, 0.999)},
    **{f"eight bits flipped, {seed}": (flipped(seed), None, "") for seed in range(12)},
}  # fmt: skip


def make(name, folder):
    """Write a case's files and return the model's path."""
    folder.mkdir(parents=True, exist_ok=True)
    CASES[name][0](folder)
    return folder / "home" / "model.onnx" if (folder / "home").is_dir() else folder / "m.onnx"


if __name__ == "__main__":
    for case in CASES:
        make(case, Path(sys.argv[1]) / case.replace(" ", "-"))
