"""Functions whose explanations can be worked out by hand, with those answers.

Sums run within a row only, so that a row's score does not depend on the rows beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from reference import Question

from blackbox.model import Identity, Limits, Rows, Signature, Tensor

MODELS = Path(__file__).parents[1] / "sample_models"
FACTS: dict[str, Any] = json.loads((MODELS / "toys" / "facts.json").read_text())

WEIGHTS = np.array([1.0, 2.0, 0.0, -1.0])
DEFINITE = np.array([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 1.0]])
INDEFINITE = np.array([[2.0, 3.0, 0.0], [3.0, 1.0, -1.0], [0.0, -1.0, -2.0]])
SLOPE = np.array([1.0, -2.0, 0.5])


def linear(rows: np.ndarray) -> np.ndarray:
    return (rows.astype(float) * WEIGHTS).sum(axis=1) + 0.5


def product(rows: np.ndarray) -> np.ndarray:
    return rows[:, 0].astype(float) * rows[:, 1]


def _quadratic(rows: np.ndarray, a: np.ndarray) -> np.ndarray:
    rows = rows.astype(float)
    return ((rows[:, :, None] * a).sum(axis=1) * rows).sum(axis=1) / 2 + (rows * SLOPE).sum(axis=1)


def quadratic(rows: np.ndarray) -> np.ndarray:
    return _quadratic(rows, DEFINITE)


def quadratic_indefinite(rows: np.ndarray) -> np.ndarray:
    return _quadratic(rows, INDEFINITE)


def l2norm(rows: np.ndarray) -> np.ndarray:
    return np.sqrt((rows.astype(float) ** 2).reshape(len(rows), -1).sum(axis=1))


def xor(rows: np.ndarray) -> np.ndarray:
    a, b = rows[:, 0].astype(float), rows[:, 1].astype(float)
    return a + b - 2 * a * b


def constant(rows: np.ndarray) -> np.ndarray:
    return np.full(len(rows), 0.25)


def stump(rows: np.ndarray) -> np.ndarray:
    return np.where(rows[:, 0] <= 0.5, 1.0, np.where(rows[:, 1] <= 2, 3.0, 7.0))


def total(rows: np.ndarray) -> np.ndarray:
    return rows.astype(float).reshape(len(rows), -1).sum(axis=1)


@dataclass(frozen=True)
class Toy:
    """A function, an input, and what is true of it against one background row of zeros."""

    f: Callable[[np.ndarray], np.ndarray]
    x: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray
    shapley: tuple[float, ...]
    leave_one_out: tuple[float, ...]
    subset: tuple[int, ...]
    """Members of the first subset at 90 %, by hand; () where hiding everything already passes."""

    @property
    def name(self) -> str:
        return self.f.__name__

    @property
    def file(self) -> Path:
        return MODELS / "toys" / f"{self.name}.onnx"

    def question(self, **more: Any) -> Question:
        return Question(
            self.f, self.x, np.zeros((1, len(self.x))), gradient=self.gradient, hessian=self.hessian, **more
        )


_X = np.array([1.0, -1.0, 2.0])
_L2 = np.array([3.0, 4.0, 0.0, 12.0])
_HAT = np.array([[0.0, 1.0], [1.0, 0.0]])

TOYS = [
    Toy(linear, np.array([1.0, 2, 3, 4]), WEIGHTS, np.zeros((4, 4)), (1, 4, 0, -4), (1, 4, 0, -4), (1,)),
    Toy(
        product, np.array([2.0, 3, 5]), np.array([3.0, 2, 0]), np.pad(_HAT, (0, 1)),
        (3, 3, 0), (6, 6, 0), (0, 1),
    ),
    Toy(quadratic, _X, DEFINITE @ _X + SLOPE, DEFINITE, (1.5, 4, 4), (1, 4.5, 5), (0, 1, 2)),
    Toy(
        quadratic_indefinite, _X, INDEFINITE @ _X + SLOPE, INDEFINITE,
        (0.5, 2, -2), (-1, 1.5, -1), (1,),
    ),
    Toy(
        l2norm, _L2, _L2 / 13, np.eye(4) / 13 - np.outer(_L2, _L2) / 13**3,
        # by enumeration of the eight subsets of {3, 4, 12}
        (
            3 / 3 + (5 - 4 + np.sqrt(153) - 12) / 6 + (13 - np.sqrt(160)) / 3,
            4 / 3 + (5 - 3 + np.sqrt(160) - 12) / 6 + (13 - np.sqrt(153)) / 3,
            0,
            12 / 3 + (np.sqrt(153) - 3 + np.sqrt(160) - 4) / 6 + (13 - 5) / 3,
        ),
        (13 - np.sqrt(160), 13 - np.sqrt(153), 0, 8), (3,),
    ),
    Toy(xor, np.ones(2), -np.ones(2), -2 * _HAT, (0, 0), (-1, -1), ()),
    Toy(constant, np.array([1.0, 2, 3]), np.zeros(3), np.zeros((3, 3)), (0, 0, 0), (0, 0, 0), ()),
]  # fmt: skip


class Counted:
    """A function that remembers the rows it was asked."""

    def __init__(self, f: Callable[[np.ndarray], np.ndarray]) -> None:
        self.f = f
        self.batches: list[np.ndarray] = []

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        self.batches.append(rows.copy())
        return self.f(rows)

    @property
    def count(self) -> int:
        return sum(map(len, self.batches))

    @property
    def rows(self) -> np.ndarray:
        return np.concatenate(self.batches)


_TWO = Signature(
    (Tensor("a", "float32", ("batch", 2)), Tensor("b", "float32", ("batch", 1))),
    (Tensor("y", "float32", ("batch", 1)),),
    "y",
)


@dataclass(frozen=True)
class TwoInputs:
    """A model of two named inputs: y = a0 a1 + 3 b0."""

    signature: Signature = field(default=_TWO)
    limits: Limits = field(default=Limits(5))
    identity: Identity = field(default=Identity("two", {}, "python", "cpu"))

    def predict(self, rows: Rows) -> Rows:
        return {"y": rows["a"][:, 0] * rows["a"][:, 1] + 3 * rows["b"][:, 0]}


@dataclass(frozen=True)
class TanhNetwork:
    """logits = V tanh(W x + c) + d in float64, with the derivatives of the cross-entropy."""

    w: np.ndarray
    c: np.ndarray
    v: np.ndarray
    d: np.ndarray

    @classmethod
    def drawn(cls, inputs: int, hidden: int, classes: int, seed: int, steepness: float = 1.0) -> TanhNetwork:
        rng = np.random.default_rng(seed)
        return cls(
            rng.normal(size=(hidden, inputs)) / np.sqrt(inputs), rng.normal(size=hidden) / 4,
            steepness * rng.normal(size=(classes, hidden)), rng.normal(size=classes) / 4,
        )  # fmt: skip

    @classmethod
    def published(cls) -> TanhNetwork:
        parameters = FACTS["softmax"]["parameters"]
        return cls(*(np.array(parameters[name]) for name in "WcVd"))

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return np.tanh(rows.astype(float) @ self.w.T + self.c) @ self.v.T + self.d

    def loss_derivatives(self, x: np.ndarray, y: int) -> tuple[np.ndarray, np.ndarray]:
        """Gradient and Hessian of -log softmax(logits)_y: J'(p - e) and J'(diag p - pp')J + curvature."""
        t = np.tanh(self.w @ x + self.c)
        logits = self.v @ t + self.d
        p = np.exp(logits - logits.max())
        p /= p.sum()
        jacobian = self.v @ np.diag(1 - t**2) @ self.w
        missed = p - np.eye(len(p))[y]
        bent = self.w.T @ np.diag(missed @ self.v * -2 * t * (1 - t**2)) @ self.w
        return jacobian.T @ missed, jacobian.T @ (np.diag(p) - np.outer(p, p)) @ jacobian + bent
