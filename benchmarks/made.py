"""Models made on the fly, too large or too plain to be kept: a forest over one-hot groups, slow networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

WIDTH = 3
"""Columns of a one-hot group."""


def one_hot(count: int, groups: int, seed: int, columns: int = WIDTH) -> np.ndarray:
    """Draw rows of one-hot groups: Float32[np.ndarray, "count groups*WIDTH"].

    Parameters
    ----------
    columns : how many of a group's columns may be hot; WIDTH - 1 = every group differs from ``against``.
    """
    hot = np.random.default_rng(seed).integers(0, columns, (count, groups))
    return np.eye(WIDTH, dtype=np.float32)[hot].reshape(count, -1)


def against(groups: int) -> np.ndarray:
    """Return the row that votes against class 1 in every group: what stands in for hidden groups."""
    return np.tile(np.eye(WIDTH, dtype=np.float32)[-1], groups)


def labels(groups: int) -> np.ndarray:
    """Return the group of every column."""
    return np.repeat(np.arange(groups), WIDTH)


def forest(path: Path, groups: int, trees: int = 100, depth: int = 8) -> Path:
    """Train a random forest on a vote of half the groups and write it as ONNX.

    A row is of class 1 when the votes of its groups, each with a weight of its own, are above the median:
    the first column of a group votes for it, the second a little less, the third against it. Class 1
    takes several groups, so that the smallest set is not found at once.
    """
    from sklearn.ensemble import RandomForestClassifier

    rows, rng = one_hot(4000, groups, 1), np.random.default_rng(2)
    weights = np.zeros((groups, WIDTH))
    weights[: groups // 2] = rng.uniform(0.5, 1.5, (groups // 2, 1)) * [1.0, 0.6, -0.8]
    votes = rows @ weights.ravel()
    trained = RandomForestClassifier(trees, max_depth=depth, random_state=3)
    trained.fit(rows, votes > np.median(votes))
    node = helper.make_node(
        "TreeEnsembleClassifier", ["x"], ["label", "probabilities"], domain="ai.onnx.ml",
        classlabels_int64s=[0, 1], post_transform="NONE", **_trees(trained.estimators_),
    )  # fmt: skip
    outputs = [_value("label", [None], onnx.TensorProto.INT64), _value("probabilities", [None, 2])]
    graph = helper.make_graph([node], "forest", [_value("x", [None, groups * WIDTH])], outputs)
    return _save(graph, path, [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)])


def _trees(estimators: list[Any]) -> dict[str, list[Any]]:
    """Turn scikit-learn's trees into the attributes of the operator."""
    found: dict[str, list[Any]] = {
        name: []
        for name in (
            "nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_modes", "nodes_values",
            "nodes_truenodeids", "nodes_falsenodeids", "class_treeids", "class_nodeids", "class_ids",
            "class_weights",
        )
    }  # fmt: skip
    for number, estimator in enumerate(estimators):
        tree = estimator.tree_
        leaf = tree.children_left < 0
        found["nodes_treeids"] += [number] * tree.node_count
        found["nodes_nodeids"] += range(tree.node_count)
        found["nodes_featureids"] += np.where(leaf, 0, tree.feature).tolist()
        found["nodes_modes"] += ["LEAF" if end else "BRANCH_LEQ" for end in leaf]
        found["nodes_values"] += np.where(leaf, 0.0, tree.threshold).tolist()
        found["nodes_truenodeids"] += np.where(leaf, 0, tree.children_left).tolist()
        found["nodes_falsenodeids"] += np.where(leaf, 0, tree.children_right).tolist()
        for node in np.flatnonzero(leaf).tolist():
            share = tree.value[node, 0] / tree.value[node, 0].sum() / len(estimators)
            found["class_treeids"] += [number] * 2
            found["class_nodeids"] += [node] * 2
            found["class_ids"] += [0, 1]
            found["class_weights"] += share.tolist()
    return found


def slow_network(path: Path) -> Path:
    """Write a convolutional network of random weights for 3 x 224 x 224 pictures: above 1 ms a row."""
    rng = np.random.default_rng(0)
    nodes, weights, last = [], [], "x"
    for k, (into, out) in enumerate([(3, 32), (32, 64), (64, 128), (128, 128)]):
        drawn = rng.normal(0, np.sqrt(2 / (9 * into)), (out, into, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(drawn, f"w{k}"))
        nodes.append(helper.make_node("Conv", [last, f"w{k}"], [f"c{k}"], pads=[1] * 4, strides=[2, 2]))
        nodes.append(helper.make_node("Relu", [f"c{k}"], [last := f"r{k}"]))
    weights.append(numpy_helper.from_array(rng.normal(0, 1, (128, 10)).astype(np.float32), "head"))
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["logits"]),
    ]
    inputs, outputs = [_value("x", [None, 3, 224, 224])], [_value("logits", [None, 10])]
    graph = helper.make_graph(nodes, "slow", inputs, outputs, weights)
    return _save(graph, path, [helper.make_opsetid("", 17)])


