"""Owen values against every order that keeps the groups of a tree together."""

from itertools import permutations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import blackbox as bb
from blackbox.features import from_labels


def orders(tree):
    """Every order of the leaves in which each node's leaves stand together."""
    if isinstance(tree, int):
        return [[tree]]
    found = []
    for order in permutations(tree):
        rows = [[]]
        for branch in order:
            rows = [row + tail for row in rows for tail in orders(branch)]
        found += rows
    return found


def twin(v, tree, d):
    """Mean gain over all such orders: the definition."""
    values, every = np.zeros(d), orders(tree)
    for order in every:
        mask = np.zeros(d, dtype=bool)
        before = v(mask)
        for feature in order:
            mask[feature] = True
            after = v(mask)
            values[feature] += after - before
            before = after
    return values / len(every)


def rugged(d, seed=0):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(d, 4)), rng.normal(size=4)

    def f(rows):
        return np.tanh((rows.astype(float)[:, :, None] * first).sum(axis=1)) @ second

    return f, rng.normal(size=d).astype(np.float32).astype(float)


TREES = [
    ((0, 1), (2, 3), (4, 5)),
    ((0, (1, 2)), 3, (4, 5)),
    (((((0, 1), 2), 3), 4), 5),
    (0, 1, 2, 3, 4, 5),
]


@pytest.mark.parametrize("tree", TREES)
def test_owen_values_are_the_mean_gain_over_orders_that_keep_groups_together(tree):
    f, x = rugged(6)
    found = bb.explain(f, x, bb.KernelShap(hierarchy=tree))
    assert found.outcome is bb.Outcome.EXACT
    assert_allclose(found.values, twin(lambda mask: float(f((x * mask)[None])[0]), tree, 6), atol=1e-6)
    assert_allclose(found.details["residual"], 0, atol=1e-6)
    assert found.rows == found.details["masks"] + 2


def test_a_tree_without_groups_gives_shapley_values():
    f, x = rugged(6, 3)
    flat = bb.explain(f, x, bb.KernelShap(hierarchy=(0, 1, 2, 3, 4, 5)))
    assert_allclose(flat.values, bb.explain(f, x, "kernelshap").values, atol=1e-6)


def named(d, names):
    x = {"input": np.zeros(d, dtype=np.float32)}
    return from_labels(np.arange(d), x, names)


def test_groups_carry_the_sum_of_their_members_and_names_stand_for_positions():
    f, x = rugged(4, 1)
    features = named(4, ["age", "income", "city", "zip"])
    tree = (("age", "income"), ("city", "zip"))
    found = bb.explain(f, x, bb.KernelShap(hierarchy=tree), features=features)
    assert_allclose(found.values, bb.explain(f, x, bb.KernelShap(hierarchy=((0, 1), (2, 3)))).values)
    assert found.details["hierarchy"] == [["age", "income"], ["city", "zip"]]
    (first, second) = found.details["groups"]
    assert first["members"] == ["age", "income"]
    assert_allclose(first["values"], found.values[:2].sum())
    assert_allclose(second["values"], found.values[2:].sum())


def test_correlated_columns_end_in_one_group():
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(40, 6))
    rows[:, 3], rows[:, 5] = -rows[:, 0], rows[:, 2] + 0.1 * rows[:, 5]
    f, x = rugged(6, 2)
    found = bb.explain(f, x, bb.KernelShap(hierarchy="correlation"), background=rows)
    groups = [set(group["members"]) for group in found.details["groups"]]
    names = found.feature_names
    assert {names[0], names[3]} in groups
    assert {names[2], names[5]} in groups
    assert_allclose(found.details["residual"], 0, atol=1e-6)


def test_a_picture_is_halved_by_place():
    x = np.arange(16.0).reshape(1, 4, 4)
    found = bb.explain(lambda rows: rows.sum(axis=(1, 2, 3)), x, bb.KernelShap(hierarchy="position"))
    assert_allclose(found.values, x.ravel())
    top, bottom = found.details["groups"][0]["members"], found.details["groups"][7]["members"]
    assert [len(top), len(bottom)] == [8, 8]
    assert set(top) == set(found.feature_names[:8])
    assert len(found.details["groups"]) == 14  # 16 leaves in a binary tree, the root not counted


def test_a_budget_that_ends_midway_still_sums_up_and_says_so():
    f, x = rugged(32, 4)
    some = bb.explain(f, x, bb.KernelShap(hierarchy="position", budget=100))
    assert some.outcome is bb.Outcome.SPENT
    assert some.details["masks"] <= 100
    assert_allclose(some.values.sum(), some.full_values - some.base_values, atol=1e-6)
    assert some.rows == some.details["masks"] + 2


def test_all_targets_are_divided_in_the_same_passes():
    f, x = rugged(6, 5)
    both = bb.explain(lambda rows: np.stack([f(rows), 2 * f(rows)], axis=1), x, bb.KernelShap(hierarchy=TREES[0]), target=[0, 1])
    assert_allclose(both.values[:, 1], 2 * both.values[:, 0], atol=1e-6)


def test_a_model_that_never_changes_is_constant():
    found = bb.explain(lambda rows: np.ones(len(rows)), [1.0, 2.0, 3.0], bb.KernelShap(hierarchy="position"))
    assert found.outcome is bb.Outcome.CONSTANT
    assert not found.values.any()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hierarchy": "corelation"}, "correlation"),
        ({"hierarchy": (0, 1)}, "leaves out 2 of 4"),
        ({"hierarchy": ((0, 1), (1, 2, 3))}, "more than once"),
        ({"hierarchy": ((0, 1), (2, 9))}, "feature 9"),
        ({"hierarchy": ((0, 1), (), 2, 3)}, "empty group"),
        ({"hierarchy": "correlation"}, "at least 3 background rows"),
        ({"hierarchy": (0, 1, 2, 3), "budget": 8}, "Put members into groups"),
        ({"hierarchy": (0, 1, 2, 3), "interactions": 2}, "leave estimator at auto"),
    ],
)
def test_a_tree_that_does_not_fit_is_refused(settings, said):
    with pytest.raises(bb.RequestError, match=said):
        bb.explain(lambda rows: rows.sum(axis=1), np.ones(4), bb.KernelShap(**settings))
