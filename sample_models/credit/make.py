"""Make the synthetic loan-decision model, its data and its facts.

Needs:  pip install scikit-learn skl2onnx onnx onnxruntime numpy pandas
Run with Python 3.11, scikit-learn 1.9.1, skl2onnx 1.20.0, onnx 1.23.2, onnxruntime 1.31.1,
numpy 2.4.6 and pandas 3.1.1.

    python sample_models/credit/make.py [--out FOLDER]

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
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

SEED = 20240517
TRAIN_ROWS, TEST_ROWS = 6000, 2000
CLASSES = ["declined", "approved"]
GROUPS = {
    "purpose": [f"purpose_{p}" for p in ("car", "home", "education", "business", "other")],
    "housing": [f"housing_{h}" for h in ("own", "mortgage", "rent")],
    "region": [f"region_{r}" for r in ("north", "east", "south", "west")],
}
GROUP_OF = {name: group for group, members in GROUPS.items() for name in members}
PROTECTED = ["sex_female", "age"]

# feature, code, text, direction; a notice speaks only of what hurts, so every text is of the hurting side
CODES = [
    ("income", "R01", "Income is low for the credit asked for", "low"),
    ("loan_amount", "R02", "The amount asked for is high", "high"),
    ("term_months", "R03", "The term asked for is long", "high"),
    ("debt_to_income", "R04", "Existing debt payments are high relative to income", "high"),
    ("employment_years", "R05", "Time with the present employer is short", "low"),
    ("credit_history_years", "R06", "The credit history is short", "low"),
    ("late_payments_24m", "R07", "Payments were late in the last 24 months", "high"),
    ("credit_utilisation", "R08", "A large share of the credit limit is in use", "high"),
    ("savings", "R09", "Savings are low", "low"),
    ("checking_balance", "R10", "The balance of the checking account is low", "low"),
    ("recent_inquiries", "R11", "There were many credit inquiries in the last 6 months", "high"),
    ("open_accounts", "R12", "The number of open credit accounts", "any"),
    ("purpose", "R13", "The purpose of the loan", "any"),
    ("housing", "R14", "The housing situation", "any"),
    ("region", "R15", "The region of residence", "any"),
]

# column: (plain-language label, unit)
LABELS = {
    "age": ("Age of the applicant", "years"),
    "sex_female": ("Applicant is female", "0/1"),
    "income": ("Yearly income", "EUR"),
    "loan_amount": ("Loan amount asked for", "EUR"),
    "term_months": ("Term of the loan", "months"),
    "debt_to_income": ("Existing debt payments as a share of income", "fraction"),
    "employment_years": ("Time with the present employer", "years"),
    "credit_history_years": ("Length of the credit history", "years"),
    "late_payments_24m": ("Late payments in the last 24 months", "count"),
    "open_accounts": ("Open credit accounts", "count"),
    "credit_utilisation": ("Share of the credit limit in use", "fraction"),
    "savings": ("Savings balance", "EUR"),
    "checking_balance": ("Checking account balance", "EUR"),
    "recent_inquiries": ("Credit inquiries in the last 6 months", "count"),
    "purpose_car": ("Purpose of the loan: car", "0/1"),
    "purpose_home": ("Purpose of the loan: home", "0/1"),
    "purpose_education": ("Purpose of the loan: education", "0/1"),
    "purpose_business": ("Purpose of the loan: business", "0/1"),
    "purpose_other": ("Purpose of the loan: other", "0/1"),
    "housing_own": ("Housing: owns the home", "0/1"),
    "housing_mortgage": ("Housing: home with a mortgage", "0/1"),
    "housing_rent": ("Housing: rents", "0/1"),
    "region_north": ("Region: north", "0/1"),
    "region_east": ("Region: east", "0/1"),
    "region_south": ("Region: south", "0/1"),
    "region_west": ("Region: west", "0/1"),
    "lucky_number": ("Lucky number named by the applicant", "0 to 99"),
}
COLUMNS = list(LABELS)

# log-odds of approval = SHARPNESS * score(row); the rule is the whole truth about the labels.
SHARPNESS = 4.0
RULE = {
    "intercept": 1.2,
    "linear": {
        "income": 0.00004,
        "loan_amount": -0.00006,
        "term_months": -0.015,
        "debt_to_income": -3.0,
        "employment_years": 0.06,
        "credit_history_years": 0.04,
        "late_payments_24m": -0.3,
        "credit_utilisation": -1.8,
        "recent_inquiries": -0.25,
        "purpose_home": 0.4,
        "purpose_business": -0.6,
        "housing_own": 0.3,
        "housing_rent": -0.3,
    },
    "interaction": {"columns": ["late_payments_24m", "debt_to_income"], "coefficient": -1.5},
    "saturating": {"column": "savings", "coefficient": 1.5, "scale": 6000.0},
}
UNUSED = ["age", "sex_female", "open_accounts", "checking_balance", "lucky_number"]


def draw_people(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """Draw who the applicants are: age, sex, work, income and balances."""
    age = rng.integers(21, 71, n)
    wealth = rng.normal(size=n)
    other = 0.93 * wealth + np.sqrt(1 - 0.93**2) * rng.normal(size=n)
    income = 42000 * np.exp(0.45 * rng.normal(size=n))
    return {
        "age": age,
        "sex_female": rng.integers(0, 2, n),
        "income": np.clip(income, 12000, 180000).round(-2),
        "employment_years": np.minimum(rng.gamma(1.6, 4.0, n), age - 18).round(1),
        "credit_history_years": np.minimum(rng.gamma(3.0, 3.0, n), age - 18).round(1),
        "savings": np.clip(6000 * np.exp(0.7 * wealth), 0, 60000).round(-1),
        "checking_balance": np.clip(2000 * np.exp(0.7 * other), 0, 20000).round(-1),
    }


def draw_loans(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """Draw the loan asked for and the credit record."""
    return {
        "loan_amount": np.clip(12000 * np.exp(0.6 * rng.normal(size=n)), 1000, 60000).round(-2),
        "term_months": rng.choice([12, 24, 36, 48, 60, 72, 84], n),
        "debt_to_income": np.clip(rng.beta(2.5, 6.0, n), 0.02, 0.8).round(3),
        "late_payments_24m": np.minimum(rng.poisson(0.7, n), 6),
        "open_accounts": 1 + rng.poisson(4.0, n),
        "credit_utilisation": rng.beta(1.8, 2.4, n).round(3),
        "recent_inquiries": np.minimum(rng.poisson(1.2, n), 8),
        "lucky_number": rng.integers(0, 100, n),
    }


def draw_groups(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """Draw the one-hot groups; each row has exactly one hot column per group."""
    columns: dict[str, np.ndarray] = {}
    for members in GROUPS.values():
        hot = rng.integers(0, len(members), n)
        columns.update({name: (hot == i).astype(int) for i, name in enumerate(members)})
    return columns


def draw(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Draw `n` applicants in raw human units, with the model's columns in order."""
    data = draw_people(rng, n) | draw_loans(rng, n) | draw_groups(rng, n)
    return pd.DataFrame(data)[COLUMNS]


