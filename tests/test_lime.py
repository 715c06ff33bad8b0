"""LIME: both forms against the slow twin on the same draws, selection rules, and what was drawn."""

from dataclasses import dataclass, field
from functools import partial
from math import comb
from pathlib import Path

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import kstest, truncnorm
from toys import Counted

import blackbox as bb
from blackbox import seeds
from blackbox.model import Identity, Limits, Signature, Tensor
from blackbox.numerics import least_squares, neighbourhood, selection
from blackbox.numerics.neighbourhood import Column, sample_columns

# the published sampling; what the default draws instead is tested at the end
Lime = partial(bb.Lime, sampling="lime")
RNG = np.random.default_rng(8)
X = np.array([0.7, -1.2, 2.0, 0.1])
BACKGROUND = (RNG.normal(size=(80, 4)) * [1, 2, 5, 0.3] + [0, 1, 3, 0]).astype(np.float32).astype(float)


def bent(rows):
    rows = rows.astype(float)
    return rows[:, 0] * rows[:, 1] + np.sin(rows[:, 2]) - 4 * rows[:, 3] ** 2 + rows[:, 0]


@pytest.fixture
def drawn(monkeypatch):
    """Catch what the table form draws."""
    caught = []

    def catch(*arguments):
        caught.append(sample_columns(*arguments))
        return caught[-1]

    monkeypatch.setattr("blackbox.methods.lime.sample_columns", catch)
    return caught


# the fit


@pytest.mark.parametrize("discretize", [True, False])
@pytest.mark.parametrize("around", [True, False])
def test_the_table_form_agrees_with_the_twin_on_the_same_draws(drawn, discretize, around):
    f = Counted(bent)
    method = Lime(samples=300, discretize=discretize, around_input=around, selection="none")
    found = bb.explain(f, X, method, background=BACKGROUND)
    (sample,) = drawn
    rows = np.stack([cells[:, 0] for cells in sample.cells], axis=1).astype(np.float32)
    assert_array_equal(rows[0], X.astype(np.float32))
    scores = bent(rows)
    distances = [float(np.sqrt(sum((row - sample.design[0]) ** 2))) for row in sample.design]
    values, intercept, r2 = reference.lime_fit(sample.design, distances, scores, 0.75 * np.sqrt(4))
    assert_allclose(found.values, values, atol=1e-8)
    assert_allclose(found.details["intercept"], [intercept], atol=1e-8)
    assert_allclose(found.details["local_fit"], [r2], atol=1e-8)
    assert_allclose(found.details["local_prediction"], [intercept + sample.design[0] @ values], atol=1e-8)
    asked = {row.tobytes() for row in f.rows}
    assert {row.tobytes() for row in rows} <= asked


@pytest.mark.parametrize("width", [None, 0.6])
@pytest.mark.parametrize("ridge", [1.0, 0.01, 0.0])
def test_the_mask_form_agrees_with_the_twin_on_the_same_draws(width, ridge):
    found = bb.explain(bent, X, Lime(samples=200, kernel_width=width, ridge=ridge), seed=3)
    assert found.details["form"] == "masks"
    # the stream that belongs to the seed, the method and d; a feature is kept with probability 1/2
    design = (seeds.generator(3, "lime", 4).random((200, 4)) < 0.5).astype(float)
    design[0] = 1
    scores = bent(np.where(design == 1, X.astype(np.float32), np.float32(0)))
    distances = [reference.cosine_distance(row, design[0]) for row in design]
    values, intercept, r2 = reference.lime_fit(design, distances, scores, width or 0.25, ridge)
    assert_allclose(found.values, values, atol=1e-8)
    assert_allclose(found.details["intercept"], [intercept], atol=1e-8)
    assert_allclose(found.details["local_fit"], [r2], atol=1e-8)


