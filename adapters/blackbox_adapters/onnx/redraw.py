"""A copy of a graph with other weights, to see whether an explanation depends on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from blackbox.errors import ModelError


def redrawn(proto: Any, folder: Path, seed: int) -> Any:
    """Return the model with the entries of every weight shuffled within their tensor.

    Weights are the floating-point initialisers and constants of two axes and more: matrices and kernels.
    Vectors stay, as biases and the means and deviations of a scaler are no weights, and shuffling the latter
    would take the inputs out of their range. So every layer keeps its scale, and only what was
    learnt goes.

    Parameters
    ----------
    proto : onnx.ModelProto; folder : where its external data lies; seed : names the permutations.

    Raises
    ------
    ModelError : the graph holds no such weight (trees, for example, keep theirs in attributes).
    """
    import onnx
    from onnx import numpy_helper

    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    if any(tensor.external_data for tensor in copy.graph.initializer):
        onnx.load_external_data_for_model(copy, str(folder))
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


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                yield attribute.t


def _floats() -> tuple[int, ...]:
    from onnx import TensorProto

    return TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16
