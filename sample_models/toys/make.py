"""Build tiny ONNX graphs whose attributions are known exactly.

Needs:  pip install onnx onnxruntime numpy
Run with Python 3.11, onnx 1.23.2, onnxruntime 1.31.1 and numpy 2.4.6.

    python sample_models/toys/make.py [--out FOLDER]

Nothing is trained and nothing is random: every run writes the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from math import factorial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

WEIGHTS, BIAS = [1.0, 2.0, 0.0, -1.0], 0.5
DEFINITE = [[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 1.0]]
INDEFINITE = [[2.0, 3.0, 0.0], [3.0, 1.0, -1.0], [0.0, -1.0, -2.0]]
SLOPE = [1.0, -2.0, 0.5]
HIDDEN = [[0.8, -0.5, 0.3], [-0.4, 0.9, 0.2], [0.1, 0.6, -0.7], [0.5, 0.2, 0.4]]
HIDDEN_BIAS = [0.1, -0.2, 0.0, 0.3]
READOUT = [[1.2, -0.7, 0.4, 0.1], [-0.5, 1.0, 0.3, -0.6], [-0.4, -0.2, 0.9, 0.8]]
READOUT_BIAS = [0.0, 0.1, -0.1]

Function = Callable[[np.ndarray], np.ndarray]


@dataclass
class Toy:
    """One graph, the same function in numpy (one row in, C outputs), and its stated inputs."""

    name: str
    formula: str
    function: Function
    nodes: list[onnx.NodeProto]
    inputs: list[list[float]]
    gradient: Function
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    parameters: dict[str, object] = field(default_factory=dict)
    batch: str | int = "batch"
    output: str = "y"
    error_inputs: list[list[float]] = field(default_factory=list)

    @property
    def width(self) -> int:
        """Number of input features."""
        return len(self.inputs[0])

    @property
    def outputs(self) -> int:
        """Number of output columns."""
        return len(self.function(np.zeros(self.width)))


def array(values: object) -> np.ndarray:
    """Return a float32 constant for a graph."""
    return np.array(values, np.float32)


def column(index: int) -> tuple[onnx.NodeProto, dict[str, np.ndarray]]:
    """Return the node that reads column `index` of x as `x<index>`, and its constant."""
    name = f"i{index}"
    node = helper.make_node("Gather", ["x", name], [f"x{index}"], axis=1)
    return node, {name: np.array([index], np.int64)}


def linear(name: str, batch: str | int) -> Toy:
    """Return y = w.x + b, with a symbolic or a fixed batch axis."""
    return Toy(
        name=name,
        formula="y = 1*x0 + 2*x1 + 0*x2 - 1*x3 + 0.5",
        function=lambda x: np.array([x @ np.array(WEIGHTS) + BIAS]),
        nodes=[helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        inputs=[[1, 2, 3, 4], [0, 1, 0, -1], [-2, 0.5, 8, 1]],
        constants={"w": array(WEIGHTS)[:, None], "b": array([BIAS])},
        parameters={"weights": WEIGHTS, "bias": BIAS},
        batch=batch,
        gradient=lambda x: np.array([WEIGHTS]),
    )


def product() -> Toy:
    """Return y = x0 * x1, with x2 ignored."""
    (first, c0), (second, c1) = column(0), column(1)
    return Toy(
        name="product",
        formula="y = x0 * x1 (x2 is ignored)",
        function=lambda x: np.array([x[0] * x[1]]),
        nodes=[first, second, helper.make_node("Mul", ["x0", "x1"], ["y"])],
        inputs=[[2, 3, 5], [-1, 4, 0], [0, 7, 1]],
        constants=c0 | c1,
        gradient=lambda x: np.array([[x[1], x[0], 0.0]]),
    )


def quadratic(name: str, matrix: list[list[float]]) -> Toy:
    """Return y = 0.5 x'Ax + b.x; its Hessian is A everywhere."""
    a, b = np.array(matrix), np.array(SLOPE)
    return Toy(
        name=name,
        formula="y = 0.5 * x' A x + b . x",
        function=lambda x: np.array([0.5 * x @ a @ x + b @ x]),
        nodes=[
            helper.make_node("MatMul", ["x", "half_a"], ["ax"]),
            helper.make_node("Add", ["ax", "b"], ["inner"]),
            helper.make_node("Mul", ["inner", "x"], ["terms"]),
            helper.make_node("ReduceSum", ["terms", "axes"], ["y"], keepdims=1),
        ],
        inputs=[[1, -1, 2], [0.5, 0.25, -1]],
        constants={"half_a": array(a / 2), "b": array(b), "axes": np.array([1], np.int64)},
        parameters={"A": matrix, "b": SLOPE, "hessian": matrix},
        gradient=lambda x: (a @ x + b)[None],
    )