def rule_log_odds(rows: pd.DataFrame) -> np.ndarray:
    """Return the true log-odds of approval of each row."""
    score = np.full(len(rows), RULE["intercept"])
    for name, weight in RULE["linear"].items():
        score += weight * rows[name].to_numpy(float)
    first, second = RULE["interaction"]["columns"]
    score += RULE["interaction"]["coefficient"] * (rows[first] * rows[second]).to_numpy(float)
    term = RULE["saturating"]
    score += term["coefficient"] * (1 - np.exp(-rows[term["column"]] / term["scale"])).to_numpy()
    return SHARPNESS * score


def draw_labels(rng: np.random.Generator, rows: pd.DataFrame) -> np.ndarray:
    """Draw each label (1 = approved) with the probability that the rule gives."""
    return (rng.random(len(rows)) < 1 / (1 + np.exp(-rule_log_odds(rows)))).astype(np.int64)


def train(rows: pd.DataFrame, labels: np.ndarray) -> Pipeline:
    """Fit the scaler and the tanh network on raw units."""
    network = MLPClassifier(
        (24, 12), activation="tanh", alpha=3.0, max_iter=300, tol=1e-5, random_state=SEED
    )
    pipeline = Pipeline([("scale", StandardScaler()), ("network", network)])
    return pipeline.fit(rows.to_numpy(np.float32), labels)


def export(pipeline: Pipeline, path: Path) -> None:
    """Write the pipeline as ONNX: float32 `applicant` in, `label` and `probabilities` out."""
    model = convert_sklearn(
        pipeline,
        name="credit",
        initial_types=[("applicant", FloatTensorType([None, len(COLUMNS)]))],
        target_opset={"": 17, "ai.onnx.ml": 3},
        options={id(pipeline): {"zipmap": False}},
    )
    model.ir_version = 8
    imports = sorted(model.opset_import, key=lambda item: item.domain)
    del model.opset_import[:]
    model.opset_import.extend(imports)
    props = {"columns": json.dumps(COLUMNS), "classes": json.dumps(CLASSES)}
    onnx.helper.set_model_props(model, props)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