RESNET = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Stages of ResNet-50 (arXiv 1512.03385, table 1): width, blocks, stride of the first one."""


def resnet50(path: Path, half: bool = False) -> Path:
    """Write ResNet-50 with drawn weights, batch normalisation folded in: 3 x 224 x 224 to 1,000 logits.

    Parameters
    ----------
    half : weights, input and output in float16.
    """
    chain = _Drawn(half)
    last = chain.conv("x", 3, 64, 7, 2)
    last = chain.node("MaxPool", [last], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    wide = 64
    for width, blocks, stride in RESNET:
        for block in range(blocks):
            step = stride if block == 0 else 1
            aside = last if block else chain.conv(last, wide, 4 * width, 1, step, bent=False)
            last = chain.conv(chain.conv(last, wide, width, 1, 1), width, width, 3, step)
            last = chain.conv(last, width, 4 * width, 1, 1, bent=False)
            last, wide = chain.node("Relu", [chain.node("Add", [last, aside])]), 4 * width
    pooled = chain.node("Flatten", [chain.node("GlobalAveragePool", [last])])
    chain.node("MatMul", [pooled, chain.weight((wide, 1000), wide)], to="logits")
    return chain.save(path, "x", ["n", 3, 224, 224], 1000)


def transformer(path: Path, tokens: int = 128, layers: int = 12, width: int = 768, heads: int = 12) -> Path:
    """Write an encoder of BERT-base's size with drawn weights: int64 ids to two logits."""
    chain, split = _Drawn(), width // heads
    ids = chain.weight((1000, width), 1)
    last = chain.node("Add", [chain.node("Gather", [ids, "x"], axis=0), chain.weight((1, tokens, width), 1)])
    shape = chain.whole([0, 0, heads, split])
    for _ in range(layers):
        parts = []
        for turn in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
            part = chain.node("MatMul", [last, chain.weight((width, width), width)])
            parts.append(chain.node("Transpose", [chain.node("Reshape", [part, shape])], perm=turn))
        scores = chain.node("MatMul", parts[:2])
        scores = chain.node("Mul", [scores, chain.number(split**-0.5)])
        seen = chain.node("MatMul", [chain.node("Softmax", [scores], axis=-1), parts[2]])
        seen = chain.node("Transpose", [seen], perm=[0, 2, 1, 3])
        seen = chain.node("Reshape", [seen, chain.whole([0, 0, width])])
        seen = chain.node("MatMul", [seen, chain.weight((width, width), width)])
        last = chain.normal(chain.node("Add", [last, seen]), width)
        inner = chain.node("MatMul", [last, chain.weight((width, 4 * width), width)])
        gate = chain.node("Sigmoid", [chain.node("Mul", [inner, chain.number(1.702)])])  # GELU, nearly
        inner = chain.node("Mul", [inner, gate])
        inner = chain.node("MatMul", [inner, chain.weight((4 * width, width), 4 * width)])
        last = chain.normal(chain.node("Add", [last, inner]), width)
    pooled = chain.node("ReduceMean", [last], axes=[1], keepdims=0)
    chain.node("MatMul", [pooled, chain.weight((width, 2), 4)], to="logits")
    return chain.save(path, "x", ["n", tokens], 2, onnx.TensorProto.INT64)


class _Drawn:
    """A graph that grows at its end, whose weights are drawn as they are asked for."""

    def __init__(self, half: bool = False) -> None:
        self.rng, self.nodes, self.weights = np.random.default_rng(0), [], []
        self.dtype = np.float16 if half else np.float32

    def node(self, operator: str, inputs: list[str], to: str = "", **attributes: Any) -> str:
        to = to or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [to], **attributes))
        return to

    def hold(self, array: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(array, f"w{len(self.weights)}"))
        return self.weights[-1].name

    def weight(self, shape: tuple[int, ...], into: int, size: float = 1.0) -> str:
        drawn = self.rng.standard_normal(shape, dtype=np.float32) * size * into**-0.5
        return self.hold(drawn.astype(self.dtype))

    def whole(self, values: list[int]) -> str:
        return self.hold(np.array(values, dtype=np.int64))

    def number(self, value: float) -> str:
        return self.hold(np.array(value, dtype=self.dtype))

    def conv(self, last: str, into: int, out: int, size: int, stride: int, bent: bool = True) -> str:
        weight = self.weight((out, into, size, size), into * size**2, 1.4 if bent else 0.7)
        bias = self.hold(np.zeros(out, dtype=self.dtype))
        made = self.node("Conv", [last, weight, bias], strides=[stride] * 2, pads=[size // 2] * 4)
        return self.node("Relu", [made]) if bent else made

    def normal(self, last: str, width: int) -> str:
        scale, bias = (self.hold(np.full(width, v, dtype=self.dtype)) for v in (1.0, 0.0))
        return self.node("LayerNormalization", [last, scale, bias], axis=-1)

    def save(self, path: Path, name: str, shape: list[Any], columns: int, kind: int = 0) -> Path:
        own = onnx.TensorProto.FLOAT16 if self.dtype == np.float16 else onnx.TensorProto.FLOAT
        inputs, outputs = [_value(name, shape, kind or own)], [_value("logits", ["n", columns], own)]
        graph = helper.make_graph(self.nodes, path.stem, inputs, outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, path)
        return path


def _value(name: str, shape: list[int | None], kind: int = onnx.TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _save(graph: onnx.GraphProto, path: Path, opsets: list[onnx.OperatorSetIdProto]) -> Path:
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
