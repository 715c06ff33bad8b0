"""Estimated interactions: the kernel against its own definition, the estimate against enumeration."""

from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import blackbox as bb
from blackbox.numerics.estimators.even_kernel import FREE, Even


def characters(theta):
    """Every even subset with its prior variance, scaled so that they sum to one."""
    d, a = len(theta), np.tanh(theta)
    sets = [list(t) for size in range(0, d + 1, 2) for t in combinations(range(d), size)]
    weights = np.array([a[t].prod() for t in sets])
    return sets, weights / weights.sum()


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    return rng.uniform(0.1, 0.9, size=6), rng.choice([-1.0, 1.0], size=(5, 6)), rng.normal(size=5)


def test_the_even_kernel_is_the_sum_of_its_characters(drawn):
    theta, z, _ = drawn
    sets, weights = characters(theta)
    chi = np.stack([z[:, t].prod(axis=1) for t in sets], axis=1)
    assert_allclose(Even(theta).gram(z, z) - FREE, chi @ np.diag(weights) @ chi.T, atol=1e-12)


def test_covariances_with_interactions_are_sums_over_characters(drawn):
    theta, z, alpha = drawn
    sets, weights = characters(theta)
    wanted, prior = np.zeros((6, 6)), np.zeros((6, 6))
    for t, w in zip(sets, weights, strict=True):
        for i, j in combinations(t, 2):
            gain = 4 / (len(t) - 1)
            wanted[i, j] += w * gain * (alpha @ z[:, t].prod(axis=1))
            prior[i, j] += w * gain**2
    kernel = Even(theta)
    i, j = np.triu_indices(6, 1)
    assert_allclose(kernel.interactions(z, alpha)[i, j], wanted[i, j], atol=1e-12)
    assert_allclose(kernel.reach(z, i, j).T @ alpha, wanted[i, j], atol=1e-12)
    assert_allclose(kernel.prior()[i, j], prior[i, j], atol=1e-9)


def rugged(kind, seed, d=10):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(d, 8)), rng.normal(size=8)
    terms = [(rng.choice(d, k, replace=False), rng.normal()) for k in (1, 1, 2, 2, 3, 3, 4) for _ in range(3)]

    def network(rows):
        return np.tanh((rows.astype(float)[:, :, None] * first).sum(axis=1) / np.sqrt(d) * 2) @ second

    def polynomial(rows):
        return sum(c * rows[:, t].astype(float).prod(axis=1) for t, c in terms)

    return (network if kind == "network" else polynomial), rng.normal(size=d)


@pytest.mark.parametrize("kind", ["network", "polynomial"])
def test_few_passes_give_interactions_with_honest_intervals(kind):
    inside, errors = [], []
    upper = np.triu_indices(10, 1)
    for seed in range(8):
        f, x = rugged(kind, seed)
        exact = bb.explain(f, x, bb.KernelShap(budget=1024, interactions=2))
        found = bb.explain(f, x, bb.KernelShap(budget=200, interactions=2))
        assert found.details["masks"] <= 200
        assert_allclose(found.details["interactions"], found.details["interactions"].T)
        off = (found.details["interactions"] - exact.details["interactions"])[upper]
        inside.append((np.abs(off) <= found.details["interaction_half_widths"][upper]).mean())
        errors.append((off**2).mean() / (exact.details["interactions"][upper] ** 2).mean())
    assert np.median(errors) < 0.02
    assert 0.9 <= np.mean(inside) <= 0.99


def test_a_game_of_second_order_is_recovered_from_part_of_its_masks():
    rng = np.random.default_rng(1)
    matrix = np.triu(rng.normal(size=(12, 12)), 1)
    found = bb.explain(
        lambda rows: np.einsum("ni,ij,nj->n", rows, matrix, rows), np.ones(12), bb.KernelShap(budget=300, interactions=2)
    )
    assert_allclose(found.details["interactions"], matrix + matrix.T, atol=1e-3)
    assert_allclose(found.values, (matrix + matrix.T).sum(axis=1) / 2, atol=1e-5)


def test_a_feature_out_of_play_interacts_with_none():
    f, x = rugged("network", 3)
    x[4] = 0.0
    found = bb.explain(f, x, bb.KernelShap(budget=100, interactions=2)).details["interactions"]
    assert not found[4].any()
    assert found.any()


@pytest.mark.parametrize("estimator", ["kernel", "permutation"])
def test_estimators_without_pairs_take_no_interactions(estimator):
    with pytest.raises(bb.RequestError, match="asks no pairs"):
        bb.KernelShap(estimator=estimator, interactions=2)
