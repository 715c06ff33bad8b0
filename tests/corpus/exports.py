"""Make the models of the corpus that the common exporters write, as they write them.

Run it in an environment of its own, from the top of the checkout:

    python -m venv ENV && ENV/bin/pip install -r tests/corpus/exports.txt && ENV/bin/python tests/corpus/exports.py

The data is drawn from a fixed seed: four numbers per row, and the class is which half-plane they lie in.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
from catboost import CatBoostClassifier, CatBoostRegressor
from lightgbm import LGBMClassifier
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as PlainFloats
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from xgboost import XGBClassifier

HERE = Path(__file__).parent / "exports"
OPSETS = {"": 17, "ai.onnx.ml": 3}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4)).astype(np.float32)
Y = (X[:, 0] + 0.5 * X[:, 1] > 0).astype(int) + (X[:, 2] > 1).astype(int)
VALUE = (X @ np.array([1.0, -2.0, 0.5, 0.0])).astype(np.float32)
COLOURS = np.array(["red", "green", "blue"])[RNG.integers(0, 3, size=120)]
TEXTS = np.array([f"the {c} {'car' if v > 0 else 'house'}" for c, v in zip(COLOURS, VALUE, strict=True)])


def save(name, model):
    """Write a model without what says when and where it was made."""
    model.doc_string = ""
    HERE.mkdir(exist_ok=True)
    onnx.save(model, str(HERE / f"{name}.onnx"))
    print(name, (HERE / f"{name}.onnx").stat().st_size)


def from_sklearn():
    four = [("x", FloatTensorType([None, 4]))]
    logistic = LogisticRegression().fit(X, Y)
    for name, zipmap in (("zipmap", True), ("table", False), ("columns", "columns")):
        save(f"sklearn-{name}", convert_sklearn(logistic, initial_types=four, target_opset=OPSETS,
                                                options={id(logistic): {"zipmap": zipmap}}))  # fmt: skip
    named = LogisticRegression().fit(X, np.array(["low", "middle", "high"])[Y])
    save("sklearn-text-labels", convert_sklearn(named, initial_types=four, target_opset=OPSETS))
    forest = RandomForestClassifier(n_estimators=5, max_depth=3, random_state=0).fit(X, Y > 0)
    save("sklearn-forest", convert_sklearn(forest, initial_types=four, target_opset=OPSETS))
    save("sklearn-double", convert_sklearn(logistic, initial_types=[("x", DoubleTensorType([None, 4]))],
                                           target_opset=OPSETS, options={id(logistic): {"zipmap": False}}))  # fmt: skip
    save("sklearn-regressor", convert_sklearn(LinearRegression().fit(X, VALUE), initial_types=four, target_opset=OPSETS))
    outlier = IsolationForest(n_estimators=5, random_state=0).fit(X)
    save("sklearn-isolation-forest", convert_sklearn(outlier, initial_types=four, target_opset=OPSETS))
    machine = LinearSVC(random_state=0).fit(X, Y)
    save("sklearn-decisions", convert_sklearn(machine, initial_types=four, target_opset=OPSETS))
    mixed_columns()
    text = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, VALUE > 0)
    save("sklearn-text", convert_sklearn(text, initial_types=[("text", StringTensorType([None, 1]))], target_opset=OPSETS,
                                         options={id(text): {"zipmap": False}, TfidfVectorizer: {"locale": "C"}}))  # fmt: skip


def mixed_columns():
    """One input per column: a float, a whole number and a text."""
    import pandas

    table = pandas.DataFrame({"income": X[:, 0], "years": np.abs(X[:, 1] * 9).astype(np.int64), "colour": COLOURS})
    parts = ColumnTransformer([("n", StandardScaler(), ["income", "years"]), ("c", OneHotEncoder(), ["colour"])])
    pipe = make_pipeline(parts, LogisticRegression()).fit(table, Y > 0)
    kinds = [("income", FloatTensorType([None, 1])), ("years", Int64TensorType([None, 1])),
             ("colour", StringTensorType([None, 1]))]  # fmt: skip
    model = convert_sklearn(pipe, initial_types=kinds, target_opset=OPSETS, options={id(pipe): {"zipmap": False}})
    save("sklearn-mixed-columns", model)


def from_boosters():
    small = {"n_estimators": 4, "max_depth": 2}
    boosted = LGBMClassifier(**small, min_child_samples=5, verbose=-1).fit(X, Y)
    save("lightgbm-zipmap", convert_lightgbm(boosted, initial_types=[("input", PlainFloats([None, 4]))], target_opset=15))
    extreme = XGBClassifier(**small).fit(X, Y)
    save("xgboost", convert_xgboost(extreme, initial_types=[("input", PlainFloats([None, 4]))], target_opset=15))
    with tempfile.TemporaryDirectory() as folder:
        quiet = {"iterations": 4, "depth": 2, "verbose": False, "allow_writing_files": False, "random_seed": 0}
        for name, model in (("classifier", CatBoostClassifier(**quiet).fit(X, Y)), ("regressor", CatBoostRegressor(**quiet).fit(X, VALUE))):
            path = Path(folder) / "m.onnx"
            model.save_model(str(path), format="onnx")
            save(f"catboost-{name}", onnx.load(str(path)))


if __name__ == "__main__":
    from_sklearn()
    from_boosters()
