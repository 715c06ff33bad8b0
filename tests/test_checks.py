"""Every check is made to hold and made to break."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

import blackbox as bb
from blackbox import api
from blackbox.checks import CHECKS, Subject
from blackbox.errors import RequestError
from blackbox.explanation import Outcome
from blackbox.features import grouped

NAMES = ("a", "b", "c", "d")
X = np.array([1.0, 2.0, 3.0, 4.0])


def linear(x):
    return x @ np.array([4.0, 1.0, 0.0, -1.0], dtype=np.float32)


def subject(function=linear, methods=("kernelshap",), x=X, never=(), changed=None):
    """Ask a function with some methods, then let answers be changed before they are examined."""
    model = bb.open_model(function, options={"shape": x.shape})
    features = grouped({"input": x}, NAMES[: len(x)], {}, never)
    case = api.case(model, x, features, np.zeros((1, len(x))))
    asked = {name: (bb.METHODS[name](), None) for name in methods}
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


@pytest.mark.parametrize("name", [name for name in CHECKS if name != "protected"])
def test_every_check_knows_warn_and_fail_alone(name):
    for gate in ("warn", "fail"):
        assert CHECKS[name](gate=gate).gate == gate
    with pytest.raises(RequestError, match="Did you mean 'fail'"):
        CHECKS[name](gate="fial")
