"""Games with known Shapley values: what the accuracy of an estimator is measured on.

Every game is a real or trained model, some inputs and a background. Truth is enumeration up to 14
features, interventional TreeSHAP for the forests, and long antithetic permutations otherwise (their
error is far below the tabled ones and is returned beside the values).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

SAMPLES = Path(__file__).parent.parent / "sample_models"
Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Instance:
    """One game: rows -> score, an input, background rows, the feature of every cell, exact values.

    f : Float[np.ndarray, "n *cells"] -> Float[np.ndarray, "n"]. labels : None = one per cell.
    """

    game: str
    f: Function
    x: np.ndarray
    background: np.ndarray
    exact: np.ndarray
    labels: np.ndarray | None = None

    @property
    def d(self) -> int:
        """Number of features."""
        return self.x.size if self.labels is None else int(self.labels.max()) + 1

    def v(self, masks: np.ndarray) -> np.ndarray:
        """Score masks: background rows in the hidden cells, averaged."""
        return hidden(self.f, self.x, self.background, self.labels, masks)


def hidden(
    f: Function, x: np.ndarray, background: np.ndarray, labels: np.ndarray | None, masks: np.ndarray
) -> np.ndarray:
    """Score Bool[np.ndarray, "n d"] in pieces of bounded memory."""
    spread = masks if labels is None else masks[:, labels.ravel()]
    step = max(1, 200_000 // len(background) // max(1, x.size // 32))
    found = []
    for start in range(0, len(masks), step):
        kept = spread[start : start + step].reshape(-1, 1, *x.shape)
        rows = np.where(kept, x, background).reshape(-1, *x.shape).astype(np.float32)
        found.append(f(rows).astype(float).reshape(len(kept), -1).mean(axis=1))
    return np.concatenate(found)


def by_enumeration(v: Function, d: int) -> np.ndarray:
    """All 2^d coalitions, by the package's own closed sum (its slow twin is in the tests)."""
    from blackbox.numerics.coalitions import every_coalition, exact_shapley

    masks = every_coalition(d)
    return exact_shapley(masks, v(masks)[:, None])[:, 0]


def by_permutations(v: Function, d: int, pairs: int, seed: int = 99) -> np.ndarray:
    """Average the gains along many random orders and their reverses."""
    rng, total = np.random.default_rng(seed), np.zeros(d)
    ends = v(np.array([np.zeros(d, bool), np.ones(d, bool)]))
    for _ in range(pairs):
        order = rng.permutation(d)
        prefixes = np.zeros((d - 1, d), dtype=bool)
        for k in range(1, d):
            prefixes[k - 1, order[:k]] = True
        there, back = v(np.concatenate([prefixes, ~prefixes])).reshape(2, -1)
        odd = np.concatenate([[ends[0] - ends[1]], there - back, [ends[1] - ends[0]]]) / 2
        total[order] += np.diff(odd)
    return total / pairs


@cache
def _cancer() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    return ((x - x.mean(0)) / x.std(0)).astype(np.float32), y


def _trained(
    game: str, model: object, columns: int, count: int, tree: bool, label: int = 1
) -> Iterator[Instance]:
    x, y = _cancer()
    x = x[:, :columns]
    model.fit(x[100:], y[100:])  # type: ignore[attr-defined]

    def f(rows: np.ndarray) -> np.ndarray:
        return np.asarray(model.predict_proba(rows))[:, label]  # type: ignore[attr-defined]

    background = x[200:250]
    for k in range(count):

        def v(masks: np.ndarray, k: int = k) -> np.ndarray:
            return hidden(f, x[k], background, None, masks)

        if columns <= 14:
            exact = by_enumeration(v, columns)
        elif tree:
            exact = _tree_shap(model, x[k], background, label)
        else:
            exact = by_permutations(v, columns, 1500)
        yield Instance(game, f, x[k], background, exact)


def _tree_shap(model: object, x: np.ndarray, background: np.ndarray, label: int) -> np.ndarray:
    import shap

    explainer = shap.TreeExplainer(model, background, "probability", "interventional")
    return np.asarray(explainer.shap_values(x[None], check_additivity=False))[0, :, label]