@pytest.mark.parametrize(
    ("form", "d", "width"), [("table", 4, 1.5), ("table", 9, 2.25), ("masks", 4, 0.25), ("masks", 9, 0.25)]
)
def test_the_default_kernel_width_is_the_published_one(form, d, width):
    background = np.stack([np.arange(d), np.arange(d) * 2.0, np.ones(d)])
    found = bb.explain(
        lambda rows: rows.sum(axis=1), np.ones(d) * 3, Lime(form=form, samples=20), background=background
    )
    assert found.details["kernel_width"] == pytest.approx(width)


@pytest.mark.parametrize(("form", "samples"), [("table", 5000), ("masks", 1000)])
def test_the_default_number_of_samples_is_the_published_one(form, samples):
    found = bb.explain(bent, X, Lime(form=form), background=BACKGROUND)
    assert found.details["samples"] == samples
    assert found.details["form"] == form


def test_auto_is_table_with_several_background_rows_and_masks_otherwise():
    assert bb.explain(bent, X, Lime(samples=20), background=BACKGROUND).details["form"] == "table"
    assert bb.explain(bent, X, Lime(samples=20)).details["form"] == "masks"
    pictures = bb.explain(
        lambda rows: rows.sum(axis=(1, 2)),
        np.ones((2, 2)),
        Lime(samples=20),
        background=np.zeros((3, 2, 2)),
    )
    assert pictures.details["form"] == "masks"


@pytest.mark.parametrize(("x", "background"), [(X, None), (np.ones((2, 2)), np.zeros((3, 2, 2)))])
def test_the_table_form_without_a_table_is_refused(x, background):
    with pytest.raises(bb.RequestError, match="at least two rows"):
        bb.explain(
            lambda rows: rows.reshape(len(rows), -1).sum(axis=1),
            x,
            Lime(form="table"),
            background=background,
        )


def test_on_a_linear_model_the_signs_are_those_of_the_weights():
    w = np.array([3.0, -2.0, 0.5, -4.0])
    high = BACKGROUND.mean(axis=0) + 2 * BACKGROUND.std(axis=0)

    def f(rows):
        return (rows.astype(float) * w).sum(axis=1)

    # the input lies in every column's top quartile, so being there moves the score along the weight
    quartiles = bb.explain(f, high, Lime(), background=BACKGROUND)
    assert_array_equal(np.sign(quartiles.values), np.sign(w))
    scaled = bb.explain(f, high, Lime(discretize=False, ridge=0.0), background=BACKGROUND)
    assert_allclose(scaled.values, w * BACKGROUND.std(axis=0), rtol=1e-4)
    assert scaled.details["local_fit"][0] == pytest.approx(1, abs=1e-9)
    masks = bb.explain(f, high, Lime(form="masks", ridge=0.0), background=[np.zeros(4)])
    assert_allclose(masks.values, w * high, rtol=1e-5)


def test_the_fit_of_a_model_that_is_not_linear_is_below_one():
    found = bb.explain(bent, X, Lime(discretize=False), background=BACKGROUND)
    assert 0 < found.details["local_fit"][0] < 0.99


def test_a_constant_model_gets_exact_zeros():
    for background in (None, BACKGROUND):
        found = bb.explain(
            lambda rows: np.full(len(rows), 0.1), X, Lime(samples=50), background=background
        )
        assert found.outcome is bb.Outcome.CONSTANT
        assert_array_equal(found.values, 0)


# selection


def ranked(n=150, d=9, seed=4):
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(n, d))
    design[0] = rng.uniform(1, 2, d)
    y = design @ np.array([0, 5, 0, -3, 0.2, 1, 0, -0.1, 0.5]) + rng.normal(size=n) * 0.3
    return design, rng.random(n), y


@pytest.mark.parametrize("most", [1, 3, 6])
def test_forward_selection_agrees_with_the_twin(most):
    design, weights, y = ranked()
    expected = reference.forward_selection(design, weights, y, most)
    assert selection.select("forward", design, weights, y, most).tolist() == expected
    assert selection.select("auto", design, weights, y, most).tolist() == expected