class Scorer:
    """Ask the exported model for P(approved)."""

    def __init__(self, path: Path) -> None:
        """Load the file."""
        self.session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])

    def probability(self, rows: pd.DataFrame) -> np.ndarray:
        """Return P(approved) of each row."""
        feed = {"applicant": rows.to_numpy(np.float32)}
        return self.session.run(["probabilities"], feed)[0][:, 1].astype(float)

    def log_odds(self, rows: pd.DataFrame) -> np.ndarray:
        """Return the model's log-odds of approval of each row."""
        p = np.clip(self.probability(rows), 1e-6, 1 - 1e-6)
        return np.log(p / (1 - p))


def pick_applicants(scorer: Scorer, rows: pd.DataFrame) -> pd.DataFrame:
    """Choose 40 held-out applicants: 14 clearly approved, 14 clearly declined, 12 borderline."""
    p = scorer.probability(rows)
    rng = np.random.default_rng(SEED + 1)
    bands = [(p > 0.95, 14), (p < 0.05, 14), ((p > 0.3) & (p < 0.7), 12)]
    chosen = [rng.choice(np.flatnonzero(mask), k, replace=False) for mask, k in bands]
    order = rng.permutation(np.concatenate(chosen))
    picked = rows.iloc[order].reset_index(drop=True)
    picked.insert(0, "applicant", [f"A-{i + 1:03d}" for i in range(len(picked))])
    return picked


def mean_slopes(scorer: Scorer, rows: pd.DataFrame) -> dict[str, float]:
    """Return the mean change of the model's log-odds per standard deviation of each column."""
    slopes = {}
    for name in (c for c in COLUMNS if c not in GROUP_OF):
        spread = float(rows[name].std())
        ahead, behind = rows.astype(float), rows.astype(float)
        ahead[name] += 0.1 * spread
        behind[name] -= 0.1 * spread
        change = (scorer.log_odds(ahead) - scorer.log_odds(behind)) / 0.2
        slopes[name] = round(float(change.mean()), 3)
    return slopes


