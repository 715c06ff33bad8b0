"""A Python function in place of a model: its shape, its answers, and its mistakes."""

from __future__ import annotations

import numpy as np
import pytest

import blackbox as bb
from blackbox.errors import ModelError, RequestError


def total(x):
    return x.sum(axis=1)


def test_a_function_gets_float32_rows_in_pieces_of_the_batch_size():
    seen = []

    def watch(x):
        seen.append((x.dtype, x.shape))
        return x.sum(axis=1)

    model = bb.open_model(watch, options={"shape": (3,), "batch_size": 2})
    bb.explain(model, [1, 2, 3])
    assert {dtype for dtype, _ in seen} == {np.dtype("float32")}
    assert max(shape[0] for _, shape in seen) == 2
    assert {shape[1:] for _, shape in seen} == {(3,)}


def test_a_bare_function_takes_its_shape_from_the_input():
    values = bb.explain(lambda x: x.sum(axis=(1, 2)), np.ones((2, 2))).values
    np.testing.assert_allclose(values, [1, 1, 1, 1])
    assert bb.explain(lambda x: 2 * x, 3.0).values.tolist() == [6]


def test_answers_of_any_array_like_are_taken():
    for answer in (lambda x: x.sum(axis=1).tolist(), lambda x: x[:, :1], lambda x: x.sum(axis=1) > 1):
        assert bb.explain(answer, [2.0, 1.0]).values.shape == (2,)


def test_classes_and_kind_are_declared():
    def classify(x):
        return np.stack([x[:, 0], -x[:, 0]], axis=1)

    model = bb.open_model(classify, options={"shape": (1,), "classes": ("no", "yes"), "kind": "logits"})
    found = bb.explain(model, [2.0], target=["yes", "no"], scale="probability")
    assert found.output_names == ("yes", "no")
    assert found.full_values.sum() == pytest.approx(1)
    with pytest.raises(RequestError, match="Did you mean 'yes'"):
        bb.explain(model, [2.0], target="yess")


def test_as_many_class_names_as_columns_are_needed():
    model = bb.open_model(lambda x: x, options={"shape": (3,), "classes": ("no", "yes")})
    with pytest.raises(RequestError, match="2 class names"):
        bb.explain(model, [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (None, "needs its input shape"),
        ({"classes": ("a",)}, "needs its input shape"),
        ({"shap": (3,)}, "Did you mean 'shape'"),
        ({"shape": 3}, "'shape'"),
        ({"shape": ("a",)}, "'shape'"),
        ({"shape": (3,), "batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"shape": (3,), "kind": "probs"}, "Did you mean 'probabilities'"),
        ([("shape", 3)], "'shape'"),
        (["shape"], "options"),
    ],
)
def test_wrong_options_are_told(options, words):
    with pytest.raises(RequestError) as told:
        bb.open_model(total, options=options)
    assert words in str(told.value)


def test_a_function_runs_where_it_likes():
    assert bb.open_model(total, device="cpu", options={"shape": (3,)}).identity.device == "cpu"
    with pytest.raises(RequestError, match="cuda"):
        bb.open_model(total, device="cuda", options={"shape": (3,)})


def broken(x):
    raise KeyError("no such column")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (broken, "The function raised KeyError: 'no such column'"),
        (lambda x: None, "returned shape ()"),
        (lambda x: x.sum(), "returned shape ()"),
        (lambda x: x[:0], "for 1 rows"),
        (lambda x: np.concatenate([x, x]), "for 1 rows"),
        (lambda x: np.array(["a"] * len(x)), "holds text"),
        (lambda x: x[:, 0] * np.nan, "returned nan"),
        (lambda x: x / 0, "infinity"),
        (lambda x: np.zeros((len(x), 0)), "no columns"),
        (lambda x: [[1], [1, 2]], "raised ValueError"),
    ],
    ids=["raises", "None", "scalar", "no rows", "too many rows", "text", "nan", "inf",
         "no columns", "ragged"],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_a_wrong_answer_is_the_models_side(function, words):
    with pytest.raises(ModelError) as told:
        bb.explain(function, [1.0, 2.0])
    assert words in str(told.value)
    assert "method kernelshap" in str(told.value)


def test_a_function_that_changes_its_rows_in_place_does_no_harm():
    def careless(x):
        answer = x.sum(axis=1)
        x *= 0
        return answer

    x = np.array([1, 2, 3], dtype=np.float32)
    background = np.ones((2, 3), dtype=np.float32)
    assert bb.explain(careless, x, background=background).values.tolist() == [0, 1, 2]
    assert x.tolist() == [1, 2, 3]
    assert (background == 1).all()


def test_ctrl_c_inside_a_function_is_not_swallowed():
    def stopped(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bb.explain(stopped, [1.0])


@pytest.mark.parametrize("source", [None, 3, "https://example.org/model", b"model.onnx"])
def test_what_is_no_model_is_told(source):
    with pytest.raises(bb.BlackboxError):
        bb.open_model(source)
