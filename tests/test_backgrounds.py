"""What stands in for hidden features: zeros, a mean, a sample, or rows that are checked first."""

from __future__ import annotations

import numpy as np
import pytest

import blackbox as bb
from blackbox import backgrounds
from blackbox.errors import RequestError

X = {"x": np.array([1.0, 2.0], dtype=np.float32)}
WHOLE = {"x": np.array([1, 2], dtype=np.int64)}
TEXT = {"x": np.array(["red", "blue"], dtype=object)}


def test_nothing_given_means_one_row_of_zeros_or_of_empty_text():
    assert backgrounds.accept(None, X).rows["x"].tolist() == [[0, 0]]
    assert backgrounds.accept(None, TEXT).rows["x"].tolist() == [["", ""]]
    assert "zeros" in backgrounds.accept(None, X).rule


def test_one_row_may_come_without_its_axis():
    for given in ([3, 4], [[3, 4]], {"x": [3, 4]}):
        background = backgrounds.accept(given if isinstance(given, dict) else np.array(given), X)
        assert len(background) == 1
        assert background.rows["x"].dtype == np.float32


def test_the_rule_of_a_background_is_kept():
    given = backgrounds.mean({"x": np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)})
    kept = backgrounds.accept(given, X)
    assert kept.rule == "the mean of 2 rows"
    assert kept.rows["x"].tolist() == [[2, 3]]
    with pytest.raises(RequestError, match="floating-point"):
        backgrounds.mean({"x": np.array([[1, 2]])})


def test_a_sample_is_drawn_without_repeats_and_keeps_the_order():
    rows = {"a": np.arange(50.0)[:, None], "b": np.arange(50)[:, None]}
    drawn = backgrounds.sample(rows, 10, np.random.default_rng(0))
    again = backgrounds.sample(rows, 10, np.random.default_rng(0))
    taken = drawn.rows["a"].ravel()
    assert (np.diff(taken) > 0).all()
    assert len(drawn) == 10
    np.testing.assert_array_equal(taken, drawn.rows["b"].ravel())
    np.testing.assert_array_equal(taken, again.rows["a"].ravel())
    assert "10 of 50" in drawn.rule
    assert "all 50" in backgrounds.sample(rows, 99, np.random.default_rng(0)).rule


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "empty"),
        (np.zeros((0, 2)), "empty"),
        ([[1, 2, 3]], "same columns"),
        ([1, 2, 3], "same columns"),
        ([[[1, 2]]], "same columns"),
        (5.0, "same columns"),
        ([[1, np.nan]], "holds nan in row 0"),
        ([[1, 2], [np.inf, 2]], "holds inf in row 1"),
        ([[1], [1, 2]], "number of columns"),
        ([[None, 1.0]], "background"),
        ([["a", "b"]], "background"),
        ([[1e300, 1.0]], "background"),
        ("rows.csv", "background"),
        ({"y": [[1, 2]]}, "'y'"),
        ({}, "no rows for input"),
        ({"input": [[1], [1, 2]]}, "background"),
    ],
    ids=["list", "array", "columns", "one row", "rank", "scalar", "nan", "inf", "ragged", "None", "text",
         "overflow", "a path", "name", "no name", "ragged in a mapping"],
)  # fmt: skip
def test_a_bad_background_is_refused_in_words(given, words):
    with pytest.raises(RequestError) as told:
        bb.explain(lambda x: x.sum(axis=1), [1.0, 2.0], background=given)
    assert words in str(told.value)


def test_a_fraction_in_the_background_of_a_whole_number_input_is_refused():
    with pytest.raises(RequestError, match=r"0\.5"):
        backgrounds.accept(np.array([[0.5, 1.0]]), WHOLE)


def test_numbers_behind_a_text_input_are_refused():
    with pytest.raises(RequestError, match="text"):
        backgrounds.accept(np.array([[1, 2]]), TEXT)


def test_inputs_must_have_as_many_background_rows():
    two = {"a": np.zeros(1), "b": np.zeros(1)}
    with pytest.raises(RequestError, match=r"number of rows: \[1, 2\]"):
        backgrounds.accept({"a": np.zeros((1, 1)), "b": np.zeros((2, 1))}, two)
    with pytest.raises(RequestError, match="no rows for input 'b'"):
        backgrounds.accept({"a": np.zeros((1, 1))}, two)


def test_the_digest_tells_backgrounds_apart():
    def digest(values, dtype=np.float32):
        return backgrounds.Background({"x": np.array(values, dtype=dtype)}).sha256

    assert digest([[1, 2]]) == digest([[1, 2]])
    same_bytes = [digest([[1, 2]]), digest([[1], [2]]), digest([[1, 3]]), digest([[1, 2]], np.float64)]
    assert len(set(same_bytes)) == 4
    assert len(digest([["a", "b"]], object)) == 64


def test_medoids_are_rows_in_the_middle_of_the_clusters():
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0], [10, 0], [0, 10]])
    rows = np.concatenate([c + rng.normal(size=(40, 2)) * 0.3 for c in centres])
    found = backgrounds.medoids({"a": rows}, 3, np.random.default_rng(1))
    assert found.rule == "3 medoids of 120 rows"
    in_order = sorted(found.rows["a"].tolist(), key=lambda r: (r[1] > 5, r[0] > 5))
    for c, kept in zip(centres, in_order, strict=True):
        assert np.linalg.norm(np.array(kept) - c) < 0.4
        assert kept in rows.tolist()


def test_medoids_of_equal_rows_are_as_many_as_asked():
    found = backgrounds.medoids({"a": np.ones((6, 2))}, 3, np.random.default_rng(1))
    assert len(found) == 3
    with pytest.raises(bb.RequestError, match="numbers"):
        backgrounds.medoids({"a": np.full((6, 1), "x", dtype=object)}, 3, np.random.default_rng(1))


def test_strata_keep_their_shares():
    rows, groups = {"a": np.arange(100.0)[:, None]}, np.repeat(["x", "y", "z"], [70, 25, 5])
    found = backgrounds.stratified(rows, groups, 20, np.random.default_rng(0))
    kept = groups[found.rows["a"][:, 0].astype(int)]
    assert [(kept == g).sum() for g in "xyz"] == [14, 5, 1]
    assert found.rule == "20 of 100 rows, drawn at random in 3 strata"
    with pytest.raises(bb.RequestError, match="100 rows but 3"):
        backgrounds.stratified(rows, groups[:3], 20, np.random.default_rng(0))
