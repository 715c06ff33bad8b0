"""The cellar: coalitions, regressions, differences and solvers on bare arrays."""

from itertools import combinations, product
from math import comb

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal

from blackbox.numerics.coalitions import (
    every_coalition,
    exact_shapley,
    kernel_design,
    leave_one_out,
    of_size,
)
from blackbox.numerics.curvature import Learnt, closed_root, cross_entropy_slope
from blackbox.numerics.differences import (
    dense_hessian,
    directional,
    hessian_vector,
    jacobian,
    second_differences,
    smoothed_slopes,
)
from blackbox.numerics.least_squares import efficient_regression, weighted_ridge
from blackbox.numerics.noise import ecnoise
from blackbox.numerics.proximal import quadratic_fista, soft
from blackbox.numerics.quadratic import Problem, Symmetric
from blackbox.numerics.steps import (
    FLOOR,
    KINKED,
    RESOLVED,
    STRAIGHT,
    choose_step,
    is_flat,
    probe,
    read_bend,
)


def keys(masks):
    return [tuple(mask) for mask in masks.tolist()]


def symmetric(d, seed, spectrum=None):
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(d, d)))
    values = rng.normal(size=d) * 3 if spectrum is None else np.asarray(spectrum, dtype=float)
    return (q * values) @ q.T


# coalitions


@pytest.mark.parametrize("d", range(1, 8))
def test_every_coalition_is_there_once_from_empty_to_full(d):
    masks = every_coalition(d)
    assert sorted(keys(masks)) == sorted(product((False, True), repeat=d))
    assert not masks[0].any()
    assert masks[-1].all()


@pytest.mark.parametrize(("d", "size"), [(4, 0), (4, 1), (5, 2), (6, 3), (4, 4)])
def test_masks_of_one_size_stand_in_lexicographic_order(d, size):
    kept = [tuple(np.flatnonzero(mask)) for mask in of_size(d, size)]
    assert kept == list(combinations(range(d), size))


def test_leave_one_out_hides_one_feature_each():
    assert_array_equal(leave_one_out(3), [[0, 1, 1], [1, 0, 1], [1, 1, 0]])


@pytest.mark.parametrize("d", [1, 2, 3, 5, 7])
def test_exact_shapley_is_the_subset_definition_in_any_order_and_for_several_targets(d):
    rng = np.random.default_rng(d)
    masks = every_coalition(d)[rng.permutation(2**d)]
    values = rng.normal(size=(2**d, 2))
    found = exact_shapley(masks, values)
    for target in range(2):
        v = {
            frozenset(np.flatnonzero(m).tolist()): value
            for m, value in zip(masks, values[:, target], strict=True)
        }
        assert_allclose(found[:, target], reference.shapley_of_game(v.__getitem__, d), atol=1e-12)


BUDGETS = [(2, 2), (3, 6), (4, 8), (5, 12), (6, 12), (6, 13), (6, 40), (7, 15), (9, 40), (10, 30), (11, 300),
           (14, 2076), (20, 2088), (60, 2168), (60, 121), (100, 2248)]  # fmt: skip


@pytest.mark.parametrize(("d", "budget"), BUDGETS)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_design_is_distinct_within_budget_and_weighs_one(d, budget, seed):
    masks, weights = kernel_design(d, budget, np.random.default_rng(seed))
    assert masks.shape == (len(weights), d)
    assert masks.dtype == bool
    assert len(set(keys(masks))) == len(masks) <= budget
    assert masks.any(axis=1).all()
    assert not masks.all(axis=1).any()
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    assert (weights > 0).all()


@pytest.mark.parametrize(("d", "budget"), BUDGETS)
def test_every_mask_comes_with_its_complement_at_the_same_weight_but_for_one_at_the_end(d, budget):
    masks, weights = kernel_design(d, budget, np.random.default_rng(5))
    weight_of = dict(zip(keys(masks), weights, strict=True))
    paired = masks[masks.sum(axis=1) * 2 != d]
    alone = [mask for mask in paired if tuple((~mask).tolist()) not in weight_of]
    assert len(alone) <= 1
    for mask in paired:
        own = weight_of[tuple(mask.tolist())]
        assert weight_of.get(tuple((~mask).tolist()), own) == pytest.approx(own, rel=1e-12)


@pytest.mark.parametrize(("d", "budget"), BUDGETS)
def test_the_enumerated_part_is_shaps_own_with_its_weights(d, budget):
    masks, weights = kernel_design(d, budget, np.random.default_rng(3))
    expected = reference.enumerated_part(d, budget)
    found = dict(zip(keys(masks), weights, strict=True))
    assert set(keys(masks[: len(expected)])) == set(expected)
    for mask, weight in expected.items():
        assert found[mask] == pytest.approx(weight, rel=1e-9)
    rest = 1 - sum(expected.values())
    assert weights[len(expected) :].sum() == pytest.approx(rest, abs=1e-9)


