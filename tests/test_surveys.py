"""Checks before the cases: each is made to hold, made to break, and made impossible."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import RandomForestClassifier
from test_cli import CREDIT, MODELS
from test_onnx import external

import blackbox as bb
from blackbox import backgrounds, study
from blackbox.backgrounds import Background
from blackbox.checks import CHECKS, MODEL, Study, costs
from blackbox.checks.manifold import shift
from blackbox.errors import ModelError
from blackbox.features import columns, grouped
from blackbox.inputs import DataSpec, read_dataset
from blackbox.materials import gather
from blackbox.numerics.nearness import nearness
from blackbox.plan import load_plan
from blackbox.probe import sample_rows
from blackbox.score import Ledger
from blackbox_adapters.onnx.redraw import redrawn

NAMES = ("age", "wealth", "mixed", "gap", "group", "other")


def people(rng, n):
    """Four correlated columns, a protected flag and a column that has nothing to do with anything."""
    age, wealth = rng.normal(size=n), rng.normal(size=n)
    noise = 0.2 * rng.normal(size=(4, n))
    kept = [age + noise[0], wealth + noise[1], 0.7 * age + 0.7 * wealth + noise[2], age - wealth + noise[3]]
    return np.column_stack([*kept, rng.random(n) < 0.4, rng.normal(size=n)]).astype(np.float32)


def about(function, rows, background, names=NAMES, **more):
    model = bb.open_model(function, options={"shape": rows.shape[1:]}) if callable(function) else function
    given = background if isinstance(background, Background) else Background({"input": background})
    features = columns({"input": rows[0]}, names[: rows.shape[1]])
    return Study(model, {"input": rows}, given, features, **more)


def found(name, examined, **settings):
    findings = CHECKS[name](**settings).survey(examined)
    for finding in findings:
        assert (finding.check, finding.case) == (name, MODEL)
        assert finding.sentence.endswith(".")
    return [finding.status for finding in findings]


def biased(x):
    return x[:, 4].astype(float)


def innocent(x):
    return (x[:, 5] > 0).astype(float)


def honest(x):
    return 1 / (1 + np.exp(-(x[:, 0] - x[:, 1] * x[:, 2] + 0.5 * x[:, 4]).astype(float)))


@pytest.fixture(scope="module")
def scaffold():
    """Slack et al. 2020: biased on what a forest takes for real, innocent on what explainers make up."""
    rng = np.random.default_rng(0)
    real = people(rng, 2000)
    one, two = (real[rng.integers(0, 2000, 4000)] for _ in range(2))
    made = np.where(rng.random(one.shape) < rng.random((len(one), 1)), one, two)
    made = made[(made != one).any(axis=1) & (made != two).any(axis=1)]
    detector = RandomForestClassifier(50, random_state=0, class_weight="balanced")
    detector.fit(np.concatenate([real, made]), np.arange(len(real) + len(made)) < len(real))
    assert detector.predict(people(rng, 500)).mean() > 0.6
    return lambda x: np.where(detector.predict(x), biased(x), innocent(x))


@pytest.fixture(scope="module")
def fresh():
    return people(np.random.default_rng(1), 160)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kind", ["rows", "medoids"])
def test_a_model_that_behaves_well_on_made_up_rows_alone_is_flagged(scaffold, fresh, seed, kind):
    rows, rest = fresh[:60], {"input": fresh[60:]}
    background = Background(rest) if kind == "rows" else backgrounds.medoids(rest, 30, np.random.default_rng(0))
    assert found("scaffolding", about(scaffold, rows, background, seed=seed)) == ["warned"]
    assert found("scaffolding", about(scaffold, rows, background, seed=seed), gate="fail") == ["failed"]
    for function in (honest, biased, innocent):
        assert found("scaffolding", about(function, rows, background, seed=seed)) == ["passed"]


def test_the_sentence_names_the_feature_that_matters_less_on_made_up_rows(scaffold, fresh):
    (finding,) = CHECKS["scaffolding"]().survey(about(scaffold, fresh[:60], fresh[60:]))
    assert "most of all that of group" in finding.sentence
    assert finding.value > finding.threshold == 0.5


def test_what_scaffolding_costs_is_what_it_says(fresh):
    ledger = Ledger()
    found("scaffolding", about(honest, fresh[:60], fresh[60:], ledger=ledger), inputs=5)
    assert ledger.rows == 4 * 5 * 6


def test_scaffolding_needs_rows_to_compare_with_and_a_model_that_moves(fresh):
    assert found("scaffolding", about(honest, fresh[:5], fresh[60:70])) == ["skipped"]
    assert found("scaffolding", about(lambda x: np.zeros(len(x)), fresh[:60], fresh[60:])) == ["skipped"]


def test_shift_by_hand():
    assert shift(np.array([1.0, 0.0]), np.array([0.0, 3.0])) == 1.0
    assert shift(np.array([1.0, 0.0]), np.zeros(2)) == 1.0
    assert shift(np.zeros(2), np.zeros(2)) is None


def test_distances_see_an_unusual_combination_of_ordinary_values():
    rng = np.random.default_rng(0)
    a = rng.normal(size=400)
    sample = np.column_stack([a, a + 0.1 * rng.normal(size=400)])
    near = nearness(sample, 0.95)
    far = near(np.array([[1.0, 1.0], [1.0, -1.0]]))
    assert far[0] < near.limit < far[1]
    assert (near(sample, np.arange(400)) > near.limit).mean() == pytest.approx(0.05, abs=0.01)
    assert (near(sample) < 1e-6).all()


def test_distances_of_one_column_by_hand():
    near = nearness(np.array([[0.0], [2.0], [4.0]]), 0.5)  # deviation 1.63: neighbours are 1.22 apart
    assert near.limit == pytest.approx(2 / np.sqrt(8 / 3))
    np.testing.assert_allclose(near(np.array([[5.0], [2.0]])), [1 / np.sqrt(8 / 3), 0], atol=1e-7)


def test_a_background_that_equals_the_inputs_is_flagged():
    rows = np.array([[1.0, 2, 3], [1, 5, 6], [1, 8, 9]], dtype=np.float32)
    total = bb.open_model(lambda x: x.sum(axis=1), options={"shape": (3,)})
    same = rows[:1] * [[1, 0, 0]]
    assert found("background", about(total, rows, same.astype(np.float32))) == ["warned", "passed"]
    assert found("background", about(total, rows, same.astype(np.float32)), equal=0.4) == ["passed", "passed"]
    (equal, _) = CHECKS["background"]().survey(about(total, rows, same.astype(np.float32)))
    assert equal.value == pytest.approx(1 / 3)  # the first of three columns, in every row
    assert "(age in every input)" in equal.sentence
    zeros = np.zeros((1, 3), dtype=np.float32)
    assert found("background", about(total, rows, zeros)) == ["passed", "passed"]


def test_a_background_that_scores_as_the_inputs_do_is_flagged():
    rows = np.array([[1.0, 2], [2, 1], [0, 3], [9, 0]], dtype=np.float32)
    lent = np.array([[3.0, 0], [0, 3]], dtype=np.float32)
    (_, still) = CHECKS["background"]().survey(about(lambda x: x.sum(axis=1), rows, lent))
    assert (still.status, still.value) == ("warned", 0.75)


def test_weights_that_do_not_matter_are_flagged():
    study = of("credit")
    assert found("randomisation", study) == ["passed"]

    class Stubborn:  # its copies answer as it does
        signature, identity, limits = study.model.signature, study.model.identity, study.model.limits

        def predict(self, rows):
            return study.model.predict(rows)

        def randomised(self, rng):
            return self

    stubborn = dataclasses.replace(study, model=Stubborn())
    assert found("randomisation", stubborn) == ["warned"]
    assert found("randomisation", stubborn, gate="fail", draws=1) == ["failed"]


def test_what_randomisation_compares_is_what_is_lost_without_each_feature():
    rows = np.array([[1.0, 2, 3], [4, 5, 6]], dtype=np.float32)
    lent = np.array([[0.0, 1, 1], [2, 1, 3]], dtype=np.float32)
    weights = np.array([1.0, -2, 3], dtype=np.float32)
    asked = about(lambda x: x @ weights, rows, lent)
    effects, columns = CHECKS["randomisation"]()._effects(asked, asked.model, np.array([0, 1]))
    np.testing.assert_allclose(effects, weights * (rows - lent.mean(axis=0)), atol=1e-5)
    assert columns == [0, 0]


def test_a_model_without_weights_is_not_tested_and_says_so(fresh):
    assert found("randomisation", about(honest, fresh[:60], fresh[60:])) == ["skipped"]
    for toy in ("product", "l2norm"):
        with pytest.raises(ModelError, match="no weights that could be shuffled"):
            bb.open_model(MODELS / "toys" / f"{toy}.onnx", "cpu").randomised(np.random.default_rng(0))


def test_trees_are_tested_by_what_their_leaves_answer():
    forest = bb.open_model(MODELS / "breast_cancer" / "forest.onnx", "cpu")
    table = read_dataset(MODELS / "breast_cancer" / "patients.csv", forest.signature, DataSpec(id="patient"))
    lent = read_dataset(MODELS / "breast_cancer" / "background.csv", forest.signature)
    asked = Study(forest, table.rows, Background(lent.rows), columns(table.row(0), table.columns))
    assert found("randomisation", asked) == ["passed"]


EXPORTS = sorted(path.stem for path in (Path(__file__).parent / "corpus" / "exports").glob("*.onnx"))


@pytest.mark.parametrize("name", [name for name in EXPORTS if name not in ("sklearn-text", "sklearn-mixed-columns")])
def test_every_exporters_learnt_numbers_are_shuffled_and_what_they_mean_stays(name):
    model = bb.open_model(Path(__file__).parent / "corpus" / "exports" / f"{name}.onnx", "cpu")
    rows = sample_rows(model, 50, np.random.default_rng(0))
    answer = model.signature.answer
    own, other = (np.asarray(m.predict(rows)[answer], float) for m in (model, model.randomised(np.random.default_rng(0))))
    assert (own != other).mean() > 0.9
    if own.ndim > 1 and np.allclose(own.sum(axis=1), 1):
        np.testing.assert_allclose(other.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("whole", [True, False])
def test_leaves_change_places_whole_and_only_with_leaves_about_the_same_outputs(whole):
    more = {"target_treeids": [0, 0, 0, 0, 1, 1], "target_nodeids": [1, 1, 2, 2, 1, 2]} if whole else {}
    outputs = [0, 1, 0, 1, 2, 2]
    key = {"target_ids": outputs} if whole else {"leaf_targetids": outputs}
    values = numpy_helper.from_array(np.arange(6.0), "v")
    weights = {"target_weights": np.arange(6.0)} if whole else {"leaf_weights": values}
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **key, **weights, **more)
    graph = helper.make_graph([node], "g", [], [])
    seen = set()
    for seed in range(20):
        (mixed,) = redrawn(helper.make_model(graph), {}, seed).graph.node
        (attribute,) = (a for a in mixed.attribute if a.name.endswith("_weights"))
        found = numpy_helper.to_array(attribute.t).tolist() if attribute.HasField("t") else list(attribute.floats)
        seen.add(tuple(found))
    if whole:
        assert seen == {(0, 1, 2, 3, *end) for end in ((4, 5), (5, 4))} | {(2, 3, 0, 1, *end) for end in ((4, 5), (5, 4))}
    else:
        assert len(seen) == 8  # each of three pairs as it was, or swapped
        assert all({found[0], found[2]} == {0, 2} and {found[1], found[3]} == {1, 3} for found in seen)


def test_a_redrawn_copy_holds_the_same_weights_in_another_order(tmp_path):
    weights = np.arange(6, dtype=np.float32).reshape(3, 2)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Add", ["h", "b"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.float32([10, 20]), "b")],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    model = bb.open_model(tmp_path / "m.onnx", device="cpu")
    copy = model.randomised(np.random.default_rng(0))
    rows = {"x": np.concatenate([np.zeros((1, 3)), np.eye(3)]).astype(np.float32)}
    own, other = model.predict(rows)["y"], copy.predict(rows)["y"]
    np.testing.assert_array_equal(own[0], other[0])  # the bias stays
    assert sorted((other[1:] - other[0]).ravel()) == sorted(weights.ravel())
    assert not np.array_equal(own, other)
    assert copy.identity.facts["weights_shuffled_with"] is not None
    assert model.identity.facts["weights_shuffled_with"] is None
    again = model.randomised(np.random.default_rng(0)).predict(rows)["y"]
    np.testing.assert_array_equal(other, again)


def test_weights_beside_the_file_are_shuffled_too(tmp_path):
    external(tmp_path / "m.onnx", "w.bin")
    model = bb.open_model(tmp_path / "m.onnx", device="cpu")
    before = (tmp_path / "w.bin").read_bytes()
    copy = model.randomised(np.random.default_rng(1))
    rows = {model.signature.inputs[0].name: np.eye(2, dtype=np.float32)}
    answer = model.signature.answer
    assert sorted(copy.predict(rows)[answer].ravel()) == pytest.approx(sorted(model.predict(rows)[answer].ravel()))
    assert (tmp_path / "w.bin").read_bytes() == before


def of(name):
    plan = load_plan(MODELS / name / "audit.yaml")
    return study.study_of(plan, gather(plan, MODELS / name), MODELS / name, Ledger())


def test_devices_are_compared_where_there_are_two():
    asked = of("credit")

    class Other:
        def __init__(self, shift):
            self.shift, own = shift, asked.model
            self.signature, self.limits = own.signature, own.limits
            self.identity = dataclasses.replace(own.identity, device="cuda:0")

        def predict(self, rows):
            return {name: array + self.shift for name, array in asked.model.predict(rows).items()}

    def on(shift):
        return dataclasses.replace(asked, reopen=lambda device: Other(np.float32(shift)))

    assert found("determinism", on(0.0)) == ["passed"]
    assert found("determinism", on(0.01)) == ["failed"]
    assert found("determinism", on(0.01), devices=0.1) == ["passed"]
    assert found("determinism", on(0.01), devices=None) == []


def test_one_device_alone_is_said():
    def nothing(device):
        raise ModelError("no device")

    asked = of("credit")
    for reopen in (nothing, lambda device: asked.model):
        (finding,) = CHECKS["determinism"]().survey(dataclasses.replace(asked, reopen=reopen))
        assert finding.status == "skipped"
        assert "no session starts on cuda" in finding.sentence


def test_every_column_needs_a_reason_or_a_declaration():
    rows = np.ones((1, 4), dtype=np.float32)
    features = grouped({"input": rows[0]}, ("a", "b1", "b2", "c"), {"b": ("b1", "b2")}, ("c",))
    asked = dataclasses.replace(about(lambda x: x[:, 0], rows, rows), features=features, columns=("a", "b1", "b2", "c"))
    assert found("omission", asked) == []  # no code table: nothing was promised
    assert found("omission", dataclasses.replace(asked, coded=frozenset({"a", "b"}))) == ["passed"]
    assert found("omission", dataclasses.replace(asked, coded=frozenset({"a", "b1", "b2"}))) == ["passed"]
    assert found("omission", dataclasses.replace(asked, coded=frozenset({"a"}))) == ["failed"]
    declared = dataclasses.replace(asked, coded=frozenset({"a"}), excluded={"b": "not scored"})
    assert found("omission", declared) == ["passed"]
    (finding,) = CHECKS["omission"]().survey(dataclasses.replace(asked, coded=frozenset({"b"})))
    assert (finding.value, "a." in finding.sentence) == (1.0, True)


def test_the_credit_model_passes_every_survey():
    statuses = {s for name, check in CHECKS.items() if hasattr(check, "survey") for s in found(name, of("credit"))}
    assert statuses <= {"passed", "skipped"}
    assert CREDIT.exists()


@pytest.mark.parametrize("name", [name for name, check in CHECKS.items() if hasattr(check, "survey")])
def test_a_survey_costs_no_more_than_is_forecast(name):
    asked = of("credit")
    before = asked.ledger.rows
    check = CHECKS[name]()
    check.survey(asked)
    spent = asked.ledger.rows - before
    most = costs.once(check, len(asked.rows["applicant"]), len(asked.features), len(asked.background))
    assert spent <= most
    assert bool(spent) == bool(most) or name == "determinism"  # one device here
