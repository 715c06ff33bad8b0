"""Models made on the fly, too large or too plain to be kept: a forest over one-hot groups, a slow network."""

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


def _value(name: str, shape: list[int | None], kind: int = onnx.TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _save(graph: onnx.GraphProto, path: Path, opsets: list[onnx.OperatorSetIdProto]) -> Path:
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
