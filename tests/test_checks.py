"""Every check is made to hold and made to break."""

from __future__ import annotations

import dataclasses
import itertools
import re

import numpy as np
import pytest

import blackbox as bb
from blackbox import api
from blackbox.checks import CHECKS, Subject, costs
from blackbox.errors import RequestError
from blackbox.explanation import Outcome
from blackbox.features import grouped
from blackbox.numerics.nearness import nearness

NAMES = ("a", "b", "c", "d")
X = np.array([1.0, 2.0, 3.0, 4.0])


def linear(x):
    return x @ np.array([4.0, 1.0, 0.0, -1.0], dtype=np.float32)


def subject(function=linear, methods=("kernelshap",), x=X, never=(), changed=None, names=NAMES, background=None,
            settings=None):  # fmt: skip
    """Ask a function with some methods, then let answers be changed before they are examined."""
    model = bb.open_model(function, options={"shape": x.shape})
    features = grouped({"input": x}, names[: len(x)], {}, never)
    case = api.case(model, x, features, np.zeros((1, len(x))) if background is None else background)
    asked = {name: ((settings or {}).get(name) or bb.METHODS[name](), None) for name in methods}
    answers = {name: case.explain(method, None, scale, 0) for name, (method, scale) in asked.items()}
    for name, fields in (changed or {}).items():
        answers[name] = dataclasses.replace(answers[name], **fields)
    return Subject("case 1", case, answers, asked, None, 0)


def found(name, examined, **settings):
    findings = CHECKS[name](**settings).examine(examined)
    for finding in findings:
        assert (finding.check, finding.case) == (name, "case 1")
        assert finding.sentence.endswith((".", ")"))
    return [finding.status for finding in findings]


def drifting():
    turn = itertools.count()
    return lambda x: linear(x) + 0.1 * next(turn)


def among_others(x):
    return linear(x) + 0.1 * len(x)


def test_determinism():
    assert found("determinism", subject()) == ["passed"]
    for function in (drifting(), among_others):
        assert found("determinism", subject(function)) == ["failed"]
    assert found("determinism", subject(among_others), gate="warn") == ["warned"]
    assert found("determinism", subject(among_others), tolerance=1.0) == ["passed"]


def test_omission():
    assert found("omission", subject()) == ["passed"]
    left_out = subject()
    labels = {"input": np.array([0, 1, 2, -1])}
    features = dataclasses.replace(left_out.case.features, labels=labels)
    case = dataclasses.replace(left_out.case, features=features)
    assert found("omission", dataclasses.replace(left_out, case=case)) == ["failed"]


def test_a_column_declared_as_never_hidden_is_no_omission():
    assert found("omission", subject(never=("d",))) == ["passed"]


def test_outcomes():
    assert found("outcomes", subject(methods=("kernelshap", "lime"))) == ["passed"]
    abstained = subject(methods=("kernelshap", "caso"), changed={"caso": {"outcome": Outcome.FLAT}})
    assert found("outcomes", abstained) == ["warned"]
    assert found("outcomes", abstained, gate="fail") == ["failed"]
    assert found("outcomes", subject(lambda x: np.zeros(len(x)))) == ["warned"]


def test_additivity():
    assert found("additivity", subject()) == ["passed"]
    assert found("additivity", subject(methods=("occlusion",))) == []
    off = subject(changed={"kernelshap": {"values": np.array([4.0, 2.0, 0.0, -4.1])}})
    assert found("additivity", off) == ["failed"]
    assert found("additivity", off, tolerance=0.1) == ["passed"]


def test_sufficiency():
    whole = subject(methods=("sis",))
    assert found("sufficiency", whole) == ["passed"]
    details = {**whole.explanations["sis"].details, "subset_scores": [-5.0]}
    broken = subject(methods=("sis",), changed={"sis": {"details": details}})
    assert found("sufficiency", broken) == ["failed"]
    assert found("sufficiency", subject()) == []


def test_fidelity():
    both = subject(methods=("kernelshap", "occlusion"))
    assert found("fidelity", both) == ["passed", "passed"]
    upside_down = {"kernelshap": {"values": -both.explanations["kernelshap"].values}}
    wrong = subject(methods=("kernelshap", "occlusion"), changed=upside_down)
    assert found("fidelity", wrong) == ["warned", "passed"]