def group_effects(scorer: Scorer, rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return the mean log-odds with each group member hot, less the group's average."""
    effects = {}
    for group, members in GROUPS.items():
        means = {}
        for name in members:
            changed = rows.copy()
            changed[members] = 0
            changed[name] = 1
            means[name] = float(scorer.log_odds(changed).mean())
        middle = float(np.mean(list(means.values())))
        effects[group] = {name: round(value - middle, 3) for name, value in means.items()}
    return effects


def shuffle_influence(scorer: Scorer, rows: pd.DataFrame) -> dict[str, float]:
    """Return the mean |change of P(approved)| when a column (or a whole group) is shuffled."""
    features = {c: [c] for c in COLUMNS if c not in GROUP_OF} | GROUPS
    order = np.random.default_rng(SEED + 2).permutation(len(rows))
    base = scorer.probability(rows)
    influence = {}
    for feature, members in features.items():
        changed = rows.copy()
        changed[members] = rows[members].to_numpy()[order]
        influence[feature] = round(float(np.abs(scorer.probability(changed) - base).mean()), 4)
    return dict(sorted(influence.items(), key=lambda item: -item[1]))


def sex_facts(scorer: Scorer, rows: pd.DataFrame) -> dict[str, float]:
    """Return how P(approved) moves when sex is flipped, and the approval rate of each sex."""
    p = scorer.probability(rows)
    moved = np.abs(scorer.probability(rows.assign(sex_female=1 - rows["sex_female"])) - p)
    female = (rows["sex_female"] == 1).to_numpy()
    return {
        "mean_change_when_flipped": round(float(moved.mean()), 4),
        "max_change_when_flipped": round(float(moved.max()), 4),
        "model_approval_rate_female": round(float((p[female] > 0.5).mean()), 4),
        "model_approval_rate_male": round(float((p[~female] > 0.5).mean()), 4),
    }


def expected_signs() -> dict[str, int]:
    """Return the sign of the rule's mean effect for each plain numeric column that it uses."""
    signs = {c: int(np.sign(w)) for c, w in RULE["linear"].items() if c not in GROUP_OF}
    return signs | {"savings": 1}


def check(facts: dict) -> None:
    """Fail unless the model has rediscovered the rule: signs, and small unused columns."""
    for name, sign in expected_signs().items():
        assert facts["model_mean_slope_per_sd"][name] * sign > 0, name
    effects = facts["model_group_effects"]
    assert effects["purpose"]["purpose_home"] == max(effects["purpose"].values())
    assert effects["purpose"]["purpose_business"] == min(effects["purpose"].values())
    assert effects["housing"]["housing_own"] > effects["housing"]["housing_mortgage"]
    assert effects["housing"]["housing_mortgage"] > effects["housing"]["housing_rent"]
    influence = facts["model_shuffle_influence"]
    used = min(influence[c] for c in [*expected_signs(), "purpose", "housing"])
    assert max(influence[c] for c in [*UNUSED, "region"]) < used
    assert facts["model_sex_female"]["max_change_when_flipped"] < 0.05
    assert 0.6 <= facts["approval_rate"] <= 0.7


def collect_facts(scorer: Scorer, rows: pd.DataFrame, labels: np.ndarray) -> dict:
    """Gather what is true by construction and what the trained model was measured to do."""
    guesses = scorer.probability(rows) > 0.5
    pair = ["savings", "checking_balance"]
    return {
        "classes": CLASSES,
        "columns": COLUMNS,
        "groups": GROUPS,
        "protected": PROTECTED,
        "unused_by_rule": [*UNUSED, *GROUPS["region"]],
        "correlated_pair": {
            "columns": pair,
            "correlation": round(float(rows[pair].corr().iloc[0, 1]), 3),
            "used_by_rule": "savings",
        },
        "rule": {"sharpness": SHARPNESS, **RULE},
        "expected_signs": expected_signs(),
        "accuracy": round(float((guesses == labels).mean()), 4),
        "accuracy_of_rule": round(float(((rule_log_odds(rows) > 0) == labels).mean()), 4),
        "approval_rate": round(float(labels.mean()), 4),
        "model_sex_female": sex_facts(scorer, rows),
        "model_mean_slope_per_sd": mean_slopes(scorer, rows),
        "model_group_effects": group_effects(scorer, rows),
        "model_shuffle_influence": shuffle_influence(scorer, rows),
    }


def column_table() -> pd.DataFrame:
    """Describe each column: plain-language label, unit, group and whether it is protected."""
    rows = [
        (name, label, unit, GROUP_OF.get(name, ""), "yes" if name in PROTECTED else "no")
        for name, (label, unit) in LABELS.items()
    ]
    return pd.DataFrame(rows, columns=["column", "label", "unit", "group", "protected"])


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table; whole-number columns are written without a decimal point."""
    text = frame.copy()
    for name in text.columns:
        if text[name].dtype == float and (text[name] % 1 == 0).all():
            text[name] = text[name].astype(int)
    text.to_csv(path, index=False, lineterminator="\n")


def main() -> None:
    """Draw, train, export, check and write everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    rows = draw(rng, TRAIN_ROWS + TEST_ROWS)
    labels = draw_labels(rng, rows)
    seen, held_out = rows[:TRAIN_ROWS], rows[TRAIN_ROWS:].reset_index(drop=True)
    export(train(seen, labels[:TRAIN_ROWS]), out / "credit.onnx")
    scorer = Scorer(out / "credit.onnx")
    facts = collect_facts(scorer, held_out, labels[TRAIN_ROWS:])
    applicants = pick_applicants(scorer, held_out)
    p = scorer.probability(applicants[COLUMNS])
    facts["applicants_p_approved"] = dict(zip(applicants["applicant"], p.round(4), strict=True))
    write_csv(applicants, out / "applicants.csv")
    write_csv(seen.sample(100, random_state=SEED), out / "background.csv")
    write_csv(seen.sample(600, random_state=SEED + 3), out / "population.csv")
    write_csv(column_table(), out / "columns.csv")
    write_csv(pd.DataFrame(CODES, columns=["feature", "code", "text", "direction"]), out / "codes.csv")
    (out / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")
    shown = ("accuracy", "accuracy_of_rule", "approval_rate", "correlated_pair", "model_sex_female")
    shown += ("model_mean_slope_per_sd", "model_group_effects", "model_shuffle_influence")
    print(json.dumps({key: facts[key] for key in shown}, indent=1))
    check(facts)
    print("all facts hold")


if __name__ == "__main__":
    main()
