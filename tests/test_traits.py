"""What an ONNX graph tells about its bends, and what that decides."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from toys import MODELS

import blackbox as bb
from blackbox.hessians import CLOSED, DIFFERENCES, MIXED, decide
from blackbox.model import open_model
from blackbox.numerics.steps import KINKED, Bend


def save(folder, nodes, outputs=2, seed=0):
    """A graph from x (n, 3) through ``nodes`` to y, with a drawn weight w (3, outputs)."""
    rng = np.random.default_rng(seed)
    weights = [
        numpy_helper.from_array(rng.normal(size=(3, outputs)).astype(np.float32), "w"),
        numpy_helper.from_array(np.float32(0), "low"),
        numpy_helper.from_array(np.float32(6), "high"),
        numpy_helper.from_array(np.float32(3), "three"),
    ]
    graph = helper.make_graph(
        [helper.make_node(kind, list(given), [made]) for kind, given, made in nodes], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", outputs])], weights,
    )  # fmt: skip
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


HARD_SWISH = [
    ("MatMul", ("x", "w"), "a"), ("Add", ("a", "three"), "b"), ("Clip", ("b", "low", "high"), "c"),
    ("Mul", ("a", "c"), "d"), ("Div", ("d", "high"), "y"),
]  # fmt: skip
SQUARES = [("Mul", ("x", "x"), "a"), ("MatMul", ("a", "w"), "y")]


@pytest.mark.parametrize(
    ("nodes", "operators", "link", "form"),
    [
        ([("MatMul", ("x", "w"), "a"), ("Relu", ("a",), "y")], {"MatMul(constant)", "Relu"}, "", CLOSED),
        ([("MatMul", ("x", "w"), "a"), ("Softmax", ("a",), "y")], {"MatMul(constant)"}, "Softmax", CLOSED),
        ([("MatMul", ("x", "w"), "a"), ("Tanh", ("a",), "y")], {"MatMul(constant)", "Tanh"}, "", DIFFERENCES),
        (HARD_SWISH, {"MatMul(constant)", "Add", "Clip", "Mul", "Div(constant)"}, "", MIXED),
        (SQUARES, {"Mul", "MatMul(constant)"}, "", DIFFERENCES),
    ],
)  # fmt: skip
def test_operators_on_the_way_to_the_logits(tmp_path, nodes, operators, link, form):
    model = open_model(save(tmp_path, nodes), device="cpu")
    assert set(model.traits["operators"]) == operators
    assert model.traits["link"] == link
    assert decide(Bend(KINKED, 0.03, 1.0, 0.5), frozenset(operators))[0] == form


def test_one_sigmoid_output_is_a_probability_of_two_classes(tmp_path):
    nodes = [("MatMul", ("x", "w"), "a"), ("Sigmoid", ("a",), "y")]
    model = open_model(save(tmp_path, nodes, outputs=1), device="cpu")
    assert model.signature.kind == "probabilities"
    found = bb.explain(model, [0.3, -0.2, 0.1], bb.Caso(lambda2=1.0))
    assert (found.scale, found.details["hessian"]) == ("log-probability", CLOSED)
    assert found.details["second_order"]["cosine"] == pytest.approx(1, abs=1e-4)


def test_the_sample_models_offer_what_they_are_made_of():
    assert open_model(MODELS / "digits" / "mlp.onnx").traits["link"] == "Softmax"
    assert open_model(MODELS / "credit" / "credit.onnx").traits["link"] == "Sigmoid"
    assert "Relu" in open_model(MODELS / "digits" / "cnn.onnx").traits["operators"]