def test_agreement():
    both = subject(methods=("kernelshap", "occlusion"))
    assert found("agreement", both) == ["passed"]
    upside_down = {"kernelshap": {"values": -both.explanations["kernelshap"].values}}
    wrong = subject(methods=("kernelshap", "occlusion"), changed=upside_down)
    assert found("agreement", wrong) == ["warned"]
    assert found("agreement", subject()) == []


def test_agreement_on_which_come_first():
    x = np.arange(1.0, 10)
    weights = np.array([1.0] * 8 + [0.1], dtype=np.float32)
    names = tuple("abcdefghi")
    both = subject(lambda rows: rows @ weights, ("kernelshap", "occlusion"), x, names=names)
    assert found("agreement", both) == ["passed", "passed"]
    values = both.explanations["kernelshap"].values.copy()
    values[[7, 0]] = values[[0, 7]]  # one of the four strongest changes place
    wrong = subject(lambda rows: rows @ weights, ("kernelshap", "occlusion"), x, names=names,
                    changed={"kernelshap": {"values": values}})  # fmt: skip
    (_, tops) = CHECKS["agreement"](top=4, shared=0.8).examine(wrong)
    assert (tops.status, tops.value) == ("warned", 0.75)
    assert "share 3 of their 4" in tops.sentence


def test_a_certificate_that_does_not_hold_when_asked_again_is_found():
    whole = subject(methods=("sis",))
    details = whole.explanations["sis"].details
    rows = whole.case.ledger.rows
    assert found("sufficiency", whole) == ["passed"]
    assert whole.case.ledger.rows == rows  # memory answered
    everything = {"subsets": [[0, 1, 2, 3]], "subset_scores": [float(linear(X[None])[0])],
                  "certificates": [{"irreducible": True}]}  # fmt: skip
    reducible = subject(methods=("sis",), changed={"sis": {"details": {**details, **everything}}})
    assert found("sufficiency", reducible) == ["failed"]
    everything["certificates"] = [{"irreducible": False}]
    honest = subject(methods=("sis",), changed={"sis": {"details": {**details, **everything}}})
    assert found("sufficiency", honest) == ["failed" if linear(X[None])[0] < details["threshold"] else "passed"]


def test_a_subset_that_keeps_a_score_low_is_certified_below():
    kept_low = bb.Sis(threshold=1.5, direction="below")
    examined = subject(lambda x: 3 - x[:, 0] - x[:, 1], methods=("sis",), x=np.ones(3), settings={"sis": kept_low})
    assert examined.explanations["sis"].details["subsets"]
    (finding,) = CHECKS["sufficiency"]().examine(examined)
    assert (finding.status, finding.value) == ("passed", pytest.approx(0.5))


def test_infidelity_is_the_share_that_is_not_predicted():
    asked = subject(methods=("occlusion",))
    (finding,) = CHECKS["infidelity"]().examine(asked)
    assert (finding.status, finding.value) == ("passed", pytest.approx(0, abs=1e-9))
    blind = subject(methods=("occlusion",), changed={"occlusion": {"values": np.zeros(4)}})
    (finding,) = CHECKS["infidelity"]().examine(blind)
    assert (finding.status, finding.value) == ("warned", pytest.approx(1))
    assert found("infidelity", subject(lambda x: np.zeros(len(x)), methods=("occlusion",))) == ["passed"]


def test_infidelity_and_correlation_share_their_passes():
    asked = subject(methods=("occlusion",))
    found("correlation", asked)
    rows = asked.case.ledger.rows
    found("infidelity", asked)
    assert asked.case.ledger.rows == rows


def people(rng, n):
    """Two columns that are hardly ever apart, and three that have nothing to do with them."""
    a = rng.normal(size=n)
    return np.column_stack([a, a + 0.05 * rng.normal(size=n), rng.normal(size=(n, 3))])


def test_a_ranking_that_rests_on_impossible_rows_is_flagged():
    lent, x = people(np.random.default_rng(0), 60), np.array([1.5, 1.5, -1, -1, -1])
    weights = np.float32([0, 0, 3, 2, 1])

    def odd(rows):  # the last term is 0 on every row that there is, and large where a goes without b
        return rows @ weights - 40 * np.abs(rows[:, 0] - rows[:, 1]) * rows[:, 2:].sum(axis=1)

    about = {"x": x, "background": lent, "names": (*NAMES, "e")}
    (far, fine) = CHECKS["manifold"](least=0.7).examine(subject(lambda rows: rows @ weights, **about))
    (as_far, flagged) = CHECKS["manifold"](least=0.7).examine(subject(odd, **about))
    assert (fine.status, flagged.status) == ("passed", "warned")
    assert fine.value > 0.85
    assert flagged.value < 0.6
    assert far.value == as_far.value > 0.3  # the same questions
    (too_far, _) = CHECKS["manifold"](far=0.3).examine(subject(odd, **about))
    assert (far.status, too_far.status) == ("passed", "warned")