@pytest.mark.parametrize("most", [1, 3, 7, 8])
def test_highest_weights_agrees_with_the_twin(most):
    design, weights, y = ranked()
    expected = reference.highest_weights(design, weights, y, most)
    assert selection.select("highest_weights", design, weights, y, most).tolist() == expected
    if most > 6:
        assert selection.select("auto", design, weights, y, most).tolist() == expected


def test_highest_weights_weighs_a_coefficient_by_the_input_it_multiplies():
    design, weights, y = ranked()
    assert selection.select("highest_weights", design, weights, y, 1).tolist() == [1]
    design[0, [1, 3, 5]] = [0.01, -0.01, 9.0]
    assert selection.select("highest_weights", design, weights, y, 1).tolist() == [5]


def test_auto_changes_its_rule_above_six_features():
    # x0 and x1 carry one signal together: alone neither is best, but together they are
    rng = np.random.default_rng(0)
    design = rng.normal(size=(200, 9))
    design[:, 1] = -design[:, 0] + 0.1 * rng.normal(size=200)
    design[0] = 1.0
    y = 10 * (design[:, 0] + design[:, 1]) + design[:, 2:] @ np.linspace(1, 0.2, 7)
    ones = np.ones(200)
    forward = selection.select("forward", design, ones, y, 6).tolist()
    assert set(selection.select("auto", design, ones, y, 6)) == set(forward)
    highest = selection.select("highest_weights", design, ones, y, 7).tolist()
    assert selection.select("auto", design, ones, y, 7).tolist() == highest
    assert forward != highest[:6]


def test_the_lasso_path_keeps_the_last_step_with_few_enough_features():
    from sklearn.linear_model import lars_path

    design, weights, y = ranked()
    centred = (design - np.average(design, axis=0, weights=weights)) * np.sqrt(weights)[:, None]
    response = (y - np.average(y, weights=weights)) * np.sqrt(weights)
    path = lars_path(centred, response, method="lasso")[2]
    for most in (1, 2, 4, 9):
        expected = next(
            path[:, step].nonzero()[0] for step in range(path.shape[1] - 1, 0, -1)
            if np.count_nonzero(path[:, step]) <= most
        )  # fmt: skip
        assert_array_equal(selection.select("lasso_path", design, weights, y, most), expected)
    assert set(selection.select("lasso_path", design, weights, y, 2)) == {1, 3}


@pytest.mark.parametrize("rule", ["auto", "forward", "highest_weights", "lasso_path"])
def test_what_is_not_selected_gets_zero_and_the_rest_is_fitted_alone(rule):
    def f(rows):
        return (rows.astype(float) * [5, 0.01, -4, 0.02, 3]).sum(axis=1)

    found = bb.explain(f, np.ones(5), Lime(features=3, selection=rule, samples=200))
    assert found.details["selected"] == [[0, 2, 4]]
    assert_array_equal(np.flatnonzero(found.values), [0, 2, 4])


def test_no_selection_keeps_every_feature_whatever_their_number():
    found = bb.explain(bent, X, Lime(features=1, selection="none", samples=100))
    assert found.details["selected"] == [[0, 1, 2, 3]]


@pytest.mark.parametrize(("form", "kept"), [("table", 10), ("masks", 14)])
def test_ten_features_are_kept_of_a_table_and_all_of_masks(form, kept):
    w = np.arange(1.0, 15)
    background = np.stack([np.zeros(14), np.ones(14) * 3, np.ones(14)])
    found = bb.explain(
        lambda rows: (rows.astype(float) * w).sum(axis=1), np.ones(14) * 4,
        Lime(form=form, samples=400), background=background,
    )  # fmt: skip
    assert len(found.details["selected"][0]) == np.count_nonzero(found.values) == kept


