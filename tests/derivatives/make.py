"""Train five small networks, export them, and store their derivatives by autograd in float64.

Needs:  pip install torch onnx onnxscript scikit-learn numpy
Run with Python 3.11 and torch 2.13.0 (CPU):

    python tests/derivatives/make.py

Writes NAME.onnx and NAME.npz beside this file: for six inputs x each the class y, logits z, Jacobian J of the
logits, gradient g and Hessian H of the cross-entropy, as float32. The inputs are those, of forty spread over
the confidence, at which the second order matters most (the gradient and CASO's solution at lambda2 = 0.01 of
the largest eigenvalue differ most in direction). Noise on the pictures keeps MaxPool free of ties.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits
from torch import nn

HERE = Path(__file__).parent
INPUTS = 6


class Block(nn.Module):
    """Self-attention and a GELU network, each behind a layer norm."""

    def __init__(self, width: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.mix, self.out, self.heads = nn.Linear(width, 3 * width), nn.Linear(width, width), heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 32), nn.GELU(), nn.Linear(32, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, d = x.shape
        parts = self.mix(self.first(x)).chunk(3, -1)
        q, k, v = (part.reshape(b, t, self.heads, d // self.heads).transpose(1, 2) for part in parts)
        seen = torch.softmax(q @ k.transpose(-1, -2) / (d // self.heads) ** 0.5, -1) @ v
        x = x + self.out(seen.transpose(1, 2).reshape(b, t, d))
        return x + self.feed(self.second(x))


class Transformer(nn.Module):
    """Two blocks over eight windows of four numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.place = nn.Linear(4, 16), nn.Parameter(torch.randn(8, 16) * 0.3)
        self.blocks, self.leave = nn.Sequential(Block(), Block()), nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.leave(self.blocks(self.enter(x) + self.place).mean(1))


class Gate(nn.Module):
    """Squeeze and excitation: channels weighted by a sigmoid of their means."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Linear(channels, 4), nn.Linear(4, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean((2, 3))))))
        return x * gate[:, :, None, None]


def pictures(act: type, pool: type, gate: bool = False, bias: bool = True) -> nn.Sequential:
    wide = 8 if gate else 16
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=bias), act(), *([Gate()] if gate else []), pool(2),
        nn.Conv2d(8, wide, 3, padding=1, bias=bias), act(), *([Gate()] if gate else []), pool(2),
        nn.Flatten(), nn.Linear(4 * wide, 10, bias=bias),
    )  # fmt: skip


def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {
        "relu": pictures(nn.ReLU, nn.MaxPool2d),
        "gelu": pictures(nn.GELU, nn.AvgPool2d),
        "tanh": pictures(nn.Tanh, nn.AvgPool2d),
        "transformer": Transformer(),
        "gated": pictures(nn.ReLU, nn.MaxPool2d, gate=True),
        "biasfree": pictures(nn.ReLU, nn.MaxPool2d, bias=False),
    }


def train(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    torch.manual_seed(1)
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(12):
        for rows in torch.randperm(1400).split(64):
            loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()


def derivatives(net: nn.Module, x: torch.Tensor) -> dict[str, np.ndarray]:
    shape = x.shape
    flat = x.reshape(-1)
    y = net(x[None])[0].argmax()

    def logits(v: torch.Tensor) -> torch.Tensor:
        return net(v.reshape(1, *shape))[0]

    def loss(v: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(logits(v)[None], y[None])

    found = {
        "x": x, "y": y, "z": logits(flat), "J": torch.autograd.functional.jacobian(logits, flat),
        "g": torch.autograd.functional.jacobian(loss, flat),
        "H": torch.autograd.functional.hessian(loss, flat),
    }  # fmt: skip
    return {name: value.detach().numpy() for name, value in found.items()}


def matters(found: dict[str, np.ndarray]) -> float:
    """Cosine of the gradient and CASO's solution."""
    g, hessian = found["g"], found["H"]
    top = np.linalg.eigvalsh(hessian)[-1]
    solution = np.linalg.solve(1.01 * top * np.eye(len(g)) - hessian, g)
    return float(g @ solution / np.linalg.norm(g) / np.linalg.norm(solution))


def without_traces(path: Path) -> None:
    """Drop what the exporter notes of the maker's machine: stack traces with its paths."""
    model = onnx.load(str(path))
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer]:
        del value.metadata_props[:]
        value.doc_string = ""
    del model.graph.metadata_props[:]
    onnx.save(model, str(path))


def main() -> None:
    data = load_digits()
    images, labels = (data.images / 16).astype(np.float32), torch.tensor(data.target)
    for name, net in networks().items():
        shaped = images[:, None] if name != "transformer" else images.reshape(-1, 16, 4)[:, ::2]
        train(net, torch.tensor(shaped), labels)
        net.eval()
        torch.onnx.export(
            net, (torch.tensor(shaped[:2]),), HERE / f"{name}.onnx", input_names=["x"], dynamo=True,
            output_names=["logits"], dynamic_shapes=({0: torch.export.Dim("batch")},), external_data=False,
            verbose=False,
        )  # fmt: skip
        without_traces(HERE / f"{name}.onnx")
        net.double()
        noise = np.random.default_rng(0).standard_normal(shaped[1400:].shape)
        held = torch.tensor((shaped[1400:] + 0.02 * noise).astype(np.float32)).double()
        sure = torch.softmax(net(held), 1).max(1).values.detach().numpy()
        some = np.argsort(sure)[np.linspace(0, len(sure) - 1, 40).astype(int)]
        found = sorted((derivatives(net, held[i]) for i in some), key=matters)[:INPUTS]
        stored = {key: np.array([one[key] for one in found]) for key in found[0]}
        stored = {key: value if key == "y" else value.astype(np.float32) for key, value in stored.items()}
        np.savez_compressed(HERE / f"{name}.npz", **stored)
        print(name, [round(matters(one), 3) for one in found])


if __name__ == "__main__":
    main()
