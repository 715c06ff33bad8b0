"""Train three small digit classifiers, export them and write their data and facts.

Needs:  pip install torch scikit-learn skl2onnx onnx onnxruntime numpy pandas pillow
Run with Python 3.11, torch 2.13.0 (CPU), scikit-learn 1.9.1, skl2onnx 1.20.0, onnx 1.23.2,
onnxruntime 1.31.1, numpy 2.4.6, pandas 3.1.1 and pillow 13.0.0.

    python sample_models/digits/make.py [--out FOLDER]

Every random draw is seeded: two runs on one machine with the versions above write the same bytes.
"""

from __future__ import annotations

import argparse
import io
import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd
import torch
from onnx import TensorProto, helper
from PIL import Image
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from torch import nn

SEED = 7
CLASSES = [str(digit) for digit in range(10)]
SIDES = {"cnn": 8, "mlp": 8, "cnn28": 28}
OUTPUTS = {"cnn": "logits", "mlp": "probabilities", "cnn28": "logits"}


def upsample(images: np.ndarray) -> np.ndarray:
    """Scale [n, 1, 8, 8] to [n, 1, 28, 28] (bilinear, corners not aligned)."""
    big = nn.functional.interpolate(torch.from_numpy(images), size=(28, 28), mode="bilinear")
    return big.numpy()


def load() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return all images in [0, 1], all labels, and the row numbers for training and testing."""
    data = load_digits()
    images = (data.images / 16).astype(np.float32)[:, None]
    rows = np.arange(len(images))
    seen, held_out = train_test_split(rows, test_size=0.25, stratify=data.target, random_state=SEED)
    return images, data.target.astype(np.int64), seen, held_out


def build_cnn() -> nn.Sequential:
    """Return the untrained network for 8x8 images: two conv-ReLU-pool blocks and a linear map."""
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(24 * 2 * 2, 10),
    )


def build_cnn28() -> nn.Sequential:
    """Return the untrained network for 28x28 images; the stride keeps it cheap per row."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 7 * 7, 10),
    )


def fit_torch(network: nn.Sequential, images: np.ndarray, labels: np.ndarray) -> nn.Sequential:
    """Train with Adam on shuffled batches of 64, the same order on every run."""
    pixels, targets = torch.from_numpy(images), torch.from_numpy(labels)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3, weight_decay=1e-4)
    shuffler = torch.Generator().manual_seed(SEED)
    for _ in range(40):
        for batch in torch.randperm(len(pixels), generator=shuffler).split(64):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(pixels[batch]), targets[batch])
            loss.backward()
            optimizer.step()
    return network.eval()


