"""Scales of outputs against their formulas, and where they have no finite value."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import blackbox as bb
from blackbox.numerics import links
from blackbox.numerics.links import LOGITS, PROBABILITIES, VALUES, detect_kind, read

SCORES = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [-3.0, 4.0, 1.0]])
SOFTMAX = np.exp(SCORES) / np.exp(SCORES).sum(axis=1, keepdims=True)

FORMULAS = {
    "probability": lambda p: p,
    "logit": lambda p: np.log(p / (1 - p)),
    "log-probability": np.log,
}


@pytest.mark.parametrize("scale", FORMULAS)
def test_logits_are_read_through_the_softmax(scale):
    assert_allclose(read(SCORES, LOGITS, scale), FORMULAS[scale](SOFTMAX), atol=1e-12)


@pytest.mark.parametrize("scale", FORMULAS)
def test_probabilities_are_read_as_they_are(scale):
    assert_allclose(read(SOFTMAX, PROBABILITIES, scale), FORMULAS[scale](SOFTMAX), atol=1e-12)


@pytest.mark.parametrize("scale", FORMULAS)
def test_one_column_of_logits_is_the_log_odds_of_one_class(scale):
    z = np.array([[-2.0], [0.0], [3.0]])
    assert_allclose(read(z, LOGITS, scale), FORMULAS[scale](1 / (1 + np.exp(-z))), atol=1e-12)
    assert_allclose(read(z, LOGITS, "logit"), z, atol=1e-12)


@pytest.mark.parametrize("scale", FORMULAS)
def test_one_column_of_probabilities_is_the_probability_of_one_class(scale):
    p = np.array([[0.1], [0.5], [0.99]])
    assert_allclose(read(p, PROBABILITIES, scale), FORMULAS[scale](p), atol=1e-12)


@pytest.mark.parametrize("kind", links.KINDS)
def test_raw_is_what_was_returned(kind):
    assert_array_equal(read(SCORES, kind, "raw"), SCORES)


def test_two_logits_have_the_difference_as_their_log_odds():
    z = np.array([[1.0, 3.5], [-200.0, 300.0]])
    assert_allclose(read(z, LOGITS, "logit"), [[-2.5, 2.5], [-500, 500]], atol=1e-12)


def test_large_logits_neither_overflow_nor_lose_their_tail():
    z = np.array([[1000.0, 0.0, -1000.0]])
    assert_allclose(read(z, LOGITS, "log-probability"), [[0, -1000, -2000]], atol=1e-9)
    # log odds of the winner: 1000 - log(e^0 + e^-1000)
    assert_allclose(read(z, LOGITS, "logit"), [[1000, -1000, -2000]], atol=1e-9)
    assert_allclose(read(np.array([[800.0], [-800.0]]), LOGITS, "log-probability"), [[0], [-800]], atol=1e-9)


def test_adding_a_constant_to_all_logits_changes_no_scale_but_raw():
    for scale in FORMULAS:
        assert_allclose(read(SCORES + 50, LOGITS, scale), read(SCORES, LOGITS, scale), atol=1e-10)


def test_probabilities_of_exactly_zero_or_one_have_infinite_log_odds_without_a_warning():
    p = np.array([[0.0, 1.0]])
    assert_array_equal(read(p, PROBABILITIES, "logit"), [[-np.inf, np.inf]])
    assert_array_equal(read(p, PROBABILITIES, "probability"), p)


def test_a_probability_of_zero_is_read_as_the_smallest_normal_float32_number():
    lowest = np.log(2.0**-126)
    p = np.array([[0.0, 1.0], [1e-45, 1.0], [1e-30, 1.0]])
    found = read(p, PROBABILITIES, "log-probability")
    assert_allclose(found, [[lowest, 0], [lowest, 0], [np.log(1e-30), 0]], atol=1e-12)


def test_the_log_odds_of_tied_logits_are_those_of_their_shares():
    z = np.array([[5.0, 5.0, 5.0], [700.0, 700.0, 0.0]])
    assert_allclose(read(z, LOGITS, "logit"), [[np.log(0.5)] * 3, [0, 0, -700 - np.log(2)]], atol=1e-12)


@pytest.mark.parametrize(
    ("outputs", "kind"),
    [
        (np.array([[0.3], [0.7]]), VALUES), (SCORES, LOGITS), (SOFTMAX, PROBABILITIES),
        (SOFTMAX.astype(np.float32).astype(float) + 1e-7, PROBABILITIES),
        (np.array([[0.2, 0.2]]), LOGITS), (np.array([[1.5, -0.5]]), LOGITS),
        (np.array([[0.0, 1.0]]), PROBABILITIES),
    ],
)  # fmt: skip
def test_the_kind_of_an_output_is_seen_in_its_rows(outputs, kind):
    assert detect_kind(outputs) == kind


@pytest.mark.parametrize("scale", ["probability", "logit"])
def test_a_regression_has_no_probabilities(scale):
    with pytest.raises(bb.RequestError, match="needs a classifier"):
        bb.explain(lambda rows: rows.sum(axis=1), [1.0, 2.0], "occlusion", scale=scale)


def test_a_regression_on_the_log_probability_scale_is_read_raw():
    found = bb.explain(lambda rows: rows.sum(axis=1), [1.0, 2.0], "occlusion", scale="log-probability")
    assert (found.scale, found.full_values) == ("raw", 3)


def test_an_unknown_scale_names_the_nearest():
    with pytest.raises(bb.RequestError, match="Did you mean 'probability'"):
        bb.explain(lambda rows: rows.sum(axis=1), [1.0], "occlusion", scale="probabilty")