def xor() -> Toy:
    """Return y = x0 + x1 - 2 x0 x1, exclusive or on the corners of the square."""
    (first, c0), (second, c1) = column(0), column(1)
    return Toy(
        name="xor",
        formula="y = x0 + x1 - 2*x0*x1",
        function=lambda x: np.array([x[0] + x[1] - 2 * x[0] * x[1]]),
        nodes=[
            first,
            second,
            helper.make_node("Add", ["x0", "x1"], ["sum"]),
            helper.make_node("Mul", ["x0", "x1"], ["both"]),
            helper.make_node("Mul", ["both", "two"], ["twice"]),
            helper.make_node("Sub", ["sum", "twice"], ["y"]),
        ],
        inputs=[[1, 1], [1, 0], [0, 1], [0, 0]],
        constants=c0 | c1 | {"two": array(2.0)},
        gradient=lambda x: np.array([[1 - 2 * x[1], 1 - 2 * x[0]]]),
    )


def l2norm() -> Toy:
    """Return the Euclidean norm of x; no gradient at x = 0."""
    return Toy(
        name="l2norm",
        formula="y = sqrt(x0^2 + x1^2 + x2^2 + x3^2)",
        function=lambda x: np.array([np.sqrt(x @ x)]),
        nodes=[helper.make_node("ReduceL2", ["x"], ["y"], axes=[1], keepdims=1)],
        inputs=[[3, 4, 0, 12], [1, 1, 1, 1]],
        gradient=lambda x: (x / np.sqrt(x @ x))[None],
    )


def softmax() -> Toy:
    """Return a smooth three-class scorer with one tanh layer; y holds logits, not probabilities."""
    w, c, v, d = map(np.array, (HIDDEN, HIDDEN_BIAS, READOUT, READOUT_BIAS))
    return Toy(
        name="softmax",
        formula="logits = V tanh(W x + c) + d",
        function=lambda x: v @ np.tanh(w @ x + c) + d,
        nodes=[
            helper.make_node("Gemm", ["x", "w", "c"], ["hidden"], transB=1),
            helper.make_node("Tanh", ["hidden"], ["squashed"]),
            helper.make_node("Gemm", ["squashed", "v", "d"], ["logits"], transB=1),
        ],
        inputs=[[1, -1, 0.5], [-0.5, 2, 1]],
        constants={"w": array(w), "c": array(c), "v": array(v), "d": array(d)},
        parameters={"W": HIDDEN, "c": HIDDEN_BIAS, "V": READOUT, "d": READOUT_BIAS},
        output="logits",
        gradient=lambda x: v @ ((1 - np.tanh(w @ x + c) ** 2)[:, None] * w),
    )


def constant() -> Toy:
    """Return y = 0.25 whatever x is."""
    return Toy(
        name="constant",
        formula="y = 0.25",
        function=lambda x: np.array([0.25]),
        nodes=[helper.make_node("Gemm", ["x", "zeros", "b"], ["y"])],
        inputs=[[1, 2, 3], [-4, 0, 9]],
        constants={"zeros": np.zeros((3, 1), np.float32), "b": array([0.25])},
        parameters={"value": 0.25},
        gradient=lambda x: np.zeros((1, 3)),
    )


