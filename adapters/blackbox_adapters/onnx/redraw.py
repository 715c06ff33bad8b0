"""A copy of a graph with other weights, to see whether an explanation depends on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from blackbox.errors import ModelError


def redrawn(proto: Any, weights: Mapping[str, bytes], seed: int) -> Any:
    """Return the model with the entries of every weight shuffled within their tensor.

    Weights are the floating-point initialisers and constants of two axes and more: matrices and kernels.
    Vectors stay, as biases and the means and deviations of a scaler are no weights, and shuffling the latter
    would take the inputs out of their range. So every layer keeps its scale, and only what was
    learnt goes.

    Parameters
    ----------
    proto : onnx.ModelProto; weights : content of its files of external data; seed : names the permutations.

    Raises
    ------
    ModelError : the graph holds no such weight (trees, for example, keep theirs in attributes).
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
    if not shuffled:
        raise ModelError("The model holds no weights that could be shuffled: no float tensor of two axes.")
    return copy


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
