"""The record: JSON there and back, shap's plots, and what it shows of itself."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import blackbox as bb
from blackbox.errors import RequestError
from blackbox.explanation import Explanation, Outcome

ARRAYS = ("values", "base_values", "full_values", "lower_bounds", "upper_bounds")


def three(x):
    return np.stack([x[:, 0] * x[:, 1], x[:, 1] - x[:, 2], np.zeros(len(x))], axis=1)


def ask(method="kernelshap", target=0, **asked):
    return bb.explain(three, [2.0, 3.0, 4.0], method=method, target=target, **asked)


def made(**changes):
    """A record with everything awkward in it."""
    record = Explanation(
        method="kernelshap", settings={"budget": None, "threshold": bb.Fraction(0.5)},
        values=np.array([[1.0, np.nan], [np.inf, -0.0]]), base_values=np.array([0.0, np.nan]),
        full_values=np.array([1.0, 2.0]), feature_names=("a", "Ünï\"<x>"), output_names=("no", "yes"),
        data=np.array([1, "two"], dtype=object), rows=3, rows_shared=1, outcome=Outcome.DONE,
        details={"n": 3, "f": np.array([[0.5, np.nan]], dtype=np.float32), "i": np.arange(2),
                 "b": np.array([True, False]), "lists": [[1, 2], []], "none": None},
        lower_bounds=np.array([[0.0, 1.0], [2.0, np.nan]]), upper_bounds=None, seed=2**40,
        provenance={"model": {"sha256": {"m.onnx": "ab"}}},
    )  # fmt: skip
    return dataclasses.replace(record, **changes)


@pytest.mark.parametrize("method", list(bb.METHODS))
def test_every_methods_record_survives_json(method):
    before = ask(method)
    after = Explanation.from_json(before.to_json())
    for item in dataclasses.fields(Explanation):
        if item.name not in (*ARRAYS, "details", "data", "settings"):
            assert getattr(after, item.name) == getattr(before, item.name), item.name
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert after.data.tolist() == before.data.tolist()
    assert after.to_json() == before.to_json()
    for name, value in before.details.items():
        assert type(after.details[name]) is type(value) or not isinstance(value, np.ndarray), name


def test_awkward_values_survive_json():
    text = made().to_json(indent=2)
    assert "NaN" not in text
    assert "Infinity" not in text
    back = Explanation.from_json(text)
    np.testing.assert_array_equal(back.values, [[1, np.nan], [np.nan, 0]])
    assert back.data.tolist() == [1, "two"]
    assert back.feature_names == ("a", "Ünï\"<x>")
    assert back.details["f"].dtype == np.float32
    assert back.details["b"].tolist() == [True, False]
    assert back.details["i"].dtype.kind == "i"
    assert back.details["lists"] == [[1, 2], []]
    assert back.upper_bounds is None
    assert back.lower_bounds.shape == (2, 2)
    assert back.seed == 2**40


@pytest.mark.parametrize("target", [0, [0, 1]])
def test_shapes_survive_json(target):
    before = ask(target=target)
    after = Explanation.from_json(before.to_json())
    assert np.shape(after.values) == np.shape(before.values)
    assert np.shape(after.base_values) == np.shape(before.base_values)
    assert isinstance(after.output_names, tuple)


def test_data_of_mixed_types_is_kept():
    data = [1, 2.5, "red", True]
    record = made(data=np.array(data, dtype=object), feature_names=tuple("abcd"), values=np.zeros((4, 2)))
    assert Explanation.from_json(record.to_json()).data.tolist() == data


@pytest.mark.parametrize(
    "text",
    ["", "x", "3", "[]", "{}", "null", '{"schema": "other/9"}', '{"schema": "blackbox.explanation/1"}',
     made().to_json().replace('"DONE"', '"DOEN"'), made().to_json()[:-5]],
)  # fmt: skip
def test_what_is_no_record_is_refused(text):
    with pytest.raises(RequestError):
        Explanation.from_json(text)


def test_a_record_says_in_words_how_it_ended():
    record = json.loads(ask().to_json())
    assert record["outcome"] == "EXACT"
    assert record["outcome_text"].endswith(".")
    assert str(ask().outcome) == record["outcome_text"]


def test_the_repr_is_one_short_line():
    shown = repr(ask(target=[0, 1]))
    assert shown == f"<Explanation kernelshap: 3 features, 0, 1; {ask(target=[0, 1]).rows} rows>"


@pytest.fixture
def pyplot():
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    yield plt
    plt.close("all")


@pytest.mark.filterwarnings("ignore")  # shap's plots are not ours to keep silent
@pytest.mark.parametrize("plot", ["waterfall", "bar"])
def test_shap_draws_it(pyplot, plot):
    import shap

    for target in (0, [0, 1]):
        shown = ask(target=target).to_shap()
        one = shown if target == 0 else shown[:, 0]
        getattr(shap.plots, plot)(one, show=False)
        labels = " ".join(text.get_text() for text in pyplot.gcf().axes[0].get_yticklabels())
        assert all(name in labels for name in ("x0", "x1", "x2"))
        pyplot.close("all")


def test_shap_gets_the_same_numbers_and_names():
    many, one = ask(target=[0, 1]), ask()
    assert many.to_shap().values.shape == (3, 2)
    assert many.to_shap().base_values.shape == (2,)
    assert list(many.to_shap().output_names) == ["0", "1"]
    assert isinstance(one.to_shap().base_values, float)
    np.testing.assert_array_equal(one.to_shap().values, one.values)
    assert list(one.to_shap().feature_names) == list(one.feature_names)