def two_splits() -> onnx.NodeProto:
    """Return the tree's node: node 0 splits on x0, node 2 on x1, nodes 1, 3 and 4 are leaves."""
    return helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[0] * 5,
        nodes_nodeids=[0, 1, 2, 3, 4],
        nodes_featureids=[0, 0, 1, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_values=[0.5, 0.0, 2.0, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 3, 0, 0],
        nodes_falsenodeids=[2, 0, 4, 0, 0],
        target_treeids=[0, 0, 0],
        target_nodeids=[1, 3, 4],
        target_ids=[0, 0, 0],
        target_weights=[1.0, 3.0, 7.0],
    )


def stump() -> Toy:
    """Return a tree of two splits as ai.onnx.ml TreeEnsembleRegressor: piecewise constant."""
    return Toy(
        name="stump",
        formula="y = 1 if x0 <= 0.5, else 3 if x1 <= 2, else 7",
        function=lambda x: np.array([1.0 if x[0] <= 0.5 else 3.0 if x[1] <= 2 else 7.0]),
        nodes=[two_splits()],
        inputs=[[1, 3], [1, 1], [0, 3]],
        parameters={"splits": [["x0", 0.5], ["x1", 2.0]], "leaves": [1.0, 3.0, 7.0]},
        gradient=lambda x: np.zeros((1, 2)),
    )


def nan() -> Toy:
    """Return x0 + x1, but NaN as soon as x0 > 0.5."""
    (first, c0), (second, c1) = column(0), column(1)
    return Toy(
        name="nan",
        formula="y = x0 + x1 if x0 <= 0.5, else NaN",
        function=lambda x: np.array([x[0] + x[1] if x[0] <= 0.5 else np.nan]),
        nodes=[
            first,
            second,
            helper.make_node("Add", ["x0", "x1"], ["sum"]),
            helper.make_node("Greater", ["x0", "limit"], ["over"]),
            helper.make_node("Where", ["over", "bad", "sum"], ["y"]),
        ],
        inputs=[[0.25, 1], [-1, 2]],
        constants=c0 | c1 | {"limit": array(0.5), "bad": array(np.nan)},
        error_inputs=[[0.75, 1]],
        gradient=lambda x: np.array([[1.0, 1.0]]),
    )


def toys() -> list[Toy]:
    """List every toy."""
    return [
        linear("linear", "batch"),
        product(),
        quadratic("quadratic", DEFINITE),
        quadratic("quadratic_indefinite", INDEFINITE),
        xor(),
        l2norm(),
        softmax(),
        constant(),
        stump(),
        nan(),
        linear("fixed3", 3),
    ]


