"""What is expected of every file of the corpus: how it is asked, and which methods are refused and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ROW = [1.0, -0.5, 0.25, 2.0]
ROWS = [[0.0, 0.5, -1.0, 1.0], [0.5, 0.0, 0.0, -1.0]]
RNG = np.random.default_rng(1)

NO_SLOPES = r"derivatives need floating-point inputs"
SLOPES = ("cafo", "caso", "saliency", "gradient-x-input", "smoothgrad", "integrated-gradients")
WHOLE = dict.fromkeys(SLOPES, NO_SLOPES)


@dataclass(frozen=True)
class Entry:
    """One file.

    x, background : the input and what stands in for it. options : of ``open_model``. kind : what the
    output is recorded to hold. refused : method -> part of the sentence that refuses it; ``*`` = all.
    target : None = the predicted class. about : why the file is here.
    """

    file: str
    about: str
    kind: str = "probabilities"
    x: Any = field(default_factory=lambda: ROW)
    background: Any = field(default_factory=lambda: ROWS)
    options: Mapping[str, Any] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    target: Any = None


PIXELS = RNG.integers(0, 256, size=(8, 8, 3))
COLOURED = RNG.random((3, 8, 10)).astype(np.float32)
WAVES = RNG.normal(size=(6, 2))
COLUMNS = {"income": [0.5], "years": [3], "colour": ["red"]}
OTHERS = {"income": [[0.0], [-1.0]], "years": [[0], [12]], "colour": [["blue"], ["green"]]}
IDS = {"ids": [3, 1, 4, 1, 5], "mask": [1, 1, 1, 1, 0]}
PADDED = {"ids": [[0, 0, 0, 0, 0]], "mask": [[0, 0, 0, 0, 0]]}
HELD = {"constants": {"rate": 16000, "state": 0}}

EXPORTS = [
    Entry("exports/sklearn-zipmap", "ZipMap: a list of dictionaries"),
    Entry("exports/sklearn-table", "zipmap=False: a table"),
    Entry("exports/sklearn-columns", "zipmap='columns': one output per class"),
    Entry("exports/sklearn-text-labels", "class labels are text"),
    Entry("exports/sklearn-forest", "trees, ZipMap"),
    Entry("exports/sklearn-double", "float64 in and out, label before probabilities"),
    Entry("exports/sklearn-regressor", "a regression of shape [N, 1]", "values"),
    Entry("exports/sklearn-isolation-forest", "labels and scores", "values"),
    Entry("exports/sklearn-decisions", "probabilities that are decision values", "decision values"),
    Entry("exports/sklearn-mixed-columns", "one input per column: float, int64, text", x=COLUMNS, background=OTHERS, refused=WHOLE),
    Entry("exports/sklearn-text", "text of shape [N, 1]", x=["the red car"], background=[[""]], refused=WHOLE),
    Entry("exports/lightgbm-zipmap", "LightGBM: the label is declared [1]"),
    Entry("exports/xgboost", "XGBoost: no opset but ai.onnx.ml"),
    Entry("exports/catboost-classifier", "CatBoost: ZipMap"),
    Entry("exports/catboost-regressor", "CatBoost: declared [N], returned [N, 1]", "values"),
]

GRAPHS = [
    Entry("graphs/fixed-batch-1", "a batch of one, never rewritten"),
    Entry("graphs/fixed-batch-3", "a batch of three: the last chunk is padded and cut"),
    Entry("graphs/sigmoid", "one column that leaves a sigmoid: one class of two"),
    Entry("graphs/scores-4d", "scores of shape [N, C, 1, 1]", "logits"),
    Entry("graphs/embedding", "an embedding: similarity to the input's own", "embedding", options={"kind": "embedding"},
          refused=dict.fromkeys(SLOPES, "is an embedding")),
    Entry("graphs/scalar", "one number for a whole pass", "values"),
    Entry("graphs/nan", "a logarithm of what may be negative", refused={"*": "not a number|NaN or infinity"}),
    Entry("graphs/lying-shape", "declared [N, 1], returned [N, 3]: what came back counts", "logits"),
    Entry("graphs/mixed-rows", "as many lines as it likes", refused={"*": r"leading axis is not the batch"}),
    Entry("graphs/only-labels", "no output but text", refused={"*": "no output that holds numbers"}),
    Entry("graphs/float16", "half precision in and out"),
    Entry("graphs/bfloat16", "bfloat16 in and out, which NumPy lacks"),
    Entry("graphs/double", "float64 in and out"),
    Entry("graphs/uint8-nhwc", "pictures as bytes, channels last: perturbed pixels are rounded", x=PIXELS,
          background=np.full((1, 8, 8, 3), 127), refused=WHOLE),
    Entry("graphs/qdq", "quantised and dequantised around every step"),
    Entry("graphs/symbolic-picture", "height and width are open", x=COLOURED, background=None),
    Entry("graphs/tokens", "ids and attention mask of open length", x=IDS, background=PADDED, refused=WHOLE),
    Entry("graphs/time-series", "[N, T, C]", x=WAVES, background=None,
          refused={"rise": "picture of at least 3 x 3"}),
    Entry("graphs/detector", "several outputs with a selector", "values", options={"output": "scores", "select": "[0,:,1]", "kind": "values"}),
    Entry("graphs/state-and-rate", "a state and a sample rate, held constant", options=HELD),
    Entry("graphs/state-and-rate", "a state that is not held", options={"constants": {"rate": 16000}},
          refused={"*": "--constant state=0"}),
    Entry("graphs/state-and-rate", "a rate that is not held", refused={"*": "--constant rate=VALUE"}),
    Entry("graphs/overridable", "an initialiser that may be overridden", "logits"),
    Entry("graphs/overridable", "and is", "logits", options={"constants": {"gain": [3.0]}}),
    Entry("graphs/optional-input", "an optional input stays out", "logits"),
    Entry("graphs/optional-input", "and is given", "logits", options={"constants": {"o": [[1.0, 2.0, 3.0, 4.0]]}}),
    Entry("graphs/local-function", "a function of the model's own"),
    Entry("graphs/microsoft", "operators of com.microsoft"),
    Entry("graphs/foreign-operator", "an operator of a library that is not there", refused={"*": r"vendor\.ops"}),
    Entry("graphs/missing-locale", "a text step in a locale that no system has", x="red", background=[""],
          refused={"*": "lacks the locale xx_YY"}),
    Entry("graphs/external", "weights in external.onnx.data"),
]  # fmt: skip

ENTRIES = [*EXPORTS, *GRAPHS]