def test_every_target_selects_its_own_features():
    def f(rows):
        rows = rows.astype(float)
        return np.stack([5 * rows[:, 0] + 0.01 * rows[:, 1], 7 * rows[:, 1] + rows[:, 2]], axis=1)

    found = bb.explain(f, np.ones(3), Lime(features=1, samples=100), target=[0, 1], scale="raw")
    assert found.details["selected"] == [[0], [1]]
    assert_array_equal(found.values[[1, 2], 0], 0)
    assert found.details["local_fit"].shape == (2,)


# what is drawn


def number(x, values):
    return Column(np.array([x], dtype=object), np.asarray(values, dtype=object)[:, None])


def test_quartiles_are_drawn_by_their_share_and_the_design_says_same_quartile():
    values = BACKGROUND[:, 1]
    sample = sample_columns([number(X[1], values)], 20_000, np.random.default_rng(1), True, False)
    cells = sample.cells[0][:, 0].astype(float)
    edges = np.percentile(values, [25, 50, 75])
    bins = np.searchsorted(edges, cells)
    assert (cells[0], sample.design[0, 0]) == (X[1], 1)
    assert_array_equal(sample.design[:, 0], bins == np.searchsorted(edges, X[1]))
    assert_allclose(np.bincount(bins) / len(bins), [0.25] * 4, atol=0.02)
    assert values.min() <= cells.min()
    assert cells.max() <= values.max()


def test_within_a_quartile_values_follow_the_published_truncated_normal():
    values = BACKGROUND[:, 2]
    sample = sample_columns([number(X[2], values)], 8000, np.random.default_rng(2), True, False)
    cells = sample.cells[0][1:, 0].astype(float)
    edges = np.percentile(values, [25, 50, 75])
    ends = [values.min(), *edges, values.max()]
    for k in range(4):
        own = values[np.searchsorted(edges, values) == k]
        mean, spread = own.mean(), own.std() + 1e-11
        law = truncnorm((ends[k] - mean) / spread, (ends[k + 1] - mean) / spread, mean, spread)
        assert kstest(cells[np.searchsorted(edges, cells) == k], law.cdf).pvalue > 1e-3


def test_a_column_of_one_value_is_drawn_as_that_value():
    for discretize in (True, False):
        sample = sample_columns([number(2.0, [2.0] * 5)], 50, np.random.default_rng(0), discretize, False)
        cells = sample.cells[0][:, 0].astype(float)
        assert np.isfinite(sample.design).all()
        if discretize:
            assert_allclose(cells, 2.0, atol=1e-9)
            assert_array_equal(sample.design, 1)


@pytest.mark.parametrize("around", [True, False])
def test_undiscretised_columns_are_normal_about_the_mean_or_the_input(around):
    values = BACKGROUND[:, 1]
    sample = sample_columns([number(9.0, values)], 20_000, np.random.default_rng(3), False, around)
    cells = sample.cells[0][:, 0].astype(float)
    assert cells[0] == 9
    assert_allclose(sample.design[:, 0], (cells - values.mean()) / values.std(), atol=1e-12)
    centre = 9.0 if around else values.mean()
    assert kstest((cells[1:] - centre) / values.std(), "norm").pvalue > 1e-3


def test_groups_and_texts_are_drawn_as_combinations_of_the_background():
    rows = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]], dtype=object)
    group = Column(np.array([0, 1, 0], dtype=object), rows)
    text = Column(np.array(["red"], dtype=object), np.array([["red"], ["blue"]], dtype=object))
    sample = sample_columns([group, text], 4000, np.random.default_rng(4), True, False)
    assert_array_equal(sample.cells[0].sum(axis=1), 1)
    assert_array_equal(sample.design[:, 0], sample.cells[0][:, 1] == 1)
    assert_allclose(sample.design[:, 0].mean(), 0.5, atol=0.04)
    assert_array_equal(sample.design[:, 1], sample.cells[1][:, 0] == "red")
    assert set(sample.cells[1][:, 0]) == {"red", "blue"}
    assert_array_equal(sample.design[0], [1, 1])


