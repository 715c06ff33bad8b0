"""Structure-aware mutations: valid graphs with one to three things in them changed that decoders accept."""

from __future__ import annotations

import onnx

OPERATORS = [
    "Add", "Mul", "Div", "MatMul", "Gemm", "Conv", "Relu", "Softmax", "Reshape", "Transpose", "Concat", "Slice",
    "Gather", "GatherND", "ScatterND", "Expand", "Tile", "Pad", "Resize", "TopK", "Unique", "NonZero", "Range",
    "ConstantOfShape", "CumSum", "Einsum", "LSTM", "GRU", "MaxPool", "AveragePool", "ConvTranspose", "Flatten", "Cast",
    "ArgMax", "OneHot", "Where", "Loop", "If", "Scan", "SequenceAt", "Split", "Squeeze", "Identity", "Erf", "DFT",
    "LayerNormalization", "QuantizeLinear", "DequantizeLinear", "RoiAlign", "NonMaxSuppression", "GridSample",
    "TreeEnsembleClassifier", "TreeEnsembleRegressor", "SVMClassifier", "ArrayFeatureExtractor", "ZipMap", "Scaler",
]  # fmt: skip
WHOLE = [0, 1, -1, 2, 7, 255, -(2**31), 2**31 - 1, 2**40, -(2**63), 2**63 - 1]
REAL = [0.0, -0.0, 1e-45, 3.4e38, -3.4e38, float("inf"), float("nan"), -1.0]
SIDES = [0, 1, 2, 3, 5, 64, 1000, 2**16, 2**31 - 1, 2**33]


