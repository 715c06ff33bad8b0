"""Files that are refused before the runtime sees them, each in one sentence."""

from __future__ import annotations

import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import blackbox as bb
from blackbox_adapters.onnx.scan import scan

FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def model(nodes, weights=(), functions=(), domains=("",)):
    ends = [helper.make_tensor_value_info(name, FLOAT, ["n", 2]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], list(weights))
    opsets = [helper.make_opsetid(domain, 17 if not domain else 1) for domain in domains]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=list(functions))


def whole(name, *numbers):
    return numpy_helper.from_array(np.array(numbers, np.int64), name)


IDENTITY = helper.make_node("Identity", ["x"], ["y"])
BIG = [helper.make_node("ConstantOfShape", ["s"], ["c"]), IDENTITY]


def nested(depth):
    body = helper.make_graph([helper.make_node("Identity", ["x"], ["z"])], "b", [], [helper.make_tensor_value_info("z", FLOAT, None)])
    for _ in range(depth):
        node = helper.make_node("If", ["flag"], ["z"], then_branch=body, else_branch=body)
        del node.attribute[1:]
        body = helper.make_graph([node], "b", [], [helper.make_tensor_value_info("z", FLOAT, None)])
    return model(list(body.node))


def loop(turns):
    state = helper.make_tensor_value_info("k", INT, [])
    flag = [helper.make_tensor_value_info(name, BOOL, []) for name in ("c", "d")]
    body = helper.make_graph([helper.make_node("Identity", ["c"], ["d"])], "b", [state, flag[0]], [flag[1]])
    return model([helper.make_node("Loop", ["turns", ""], [], body=body), IDENTITY], [whole("turns", turns)])


HOSTILE = {
    "foreign operator": (lambda: model([helper.make_node("Fast", ["x"], ["y"], domain="acme")], domains=("", "acme")), "acme.Fast"),
    "python operator": (lambda: model([helper.make_node("PyOp", ["x"], ["y"], domain="com.microsoft")]), "calls Python code"),
    "engine context": (lambda: model([helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft")]), "compiled engine"),
    "operator inside a branch": (
        lambda: model([helper.make_node("If", ["f"], ["y"], then_branch=helper.make_graph(
            [helper.make_node("PyOp", ["x"], ["z"])], "b", [], []))]), "calls Python code"),
    "giant shape": (lambda: model(BIG, [whole("s", 2**20, 2**20)]), "would make 1,099,511,627,776 numbers"),
    "giant shape in a constant": (
        lambda: model([helper.make_node("Constant", [], ["s"], value=whole("s", 2**62, 2)), *BIG]), "would make"),
    "giant expand": (lambda: model([helper.make_node("Expand", ["x", "s"], ["y"])], [whole("s", 2**40)]), "Expand"),
    "long loop": (lambda: loop(2**40), "would turn"),
    "deep nesting": (lambda: nested(20), "nested"),
    "absurd weight": (lambda: model([IDENTITY], [onnx.TensorProto(name="w", data_type=FLOAT, dims=[2**40])]), "'w'"),
    "negative weight": (lambda: model([IDENTITY], [onnx.TensorProto(name="w", data_type=FLOAT, dims=[-1])]), "'w'"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_graph_is_refused_in_one_sentence(tmp_path, kind):
    make, words = HOSTILE[kind]
    onnx.save(make(), str(tmp_path / "m.onnx"))
    with pytest.raises(bb.ModelError) as told:
        bb.open_model(tmp_path / "m.onnx")
    assert words in str(told.value)
    assert "\n" not in str(told.value)


def external(folder, entries, content=b"\0" * 16):
    (folder / "w.bin").write_bytes(content)
    tensor = onnx.TensorProto(name="w", data_type=FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    onnx.save(model([IDENTITY], [tensor]), str(folder / "m.onnx"))
    return folder / "m.onnx"


PLACES = {
    "CVE-2022-25882 traversal": ({"location": "../secret"}, "outside the model's folder"),
    "CVE-2024-27318 traversal in the middle": ({"location": "a/../../secret"}, "outside"),
    "absolute": ({"location": "/etc/passwd"}, "outside"),
    "backslash": ({"location": "..\\secret"}, "outside"),
    "CVE-2026-34445 foreign key": ({"location": "w.bin", "__class__": "x"}, "unknown entry"),
    "CVE-2026-34445 huge length": ({"location": "w.bin", "length": 2**60}, "damaged"),
    "wrong length": ({"location": "w.bin", "length": 8}, "needs 16 bytes"),
    "offset behind the end": ({"location": "w.bin", "offset": 64, "length": 16}, "damaged"),
    "negative offset": ({"location": "w.bin", "offset": -4, "length": 16}, "damaged"),
    "no number": ({"location": "w.bin", "offset": "x"}, "no number"),
    "missing": ({"location": "nope.bin"}, "is missing"),
    "no location": ({"length": 16}, "outside"),
}  # fmt: skip


@pytest.mark.parametrize("kind", PLACES)
def test_weights_elsewhere_are_refused(tmp_path, kind):
    entries, words = PLACES[kind]
    with pytest.raises(bb.ModelError) as told:
        bb.open_model(external(tmp_path, entries))
    assert words in str(told.value)


def test_cve_2026_27489_and_34447_weights_behind_a_symbolic_link_are_refused(tmp_path):
    (tmp_path / "secret").write_bytes(b"\0" * 16)
    path = external(tmp_path, {"location": "link.bin", "length": 16})
    (tmp_path / "link.bin").symlink_to(tmp_path / "secret")
    with pytest.raises(bb.ModelError, match="behind a link"):
        bb.open_model(path)


def test_cve_2026_34446_weights_with_a_second_name_are_refused(tmp_path):
    path = external(tmp_path, {"location": "w.bin", "length": 16})
    os.link(tmp_path / "w.bin", tmp_path / "other")
    with pytest.raises(bb.ModelError, match="hard link"):
        bb.open_model(path)


def test_honest_files_pass():
    scan_all = [model([IDENTITY]), loop(100), loop(2**63 - 1), nested(8), model(BIG, [whole("s", 3, 2)])]
    for proto in scan_all:
        scan(proto)


def test_model_local_functions_are_known_operators():
    opsets = [helper.make_opsetid("", 17)]
    twice = helper.make_function("ours", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], opsets)
    scan(model([helper.make_node("Twice", ["x"], ["y"], domain="ours")], functions=[twice], domains=("", "ours")))


def test_cve_2026_28500_no_model_is_fetched_by_the_hub():
    """The hub's prompt for trust could be skipped; onnx 1.21 has none any more, and nothing here asks for one."""
    import importlib.util
    from importlib.metadata import version
    from pathlib import Path

    assert tuple(map(int, version("onnx").split(".")[:2])) >= (1, 21)
    assert importlib.util.find_spec("onnx.hub") is None
    root = Path(__file__).parent.parent
    for path in [*(root / "blackbox").rglob("*.py"), *(root / "adapters").rglob("*.py")]:
        assert "onnx.hub" not in path.read_text(encoding="utf-8"), path
