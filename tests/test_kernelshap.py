"""KernelSHAP against shap's own explainer, against exact values, and within its budget."""

import warnings

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal
from toys import Counted

import blackbox as bb
from blackbox.numerics.coalitions import every_coalition


def interacting(d, seed):
    """A smooth function of d features with interactions of every order, in float64."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(d, 5)), rng.normal(size=5)

    def f(rows):
        hidden = np.tanh((rows.astype(float)[:, :, None] * first).sum(axis=1) / np.sqrt(d))
        return np.exp((hidden * second).sum(axis=1) / 2)

    return f, rng


def float32(array):
    """Values that survive the float32 input of a function model."""
    return array.astype(np.float32).astype(float)


def shap_values(f, x, background, seed=0, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shap's import uses what matplotlib is about to deprecate
        import shap

    np.random.seed(seed)  # noqa: NPY002 - shap draws from the global state
    explainer = shap.KernelExplainer(f, background, silent=True)
    return explainer.shap_values(x, l1_reg=False, silent=True, **settings)


@pytest.mark.parametrize("count", [1, 5])
def test_at_full_enumeration_shap_agrees(count):
    f, rng = interacting(6, 1)
    x, background = float32(rng.normal(size=6)), float32(rng.normal(size=(count, 6)))
    found = bb.explain(f, x, "kernelshap", background=background)
    assert found.outcome is bb.Outcome.EXACT
    assert_allclose(found.values, shap_values(f, x, background), atol=1e-6)


def test_shap_agrees_when_some_features_equal_the_background():
    f, rng = interacting(6, 2)
    x, background = float32(rng.normal(size=6)), float32(rng.normal(size=(3, 6)))
    background[:, [1, 4]] = x[[1, 4]]
    found = bb.explain(f, x, "kernelshap", background=background)
    assert_allclose(found.values, shap_values(f, x, background), atol=1e-6)
    assert_array_equal(found.values[[1, 4]], 0)


def test_on_several_outputs_shap_agrees():
    (f, rng), (g, _) = interacting(5, 3), interacting(5, 4)
    x, background = float32(rng.normal(size=5)), float32(rng.normal(size=(4, 5)))

    def both(rows):
        return np.stack([f(rows), g(rows)], axis=1)

    found = bb.explain(both, x, "kernelshap", target=[0, 1], background=background, scale="raw")
    assert_allclose(found.values, shap_values(both, x, background), atol=1e-6)


def exact_fourteen(f, x, background):
    """Shapley values of 14 features from all 2^14 coalitions, by the MSR form of the definition."""
    scores = {}
    for mask in every_coalition(14):
        rows = np.where(mask, x, background)
        scores[tuple(mask.tolist())] = rows
    masks = np.array(list(scores))
    values = f(np.concatenate(list(scores.values()))).reshape(len(masks), -1).mean(axis=1)
    v = dict(zip(scores, values, strict=True))
    phi = np.zeros(14)
    for mask, value in v.items():
        size = sum(mask)
        for i in range(14):
            if mask[i]:
                without = (*mask[:i], False, *mask[i + 1 :])
                phi[i] += (value - v[without]) / (14 * reference.comb(13, size - 1))
    return phi


@pytest.mark.parametrize("budget", [120, 400])
def test_drawn_coalitions_are_no_worse_than_shaps_own(budget):
    f, rng = interacting(14, 5)
    x, background = float32(rng.normal(size=14) * 2), float32(rng.normal(size=(2, 14)))
    exact = exact_fourteen(f, x, background)
    ours, theirs = [], []
    for seed in range(8):
        found = bb.explain(f, x, bb.KernelShap(budget=budget), background=background, seed=seed)
        assert found.outcome is bb.Outcome.DONE
        ours.append(np.linalg.norm(found.values - exact))
        theirs.append(np.linalg.norm(shap_values(f, x, background, seed, nsamples=budget) - exact))
    assert 0 < np.mean(ours) <= 1.5 * np.mean(theirs)
    assert np.mean(ours) < 0.2 * np.linalg.norm(exact)


def test_fourteen_features_are_exact_when_the_budget_covers_them():
    f, rng = interacting(14, 5)
    x, background = float32(rng.normal(size=14) * 2), float32(rng.normal(size=(1, 14)))
    found = bb.explain(f, x, bb.KernelShap(budget=2**14 - 2), background=background)
    assert found.outcome is bb.Outcome.EXACT
    assert_allclose(found.values, exact_fourteen(f, x, background), atol=1e-10)


def test_one_mask_less_than_everything_is_no_enumeration():
    f, rng = interacting(6, 1)
    x = rng.normal(size=6)
    assert bb.explain(f, x, bb.KernelShap(budget=62)).outcome is bb.Outcome.EXACT
    assert bb.explain(f, x, bb.KernelShap(budget=61)).outcome is bb.Outcome.DONE


@pytest.mark.parametrize(("d", "budget"), [(6, 11), (9, 17), (60, 119), (3, 1)])
def test_a_budget_below_two_masks_per_feature_is_refused_with_the_number_that_would_do(d, budget):
    f = Counted(interacting(d, 0)[0])
    with pytest.raises(bb.RequestError, match=rf"{budget} masks.* {d} features.*at least {2 * d}") as caught:
        bb.explain(f, np.ones(d), bb.KernelShap(budget=budget))
    assert "method kernelshap" in str(caught.value)
    assert f.count <= 2


@pytest.mark.parametrize("d", [4, 5, 7, 9, 14, 40])
@pytest.mark.parametrize("seed", range(5))
def test_a_budget_of_two_masks_per_feature_is_enough(d, seed):
    # additive, so that any design that determines every feature gives the exact answer
    w = np.arange(1.0, d + 1)
    found = bb.explain(
        lambda rows: (rows * w).sum(axis=1), np.ones(d), bb.KernelShap(budget=2 * d), seed=seed
    )
    assert_allclose(found.values, w, rtol=1e-5)


@pytest.mark.parametrize("wrong", [0, -5, 2.5, True, "many"])
def test_a_budget_that_is_no_whole_number_from_one_is_refused(wrong):
    with pytest.raises(bb.RequestError, match="budget"):
        bb.KernelShap(budget=wrong)


def test_no_feature_is_dropped_beside_a_strong_one():
    w = np.full(60, 0.5)
    w[50] = 1000.0
    found = bb.explain(lambda rows: (rows.astype(float) * w).sum(axis=1), np.ones(60), bb.KernelShap())
    assert found.outcome is bb.Outcome.SECOND_ORDER
    assert_allclose(found.values, w, rtol=1e-8)
    assert np.count_nonzero(found.values) == 60


def test_features_that_equal_the_background_get_zero_and_cost_nothing():
    f, rng = interacting(12, 7)
    x = float32(rng.normal(size=12))
    background = np.tile(x, (2, 1))
    moving = [0, 3, 5, 6]
    background[:, moving] = 0.0
    counted = Counted(f)
    found = bb.explain(counted, x, bb.KernelShap(budget=14), background=background)
    assert found.outcome is bb.Outcome.EXACT
    assert counted.count == found.rows == 2 * 2**4
    still = sorted(set(range(12)) - set(moving))
    assert_array_equal(found.values[still], 0)

    def v(kept):
        return reference.hidden_score(
            reference.Question(f, x, background), {moving[i] for i in kept} | set(still)
        )

    assert_allclose(found.values[moving], reference.shapley_of_game(v, 4), atol=1e-12)


def test_a_feature_that_equals_one_background_row_but_not_another_is_in_play():
    found = bb.explain(lambda rows: rows[:, 0] * 2.0, [1.0, 1.0], background=[[1.0, 0.0], [0.0, 0.0]])
    assert_allclose(found.values, [1.0, 0.0], atol=1e-12)


def test_nothing_in_play_is_constant_and_costs_the_background_rows():
    f = Counted(interacting(3, 0)[0])
    found = bb.explain(f, [1.0, 2, 3], background=[[1.0, 2, 3]] * 2)
    assert found.outcome is bb.Outcome.CONSTANT
    assert_array_equal(found.values, 0)
    assert f.count == found.rows == 2


def test_one_feature_in_play_gets_everything():
    f, _ = interacting(3, 0)
    found = bb.explain(f, [1.0, 2, 3], background=[[1.0, 0, 3]])
    assert found.outcome is bb.Outcome.EXACT
    assert found.values[1] == found.full_values - found.base_values != 0
    assert_array_equal(found.values[[0, 2]], 0)


def test_a_constant_score_is_reported_as_constant_with_drawn_coalitions_too():
    found = bb.explain(lambda rows: np.full(len(rows), 7.0), np.ones(20), bb.KernelShap(budget=100))
    assert found.outcome is bb.Outcome.CONSTANT
    assert_allclose(found.values, 0, atol=1e-12)


def test_a_budget_of_none_is_2_d_plus_2048():
    f, _ = interacting(20, 1)
    found = bb.explain(f, np.ones(20), bb.KernelShap(budget=None))
    assert 2000 < found.details["masks"] <= 2 * 20 + 2048
