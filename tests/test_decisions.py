"""Principal reasons: only what hurt, against the right people, in true words, and no further than is sure."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest
from test_cli import CREDIT, MODELS, plan, run

import blackbox as bb
from blackbox import api
from blackbox.backgrounds import Background
from blackbox.codes import Code, CodeTable, read_codes
from blackbox.decisions import Rule, decide
from blackbox.errors import RequestError
from blackbox.features import grouped
from blackbox.footing import Footing, Hurt, cut
from blackbox.populations import Bar, Population, bar_of, select
from blackbox.report.crosswalk import CROSSWALK, NO_REASONS, SECTIONS

NAMES = ("income", "debt", "age", "luck")
WEIGHTS = np.array([2.0, -3.0, 1.0, 0.0], dtype=np.float32)
X = np.array([1.0, 2.0, 0.5, 9.0])
PASSED = np.array([[4.0, 1, 1, 1], [2, 1, 0, 5], [3, 0, 2, 3]], dtype=np.float32)  # means 3, 2/3, 1, 3


def additive(rows):
    return rows @ WEIGHTS


def asked(function=additive, x=X, names=NAMES, groups=None):
    model = bb.open_model(function, options={"shape": x.shape})
    case = api.case(model, x, grouped({"input": x}, names, groups or {}), np.zeros((1, len(x))))
    return case, case.explain(bb.KernelShap(), 0, None, 0)


def rule(passing=0.0, population=PASSED, **more):
    people = Population(Background({"input": population}, "those who passed"), 3, 9, 9) if population is not None else None
    return Rule(bb.KernelShap(), None, Bar(0, "yes", passing), population=people, **more)


def stated(decision):
    return [reason.feature for reason in decision.reasons]


def test_an_additive_model_by_hand():
    case, explanation = asked()
    decision = decide(rule(), case, explanation, 0)
    assert (decision.adverse, decision.score) == (True, pytest.approx(-3.5))
    assert stated(decision) == ["debt", "income", "age"]  # w (mean of those who passed - x), where it is positive
    np.testing.assert_allclose([r.value for r in decision.reasons], [4.0, 4.0, 0.5], atol=1e-5)
    assert decision.compared == "those who passed"
    # for an additive model comment 5's order is the Shapley one
    assert decision.proxy["rank_correlation"] == pytest.approx(1)
    assert decision.proxy["order"][2] == "age"


def test_what_helped_or_did_nothing_is_no_reason():
    case, explanation = asked(x=np.array([9.0, 8, 1, 9]))  # income is higher than theirs
    decision = decide(rule(), case, explanation, 0)
    assert stated(decision) == ["debt"]
    assert decision.footing is Footing.SEPARABLE
    assert all(reason.value > 0 for reason in decision.reasons)


def test_a_favourable_decision_needs_no_reasons_and_costs_nothing():
    case, explanation = asked()
    rows = case.ledger.rows
    decision = decide(rule(passing=-3.5), case, explanation, 0)
    assert (decision.adverse, decision.footing, decision.reasons) == (False, Footing.FAVOURABLE, ())
    assert case.ledger.rows == rows
    assert decision.sentence.startswith("The score for yes is -3.5, at or above the passing -3.5.")


def test_nothing_hurt():
    case, explanation = asked(x=np.array([9.0, 0, 9, 9]))
    decision = decide(rule(passing=100.0), case, explanation, 0)
    assert (decision.footing, decision.reasons) == (Footing.NOTHING_HURT, ())


def test_without_a_population_the_audit_s_own_explanation_is_read():
    case, explanation = asked()
    rows = case.ledger.rows
    decision = decide(rule(population=None), case, explanation, 0)
    assert stated(decision) == ["debt"]  # against zeros: 2, -6, 0.5, 0
    assert decision.reasons[0].value == pytest.approx(6)
    assert case.ledger.rows == rows  # the proxy's masks were asked by the method


def test_an_explanation_of_the_adverse_class_is_read_from_the_other_side():
    def two(rows):
        p = 1 / (1 + np.exp(-additive(rows)))
        return np.stack([1 - p, p], axis=1)

    model = bb.open_model(two, options={"shape": (4,), "classes": ("no", "yes")})
    case = api.case(model, X, grouped({"input": X}, NAMES, {}), np.zeros((1, 4)))
    against = Rule(bb.KernelShap(), None, Bar(1, "yes", 0.5))
    of_no, of_yes = (decide(against, case, case.explain(bb.KernelShap(), k, None, 0), 0) for k in (0, 1))
    assert stated(of_no) == stated(of_yes) == ["debt"]
    assert of_no.reasons[0].value == pytest.approx(of_yes.reasons[0].value)
    assert of_no.reasons[0].lower <= of_no.reasons[0].value <= of_no.reasons[0].upper
    assert of_no.proxy["rank_correlation"] == pytest.approx(of_yes.proxy["rank_correlation"])


def test_at_most_so_many():
    case, explanation = asked()
    assert len(decide(rule(count=2), case, explanation, 0).reasons) == 2


def test_excluded_features_are_never_reasons_and_never_lost():
    case, explanation = asked()
    decision = decide(rule(excluded={"debt": "not scored", "luck": "noise"}, count=2), case, explanation, 0)
    assert stated(decision) == ["income", "age"]
    assert decision.overlooked == ("debt",)  # luck did not hurt
    case, explanation = asked(names=("a1", "a2", "age", "luck"), groups={"a": ("a1", "a2")})
    by_column = decide(rule(excluded={"a1": "x", "a2": "x"}), case, explanation, 0)
    assert (stated(by_column), by_column.overlooked) == (["age"], ("a",))
    half = decide(rule(excluded={"a1": "x"}), case, explanation, 0)
    assert stated(half) == ["a", "age"]


def table(*lines):
    return CodeTable(tuple(Code(*line) for line in lines))


def test_the_text_of_a_code_is_true_of_the_input():
    case, explanation = asked()
    codes = table(("income", "R1", "Income is low", "low"), ("debt", "R2", "Debt is low", "low"),
                  ("debt", "R3", "Debt is high", "high"), ("age", "R4", "Age", "any"))  # fmt: skip
    decision = decide(rule(codes=codes), case, explanation, 0)
    assert {r.feature: r.code for r in decision.reasons} == {"debt": "R3", "income": "R1", "age": "R4"}
    assert decision.uncoded == ()
    false = decide(rule(codes=table(("debt", "R2", "Debt is low", "low"))), case, explanation, 0)
    assert set(false.uncoded) == {"debt", "income", "age"}
    assert {r.text for r in false.reasons} == {"debt", "income", "age"}


def hurt(values, apart, halves=None):
    values = np.array(values, dtype=float)
    ends = (None, None) if halves is None else (values - halves, values + halves)
    return Hurt(1.0, values, *ends, np.argsort(-values, kind="stable"), None if apart is None else np.array(apart, dtype=bool))


FIVE = [5.0, 4, 3, 2, 1]
CUTS = {
    "all apart": ([1, 1, 1, 1], 4, [0, 1, 2, 3], Footing.SEPARABLE),
    "order open": ([0, 1, 1, 1], 3, [0, 1, 2], Footing.ORDER_OPEN),
    "cut open": ([1, 1, 0, 1], 3, [0, 1], Footing.SHORTENED),
    "nothing apart": ([0, 0, 0, 0], 4, [], Footing.ABSTAINED),
    "nothing apart, all wanted": ([0, 0, 0, 0], 5, [0, 1, 2, 3, 4], Footing.ORDER_OPEN),
    "no confidence": (None, 2, [0, 1], Footing.UNTESTED),
}


@pytest.mark.parametrize("name", CUTS)
def test_a_list_is_cut_where_it_can_be(name):
    apart, count, kept, footing = CUTS[name]
    assert cut(hurt(FIVE, apart), [0, 1, 2, 3, 4], count) == (kept, footing)


def test_a_feature_that_may_not_have_hurt_is_not_stated():
    ranking = hurt([5.0, 4, 0.5], [1, 1], halves=1.0)
    assert cut(ranking, [0, 1, 2], 3) == ([0, 1], Footing.SHORTENED)
    assert cut(hurt([0.5, 0.4, 0.3], [1, 1], halves=1.0), [0, 1, 2], 3) == ([], Footing.ABSTAINED)
    assert cut(ranking, [], 3) == ([], Footing.NOTHING_HURT)


def test_what_cannot_be_told_from_the_cut_is_named():
    ranking = hurt(FIVE, [1, 0, 0, 1])
    assert cut(ranking, [0, 1, 2, 3, 4], 2) == ([0], Footing.SHORTENED)
    assert ranking.group([0, 1, 2, 3, 4], 1, 4) == [1, 2, 3]


def test_too_few_passes_end_in_an_abstention_that_says_so():
    rng = np.random.default_rng(0)
    d = 14
    w = rng.normal(size=(d, d))

    def tangled(rows):
        return -np.abs(np.tanh(rows @ w)).sum(axis=1) * np.abs(np.sin(rows.sum(axis=1)))

    x = rng.normal(size=d)
    model = bb.open_model(tangled, options={"shape": (d,)})
    case = api.case(model, x, grouped({"input": x}, [f"f{k}" for k in range(d)], {}), np.zeros((1, d)))
    method = bb.KernelShap(budget=2 * d + 8)
    explanation = case.explain(method, 0, None, 0)
    decision = decide(Rule(method, None, Bar(0, "yes", 5.0)), case, explanation, 0)
    assert decision.footing is Footing.ABSTAINED
    assert decision.reasons == ()
    assert decision.close
    assert "No reasons are stated" in decision.sentence
    assert decision.confidence == 0.95


def test_a_method_without_confidence_is_called_untested():
    case, _ = asked()
    occlusion = bb.Occlusion()
    given = dataclasses.replace(rule(population=None), method=occlusion)
    decision = decide(given, case, case.explain(occlusion, 0, None, 0), 0)
    assert decision.footing is Footing.UNTESTED
    assert decision.reasons[0].apart is None


SCORES = {"p": np.float32([[0.1], [0.5], [0.55], [0.6], [0.61], [0.9]])}


def likely():
    return bb.open_model(lambda x: x[:, 0], options={"shape": (1,), "kind": "probabilities"})


def test_those_who_just_passed_are_selected_by_rule_and_counted():
    model, rng = likely(), np.random.default_rng(0)
    rows = {"input": SCORES["p"]}
    bar, spent = bar_of(model, {"input": SCORES["p"][:1]}, 0, None)
    assert (bar, spent) == (Bar(0, "output", 0.5), 1)
    found = select(model, rows, bar, "passing", 0.1, 100, rng)
    np.testing.assert_array_equal(found.background.rows["input"][:, 0], np.float32([0.5, 0.55]))  # 0.6 > 0.5 + 0.1 in float32
    assert (found.found, found.of, found.rows) == (2, 6, 6)
    assert "2 of 6 applicants" in found.background.rule
    everybody = select(model, rows, bar, "all", 0.1, 4, rng)
    assert (everybody.found, len(everybody.background), everybody.rows) == (6, 4, 0)
    assert "4 of them drawn at random" in everybody.background.rule
    with pytest.raises(RequestError, match=r"1 of 6 rows score 0\.85"):
        select(model, rows, Bar(0, "output", 0.85), "passing", 0.1, 100, rng)


def test_a_passing_score_is_not_guessed():
    values = bb.open_model(additive, options={"shape": (4,)})
    with pytest.raises(RequestError, match="at which score a decision turns"):
        bar_of(values, {"input": PASSED[:1]}, 0, None)
    assert bar_of(values, {"input": PASSED[:1]}, 0, 3.0)[0].passing == 3.0
    with pytest.raises(RequestError, match="Unknown target 'aproved'"):
        bar_of(bb.open_model(CREDIT), {"applicant": np.zeros((1, 27), np.float32)}, "aproved", None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("feature,code\nincome,R1\n", ["no column 'text'"]),
        ("feature,code,text\nincom,R1,low\n", ["'incom'", "Did you mean 'income'"]),
        ("feature,code,text,direction\nincome,R1,low,lower\n", ["'lower'", "Did you mean 'low'"]),
        ("feature,code,text\nincome,R1,\n", ["no text for 'income'"]),
    ],
)
def test_a_wrong_code_table_is_told(tmp_path, text, words):
    (tmp_path / "codes.csv").write_text(text)
    with pytest.raises(RequestError) as told:
        read_codes(tmp_path / "codes.csv", NAMES)
    assert all(word in str(told.value) for word in words)


REASONS = {
    "codes without favourable": ("{method: kernelshap, codes: a.csv}", "needs favourable"),
    "background without favourable": ("{method: kernelshap, background: {use: all}}", "needs favourable"),
    "a method of derivatives": ("{method: caso, favourable: 0}", "take a method that hides"),
    "subsets": ("{method: sis, favourable: 0}", "take a method that hides"),
    "unknown use": ("{method: kernelshap, favourable: 0, background: {use: al}}", "use"),
    "unknown exclusion": ("{method: kernelshap, favourable: 0, passing: 1, excluded: {x9: no}}", "x9"),
    "no passing score": ("{method: kernelshap, favourable: 0}", "passing"),
}


@pytest.mark.parametrize("name", REASONS)
def test_a_wrong_plan_for_reasons_is_exit_2(tmp_path, name):
    reasons, words = REASONS[name]
    result = run("audit", plan(tmp_path, reasons=reasons, methods="[kernelshap, caso, sis]"), "-o", tmp_path / "out")
    assert (result.exit_code, words in " ".join(result.stderr.split())) == (2, True)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def credit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("credit") / "out"
    run("audit", MODELS / "credit" / "audit.yaml", "-o", folder)
    return folder


def decisions(folder):
    lines = (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
    return [r["reasons"]["decision"] for line in lines if (r := json.loads(line))["kind"] == "case"]


def test_the_sample_states_reasons_for_declined_applicants_alone(credit):
    told = decisions(credit)
    assert [bool(one["reasons"]) for one in told] == [one["adverse"] for one in told]
    assert sum(one["adverse"] for one in told) == 5
    for one in told[:5]:
        assert 0 < len(one["reasons"]) <= 4
        assert all(reason["code"] and reason["value"] > 0 for reason in one["reasons"])
        assert one["proxy"]["rank_correlation"] > 0.9
        assert "48 of 600 applicants" in one["compared"]
        assert not {"age", "sex_female", "lucky_number"} & {reason["feature"] for reason in one["reasons"]}
    assert told[2]["reasons"][0]["sentence"] == "R02 The amount asked for is high (59,100)"


def test_the_page_shows_reasons_checks_by_kind_and_the_crosswalk(credit):
    page = (credit / "report.html").read_text(encoding="utf-8")
    for words in ("Reasons for adverse decisions", "Comment 5&#39;s method", "no method for counterfactuals",
                  "R07 Payments were late", "The model and the question", "scaffolding"):
        assert words in page or words.replace("&#39;", "'") in page
    assert ("Too close to call" in page) == any(one["close"] for one in decisions(credit))
    for one in CROSSWALK:
        assert one.place in page
        assert one.leaves.replace("'", "&#39;") in page
    assert NO_REASONS not in page
    for anchor in SECTIONS:
        assert f'id="{anchor}"' in page
    assert "not legal advice" in " ".join(page.split())


def test_the_population_and_the_code_table_are_bound_by_their_digests(credit):
    inputs = json.loads((credit / "manifest.json").read_text(encoding="utf-8"))["inputs"]
    assert set(inputs["applicants"]) == {"population.csv"}
    assert set(inputs["codes"]) == {"codes.csv"}


def test_without_a_favourable_output_the_crosswalk_says_what_is_missing(tmp_path):
    run("audit", plan(tmp_path), "-o", tmp_path / "out")
    page = " ".join((tmp_path / "out" / "report.html").read_text(encoding="utf-8").split())
    assert page.count(NO_REASONS) == sum(bool(one.reasons) for one in CROSSWALK) > 0
    assert 'href="#reasons"' not in page
    assert "Reasons for adverse decisions</h2>" not in page


def test_withheld_values_do_not_stand_in_reasons(tmp_path):
    text = (MODELS / "credit" / "audit.yaml").read_text(encoding="utf-8")
    for name in ("credit.onnx", "applicants.csv", "background.csv", "columns.csv", "codes.csv", "population.csv"):
        text = text.replace(name, str(MODELS / "credit" / name))
    (tmp_path / "a.yaml").write_text(text.replace("first: 8", "first: 3") + "privacy: omit\n", encoding="utf-8")
    run("audit", tmp_path / "a.yaml", "-o", tmp_path / "out")
    told = decisions(tmp_path / "out")
    assert all(reason["held"] is None for one in told for reason in one["reasons"])
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for shown in (page, (tmp_path / "out" / "records.jsonl").read_text(encoding="utf-8")):
        # the applicant's income as a number of its own, not the same digits within a longer one
        assert not re.search(r"(?<![\d.])59,?100(?!\d)", shown)
