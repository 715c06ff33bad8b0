"""Make the corpus's small graphs, one signature each; the exporters' own files come from exports.py.

Run it from the top of the checkout: ``python tests/corpus/make.py``. The same files come out every time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto as Kind
from onnx import helper, numpy_helper

HERE = Path(__file__).parent / "graphs"
FLOAT, DOUBLE, HALF, BRAIN = Kind.FLOAT, Kind.DOUBLE, Kind.FLOAT16, Kind.BFLOAT16
INT, BYTE, TEXT = Kind.INT64, Kind.UINT8, Kind.STRING
RNG = np.random.default_rng(0)
W = RNG.normal(size=(4, 3)).astype(np.float32)
node = helper.make_node


def info(one):
    return helper.make_tensor_value_info(*one) if isinstance(one, tuple) else one


def build(name, nodes, inputs, outputs, weights=None, functions=(), domains=()):
    """Write one graph; inputs and outputs are (name, type, shape) or ready-made."""
    tensors = [numpy_helper.from_array(np.asarray(array), key) for key, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, name, [*map(info, inputs)], [*map(info, outputs)], tensors)
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid("ai.onnx.ml", 3), *domains]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=list(functions))
    model.producer_name = ""
    HERE.mkdir(exist_ok=True)
    onnx.save(model, str(HERE / f"{name}.onnx"))
    return model


def softmax(of, to="y"):
    return [node("Softmax", [of], [to], axis=1)]


def linear(x="x", to="z"):
    return [node("MatMul", [x, "w"], [to])]


def batches():
    for rows in (1, 3):
        build(f"fixed-batch-{rows}", linear() + softmax("z"), [("x", FLOAT, [rows, 4])], [("y", FLOAT, [rows, 3])], {"w": W})
    build("sigmoid", [node("MatMul", ["x", "w"], ["z"]), node("Sigmoid", ["z"], ["y"])], [("x", FLOAT, ["n", 4])],
          [("y", FLOAT, ["n", 1])], {"w": W[:, :1]})  # fmt: skip
    build("scores-4d", [*linear(), node("Reshape", ["z", "s"], ["y"])], [("x", FLOAT, ["n", 4])],
          [("y", FLOAT, ["n", 3, 1, 1])], {"w": W, "s": np.array([0, 3, 1, 1])})  # fmt: skip
    build("embedding", [*linear(), node("Tanh", ["z"], ["y"])], [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 3])], {"w": W})
    build("scalar", [node("Gemm", ["x", "v"], ["z"]), node("Tanh", ["z"], ["t"]), node("ReduceMean", ["t"], ["y"], keepdims=0)],
          [("x", FLOAT, ["n", 4])], [("y", FLOAT, [])], {"v": W[:, :1]})  # fmt: skip
    build("nan", [node("Log", ["x"], ["l"]), node("MatMul", ["l", "w"], ["y"])], [("x", FLOAT, ["n", 4])],
          [("y", FLOAT, ["n", 3])], {"w": W})  # fmt: skip
    build("lying-shape", linear(to="y"), [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 1])], {"w": W})
    # one line per positive cell: as many rows as there happen to be
    build("mixed-rows", [node("Relu", ["x"], ["r"]), node("NonZero", ["r"], ["i"]), node("Transpose", ["i"], ["t"]),
                         node("Cast", ["t"], ["y"], to=FLOAT)], [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["m", 2])])  # fmt: skip
    build("only-labels", [*linear(), node("ArgMax", ["z"], ["k"], axis=1, keepdims=0), node("Cast", ["k"], ["y"], to=TEXT)],
          [("x", FLOAT, ["n", 4])], [("y", TEXT, ["n"])], {"w": W})  # fmt: skip


def types():
    for name, kind in (("float16", HALF), ("bfloat16", BRAIN), ("double", DOUBLE)):
        nodes = [node("Cast", ["x"], ["f"], to=FLOAT), *linear("f"), *softmax("z", "p"), node("Cast", ["p"], ["y"], to=kind)]
        build(name, nodes, [("x", kind, ["n", 4])], [("y", kind, ["n", 3])], {"w": W})
    build("uint8-nhwc", [
        node("Cast", ["x"], ["f"], to=FLOAT), node("Div", ["f", "most"], ["u"]), node("Transpose", ["u"], ["c"], perm=[0, 3, 1, 2]),
        node("Conv", ["c", "k"], ["a"], pads=[1, 1, 1, 1]), node("Tanh", ["a"], ["t"]), node("GlobalAveragePool", ["t"], ["g"]),
        node("Flatten", ["g"], ["z"]), *softmax("z"),
    ], [("x", BYTE, ["n", 8, 8, 3])], [("y", FLOAT, ["n", 2])],
        {"most": np.float32(255), "k": RNG.normal(size=(2, 3, 3, 3)).astype(np.float32)})  # fmt: skip
    scale, zero = np.float32(0.05), np.uint8(128)
    build("qdq", [
        node("QuantizeLinear", ["x", "s", "o"], ["q"]), node("DequantizeLinear", ["q", "s", "o"], ["d"]),
        node("DequantizeLinear", ["w8", "ws", "wo"], ["w"]), *linear("d"),
        node("QuantizeLinear", ["z", "s", "o"], ["zq"]), node("DequantizeLinear", ["zq", "s", "o"], ["zd"]), *softmax("zd"),
    ], [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 3])],
        {"s": scale, "o": zero, "w8": np.clip(np.rint(W / 0.02), -128, 127).astype(np.int8), "ws": np.float32(0.02), "wo": np.int8(0)})  # fmt: skip


def shapes():
    k = RNG.normal(size=(2, 3, 3, 3)).astype(np.float32)
    build("symbolic-picture", [
        node("Conv", ["x", "k"], ["a"], pads=[1, 1, 1, 1]), node("Tanh", ["a"], ["t"]), node("GlobalAveragePool", ["t"], ["g"]),
        node("Flatten", ["g"], ["z"]), *softmax("z"),
    ], [("x", FLOAT, ["n", 3, "h", "w"])], [("y", FLOAT, ["n", 2])], {"k": k})  # fmt: skip
    build("tokens", [
        node("Gather", ["table", "ids"], ["e"]), node("Cast", ["mask"], ["m"], to=FLOAT), node("Unsqueeze", ["m", "last"], ["u"]),
        node("Mul", ["e", "u"], ["k"]), node("ReduceSum", ["k", "time"], ["s"], keepdims=0), node("ReduceSum", ["m", "time"], ["c"]),
        node("Max", ["c", "one"], ["d"]), node("Div", ["s", "d"], ["z"]), *softmax("z"),
    ], [("ids", INT, ["n", "t"]), ("mask", INT, ["n", "t"])], [("y", FLOAT, ["n", 3])],
        {"table": RNG.normal(size=(10, 3)).astype(np.float32), "last": np.array([-1]), "time": np.array([1]), "one": np.float32(1)})  # fmt: skip
    build("time-series", [
        node("Transpose", ["x"], ["c"], perm=[0, 2, 1]), node("Conv", ["c", "k"], ["a"], pads=[1, 1]), node("Tanh", ["a"], ["t"]),
        node("ReduceMean", ["t", "time"], ["z"], keepdims=0), *softmax("z"),
    ], [("x", FLOAT, ["n", 6, 2])], [("y", FLOAT, ["n", 2])],
        {"k": RNG.normal(size=(2, 2, 3)).astype(np.float32), "time": np.array([2])})  # fmt: skip
    build("detector", [
        node("MatMul", ["x", "a"], ["f"]), node("Reshape", ["f", "s"], ["r"]), node("Sigmoid", ["r"], ["scores"]),
        node("MatMul", ["x", "b"], ["g"]), node("Reshape", ["g", "t"], ["boxes"]),
    ], [("x", FLOAT, ["n", 4])], [("scores", FLOAT, ["n", 3, 2]), ("boxes", FLOAT, ["n", 3, 4])],
        {"a": RNG.normal(size=(4, 6)).astype(np.float32), "s": np.array([0, 3, 2]),
         "b": RNG.normal(size=(4, 12)).astype(np.float32), "t": np.array([0, 3, 4])})  # fmt: skip


def inputs():
    # like a voice detector: sound, a state of two layers, and the sample rate
    build("state-and-rate", [
        node("ReduceSum", ["state", "layers"], ["m"], keepdims=0), node("MatMul", ["x", "w"], ["z"]), node("Add", ["z", "m"], ["a"]),
        node("Cast", ["rate"], ["r"], to=FLOAT), node("Div", ["r", "usual"], ["f"]), node("Mul", ["a", "f"], ["b"]), *softmax("b"),
        node("Identity", ["state"], ["next"]),
    ], [("x", FLOAT, ["n", 4]), ("state", FLOAT, [2, "n", 3]), ("rate", INT, [])],
        [("y", FLOAT, ["n", 3]), ("next", FLOAT, [2, "n", 3])],
        {"w": W, "layers": np.array([0]), "usual": np.float32(16000)})  # fmt: skip
    build("overridable", [*linear(), node("Mul", ["z", "gain"], ["y"])], [("x", FLOAT, ["n", 4]), ("gain", FLOAT, [1])],
          [("y", FLOAT, ["n", 3])], {"w": W, "gain": np.array([2.0], np.float32)})  # fmt: skip
    maybe = helper.make_value_info("o", helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, ["n", 4])))
    there = helper.make_graph([node("OptionalGetElement", ["o"], ["t"])], "there", [], [info(("t", FLOAT, None))])
    absent = helper.make_graph([node("Identity", ["x"], ["e"])], "absent", [], [info(("e", FLOAT, None))])
    build("optional-input", [
        node("OptionalHasElement", ["o"], ["h"]), node("If", ["h"], ["z0"], then_branch=there, else_branch=absent),
        node("Add", ["x", "z0"], ["s"]), *linear("s", "y"),
    ], [("x", FLOAT, ["n", 4]), maybe], [("y", FLOAT, ["n", 3])], {"w": W})  # fmt: skip


def operators():
    twice = helper.make_function("house", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 19)])
    build("local-function", [node("Twice", ["x"], ["d"], domain="house"), *linear("d"), *softmax("z")],
          [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 3])], {"w": W}, [twice], [helper.make_opsetid("house", 1)])  # fmt: skip
    build("microsoft", [node("FusedMatMul", ["x", "w"], ["z"], domain="com.microsoft", alpha=0.5),
                        node("Gelu", ["z"], ["g"], domain="com.microsoft"), *softmax("g")],
          [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 3])], {"w": W}, (), [helper.make_opsetid("com.microsoft", 1)])  # fmt: skip
    build("foreign-operator", [node("Secret", ["x"], ["y"], domain="vendor.ops")], [("x", FLOAT, ["n", 4])],
          [("y", FLOAT, ["n", 3])], None, (), [helper.make_opsetid("vendor.ops", 1)])  # fmt: skip
    build("missing-locale", [
        node("StringNormalizer", ["x"], ["s"], case_change_action="LOWER", locale="xx_YY.UTF-8"),
        node("LabelEncoder", ["s"], ["y"], domain="ai.onnx.ml", keys_strings=["red"], values_floats=[1.0], default_float=0.0),
    ], [("x", TEXT, ["n"])], [("y", FLOAT, ["n"])])  # fmt: skip


def external():
    model = build("external", linear() + softmax("z"), [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 3])], {"w": W})
    onnx.external_data_helper.convert_model_to_external_data(model, location="external.onnx.data", size_threshold=0)
    (HERE / "external.onnx.data").unlink(missing_ok=True)
    onnx.save(model, str(HERE / "external.onnx"))


if __name__ == "__main__":
    for part in (batches, types, shapes, inputs, operators, external):
        part()