def build(toy: Toy) -> onnx.ModelProto:
    """Put the toy's nodes into a checked model."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        toy.nodes,
        toy.name,
        [value("x", TensorProto.FLOAT, [toy.batch, toy.width])],
        [value(toy.output, TensorProto.FLOAT, [toy.batch, toy.outputs])],
        [numpy_helper.from_array(v, k) for k, v in toy.constants.items()],
    )
    used = {node.domain for node in toy.nodes} | {""}
    versions = {"": 17, "ai.onnx.ml": 3}
    imports = [helper.make_opsetid(domain, versions[domain]) for domain in sorted(used)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    model.producer_name = "blackbox sample_models"
    onnx.checker.check_model(model, full_check=True)
    return model


def keep(x: np.ndarray, members: tuple[int, ...]) -> np.ndarray:
    """Return x with every feature outside `members` set to zero."""
    kept = np.zeros_like(x)
    kept[list(members)] = x[list(members)]
    return kept


def shapley(function: Function, x: np.ndarray) -> np.ndarray:
    """Return the exact Shapley values [C, d] of x against a zero background."""
    d = len(x)
    values = []
    for i in range(d):
        rest = [j for j in range(d) if j != i]
        total = 0.0
        for size in range(d):
            weight = factorial(size) * factorial(d - size - 1) / factorial(d)
            for members in combinations(rest, size):
                gain = function(keep(x, (*members, i))) - function(keep(x, members))
                total = total + weight * gain
        values.append(total)
    return np.array(values).T


def leave_one_out(function: Function, x: np.ndarray) -> np.ndarray:
    """Return f(x) - f(x with feature i at zero) as [C, d]."""
    d = len(x)
    without = [tuple(j for j in range(d) if j != i) for i in range(d)]
    return np.array([function(x) - function(keep(x, members)) for members in without]).T


def rounded(values: np.ndarray) -> list:
    """Return nested lists with at most ten decimals and no negative zero."""
    return (np.round(values, 10) + 0.0).tolist()


def case(toy: Toy, x: np.ndarray) -> dict:
    """Return the facts of one stated input; [C][d] tables hold one row per output."""
    return {
        "x": x.tolist(),
        "y": rounded(toy.function(x)),
        "shapley": rounded(shapley(toy.function, x)),
        "leave_one_out": rounded(leave_one_out(toy.function, x)),
        "gradient": rounded(toy.gradient(x)),
    }


def describe(toy: Toy) -> dict:
    """Return everything known about one toy."""
    facts = {
        "file": f"{toy.name}.onnx",
        "formula": toy.formula,
        "input": {"name": "x", "shape": [toy.batch, toy.width]},
        "output": {"name": toy.output, "shape": [toy.batch, toy.outputs]},
        "parameters": toy.parameters,
        "y_at_zero": rounded(toy.function(np.zeros(toy.width))),
        "cases": [case(toy, np.array(x, float)) for x in toy.inputs],
    }
    if toy.error_inputs:
        facts["nan_inputs"] = toy.error_inputs
    return facts


def check(toy: Toy, facts: dict, path: Path) -> None:
    """Fail unless the file and the facts agree."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    y = session.run(None, {"x": array(toy.inputs)})[0]
    np.testing.assert_allclose(y, [c["y"] for c in facts["cases"]], rtol=1e-6, atol=1e-6)
    for item in facts["cases"]:
        total = np.sum(item["shapley"], axis=1)
        gap = np.array(item["y"]) - facts["y_at_zero"]
        np.testing.assert_allclose(total, gap, atol=1e-8)
        slopes = [numeric_slope(toy, np.array(item["x"], float), i) for i in range(toy.width)]
        np.testing.assert_allclose(np.array(slopes).T, item["gradient"], atol=1e-6)
    if toy.error_inputs:
        assert np.isnan(session.run(None, {"x": array(toy.error_inputs)})[0]).all()
    print(f"{toy.name}: {toy.formula}; y{toy.inputs[0]} = {facts['cases'][0]['y']}")


def numeric_slope(toy: Toy, x: np.ndarray, i: int) -> np.ndarray:
    """Return the central difference of the numpy function along feature i."""
    step = np.zeros_like(x)
    step[i] = 1e-5
    return (toy.function(x + step) - toy.function(x - step)) / 2e-5


def write_inputs(toy: Toy, folder: Path) -> None:
    """Write the stated inputs (then those that give NaN) as a table with columns x0, x1, ..."""
    folder.mkdir(exist_ok=True)
    with (folder / f"{toy.name}.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([f"x{i}" for i in range(toy.width)])
        writer.writerows(toy.inputs + toy.error_inputs)


def main() -> None:
    """Build, describe, check and write every toy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    facts = {}
    for toy in toys():
        path = out / f"{toy.name}.onnx"
        path.write_bytes(build(toy).SerializeToString(deterministic=True))
        write_inputs(toy, out / "inputs")
        facts[toy.name] = describe(toy)
        check(toy, facts[toy.name], path)
    (out / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    print("all facts hold")


if __name__ == "__main__":
    main()