def test_the_two_rankings_of_manifold_are_shapley_values_of_their_games():
    """A slow twin: every coalition, every order, and v(S) over the ordinary rows of S alone."""
    lent, x = people(np.random.default_rng(2), 21), np.array([1.5, 1.4, -1, -1, -1])

    def curved(rows):
        return np.tanh(rows[:, 0] * rows[:, 2]) + rows[:, 1] ** 2 - rows[:, 3] + rows[:, 4] * rows[:, 0]

    game = subject(curved, x=x, background=lent, names=(*NAMES, "e")).case.game(None, "raw")
    lent = game.background.rows["input"]
    near = nearness(lent.astype(float), 0.95)
    check = CHECKS["manifold"](rows=21, masks=30)  # 2^5 - 2: all there are
    plain, likely, far = check._both(game, near, np.random.default_rng(0))

    def scores(kept, alone):
        rows = np.where(kept, game.x["input"], lent).astype(float)
        away = np.array([
            np.sqrt(((np.delete(near.sample, b, 0) - (row - near.centre) @ near.whitening) ** 2).sum(axis=1).min())
            for b, row in enumerate(rows)
        ])  # fmt: skip
        fits = away <= near.limit
        if not fits.any():
            fits[away.argmin()] = True
        inner = 0 < kept.sum() < 5
        return float(curved(rows)[fits if alone and inner else slice(None)].mean()), (away > near.limit).sum() if inner else 0

    for alone, values in ((False, plain), (True, likely)):
        slow = np.zeros(5)
        for order in itertools.permutations(range(5)):
            kept = np.zeros(5, dtype=bool)
            for k in order:
                before = scores(kept, alone)[0]
                kept[k] = True
                slow[k] += scores(kept, alone)[0] - before
        np.testing.assert_allclose(values, slow / 120, atol=1e-5)
    every = itertools.product([False, True], repeat=5)
    assert far == pytest.approx(sum(scores(np.array(kept), True)[1] for kept in every) / (30 * 21))
    assert not np.allclose(plain, likely, atol=1e-2)


def test_manifold_says_what_it_costs_and_when_it_cannot_be_made():
    rng = np.random.default_rng(0)
    asked = subject(x=X, background=rng.normal(size=(30, 4)))
    asked.case.game(None, "raw").base()
    rows = asked.case.ledger.rows
    found("manifold", asked, masks=12, rows=7)
    assert asked.case.ledger.rows - rows == 12 * 7
    assert found("manifold", subject()) == ["skipped"]
    with pytest.raises(RequestError, match="below 1"):
        CHECKS["manifold"](quantile=1.0)


def test_sensitivity():
    lent = np.random.default_rng(0).normal(size=(40, 4))
    steady = subject(methods=("kernelshap", "occlusion"), background=lent)
    assert found("sensitivity", steady) == ["passed", "passed"]

    def jumpy(x):  # a thousandth of a unit turns the order round
        return np.sin(3000 * x.astype(float)) @ np.array([4.0, 3.0, 2.0, 1.0])

    assert found("sensitivity", subject(jumpy, ("occlusion",), background=lent), draws=3) == ["warned"]


def test_sensitivity_leaves_flags_and_counts_as_they_are():
    lent = np.random.default_rng(0).integers(0, 3, size=(40, 4))
    (finding,) = CHECKS["sensitivity"]().examine(subject(methods=("occlusion",), background=lent))
    assert (finding.status, "more than 10 different values" in finding.sentence) == ("skipped", True)


def test_local_fit():
    fitted = subject(methods=("lime",))
    assert found("local_fit", fitted) == ["passed"]
    details = {**fitted.explanations["lime"].details, "local_fit": np.array([0.1])}
    assert found("local_fit", subject(methods=("lime",), changed={"lime": {"details": details}})) == ["warned"]
    assert found("local_fit", subject()) == []