@dataclass(frozen=True)
class Typed:
    """A model of two columns of one dtype: y = x0 + 10 x1; it remembers what it was asked."""

    dtype: str
    asked: list = field(default_factory=list)
    limits: Limits = field(default=Limits(10_000))
    identity: Identity = field(default=Identity("typed", {}, "python", "cpu"))

    @property
    def signature(self):
        inputs = (Tensor("x", self.dtype, ("batch", 2)),)
        return Signature(inputs, (Tensor("y", "float32", ("batch", 1)),), "y")

    def predict(self, rows):
        self.asked.append(rows["x"].copy())
        return {"y": rows["x"] @ np.array([1.0, 10.0])}


def test_the_design_describes_the_rounded_values_that_a_whole_number_model_is_asked(drawn):
    model, column = Typed("int64"), np.arange(40)
    background = np.stack([column, column[::-1]], axis=1)
    bb.explain(model, np.array([12, 31]), Lime(samples=400), background=background)
    (sample,) = drawn
    rows = next(batch for batch in model.asked if len(batch) == 400)
    for k in range(2):
        edges = np.unique(np.percentile(background[:, k], [25, 50, 75]))
        home = np.searchsorted(edges, rows[:, k])
        assert_array_equal(sample.design[:, k], home == home[0])


@pytest.mark.parametrize("discretize", [True, False])
def test_columns_of_yes_and_no_are_drawn_as_often_as_in_the_background(discretize):
    model = Typed("bool")
    background = np.array([[True, False], [True, False], [True, False], [False, True]])
    bb.explain(
        model, np.array([True, False]), Lime(samples=2000, discretize=discretize), background=background
    )
    rows = next(batch for batch in model.asked if len(batch) == 2000)
    assert_allclose(rows.mean(axis=0), [0.75, 0.25], atol=0.05)


def test_columns_are_drawn_independently_of_each_other():
    both = np.arange(100.0)
    sample = sample_columns(
        [number(5.0, both), number(5.0, both)], 5000, np.random.default_rng(5), True, False
    )
    a, b = (cells[:, 0].astype(float) for cells in sample.cells)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.05


def test_the_published_addition_to_a_bins_deviation():
    assert neighbourhood.SPREAD == 1e-11


