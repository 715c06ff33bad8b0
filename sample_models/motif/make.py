"""Train a small network that finds a planted DNA motif, export it and write its data and facts.

Needs:  pip install torch onnx onnxruntime numpy
Run with Python 3.11, torch 2.13.0 (CPU), onnx 1.23.2, onnxruntime 1.31.1 and numpy 2.4.6.

    python sample_models/motif/make.py [--out FOLDER]

Every random draw is seeded: two runs on one machine with the versions above write the same bytes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

SEED = 11
LETTERS = "ACGT"
MOTIF = "TGACTCA"
LENGTH = 60
CLASSES = ["random", "motif"]
FILTERS, WIDTH = 12, 9


def draw(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw letters Int[count, 60], labels, and where the motif starts (-1 = nowhere).

    Half hold the motif; of the others half hold it with two letters changed, so that a network has
    to read all of it.
    """
    letters = rng.integers(0, 4, size=(count, LENGTH))
    motif = np.array([LETTERS.index(letter) for letter in MOTIF])
    labels = np.arange(count) % 2
    starts = np.full(count, -1)
    for row in range(count):
        start = int(rng.integers(0, LENGTH - len(MOTIF) + 1))
        planted = motif.copy()
        if labels[row] == 0:
            changed = rng.choice(len(MOTIF), size=2, replace=False)
            planted[changed] = (planted[changed] + rng.integers(1, 4, size=2)) % 4
        if labels[row] == 1 or row % 4 == 0:
            letters[row, start : start + len(MOTIF)] = planted
        starts[row] = start if labels[row] == 1 else -1
    by_chance = np.array([MOTIF in "".join(LETTERS[k] for k in line) for line in letters])
    keep = by_chance == (labels == 1)
    return letters[keep], labels[keep], starts[keep]


def one_hot(letters: np.ndarray) -> np.ndarray:
    """Turn letters into Float32[n, 60, 4]."""
    return np.eye(4, dtype=np.float32)[letters]


def fit(x: np.ndarray, y: np.ndarray) -> tuple[nn.Conv1d, nn.Linear]:
    """Train convolution, ReLU, maximum over positions and a linear map with Adam."""
    torch.manual_seed(SEED)
    convolution, linear = nn.Conv1d(4, FILTERS, WIDTH, padding=WIDTH // 2), nn.Linear(FILTERS, 2)
    optimizer = torch.optim.Adam([*convolution.parameters(), *linear.parameters()], lr=5e-3)
    inputs, targets = torch.from_numpy(x.transpose(0, 2, 1).copy()), torch.from_numpy(y)
    for _ in range(40):
        for batch in torch.randperm(len(inputs)).split(128):
            optimizer.zero_grad()
            pooled = torch.relu(convolution(inputs[batch])).amax(dim=2)
            nn.functional.cross_entropy(linear(pooled), targets[batch]).backward()
            optimizer.step()
    return convolution, linear


def graph(convolution: nn.Conv1d, linear: nn.Linear) -> onnx.ModelProto:
    """Write the trained network as an ONNX graph of six nodes."""
    constants = {
        "kernel": convolution.weight, "bias": convolution.bias,
        "weights": linear.weight, "offset": linear.bias,
    }  # fmt: skip
    nodes = [
        helper.make_node("Transpose", ["sequence"], ["channels"], perm=[0, 2, 1]),
        helper.make_node("Conv", ["channels", "kernel", "bias"], ["found"], pads=[WIDTH // 2, WIDTH // 2]),
        helper.make_node("Relu", ["found"], ["active"]),
        helper.make_node("GlobalMaxPool", ["active"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "offset"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    made = helper.make_graph(
        nodes, "motif",
        [helper.make_tensor_value_info("sequence", TensorProto.FLOAT, ["batch", LENGTH, 4])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(value.detach().numpy(), name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"classes": json.dumps(CLASSES)})
    onnx.checker.check_model(model)
    return model


def write_data(out: Path, letters: np.ndarray, labels: np.ndarray, starts: np.ndarray) -> None:
    """Write the test sequences as arrays and as a table, and the neutral background."""
    np.save(out / "sequences.npy", one_hot(letters))
    np.save(out / "background.npy", np.full((1, LENGTH, 4), 0.25, dtype=np.float32))
    lines = ["sequence,label,start,letters"]
    for row, (line, label, start) in enumerate(zip(letters, labels, starts, strict=True)):
        lines.append(f"{row},{CLASSES[label]},{start},{''.join(LETTERS[k] for k in line)}")
    (out / "sequences.csv").write_text("\n".join(lines) + "\n")


def main() -> None:
    """Train, export, test the file that was written, and note what is known."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    letters, labels, _ = draw(20_000, rng)
    model = graph(*fit(one_hot(letters), labels))
    (out / "motif.onnx").write_bytes(model.SerializeToString(deterministic=True))
    session = ort.InferenceSession(out / "motif.onnx", providers=["CPUExecutionProvider"])
    tested, truth, _ = draw(4_000, rng)
    said = session.run(None, {"sequence": one_hot(tested)})[0].argmax(axis=1)
    blank = session.run(None, {"sequence": np.full((1, LENGTH, 4), 0.25, dtype=np.float32)})[0][0]
    write_data(out, *draw(240, rng))
    facts = {
        "motif": MOTIF,
        "letters": LETTERS,
        "classes": CLASSES,
        "length": LENGTH,
        "accuracy": round(float((said == truth).mean()), 4),
        "probability_of_motif_in_blank": round(float(blank[1]), 6),
    }
    (out / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