def test_stability():
    assert found("stability", subject(methods=("lime",))) == ["passed"]
    shuffled = {"lime": {"values": np.array([0.1, 2.0, -1.0, 4.0])}}
    assert found("stability", subject(methods=("lime",), changed=shuffled)) == ["warned"]
    assert found("stability", subject()) == []  # exact values draw nothing


@pytest.mark.parametrize("methods", [("kernelshap",), ("kernelshap", "occlusion", "lime", "caso")])
def test_protected(methods):
    examined = subject(methods=methods)
    assert found("protected", examined, features=("c",), top=1) == ["passed"] * len(methods)
    assert "failed" in found("protected", examined, features=("a", "d"), top=1)
    assert set(found("protected", examined, features=("a", "d"), top=2)) == {"failed"}
    assert "warned" in found("protected", examined, features=("a", "d"), top=2, gate="warn")


def test_a_proxy_and_a_stated_reason_are_noticed_as_well():
    examined = subject()
    assert found("protected", examined, features=("c",), proxies=("d",), top=1) == ["failed"]
    (finding,) = CHECKS["protected"](features=("c",), proxies=("d",), top=1).examine(examined)
    assert finding.sentence == "kernelshap: d (a declared proxy) is among the 1 strongest."
    stated = dataclasses.replace(examined, reasons=("b", "c"))
    assert found("protected", stated, features=("c",), top=1) == ["passed", "failed"]
    assert found("protected", dataclasses.replace(examined, reasons=("b",)), features=("c",), top=1) == ["passed"] * 2
    with pytest.raises(RequestError, match="'x'"):
        CHECKS["protected"](features=("c",), proxies=("x",)).examine(examined)


def test_what_was_excluded_and_would_have_been_a_reason_is_no_silent_omission():
    assert found("omission", dataclasses.replace(subject(), overlooked=("d",))) == ["passed", "failed"]


def test_a_protected_feature_that_ties_with_all_others_is_noticed():
    examined = subject(lambda x: x.sum(axis=1), methods=("occlusion",), x=np.ones(4))
    assert found("protected", examined, features=("a",), top=4) == ["failed"]


def test_a_protected_feature_that_is_the_only_one_is_noticed():
    examined = subject(lambda x: x.sum(axis=1), x=np.ones(1))
    assert found("protected", examined, features=("a",), top=1) == ["failed"]


def test_a_protected_feature_without_any_influence_is_not_among_the_strongest():
    assert found("protected", subject(), features=("c",), top=4) == ["passed"]


def test_a_protected_name_must_be_a_feature():
    with pytest.raises(RequestError, match=r"'e'.*Known: a, b, c, d"):
        CHECKS["protected"](features=("e",)).examine(subject())


@pytest.mark.parametrize("name", [name for name in CHECKS if not name.startswith("protected")])
def test_every_check_knows_warn_and_fail_alone(name):
    for gate in ("warn", "fail"):
        assert CHECKS[name](gate=gate).gate == gate
    with pytest.raises(RequestError, match="Did you mean 'fail'"):
        CHECKS[name](gate="fial")


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_documents_its_default_and_its_cost(name):
    told = " ".join(CHECKS[name].__doc__.split())
    assert re.search(r"[Dd]efaults?:? ", told)
    assert re.search(r"Costs? |[Nn]o pass", told)


@pytest.mark.parametrize("name", [name for name, check in CHECKS.items() if hasattr(check, "examine")])
def test_a_check_of_a_case_costs_no_more_than_is_forecast(name):
    lent = np.random.default_rng(0).normal(size=(30, 9))
    x = np.arange(1.0, 10)
    methods = ("occlusion", "lime", "sis")
    examined = subject(lambda rows: np.tanh(rows @ np.linspace(-1, 1, 9)), methods, x, names=tuple("abcdefghi"), background=lent)
    check = CHECKS[name](features=("a",)) if name == "protected" else CHECKS[name]()
    before = examined.case.ledger.rows
    check.examine(examined)
    alone = {name: e.rows for name, e in examined.explanations.items()}
    assert examined.case.ledger.rows - before <= costs.per_case(check, alone, 9, 30)


def test_what_a_stranger_s_check_costs_is_not_known():
    class Own:
        name = "own"

    assert costs.per_case(Own(), {}, 3, 3) is None