def mutate(model, rng):
    """Return a changed copy and what was changed, in words."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    told = []
    for _ in range(int(rng.integers(1, 4))):
        name = str(rng.choice(list(KINDS)))
        if KINDS[name](copy, rng):
            told.append(name)
    return copy, ", ".join(told) or "nothing"


def pick(rng, things):
    return things[int(rng.integers(len(things)))] if len(things) else None


def names_in(model):
    graph = model.graph
    made = [name for node in graph.node for name in node.output]
    return [*made, *(t.name for t in graph.initializer), *(t.name for t in graph.input), "nowhere", ""]


def operator(model, rng):
    node = pick(rng, model.graph.node)
    node.op_type = pick(rng, OPERATORS)
    if rng.random() < 0.5:
        node.domain = pick(rng, ["", "ai.onnx.ml", "com.microsoft"])
    return True


def edge(model, rng):
    node = pick(rng, model.graph.node)
    if not node.input:
        return False
    node.input[int(rng.integers(len(node.input)))] = pick(rng, names_in(model))
    return True


def more_edges(model, rng):
    node = pick(rng, model.graph.node)
    node.input.extend(pick(rng, names_in(model)) for _ in range(int(rng.integers(1, 5))))
    return True


def fewer_edges(model, rng):
    node = pick(rng, model.graph.node)
    if not node.input:
        return False
    del node.input[int(rng.integers(len(node.input)))]
    return True


def output_name(model, rng):
    node = pick(rng, model.graph.node)
    node.output[int(rng.integers(len(node.output)))] = pick(rng, names_in(model))
    return True


def attribute(model, rng):
    found = [attribute for node in model.graph.node for attribute in node.attribute]
    if not found:
        return False
    one = pick(rng, found)
    for values, pool in ((one.ints, WHOLE), (one.floats, REAL)):
        for _ in range(int(rng.integers(1, 4)) if len(values) else 0):
            values[int(rng.integers(len(values)))] = pick(rng, pool)
    if len(one.strings):
        one.strings[int(rng.integers(len(one.strings)))] = pick(rng, [b"", b"\xff", b"MAX", b"x" * 10_000, b"BRANCH_LEQ"])
    if one.HasField("i"):
        one.i = pick(rng, WHOLE)
    if one.HasField("f"):
        one.f = pick(rng, REAL)
    if one.HasField("s"):
        one.s = pick(rng, [b"", b"\xff", b"SAME_UPPER", b"SOFTMAX", b"x" * 10_000])
    return True


def attribute_length(model, rng):
    lists = [values for node in model.graph.node for a in node.attribute for values in (a.ints, a.floats, a.strings) if len(values)]
    if not lists:
        return False
    values = pick(rng, lists)
    if rng.random() < 0.5:
        del values[int(rng.integers(len(values))) :]
    else:
        values.extend(list(values))
    return True


def attribute_gone(model, rng):
    nodes = [node for node in model.graph.node if node.attribute]
    if not nodes:
        return False
    node = pick(rng, nodes)
    del node.attribute[int(rng.integers(len(node.attribute)))]
    return True


def attribute_type(model, rng):
    found = [attribute for node in model.graph.node for attribute in node.attribute]
    if not found:
        return False
    pick(rng, found).type = int(rng.integers(0, 15))
    return True


def weight_shape(model, rng):
    tensor = pick(rng, model.graph.initializer)
    if tensor is None:
        return False
    if len(tensor.dims) and rng.random() < 0.7:
        tensor.dims[int(rng.integers(len(tensor.dims)))] = pick(rng, [*SIDES, -1])
    else:
        tensor.dims.append(pick(rng, SIDES))
    return True


def weight_length(model, rng):
    tensor = pick(rng, model.graph.initializer)
    if tensor is None or not tensor.raw_data:
        return False
    data = tensor.raw_data
    tensor.raw_data = data[: int(rng.integers(len(data)))] if rng.random() < 0.5 else data * 2
    return True


def weight_dtype(model, rng):
    tensor = pick(rng, model.graph.initializer)
    if tensor is None:
        return False
    tensor.data_type = int(rng.integers(0, 25))
    return True


def weight_values(model, rng):
    tensor = pick(rng, model.graph.initializer)
    if tensor is None or not tensor.raw_data:
        return False
    data = bytearray(tensor.raw_data)
    start = int(rng.integers(len(data)))
    data[start : start + 8] = rng.bytes(len(data[start : start + 8]))
    tensor.raw_data = bytes(data)
    return True


def declared_shape(model, rng):
    entry = pick(rng, [*model.graph.input, *model.graph.output])
    dims = entry.type.tensor_type.shape.dim
    if not dims:
        return False
    dim = pick(rng, dims)
    if rng.random() < 0.3:
        dim.dim_param = "n"
    else:
        dim.dim_value = pick(rng, [*SIDES, -1])
    return True


def declared_dtype(model, rng):
    entry = pick(rng, [*model.graph.input, *model.graph.output])
    entry.type.tensor_type.elem_type = pick(rng, [0, 1, 2, 6, 7, 8, 9, 10, 11, 14, 16, 17, 23, 99])
    return True


def version(model, rng):
    pick(rng, model.opset_import).version = pick(rng, [0, 1, 5, 8, 12, 22, 99, -1])
    if rng.random() < 0.3:
        model.ir_version = pick(rng, [0, 1, 3, 13, 99])
    return True


def node_order(model, rng):
    nodes = list(model.graph.node)
    order = rng.permutation(len(nodes))
    del model.graph.node[:]
    model.graph.node.extend(nodes[k] for k in order)
    return len(nodes) > 1


def node_twice(model, rng):
    node = model.graph.node.add()
    node.CopyFrom(pick(rng, list(model.graph.node)[:-1]))
    return True


def node_gone(model, rng):
    if len(model.graph.node) < 2:
        return False
    del model.graph.node[int(rng.integers(len(model.graph.node)))]
    return True


def output_gone(model, rng):
    outputs = model.graph.output
    outputs[int(rng.integers(len(outputs)))].name = pick(rng, names_in(model))
    return True


def subgraph(model, rng):
    """Put a copy of the whole graph into an attribute of one of its nodes."""
    inner = onnx.GraphProto()
    inner.CopyFrom(model.graph)
    node = pick(rng, model.graph.node)
    node.attribute.add(name=pick(rng, ["body", "then_branch", "else_branch"]), type=onnx.AttributeProto.GRAPH, g=inner)
    return True


KINDS = {
    function.__name__.replace("_", " "): function
    for function in (
        operator, edge, more_edges, fewer_edges, output_name, attribute, attribute_length, attribute_gone, attribute_type,
        weight_shape, weight_length, weight_dtype, weight_values, declared_shape, declared_dtype, version, node_order,
        node_twice, node_gone, output_gone, subgraph,
    )
}  # fmt: skip
