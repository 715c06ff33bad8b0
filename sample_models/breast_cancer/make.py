"""Train a random forest on the breast-cancer measurements, export it and write its data and facts.

Needs:  pip install scikit-learn skl2onnx onnx onnxruntime numpy pandas
Run with Python 3.11, scikit-learn 1.9.1, skl2onnx 1.20.0, onnx 1.23.2, onnxruntime 1.31.1,
numpy 2.4.6 and pandas 3.1.1.

    python sample_models/breast_cancer/make.py [--out FOLDER]

Every random draw is seeded: two runs on one machine with the versions above write the same bytes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

SEED = 11
CLASSES = ["malignant", "benign"]
SIZE_COLUMNS = ["mean_radius", "mean_perimeter", "mean_area"]


def load() -> tuple[pd.DataFrame, np.ndarray]:
    """Return the measurements with snake_case columns, and the labels (0 = malignant)."""
    data = load_breast_cancer()
    columns = [name.replace(" ", "_") for name in data.feature_names]
    return pd.DataFrame(data.data, columns=columns), data.target


def train(rows: pd.DataFrame, labels: np.ndarray) -> RandomForestClassifier:
    """Fit the forest on the float32 values that the exported model will see."""
    forest = RandomForestClassifier(100, max_depth=6, min_samples_leaf=3, random_state=SEED)
    return forest.fit(rows.to_numpy(np.float32), labels)


def export(forest: RandomForestClassifier, columns: list[str], path: Path) -> None:
    """Write the forest as ONNX with the default ZipMap: a list of dicts of probabilities."""
    model = convert_sklearn(
        forest,
        name="forest",
        initial_types=[("measurements", FloatTensorType([None, len(columns)]))],
        target_opset={"": 17, "ai.onnx.ml": 3},
    )
    model.ir_version = 8
    imports = sorted(model.opset_import, key=lambda item: item.domain)
    del model.opset_import[:]
    model.opset_import.extend(imports)
    props = {"columns": json.dumps(columns), "classes": json.dumps(CLASSES)}
    onnx.helper.set_model_props(model, props)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


class Scorer:
    """Ask the exported forest for P(benign)."""

    def __init__(self, path: Path) -> None:
        """Load the file."""
        self.session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])

    def p_benign(self, rows: pd.DataFrame) -> np.ndarray:
        """Return P(benign) of each row, read out of the ZipMap's dicts."""
        feed = {"measurements": rows.to_numpy(np.float32)}
        dicts = self.session.run(["output_probability"], feed)[0]
        return np.array([row[1] for row in dicts])


def shuffle_influence(scorer: Scorer, rows: pd.DataFrame) -> dict[str, float]:
    """Return the mean |change of P(benign)| when a column is shuffled, largest first."""
    base = scorer.p_benign(rows)
    order = np.random.default_rng(SEED).permutation(len(rows))
    influence = {}
    for name in rows.columns:
        changed = rows.assign(**{name: rows[name].to_numpy()[order]})
        influence[name] = round(float(np.abs(scorer.p_benign(changed) - base).mean()), 4)
    return dict(sorted(influence.items(), key=lambda item: -item[1]))


def collect_facts(scorer: Scorer, rows: pd.DataFrame, labels: np.ndarray) -> dict:
    """Gather the signature, the accuracy and what the forest leans on."""
    right = (scorer.p_benign(rows) > 0.5) == labels
    nudged = scorer.p_benign(rows * (1 + 1e-6)) == scorer.p_benign(rows)
    return {
        "classes": CLASSES,
        "columns": list(rows.columns),
        "outputs": {
            "output_label": "int64 [batch]",
            "output_probability": "sequence of map(int64 -> float32)",
        },
        "accuracy": round(float(right.mean()), 4),
        "test_rows": len(rows),
        "piecewise_constant": True,
        "share_unchanged_by_a_1e-6_nudge": round(float(nudged.mean()), 4),
        "size_columns": SIZE_COLUMNS,
        "size_columns_least_correlation": round(float(rows[SIZE_COLUMNS].corr().min().min()), 3),
        "model_shuffle_influence": shuffle_influence(scorer, rows),
    }


def check(facts: dict, scorer: Scorer, forest: RandomForestClassifier, rows: pd.DataFrame) -> None:
    """Fail unless the file agrees with scikit-learn and the facts in the card hold."""
    expected = forest.predict_proba(rows.to_numpy(np.float32))[:, 1]
    np.testing.assert_allclose(scorer.p_benign(rows), expected, atol=1e-5)
    assert facts["accuracy"] >= 0.9
    assert facts["size_columns_least_correlation"] > 0.95
    top = list(facts["model_shuffle_influence"])[:8]
    assert {"worst_perimeter", "worst_area", "worst_concave_points"} <= set(top)


def write_patients(out: Path, scorer: Scorer, rows: pd.DataFrame, labels: np.ndarray) -> dict:
    """Write the held-out patients with an id column; return P(benign) and the truth of each."""
    ids = [f"P-{i + 1:02d}" for i in range(len(rows))]
    patients = rows.copy()
    patients.insert(0, "patient", ids)
    patients.to_csv(out / "patients.csv", index=False, lineterminator="\n")
    return {
        name: {"p_benign": round(float(p), 4), "label": int(label)}
        for name, p, label in zip(ids, scorer.p_benign(rows), labels, strict=True)
    }


def main() -> None:
    """Train, export, check and write everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    rows, labels = load()
    seen, held_out, seen_labels, held_labels = train_test_split(
        rows, labels, test_size=0.25, stratify=labels, random_state=SEED
    )
    forest = train(seen, seen_labels)
    export(forest, list(rows.columns), out / "forest.onnx")
    scorer = Scorer(out / "forest.onnx")
    facts = collect_facts(scorer, held_out, held_labels)
    facts["patients"] = write_patients(out, scorer, held_out[:30], held_labels[:30])
    seen[:50].to_csv(out / "background.csv", index=False, lineterminator="\n")
    (out / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts, indent=1))
    check(facts, scorer, forest, held_out)
    print("all facts hold")


if __name__ == "__main__":
    main()