def forest(columns: int, count: int) -> Iterator[Instance]:
    """Random forest of 60 trees, probability."""
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(60, max_depth=6, min_samples_leaf=3, random_state=1)
    return _trained(f"rf{columns}", model, columns, count, True)


def boosted(columns: int, count: int) -> Iterator[Instance]:
    """Gradient-boosted trees, probability; truth by permutations."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=60, random_state=1)
    return _trained(f"hgb{columns}", model, columns, count, False)


def network(
    name: str, columns: int, count: int, steep: float, seed: int, hidden_units: int = 24
) -> Iterator[Instance]:
    """A tanh network with drawn weights, its probability saturated by ``steep``."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(columns, hidden_units)) / np.sqrt(columns) * 2
    second = rng.normal(size=(hidden_units, hidden_units)) / np.sqrt(hidden_units) * 2
    last = rng.normal(size=hidden_units) / np.sqrt(hidden_units) * steep

    def f(rows: np.ndarray) -> np.ndarray:
        z = np.tanh(np.tanh(rows.astype(float) @ first) @ second) @ last
        return 1 / (1 + np.exp(-z))

    background = rng.normal(size=(50, columns)).astype(np.float32)
    for _ in range(count):
        x = rng.normal(size=columns).astype(np.float32)

        def v(masks: np.ndarray, x: np.ndarray = x) -> np.ndarray:
            return hidden(f, x, background[:8] if columns > 14 else background, None, masks)

        given = background[:8] if columns > 14 else background
        exact = by_enumeration(v, columns) if columns <= 14 else by_permutations(v, columns, 4000)
        yield Instance(name, f, x, given, exact)


def _onnx(path: str, column: int, probability: bool) -> Function:
    import blackbox as bb

    model = bb.open_model(SAMPLES / path, device="cpu", options={"threads": 1})
    (given,), answer = model.signature.inputs, model.signature.answer

    def f(rows: np.ndarray) -> np.ndarray:
        out = np.asarray(model.predict({given.name: rows.astype(np.float32)})[answer]).astype(float)
        if probability and (out.min() < 0 or np.abs(out.sum(axis=1) - 1).max() > 1e-3):
            out = np.exp(out - out.max(axis=1, keepdims=True))
            out /= out.sum(axis=1, keepdims=True)
        return out[:, column]

    return f


def _picture(path: str) -> np.ndarray:
    from PIL import Image

    return (np.asarray(Image.open(SAMPLES / path), dtype=np.float32) / 255)[None]


def digits(count: int) -> Iterator[Instance]:
    """The sample MLP's probability over 64 pixels; the background is the mean digit."""
    background = np.load(SAMPLES / "digits/background.npy").astype(np.float32).mean(axis=0, keepdims=True)
    for path in sorted((SAMPLES / "digits/images").glob("*.png"))[:count]:
        x = _picture(f"digits/images/{path.name}")
        f = _onnx("digits/mlp.onnx", int(path.name[0]), True)

        def v(masks: np.ndarray, f: Function = f, x: np.ndarray = x) -> np.ndarray:
            return hidden(f, x, background, np.arange(64), masks)

        yield Instance(
            "digits64", f, x, background, by_permutations(v, 64, 4000), np.arange(64).reshape(x.shape)
        )


def patches(side: int, count: int) -> Iterator[Instance]:
    """The sample CNN's logit over a grid of patches of a 28 x 28 digit, hidden by grey."""
    for path in sorted((SAMPLES / "digits/images28").glob("*.png"))[:count]:
        x = _picture(f"digits/images28/{path.name}")
        f = _onnx("digits/cnn28.onnx", int(path.name[0]), False)
        background = np.full((1, *x.shape), 0.5, dtype=np.float32)
        cell = np.arange(28) * side // 28
        labels = (cell[:, None] * side + cell)[None]

        def v(
            masks: np.ndarray, f: Function = f, x: np.ndarray = x, labels: np.ndarray = labels
        ) -> np.ndarray:
            return hidden(f, x, background, labels, masks)  # noqa: B023 - the same grey every time

        exact = by_permutations(v, side * side, 4000 if side < 10 else 1500)
        yield Instance(f"cnn{side * side}", f, x, background, exact, labels)