@pytest.mark.parametrize(
    "wrong",
    [{"form": "image"}, {"selection": "best"}, {"ridge": -1}, {"kernel_width": 0}, {"samples": 1},
     {"features": 0}, {"samples": 2.5}],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(bb.RequestError, match=next(iter(wrong))):
        Lime(**wrong)


# the default: drawn from the weighted distribution


@pytest.mark.parametrize("form", ["masks", "table", "plain table"])
def test_weighted_draws_have_the_published_expectation(form):
    settings = {"form": form.split()[-1], "ridge": 0.0, "selection": "none", "discretize": form == "table"}
    many = {"background": BACKGROUND}
    published = bb.explain(bent, X, bb.Lime(samples=150_000, sampling="lime", **settings), **many)
    drawn = bb.explain(bent, X, bb.Lime(samples=150_000, **settings), **many)
    assert_allclose(drawn.values, published.values, atol=0.03 * np.abs(published.values).max())
    assert drawn.details["local_fit"][0] == pytest.approx(published.details["local_fit"][0], abs=0.03)


def test_weighted_masks_follow_their_formula():
    masks = neighbourhood.weighted_masks(4, 40_000, 0.25, np.random.default_rng(0))
    chance = np.array([comb(4, k) * np.exp(-((1 - np.sqrt(k / 4)) ** 2) / 0.125) for k in range(5)])
    share = np.bincount(masks.sum(axis=1), minlength=5) / len(masks)
    assert_allclose(share, chance / chance.sum(), atol=0.01)
    assert_allclose(masks.mean(axis=0), masks.mean(), atol=0.01)


def test_on_masks_weighted_draws_are_steadier_than_published_ones():
    def spread(sampling):
        method = bb.Lime(form="masks", samples=100, ridge=0.0, kernel_width=0.1, sampling=sampling)
        x = np.linspace(0.5, 2, 12)
        found = (bb.explain(lambda r: np.exp(-r.sum(axis=1) / 9), x, method, seed=s) for s in range(30))
        values = [one.values for one in found]
        return np.std(values, axis=0).mean()

    assert spread("weighted") < 0.9 * spread("lime")


@pytest.mark.parametrize("sampling", ["lime", "weighted"])
def test_the_intervals_hold_the_value_of_endless_samples(sampling):
    settings = {"ridge": 0.0, "selection": "none", "sampling": sampling, "discretize": False}
    limit = bb.explain(bent, X, bb.Lime(samples=200_000, **settings), background=BACKGROUND).values
    held = []
    for seed in range(60):
        found = bb.explain(bent, X, bb.Lime(samples=300, **settings), background=BACKGROUND, seed=seed)
        held.append((found.lower_bounds <= limit) & (limit <= found.upper_bounds))
    assert 0.88 <= np.mean(held) <= 0.99


def test_the_sandwich_is_the_textbooks():
    rng = np.random.default_rng(0)
    x, w, y = rng.normal(size=(30, 2)), rng.uniform(0.5, 2, 30), rng.normal(size=30)
    full = np.column_stack([np.ones(30), x])
    inverse = np.linalg.inv(full.T @ (full * w[:, None]))
    missed = y - full @ (inverse @ (full.T @ (w * y)))
    middle = np.zeros((3, 3))
    for row, weight, e in zip(full, w, missed, strict=True):
        middle += weight**2 * (e / (1 - weight * row @ inverse @ row)) ** 2 * np.outer(row, row)
    expected = np.sqrt(np.diag(inverse @ middle @ inverse))[1:]
    assert_allclose(least_squares.sandwich_errors(x, w, missed, 0.0), expected, rtol=1e-9)


def test_a_poor_fit_is_the_outcome():
    found = bb.explain(lambda r: np.sign(r[:, 0]) * np.sign(r[:, 1]), X * 0, Lime(), background=BACKGROUND)
    assert found.outcome is bb.Outcome.POOR_FIT
    assert found.details["local_fit"][0] < 0.5
    assert "does not describe" in str(found.outcome)
    good = bb.explain(lambda r: r[:, 0] * 2.0, X, bb.Lime(discretize=False), background=BACKGROUND)
    assert good.outcome is bb.Outcome.DONE


def test_tokens_are_hidden_with_their_attention_mask():
    """Ids and mask of one position are one feature; a linear model of the masks fits a sum over positions."""
    model = bb.open_model(Path(__file__).parent / "corpus" / "graphs" / "tokens.onnx")
    x = {"ids": np.array([3, 1, 4, 1, 5]), "mask": np.array([1, 1, 1, 1, 1])}
    padded = {name: np.zeros((1, 5), dtype=np.int64) for name in x}
    each = {name: np.arange(5) for name in x}
    found = bb.explain(model, x, bb.Lime(samples=400), target=0, features=each, background=padded)
    assert len(found.feature_names) == 5
    exact = bb.explain(model, x, bb.KernelShap(budget=32), target=0, features=each, background=padded)
    assert np.corrcoef(found.values, exact.values)[0, 1] > 0.95
    without = {name: array.copy() for name, array in x.items()}
    for array in without.values():
        array[2] = 0
    scores = [model.predict({n: a[None] for n, a in rows.items()})["y"][0, 0] for rows in (x, without)]
    alone = bb.explain(model, x, "occlusion", target=0, features=each, background=padded)
    assert alone.values[2] == pytest.approx(scores[0] - scores[1], abs=1e-6)