def save(model: onnx.ModelProto, path: Path) -> None:
    """Add the class names and write one self-contained file."""
    helper.set_model_props(model, {"classes": json.dumps(CLASSES)})
    model.graph.name = path.stem
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def export_torch(network: nn.Sequential, side: int, path: Path) -> None:
    """Export with torch's TorchScript exporter and a symbolic batch axis."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (torch.zeros(1, 1, side, side),),
            buffer,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )
    save(onnx.load_from_string(buffer.getvalue()), path)


def put_flatten_in_front(model: onnx.ModelProto) -> None:
    """Make the model take `image` as the CNN does instead of the flat `pixels`."""
    graph = model.graph
    graph.node.insert(0, helper.make_node("Flatten", ["image"], ["pixels"], "flatten", axis=1))
    del graph.input[:]
    graph.input.append(
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])
    )
    for output in graph.output:
        output.type.tensor_type.shape.dim[0].dim_param = "batch"


def export_mlp(network: MLPClassifier, path: Path) -> None:
    """Export with skl2onnx, with the opset imports in a fixed order."""
    model = convert_sklearn(
        network,
        initial_types=[("pixels", FloatTensorType([None, 64]))],
        target_opset={"": 17, "ai.onnx.ml": 3},
        options={id(network): {"zipmap": False}},
    )
    put_flatten_in_front(model)
    model.ir_version = 8
    imports = sorted(model.opset_import, key=lambda item: item.domain)
    del model.opset_import[:]
    model.opset_import.extend(imports)
    save(model, path)


def make_models(out: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Train the three networks and write their files."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)
    export_torch(fit_torch(build_cnn(), images, labels), 8, out / "cnn.onnx")
    export_torch(fit_torch(build_cnn28(), upsample(images), labels), 28, out / "cnn28.onnx")
    mlp = MLPClassifier((32,), activation="tanh", alpha=0.1, max_iter=2000, random_state=SEED)
    mlp.fit(images.reshape(len(images), 64), labels)
    export_mlp(mlp, out / "mlp.onnx")


class Models:
    """The three exported files, ready to be asked for scores."""

    def __init__(self, out: Path) -> None:
        """Load the three files from `out`."""
        self.sessions = {
            name: ort.InferenceSession(out / f"{name}.onnx", providers=["CPUExecutionProvider"])
            for name in SIDES
        }

    def scores(self, name: str, images: np.ndarray) -> np.ndarray:
        """Return the [n, 10] scores of one model."""
        return self.sessions[name].run([OUTPUTS[name]], {"image": images})[0]

    def predict(self, name: str, images: np.ndarray) -> np.ndarray:
        """Return the class of each image."""
        return self.scores(name, images).argmax(axis=1)

    def check_batches(self, images: np.ndarray) -> None:
        """Fail unless each model gives a row the same scores in batches of 1, 3 and 64."""
        for name, side in SIDES.items():
            batch = images[:64] if side == 8 else upsample(images[:64])
            whole = self.scores(name, batch)
            assert whole.shape == (64, 10)
            for size in (1, 3):
                part = self.scores(name, batch[:size])
                np.testing.assert_allclose(part, whole[:size], rtol=1e-4, atol=1e-5)


def to_bytes(image: np.ndarray) -> np.ndarray:
    """Turn one [1, h, w] image in [0, 1] into 8-bit grey values."""
    return np.rint(image[0] * 255).astype(np.uint8)


def from_bytes(pixels: np.ndarray) -> np.ndarray:
    """Turn 8-bit grey values into the [1, 1, h, w] input that a reader of the PNG would make."""
    return (pixels.astype(np.float32) / 255)[None, None]


def choose(models: Models, images: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> list[int]:
    """Choose one test image of each digit that both 8x8 models get right, and two CNN errors."""
    cnn, mlp = (models.predict(name, images[rows]) for name in ("cnn", "mlp"))
    right = rows[(cnn == labels[rows]) & (mlp == labels[rows])]
    good = [int(right[labels[right] == digit][0]) for digit in range(10)]
    return good + [int(row) for row in rows[cnn != labels[rows]][:2]]


def write_images(out: Path, models: Models, images: np.ndarray, named: dict[str, int]) -> None:
    """Write each chosen image at both sizes, and the predictions made from the PNG values."""
    records = []
    for folder in ("images", "images28"):
        (out / folder).mkdir(exist_ok=True)
    for name, row in named.items():
        small, big = to_bytes(images[row]), to_bytes(upsample(images[row : row + 1])[0])
        Image.fromarray(small).save(out / "images" / name)
        Image.fromarray(big).save(out / "images28" / name)
        predictions = {
            model: int(models.predict(model, from_bytes(small if side == 8 else big))[0])
            for model, side in SIDES.items()
        }
        records.append({"file": name, "label": int(name[0]), **predictions})
    pd.DataFrame(records).to_csv(out / "images.csv", index=False, lineterminator="\n")


def write_table(out: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write test digits as a table: p00 .. p77 (row, column) in [0, 1], then `label`."""
    names = [f"p{row}{column}" for row in range(8) for column in range(8)]
    table = pd.DataFrame(images.reshape(len(images), 64).astype(float), columns=names)
    table["label"] = labels
    table.to_csv(out / "digits.csv", index=False, lineterminator="\n", float_format="%g")
    np.save(out / "digits.npy", table.to_numpy()[:, :64].astype(np.float32).reshape(-1, 1, 8, 8))


def collect_facts(
    models: Models, images: np.ndarray, labels: np.ndarray, held_out: np.ndarray
) -> dict:
    """Gather the signatures, the accuracies and the pixels that never vary."""
    described = {}
    for name, side in SIDES.items():
        test = images[held_out] if side == 8 else upsample(images[held_out])
        right = models.predict(name, test) == labels[held_out]
        blank = np.zeros((1, 1, side, side), np.float32)
        described[name] = {
            "input": {"name": "image", "shape": ["batch", 1, side, side], "dtype": "float32"},
            "scores": {"name": OUTPUTS[name], "shape": ["batch", 10], "dtype": "float32"},
            "accuracy": round(float(right.mean()), 4),
            "class_of_blank_image": int(models.predict(name, blank)[0]),
        }
    still = np.flatnonzero(np.ptp(images.reshape(len(images), 64), axis=0) == 0)
    return {
        "classes": CLASSES,
        "models": described,
        "test_rows": len(held_out),
        "constant_pixels": [[int(i // 8), int(i % 8)] for i in still],
        "pixel_step": 1 / 16,
    }


def main() -> None:
    """Train, export, check and write everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    images, labels, seen, held_out = load()
    make_models(out, images[seen], labels[seen])
    models = Models(out)
    models.check_batches(images[held_out])
    chosen = choose(models, images, labels, held_out)
    write_images(out, models, images, {f"{labels[row]}-{row:04d}.png": row for row in chosen})
    write_table(out, images[held_out[:200]], labels[held_out[:200]])
    np.save(out / "background.npy", images[seen[:50]])
    facts = collect_facts(models, images, labels, held_out)
    (out / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts, indent=1))
    assert all(fact["accuracy"] >= 0.96 for fact in facts["models"].values())
    print("all facts hold")


if __name__ == "__main__":
    main()
