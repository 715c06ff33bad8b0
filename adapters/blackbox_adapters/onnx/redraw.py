"""A copy of a graph with other weights, to see whether an explanation depends on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from blackbox.errors import ModelError

LEAVES = {
    "class_weights": ("class_ids", "class_treeids", "class_nodeids"),
    "target_weights": ("target_ids", "target_treeids", "target_nodeids"),
    "leaf_weights": ("leaf_targetids",),
}
"""What the leaves of a tree ensemble answer -> the output each number belongs to, and which leaf it is of."""


def redrawn(proto: Any, weights: Mapping[str, bytes], seed: int) -> Any:
    """Return the model with the entries of every weight shuffled within their tensor.

    Weights are the floating-point initialisers and constants of two axes and more: matrices and kernels;
    the coefficients of linear models and support vector machines; and what the leaves of a tree ensemble
    answer, which change places whole, so that a leaf's probabilities still sum to one. Vectors stay, as
    biases and the means and deviations of a scaler are no weights, and shuffling the latter would take the
    inputs out of their range. So every layer keeps its scale, and only what was learnt goes.

    Parameters
    ----------
    proto : onnx.ModelProto; weights : content of its files of external data; seed : names the permutations.

    Raises
    ------
    ModelError : the graph holds no such weight.
    """
    import onnx
    from onnx import numpy_helper

    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for tensor in _tensors(copy.graph):
        _take_in(tensor, weights)
    rng = np.random.default_rng(seed)
    shuffled = 0
    for tensor in _tensors(copy.graph):
        if tensor.data_type in _floats() and len(tensor.dims) > 1:
            values = numpy_helper.to_array(tensor)
            mixed = rng.permutation(values.ravel()).reshape(values.shape)
            tensor.CopyFrom(numpy_helper.from_array(mixed, tensor.name))
            shuffled += 1
    shuffled += sum(_mixed_attributes(node, rng) for node in copy.graph.node)
    if not shuffled:
        raise ModelError(
            "The model holds no weights that could be shuffled: no float tensor of two axes, no trees and no "
            "coefficients."
        )
    return copy


def _mixed_attributes(node: Any, rng: np.random.Generator) -> int:
    """Shuffle what classical models keep in attributes; return how many of these there were."""
    known = {attribute.name: attribute for attribute in node.attribute}
    mixed = 0
    for name, attribute in known.items():
        places = LEAVES.get(name.removesuffix("_as_tensor"))
        if name != "coefficients" and places is None:
            continue
        values = _numbers(attribute)
        keys = [known[place].ints for place in places or () if place in known]
        order = _by_leaf(keys, rng) if keys else rng.permutation(len(values))
        _put(attribute, values[order])
        mixed += 1
    return mixed


def _by_leaf(keys: Sequence[Sequence[int]], rng: np.random.Generator) -> np.ndarray:
    """Int[np.ndarray, "n"], which number comes to each place.

    Leaves that answer about the same outputs change places.

    Parameters
    ----------
    keys : of each number the output, and the leaf it is of; without the latter every number is a leaf.
    """
    outputs, *leaf = keys
    leaves: dict[object, list[int]] = defaultdict(list)
    for k, owner in enumerate(zip(*leaf, strict=True) if leaf else range(len(outputs))):
        leaves[owner].append(k)
    alike: dict[tuple[int, ...], list[list[int]]] = defaultdict(list)
    for places in leaves.values():
        alike[tuple(outputs[k] for k in places)].append(places)
    order = np.arange(len(outputs))
    for group in alike.values():
        order[np.array(group)] = np.array(group)[rng.permutation(len(group))]
    return order


def _numbers(attribute: Any) -> np.ndarray:
    from onnx import numpy_helper

    return numpy_helper.to_array(attribute.t) if attribute.HasField("t") else np.array(attribute.floats)


def _put(attribute: Any, values: np.ndarray) -> None:
    from onnx import numpy_helper

    if attribute.HasField("t"):
        attribute.t.CopyFrom(numpy_helper.from_array(values, attribute.t.name))
    else:
        attribute.floats[:] = values.tolist()


def _take_in(tensor: Any, weights: Mapping[str, bytes]) -> None:
    """Put a tensor's external data inside it."""
    if not tensor.external_data:
        return
    entries = {entry.key: entry.value for entry in tensor.external_data}
    data, offset = weights[entries["location"]], int(entries.get("offset", 0))
    tensor.raw_data = data[offset : offset + int(entries.get("length", len(data) - offset))]
    del tensor.external_data[:]
    tensor.data_location = tensor.DEFAULT


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                yield attribute.t


def _floats() -> tuple[int, ...]:
    from onnx import TensorProto

    return TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16