def test_drawn_sizes_follow_the_kernel_and_subsets_are_uniform():
    sizes, members = np.zeros(10), np.zeros(9)
    for seed in range(300):
        masks, weights = kernel_design(9, 30, np.random.default_rng(seed))
        late = len(reference.enumerated_part(9, 30))
        sizes += np.bincount(masks[late:].sum(axis=1), weights=weights[late:], minlength=10)
        members += (masks[late:] * weights[late:, None]).sum(axis=0)
    law = np.array([0] + [comb(9, s) * reference.kernel_weight(9, s) for s in range(1, 9)] + [0])
    assert_allclose(sizes / sizes.sum(), law / law.sum(), atol=0.02)
    assert_allclose(members / members.mean(), 1, atol=0.05)


def test_a_budget_of_everything_returns_every_mask_with_the_kernels_weight():
    masks, weights = kernel_design(6, 62, np.random.default_rng(0))
    assert len(masks) == 62
    kernel = np.array([reference.kernel_weight(6, int(size)) for size in masks.sum(axis=1)])
    assert_allclose(weights, kernel / kernel.sum(), rtol=1e-12)


# regressions


@pytest.mark.parametrize(("d", "budget"), [(4, 10), (6, 30), (9, 60), (12, 200)])
def test_the_constrained_regression_solves_the_kkt_system(d, budget):
    rng = np.random.default_rng(d)
    masks, weights = kernel_design(d, budget, rng)
    values, base, full = rng.normal(size=(len(masks), 2)), rng.normal(size=2), rng.normal(size=2)
    found = efficient_regression(masks, weights, values, base, full)
    for t in range(2):
        expected = reference.constrained_least_squares(masks, weights, values[:, t], base[t], full[t])
        assert_allclose(found[:, t], expected, atol=1e-8)
    assert_allclose(found.sum(axis=0), full - base, atol=1e-12)


@pytest.mark.parametrize("d", [2, 5, 7])
def test_the_constrained_regression_over_every_coalition_gives_shapley_values(d):
    masks = every_coalition(d)
    values = np.random.default_rng(d).normal(size=(2**d, 3))
    inner = masks[1:-1]
    weights = np.array([reference.kernel_weight(d, int(size)) for size in inner.sum(axis=1)])
    found = efficient_regression(inner, weights, values[1:-1], values[0], values[-1])
    assert_allclose(found, exact_shapley(masks, values), atol=1e-9)


def test_masks_that_cannot_tell_two_features_apart_are_refused():
    masks = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 0], [0, 0, 0, 1]], dtype=bool)
    with pytest.raises(np.linalg.LinAlgError):
        efficient_regression(masks, np.ones(4), np.ones((4, 1)), np.zeros(1), np.ones(1))


@pytest.mark.parametrize("alpha", [0.0, 0.01, 1.0, 100.0])
@pytest.mark.parametrize("shape", [(40, 5), (30, 30), (12, 40)])
def test_weighted_ridge_is_scikit_learns(alpha, shape):
    if alpha == 0 and shape[0] <= shape[1]:
        pytest.skip("least squares has many solutions there")
    rng = np.random.default_rng(shape[0])
    design, weights, y = rng.normal(size=shape) + 3, rng.random(shape[0]), rng.normal(size=(shape[0], 2))
    fit = weighted_ridge(design, weights, y, alpha)
    for t in range(2):
        coefficients, intercept, r2 = reference.ridge(design, weights, y[:, t], alpha)
        assert_allclose(fit.coefficients[:, t], coefficients, atol=1e-7)
        assert fit.intercept[t] == pytest.approx(intercept, abs=1e-6)
        assert fit.r2[t] == pytest.approx(r2, abs=1e-9)


def test_least_squares_with_too_many_features_takes_the_shortest_solution():
    design = np.array([[1.0, 1.0], [-1.0, -1.0]])
    fit = weighted_ridge(design, np.ones(2), np.array([[2.0], [-2.0]]), 0.0)
    assert_allclose(fit.coefficients[:, 0], [1, 1], atol=1e-12)


def test_values_that_never_change_are_fitted_exactly():
    fit = weighted_ridge(np.random.default_rng(0).normal(size=(9, 3)), np.ones(9), np.full((9, 1), 4.0), 1.0)
    assert_allclose(fit.coefficients, 0, atol=1e-12)
    assert (fit.intercept[0], fit.r2[0]) == (pytest.approx(4), pytest.approx(1))


