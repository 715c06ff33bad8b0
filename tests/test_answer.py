"""Which numbers are asked: one output, one per class joined into a table, or a part of one."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import blackbox as bb

FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64


def save(path, nodes, outputs, weights=()):
    """A model with input x [n, 2] and the given nodes and outputs (name, type, shape)."""
    ends = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in outputs]
    start = [helper.make_tensor_value_info("x", FLOAT, ["n", 2])]
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in dict(weights).items()]
    graph = helper.make_graph([helper.make_node(*n[:3], **n[3]) for n in nodes], "g", start, ends, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.save(model, str(path))
    return path


@pytest.fixture
def per_class(tmp_path):
    """A classifier as scikit-learn exports it with zipmap='columns': a label, then one output per class."""
    nodes = [
        ("Softmax", ["x"], ["p"], {}),
        ("ArgMax", ["x"], ["label"], {"axis": 1, "keepdims": 0}),
        ("Gather", ["p", "zero"], ["i0"], {"axis": 1}),
        ("Gather", ["p", "one"], ["i1"], {"axis": 1}),
    ]
    outputs = [("label", INT, ["n"]), ("i0", FLOAT, ["n"]), ("i1", FLOAT, ["n"])]
    weights = {"zero": np.array(0, np.int64), "one": np.array(1, np.int64)}
    return save(tmp_path / "columns.onnx", nodes, outputs, weights)


@pytest.fixture
def detector(tmp_path):
    """Scores [n, 3 anchors, 2 classes] and boxes [n, 3, 4], as detectors return them."""
    nodes = [
        ("MatMul", ["x", "a"], ["flat"], {}), ("Reshape", ["flat", "s"], ["scores"], {}),
        ("MatMul", ["x", "b"], ["wide"], {}), ("Reshape", ["wide", "t"], ["boxes"], {}),
    ]  # fmt: skip
    weights = {
        "a": np.arange(12, dtype=np.float32).reshape(2, 6), "s": np.array([-1, 3, 2]),
        "b": np.ones((2, 12), np.float32), "t": np.array([-1, 3, 4]),
    }  # fmt: skip
    outputs = [("scores", FLOAT, ["n", 3, 2]), ("boxes", FLOAT, ["n", 3, 4])]
    return save(tmp_path / "detector.onnx", nodes, outputs, weights)


def test_one_output_per_class_is_read_as_one_table(per_class):
    model = bb.open_model(per_class)
    found = bb.explain(model, [2.0, 1.0], method="occlusion", target=["i0", "i1"])
    assert found.output_names == ("i0", "i1")
    assert found.full_values.sum() == pytest.approx(1)
    assert found.provenance["output_kind"] == "probabilities"


def test_one_of_them_can_still_be_asked_alone(per_class):
    assert bb.explain(bb.open_model(per_class, options={"output": "i1"}), [2.0, 1.0]).output_names == ("i1",)


def test_joined_outputs_take_class_names(per_class):
    model = bb.open_model(per_class, options={"classes": ("no", "yes")})
    assert bb.explain(model, [0.0, 1.0], "occlusion").output_names == ("yes",)


@pytest.mark.parametrize(
    ("select", "columns"),
    [("[0,:,1]", [1, 3, 5]), ("[:,:,1]", [1, 3, 5]), ("[:,1]", [1, 3, 5]), ("[2, 0]", [4]), ("[0:2]", [0, 1, 2, 3])],
)
def test_a_part_of_an_output_is_selected(detector, select, columns):
    model = bb.open_model(detector, options={"output": "scores", "select": select})
    found = bb.explain(model, [1.0, 0.0], "occlusion", target=list(range(len(columns))))
    np.testing.assert_allclose(np.atleast_1d(found.full_values), columns)


@pytest.mark.parametrize(
    ("select", "words"),
    [("0,1", "needs an index"), ("[1,:,1]", "picks rows"), ("[a]", "needs an index"), ("[::2]", "no range"),
     ("[0,0,0,0]", "at most 3 axes")],
)  # fmt: skip
def test_an_index_that_means_nothing_is_refused(detector, select, words):
    with pytest.raises(bb.RequestError, match=words):
        bb.open_model(detector, options={"output": "scores", "select": select})


def test_a_part_that_is_not_there_is_the_models_side(detector):
    model = bb.open_model(detector, options={"output": "scores", "select": "[7,1]"})
    with pytest.raises(bb.ModelError, match="has no part"):
        bb.explain(model, [1.0, 0.0])


def test_an_unknown_output_among_several_is_named(detector):
    with pytest.raises(bb.RequestError, match=r"'boxen'.*Did you mean 'boxes'"):
        bb.open_model(detector, options={"output": "scores,boxen"})
    with pytest.raises(bb.RequestError, match="one output"):
        bb.open_model(detector, options={"output": "scores,boxes", "select": "[0]"})