def credit_rows(count: int) -> tuple[Function, np.ndarray, np.ndarray]:
    """The sample credit network's first column, all applicants, and ``count`` background rows."""

    def table(path: str, names: int) -> np.ndarray:
        with (SAMPLES / path).open() as file:
            width = len(file.readline().split(","))
            return np.loadtxt(file, delimiter=",", usecols=range(names, width), dtype=np.float32)

    rows, background = table("credit/applicants.csv", 1), table("credit/background.csv", 0)[:count]
    return _onnx("credit/credit.onnx", 0, False), rows, background


def credit(count: int) -> Iterator[Instance]:
    """The sample credit network's decision over 27 columns, 20 background rows."""
    f, rows, background = credit_rows(20)
    for x in rows[:count]:

        def v(masks: np.ndarray, x: np.ndarray = x) -> np.ndarray:
            return hidden(f, x, background, None, masks)

        yield Instance("credit27", f, x, background, by_permutations(v, x.size, 8000))


def machine(count: int) -> Iterator[Instance]:
    """A support vector machine with a radial kernel on 13 columns of wines: its decision for one kind."""
    from sklearn.datasets import load_wine
    from sklearn.svm import SVC

    x, y = load_wine(return_X_y=True)
    x = ((x - x.mean(0)) / x.std(0)).astype(np.float32)
    order = np.random.default_rng(3).permutation(len(x))
    x, y = x[order], y[order]
    model = SVC(C=10.0, gamma=0.1).fit(x[60:], y[60:] == 0)
    background = x[60:80]
    for row in x[:count]:

        def v(masks: np.ndarray, row: np.ndarray = row) -> np.ndarray:
            return hidden(model.decision_function, row, background, None, masks)

        yield Instance("svm13", model.decision_function, row, background, by_enumeration(v, 13))


def attention(count: int, tokens: int = 24, width: int = 16) -> Iterator[Instance]:
    """Two layers of attention with drawn weights over 24 tokens: a probability; hidden tokens are zeros."""
    rng = np.random.default_rng(24)
    layers = [rng.normal(size=(5, width, width)) * 1.5 / np.sqrt(width) for _ in range(2)]
    place, last = rng.normal(size=(tokens, width)) / 2, rng.normal(size=width) * 3

    def f(rows: np.ndarray) -> np.ndarray:
        h = rows.astype(float) + place
        for query, key, value, rise, fall in layers:
            scores = (h @ query) @ (h @ key).swapaxes(1, 2) / np.sqrt(width)
            weights = np.exp(scores - scores.max(axis=2, keepdims=True))
            h = h + weights / weights.sum(axis=2, keepdims=True) @ (h @ value)
            h = h + np.maximum(h @ rise, 0) @ fall
            h = h / np.sqrt((h**2).mean(axis=2, keepdims=True))
        return np.asarray(1 / (1 + np.exp(-h.mean(axis=1) @ last)))

    labels = np.repeat(np.arange(tokens), width).reshape(tokens, width)
    background = np.zeros((1, tokens, width), dtype=np.float32)
    for _ in range(count):
        x = rng.normal(size=(tokens, width)).astype(np.float32)

        def v(masks: np.ndarray, x: np.ndarray = x) -> np.ndarray:
            return hidden(f, x, background, labels, masks)

        yield Instance("attention24", f, x, background, by_permutations(v, tokens, 2000), labels)


GAMES: dict[str, Callable[[int], Iterator[Instance]]] = {
    "rf10": lambda n: forest(10, n),
    "mlp10": lambda n: network("mlp10", 10, n, 3.0, 10),
    "rf30": lambda n: forest(30, n),
    "mlp30": lambda n: network("mlp30", 30, n, 12.0, 30),
    "hgb30": lambda n: boosted(30, n),
    "credit27": credit,
    "digits64": digits,
    "cnn49": lambda n: patches(7, n),
    "cnn196": lambda n: patches(14, n),
    "svm13": machine,
    "attention24": attention,
}
"""Game name -> its first n instances."""