# solver


def test_the_soft_threshold_by_hand():
    assert_array_equal(soft(np.array([3.0, -3, 0.5, -0.5, 0, 1]), 1.0), [2, -2, 0, 0, 0, 0])
    assert_array_equal(soft(np.array([3.0, -3]), 0.0), [3, -3])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("lambda1", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("factor", [1.0, 64.0, 0.1])
def test_fista_finds_the_optimum_of_the_twin_from_any_first_step(seed, lambda1, factor):
    hessian = symmetric(10, seed)
    g, lambda2 = np.random.default_rng(seed).normal(size=10), 0.8
    ends = np.linalg.eigvalsh(hessian)
    weight = ends[-1] + lambda2
    step = factor / (weight - ends[0])
    found = quadratic_fista(g, lambda v: hessian @ v, weight, lambda1, step, 20_000, 1e-12)
    expected = reference.caso_sparse(g, hessian, lambda1, lambda2)
    assert found.settled
    assert_allclose(found.point, expected, atol=1e-7)
    objective = g @ expected + expected @ hessian @ expected / 2 - lambda1 * np.abs(expected).sum()
    assert found.objective == pytest.approx(objective - weight / 2 * expected @ expected, abs=1e-9)
    if lambda1 == 0:
        assert_allclose(expected, reference.caso_closed_form(g, hessian, lambda2), atol=1e-9)


def test_fista_reports_when_it_runs_out_of_iterations():
    hessian = symmetric(10, 0)
    weight = np.linalg.eigvalsh(hessian)[-1] + 0.01
    found = quadratic_fista(np.ones(10), lambda v: hessian @ v, weight, 0.0, 0.01, 3, 1e-12)
    assert (found.settled, found.iterations) == (False, 3)


def test_fista_with_nothing_to_climb_stays_at_zero():
    found = quadratic_fista(np.zeros(3), lambda v: v, 2.0, 0.1, 1.0, 50, 1e-6)
    assert_array_equal(found.point, 0)
    assert found.settled


def test_fista_takes_one_step_where_the_step_is_the_answer():
    found = quadratic_fista(np.array([4.0, -2.0]), np.zeros_like, 2.0, 1.0, 0.5, 50, 1e-12)
    assert_allclose(found.point, [1.5, -0.5])  # soft(g, 1) / 2
    assert found.iterations <= 2


# differences


def test_a_jacobian_of_quadratics_is_exact_and_its_asymmetry_is_their_curvature():
    a, g = symmetric(5, 2), np.arange(1.0, 6)
    calls = []

    def f(points):
        calls.append(len(points))
        return np.stack([points @ g, (points @ a * points).sum(axis=1) / 2], axis=1)

    steps = np.array([0.1, 0.2, 0.01, 0.3, 0.05])
    found = jacobian(f, np.zeros(2), steps)
    assert_allclose(found.slopes, [g, np.zeros(5)], atol=1e-10)
    assert_allclose(found.asymmetry[1], np.diag(a) * steps, atol=1e-10)
    assert calls == [10]
    forward = jacobian(f, np.zeros(2), steps, central=False)
    assert_allclose(forward.slopes[0], g, atol=1e-10)
    assert_allclose(forward.slopes[1], np.diag(a) * steps / 2, atol=1e-10)
    assert calls == [10, 5]


def test_directional_second_and_dense_derivatives_of_a_quadratic_are_exact():
    a, g, rng = symmetric(4, 1), np.arange(4.0), np.random.default_rng(0)
    rows = []

    def f(points):
        rows.append(len(points))
        return points @ g + (points @ a * points).sum(axis=1) / 2

    v = rng.normal(size=(3, 4))
    assert_allclose(directional(lambda p: f(p)[:, None], v, 0.1)[:, 0], v @ g, atol=1e-9)
    assert_allclose(second_differences(f, v, 0.1, 0.0), (v @ a * v).sum(axis=1), atol=1e-9)
    assert_allclose(dense_hessian(f, np.full(4, 0.1), 0.0), a, atol=1e-9)
    assert sum(rows) == 6 + 6 + 2 * 4**2


def test_the_smoothed_slope_of_a_step_is_the_density_at_its_edge():
    def f(points):
        return np.where(points[:, :1] > 0, 1.0, 0.0) + 2 * points[:, 1:]

    slopes, errors = smoothed_slopes(f, 2, 0.5, 4000, np.random.default_rng(0))
    expected = [1 / (0.5 * np.sqrt(2 * np.pi)), 2]
    assert np.all(np.abs(slopes[0] - expected) <= 4 * errors[0])
    assert errors.max() < 0.05


# noise and steps


def test_ecnoise_of_an_alternation_by_hand():
    wobble = 1 + 1e-3 * (-1.0) ** np.arange(9)
    found = ecnoise(wobble[:, None])
    assert found.verdict == "found"
    assert found.sigma[0] == pytest.approx(np.sqrt(0.5) * 2e-3)


@pytest.mark.parametrize("seed", range(20))
def test_ecnoise_is_good_to_a_factor_of_4_under_a_smooth_trend(seed):
    rng, t = np.random.default_rng(seed), np.linspace(-1, 1, 9)
    values = 3 + 0.1 * t + 0.05 * t**2 + 1e-6 * rng.standard_normal(9)
    sigma = ecnoise(values[:, None]).sigma[0]
    assert 1e-6 / 4 <= sigma <= 4e-6


def test_ecnoise_says_when_points_are_too_close_or_too_far():
    assert ecnoise(np.ones((9, 1))).verdict == "too close"
    assert ecnoise(np.linspace(0, 1, 9)[:, None]).verdict == "too far"


def rounded(f):
    """A function of one output as float32 arithmetic would give it."""
    return lambda points: f(points).astype(np.float32).astype(float)[:, None]


def look(f, k=3, seed=0):
    return probe(rounded(f), k, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(5))
def test_smooth_functions_get_long_steps_and_dense_kinks_short_ones(seed):
    w = np.random.default_rng(seed).normal(size=(40, 3))
    smooth = look(lambda t: 2 + np.tanh(t @ w.T + 0.3).sum(axis=1), seed=seed)
    assert 3e-3 <= choose_step(smooth).length <= 0.1
    edges = np.random.default_rng(seed).normal(size=40) * 0.02
    kinks = look(lambda t: 2 + np.maximum(t @ w.T + edges, 0).sum(axis=1), seed=seed)
    assert choose_step(kinks, kinked=True).length <= 1e-3


def test_slopes_kinks_and_curvature_are_told_apart():
    def straight(t):
        return 1 + t.sum(axis=1)

    def kinked(t):
        # jumps of slope at odd places, of either sign
        edges = np.array([-0.05, -0.017, 0.004, 0.011, 0.03, 0.07])
        return straight(t) + (np.maximum(t[:, :1] - edges, 0) * [3, -4, 5, -5, 4, -3]).sum(axis=1)

    assert read_bend(look(straight)).verdict == STRAIGHT
    assert read_bend(look(kinked)).verdict == KINKED
    bent = read_bend(look(lambda t: straight(t) + 3 * t[:, 0] ** 2 + np.sin(2 * t[:, 1])))
    assert bent.verdict == RESOLVED


@pytest.mark.parametrize("height", [1.0, 1e-2, 1e-3, 1e-4, 5e-5])
@pytest.mark.parametrize("edge", [0.05, 0.001, -0.05, 0.0])
def test_a_jump_of_any_size_above_the_noise_is_flat(height, edge):
    # the smallest is 50 times the noise, which a forest of a thousand trees may well show
    assert is_flat(look(lambda t: 0.5 + height * (t[:, 0] > edge), k=1))


@pytest.mark.parametrize("size", [1.0, 1e-2, 1e-3])
def test_slopes_and_extremes_of_smooth_functions_are_not_flat(size):
    for f in (lambda t: t, lambda t: t**2 + t, lambda t: t - t**2, np.sin, lambda t: np.cosh(t) + t):
        assert not is_flat(look(lambda t, f=f: size * f(t[:, 0]), k=1))


def test_changes_below_the_noise_of_float32_are_flat():
    assert is_flat(look(lambda t: 1 + t[:, 0] * FLOOR * 5, k=1))
    assert is_flat(look(lambda t: 1000 + t[:, 0] * FLOOR * 5000, k=1))


def test_the_closed_root_and_slope_are_those_of_the_cross_entropy():
    rng = np.random.default_rng(0)
    j, z = rng.normal(size=(4, 6)), rng.normal(size=4)
    p = np.exp(z) / np.exp(z).sum()
    root = closed_root(j, z)
    assert_allclose(root @ root.T, j.T @ (np.diag(p) - np.outer(p, p)) @ j, atol=1e-12)
    assert_allclose(cross_entropy_slope(z, 2), p - np.eye(4)[2], atol=1e-12)
    # 1 - p underflows, the slope does not
    assert cross_entropy_slope(np.array([60.0, 0.0]), 0)[0] == pytest.approx(-np.exp(-60))


@pytest.mark.parametrize("log", [True, False])
def test_log_probabilities_serve_as_logits(log):
    rng = np.random.default_rng(1)
    j, z = rng.normal(size=(4, 6)), rng.normal(size=4)
    p = np.exp(z) / np.exp(z).sum()
    logs = j - p @ j  # the Jacobian of log-probabilities
    a, b = closed_root(j, z), closed_root(logs, np.log(p))
    assert_allclose(a @ a.T, b @ b.T, atol=1e-12)
    assert_allclose(j.T @ cross_entropy_slope(z, 1), logs.T @ cross_entropy_slope(np.log(p), 1), atol=1e-12)


def test_an_operator_that_is_learnt_is_exact_where_it_was_asked():
    a, calls = symmetric(8, 4), []

    def product(v):
        calls.append(1)
        return a @ v

    learnt, rng = Learnt(product, 8), np.random.default_rng(0)
    asked = rng.normal(size=(3, 8))
    assert all(learnt.learn(v) for v in asked)
    assert not learnt.learn(asked[0] + asked[2])
    assert_allclose(learnt.matrix() @ asked.T, a @ asked.T, atol=1e-10)
    while learnt.learn(rng.normal(size=8)):
        pass
    assert_allclose(learnt.matrix(), a, atol=1e-9)
    assert len(calls) == 8


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rank", [2, 10])
@pytest.mark.parametrize("lambda1", [0.0, 0.3])
def test_the_problem_is_solved_as_by_its_twin(seed, rank, lambda1):
    rng = np.random.default_rng(seed)
    root, g = rng.normal(size=(10, rank)), rng.normal(size=10)
    problem = Problem(g, Symmetric.square(root), 0.5)
    found = problem.solve(lambda1)
    assert_allclose(found.point, reference.caso_sparse(g, root @ root.T, lambda1, 0.5), atol=1e-6)
    assert found.settled


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_the_wanted_share_of_zeros_is_met(share):
    rng = np.random.default_rng(3)
    root, g = rng.normal(size=(40, 5)), rng.normal(size=40)
    _, found = Problem(g, Symmetric.square(root), 1.0).sparse(share)
    assert np.mean(found.point == 0) == pytest.approx(share, abs=0.051)
    plain = Problem(g, Symmetric.square(np.zeros((40, 0))), 1.0)
    assert np.mean(plain.sparse(share)[1].point == 0) == pytest.approx(share, abs=0.026)


def test_groups_are_kept_or_left_out_as_a_whole():
    rng = np.random.default_rng(4)
    root, g, groups = rng.normal(size=(12, 3)), rng.normal(size=12), np.repeat(np.arange(4), 3)
    lambda1, found = Problem(g, Symmetric.square(root), 1.0, groups).sparse(0.5)
    kept = (found.point.reshape(4, 3) != 0).sum(axis=1)
    assert sorted(kept) == [0, 0, 3, 3]
    better = [
        Problem(g, Symmetric.square(root), 1.0, groups).objective(found.point + move, lambda1)
        for move in rng.normal(size=(200, 12)) * 1e-3
    ]
    assert max(better) <= found.objective + 1e-9


@pytest.mark.parametrize("reach", [0.01, 0.5])
def test_a_hessian_vector_product_is_exact_on_a_quadratic(reach):
    a, rows = symmetric(6, 3), []

    def f(points):
        rows.append(len(points))
        return points.sum(axis=1) + (points @ a * points).sum(axis=1) / 2

    steps = np.linspace(0.05, 0.3, 6)
    for vector in (np.arange(6.0), np.eye(6)[2], -100 * np.ones(6)):
        assert_allclose(hessian_vector(f, vector, steps, reach), a @ vector, atol=1e-8 * np.abs(vector).max())
    assert rows == [24, 24, 24]


def test_the_product_with_nothing_is_nothing_and_costs_nothing():
    def f(points):
        raise AssertionError("nothing needs to be asked")

    assert_array_equal(hessian_vector(f, np.zeros(3), np.ones(3), 0.1), 0)


def test_points_that_are_subtracted_stand_next_to_each_other():
    seen = []

    def f(points):
        seen.append(points.copy())
        return points.sum(axis=1)

    jacobian(lambda points: f(points)[:, None], np.zeros(1), np.array([0.1, 0.2]))
    hessian_vector(f, np.array([1.0, 2.0]), np.array([0.1, 0.2]), 0.3)
    assert_allclose(seen[0][0::2], -seen[0][1::2])
    for four in seen[1].reshape(-1, 4, 2):
        assert_allclose(four.sum(axis=0), 0, atol=1e-12)
        assert_allclose(four[0], -four[3])
