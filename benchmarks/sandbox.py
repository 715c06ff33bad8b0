"""What the sandbox costs: a pass inside over the same pass outside, in turn; writes the README's table.

python benchmarks/sandbox.py [--write]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import blackbox as bb

HERE = Path(__file__).parent
README = HERE / "README.md"
SAMPLES = HERE.parent / "sample_models"
BEGIN, END = "<!-- sandbox:begin -->", "<!-- sandbox:end -->"
HEADER = [
    "| model | rows a pass | bytes a pass | outside, ms | inside adds, ms | inside adds |",
    "|---|---|---|---|---|---|",
]
"""Medians over the rounds; each round asks both once, in an order that changes."""


def line(name: str, path: Path, count: int, rounds: int) -> str:
    """Measure one model."""
    models = [bb.open_model(path, "cpu", {"sandbox": confined, "threads": 1}) for confined in (False, True)]
    tensor = models[0].signature.inputs[0]
    rows = {tensor.name: np.random.default_rng(0).random((count, *tensor.cell_shape)).astype(tensor.dtype)}
    times: list[list[float]] = [[], []]
    for turn in range(rounds + 3):
        for which in (0, 1) if turn % 2 else (1, 0):
            begun = perf_counter()
            models[which].predict(rows)
            times[which].append(perf_counter() - begun)
    outside = median(times[0][3:]) * 1e3
    added = median(b - a for a, b in zip(times[0][3:], times[1][3:], strict=True)) * 1e3
    size = rows[tensor.name].nbytes
    return f"| {name} | {count} | {size:,} | {outside:.3f} | {added:.3f} | {100 * added / outside:.1f} % |"


def network(path: Path) -> Path:
    """Write convolutions of ResNet-50's input, 3 x 224 x 224, and of its 4 billion multiplications a row."""
    rng, weights, nodes, last = np.random.default_rng(0), [], [], "x"
    for name, (out, into, size, stride) in {
        "stem": (256, 3, 7, 4),
        "a": (256, 256, 3, 1),
        "b": (256, 256, 3, 1),
    }.items():
        drawn = rng.normal(scale=(into * size**2) ** -0.5, size=(out, into, size, size)).astype(np.float32)
        weights.append(numpy_helper.from_array(drawn, f"w{name}"))
        sides = {"strides": [stride] * 2, "pads": [size // 2] * 4}
        nodes += [
            helper.make_node("Conv", [last, f"w{name}"], [f"c{name}"], **sides),
            helper.make_node("Relu", [f"c{name}"], [name]),
        ]
        last = name
    nodes.append(helper.make_node("ReduceMean", [last], ["y"], axes=[2, 3], keepdims=0))
    value = helper.make_tensor_value_info
    ends = [value("x", TensorProto.FLOAT, ["n", 3, 224, 224])], [value("y", TensorProto.FLOAT, ["n", 256])]
    graph = helper.make_graph(nodes, "g", *ends, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def table() -> list[str]:
    """Measure a tiny model, small ones and one of ResNet-50's size."""
    lines = [
        line("linear toy", SAMPLES / "toys/linear.onnx", 8, 1000),
        line("digits CNN", SAMPLES / "digits/cnn.onnx", 256, 300),
        line("digits CNN, 28 x 28", SAMPLES / "digits/cnn28.onnx", 256, 100),
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = network(Path(folder) / "network.onnx")
        lines += [line("of ResNet-50's size", path, size, rounds) for size, rounds in ((1, 30), (8, 10))]
    return [*HEADER, *lines]


def main() -> None:
    """Measure, print, and write the README's table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into the README")
    found = table()
    print("\n".join(found))
    if parser.parse_args().write:
        before, rest = README.read_text(encoding="utf-8").split(BEGIN)
        after = rest.split(END)[1]
        README.write_text(f"{before}{BEGIN}\n" + "\n".join(found) + f"\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
