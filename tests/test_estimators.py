"""The estimators of Shapley values against their definitions, written once more in plain loops."""

from itertools import combinations
from math import comb, prod

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal
from test_kernelshap import interacting
from toys import Counted

import blackbox as bb
from blackbox.methods.kernelshap import ESTIMATORS
from blackbox.numerics import designs, intervals
from blackbox.numerics.coalitions import every_coalition, exact_shapley
from blackbox.numerics.estimators import (
    Pairs,
    antithetic_permutations,
    leverage_regression,
    odd_kernel,
    second_order,
)
from blackbox.numerics.estimators.freedom import of_dependent, of_heavy
from blackbox.numerics.estimators.odd_kernel import SPREAD, Blend, Cubic, Nugget, Product, Spread
from blackbox.numerics.estimators.permutations import moderated
from blackbox.numerics.estimators.refining import Search, refined, shape_of
from blackbox.numerics.estimators.regression import kernel_weights
from blackbox.numerics.interactions import exact_interactions

THETA = np.array([0.3, 0.05, 0.6, 0.2, 0.1])
KERNELS = {
    "product": (Product(THETA, 0.7), lambda t: prod(np.tanh(THETA[i]) for i in t), 0.7, None),
    "cubic": (
        Cubic(5, 0.4, 0.2),
        lambda t: {1: 1 / 1.4 / 5 + 0.2 / 5, 3: 0.4 / 1.4 / 10}.get(len(t), 0),
        0,
        1,
    ),
}


def odd_subsets(d):
    return [t for t in reference.subsets(range(d)) if len(t) % 2]


def weights_of(name):
    """Prior variance of every odd character, from the kernel's own words."""
    _, weight, linear, scale = KERNELS[name]
    found = {t: weight(t) for t in odd_subsets(5)}
    total = scale or sum(found.values())
    return {t: w / total + (linear / 5 if len(t) == 1 else 0) for t, w in found.items()}


def character(t, z):
    return prod(z[i] for i in t)


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_is_the_sum_over_odd_characters_and_its_values_are_theirs(name):
    kernel, w = KERNELS[name][0], weights_of(name)
    z = np.where(every_coalition(5)[[0, 3, 9, 30, 31]], 1.0, -1.0)
    gram = [[sum(w[t] * character(t, a) * character(t, b) for t in w) for b in z] for a in z]
    assert_allclose(kernel.gram(z, z), gram, atol=1e-12)
    # a character gives 2 / |T| to each member
    reach = [[sum(2 / len(t) * w[t] * character(t, a) for t in w if i in t) for i in range(5)] for a in z]
    assert_allclose(kernel.shapley(z), reach, atol=1e-12)
    shares = {t: 4 / len(t) ** 2 * w[t] for t in w}
    prior = [[sum(s for t, s in shares.items() if {i, j} <= set(t)) for j in range(5)] for i in range(5)]
    assert_allclose(kernel.prior(), prior, atol=1e-12)


def test_a_blend_is_the_weighted_sum_of_its_parts():
    a, b = Product(THETA), Product(np.full(5, 0.25))
    z = np.where(every_coalition(5), 1.0, -1.0)
    blend = Blend(a, b, 0.25)
    for verb in (lambda k: k.gram(z, z), lambda k: k.shapley(z), lambda k: k.prior()):
        assert_allclose(verb(blend), 0.75 * verb(a) + 0.25 * verb(b), atol=1e-14)


def test_a_spread_is_the_mean_of_product_kernels_of_several_strengths():
    spread, z = Spread(THETA, 0.7), np.where(every_coalition(5), 1.0, -1.0)
    for verb in (lambda k: k.gram(z, z), lambda k: k.shapley(z), lambda k: k.prior()):
        parts = [verb(Product(times * THETA, 0.7)) for times in SPREAD]
        assert_allclose(verb(spread), np.mean(parts, axis=0), atol=1e-14)


@pytest.mark.parametrize("d", [2, 3, 6])
def test_a_nugget_is_every_coalitions_own_weight_in_the_definition(d):
    masks = every_coalition(d)[1:-1]
    z = np.where(masks, 1.0, -1.0)
    expected = []
    for mask in masks:  # a game that is 1 on one coalition and -1 on its complement: h = 1 there

        def score(kept, mask=mask):
            here = np.array([i in kept for i in range(d)])
            return float((here == mask).all()) - float((here == ~mask).all())

        expected.append(reference.shapley_of_game(score, d))
    assert_allclose(Nugget(d).shapley(z), expected, atol=1e-12)
    # one of each pair is enough: they are the same character
    assert_allclose(Nugget(d).prior(), np.transpose(expected) @ expected / 2, atol=1e-12)
    assert not Nugget(d).shapley(np.array([[1.0] * d, [-1.0] * d])).any()


def test_with_every_pair_any_game_is_exact_because_nothing_is_noise():
    v, exact = game_of(7, 5)
    found = odd_kernel(pairs_of(v, 7, 63 - 7))
    assert_allclose(found.values[:, 0], exact, atol=1e-6 * np.abs(exact).max())


def judging(seed=0, d=6, drawn=20):
    pairs = pairs_of(game_of(d, seed)[0], d, drawn)
    z = np.concatenate([np.ones((1, d)), pairs.signs])
    y = np.concatenate([pairs.ends, pairs.odd[:, 0]])
    share = (np.arange(len(z)) > d).astype(float)
    return Search(z, y, share / share.sum(), shape_of(np.arange(1.0, d + 1)))


def test_the_criterion_is_the_leave_one_out_density_with_its_best_scale():
    search, x = judging(), np.array([0.5, 0.7, 3.2, -4.0, *np.linspace(-1, 1, 6)])
    kernel, noise = search.spread(x)
    k = kernel.gram(search.z, search.z) + noise * np.eye(len(search.z))
    k[0, 0] += 1e-9 - noise
    standard, spreads = [], []
    for j in np.flatnonzero(search.share):  # each pair from all the others
        rest = np.delete(np.arange(len(k)), j)
        reach = np.linalg.solve(k[np.ix_(rest, rest)], k[rest, j])
        spreads.append(k[j, j] - reach @ k[rest, j])
        standard.append((search.y[j] - reach @ search.y[rest]) ** 2 / spreads[-1])
    expected = 0.5 * (len(spreads) * np.log(np.mean(standard)) + np.log(spreads).sum() + (x[4:] ** 2).sum())
    assert search(x)[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("length", [4, 10])
def test_the_gradient_of_the_criterion_is_its_slope(length):
    search, x = judging(1), np.array([0.5, 0.7, 3.2, -4.0, *np.linspace(-1, 1, 6)])[:length]
    slopes = [(search(x + step)[0] - search(x - step)[0]) / 2e-5 for step in 1e-5 * np.eye(length)]
    assert_allclose(search(x)[1], slopes, rtol=1e-4, atol=1e-5)


def test_refining_lowers_the_criterion_and_finds_the_features_that_interact():
    d = 8

    def v(masks):
        z = np.where(masks, 1.0, -1.0)
        return (z[:, 0] * z[:, 1] * z[:, 2] + z @ np.linspace(0.1, 0.4, d))[:, None]

    pairs = pairs_of(v, d, 40)
    z = np.concatenate([np.ones((1, d)), pairs.signs])
    y = np.concatenate([pairs.ends, pairs.odd[:, 0]])
    share = (np.arange(len(z)) > d) / 40
    start = Search(z, y, share, np.zeros(d))(np.log([1.2, 1.0, 100.0, 1e-4]) * [1, 0, 1, 1])[0]
    kernel, noise = refined(z, y, share, np.ones(d), (1.2, 100.0, 1e-4))
    assert kernel.theta[:3].min() > 3 * kernel.theta[3:].max()
    end = Search(z, y, share, np.log(kernel.theta))(
        np.array([np.log(kernel.theta.sum()), 1.0, np.log(kernel.linear), np.log(noise)])
    )[0]
    assert end < start


def game_of(d, seed, order=None):
    """A game as a table: random characters of up to ``order`` members."""
    rng = np.random.default_rng(seed)
    terms = [t for t in reference.subsets(range(d)) if order is None or len(t) <= order]
    beta = {t: rng.normal() / (1 + len(t)) ** 2 for t in terms}

    def v(masks):
        z = np.where(masks, 1.0, -1.0)
        return sum(b * z[:, list(t)].prod(axis=1) for t, b in beta.items())[:, None]

    odd = {t: 2 * b / len(t) for t, b in beta.items() if len(t) % 2}
    return v, np.array([sum(share for t, share in odd.items() if i in t) for i in range(d)])


def pairs_of(v, d, drawn, seed=0):
    halves, chances = designs.leverage_pairs(d, drawn, np.random.default_rng(seed), 0.0, 2)
    halves = np.concatenate([designs.singles(d), halves])
    ends = v(np.array([[False] * d, [True] * d]))
    odd = designs.odd_part(v(designs.asked(halves)))
    return Pairs(halves, odd, (ends[1] - ends[0]) / 2, np.concatenate([np.ones(d), chances]), d)


def test_the_walsh_form_of_shapley_values_is_the_definition():
    v, exact = game_of(5, 1)

    def score(kept):
        return float(v(np.array([[i in kept for i in range(5)]]))[0, 0])

    assert_allclose(reference.shapley_of_game(score, 5), exact, atol=1e-12)


@pytest.mark.parametrize("family", ["product", "cubic"])
def test_with_every_pair_the_kernels_are_exact_on_what_they_can_express(family):
    v, exact = game_of(7, 2, order=3)
    pairs = pairs_of(v, 7, 63 - 7)
    assert len(pairs) == 63
    assert_allclose(odd_kernel(pairs, family).values[:, 0], exact, atol=2e-4 * np.abs(exact).max())


def test_the_regression_is_kernelshaps_own_on_the_same_masks():
    v, _ = game_of(6, 3)
    pairs = pairs_of(v, 6, 12)
    masks, w = designs.asked(pairs.halves), np.repeat(kernel_weights(pairs), 2)
    base, full = v(np.array([[False] * 6, [True] * 6]))[:, 0]
    twin = reference.constrained_least_squares(masks, w, v(masks)[:, 0], base, full)
    assert_allclose(leverage_regression(pairs).values[:, 0], twin, atol=1e-9)


@pytest.mark.parametrize("drawn", [8, 16])
def test_the_regressions_covariance_is_that_of_a_sample_of_all_pairs(drawn):
    v, _ = game_of(6, 3)
    pairs = pairs_of(v, 6, drawn)
    twin = reference.sampled_covariance(pairs.halves, pairs.chances, pairs.odd[:, 0], pairs.ends[0], 6)
    assert_allclose(leverage_regression(pairs).covariance[0], twin, atol=1e-12, rtol=1e-9)


def test_the_regression_on_every_pair_has_no_error():
    v, exact = game_of(6, 3)
    found = leverage_regression(pairs_of(v, 6, 31 - 6))
    assert_allclose(found.values[:, 0], exact, atol=1e-12)
    assert_allclose(found.covariance, 0, atol=1e-15)


@pytest.mark.parametrize("count", [18, 40])
def test_intervals_of_the_regression_cover(count):
    masks, covered, widths, errors = every_coalition(9), [], [], []
    for seed in range(150):
        v = (pivotal if seed % 2 else quota)(np.random.default_rng(seed), 9)
        exact = exact_shapley(masks, v(masks))
        found = leverage_regression(pairs_of(v, 9, count - 9, seed))
        half = intervals.half_widths(found, 0.95)
        covered.append((np.abs(found.values - exact) <= half + 1e-9).mean())
        widths.append(2 * half.mean())
        errors.append(((found.values - exact) ** 2).mean())
    assert 0.92 <= np.mean(covered) <= 0.99
    assert np.mean(widths) <= 5 * np.sqrt(np.mean(errors))


def test_the_weights_are_the_kernel_over_the_chance():
    v, _ = game_of(6, 3)
    pairs = pairs_of(v, 6, 12)
    expected = [
        reference.kernel_weight(6, int(mask.sum())) / chance
        for mask, chance in zip(pairs.halves, pairs.chances, strict=True)
    ]
    assert_allclose(kernel_weights(pairs), np.array(expected) / np.mean(expected), rtol=1e-12)


def test_antithetic_permutations_are_marginal_gains_both_ways():
    v, _ = game_of(5, 4)
    orders, halves = designs.chains(5, 3, np.random.default_rng(0))
    found = orders_of(v, orders, halves)

    def score(kept):
        return float(v(np.array([[i in kept for i in range(5)]]))[0, 0])

    each = np.zeros((3, 5))
    for k, order in enumerate(orders.tolist()):
        for walk in (order, order[::-1]):
            for place, i in enumerate(walk):
                each[k, i] += (score(set(walk[: place + 1])) - score(set(walk[:place]))) / 2
    assert_allclose(found.values[:, 0], each.mean(axis=0), atol=1e-12)
    covariance, freedom = reference.moderated_covariance(each.tolist())
    assert_allclose(found.covariance[0], covariance / 3, atol=1e-12)
    assert_allclose(found.freedom, [freedom])


def orders_of(v, orders, halves):
    d = orders.shape[1]
    odd = designs.odd_part(v(designs.asked(halves.reshape(-1, d)))).reshape(len(orders), d - 1, -1)
    ends = v(np.array([[False] * d, [True] * d]))
    return antithetic_permutations(orders, odd, (ends[1] - ends[0]) / 2)


def test_variances_are_moderated_as_far_as_they_differ_by_chance():
    rng = np.random.default_rng(0)
    for sizes in (np.ones(6), np.array([0.01, 0.1, 1, 1, 5, 20])):
        gains = rng.normal(size=(8, 6)) * sizes
        own = np.cov(gains, rowvar=False)
        found, freedom = moderated(np.stack([own, np.eye(6) * 0]), 8)
        covariance, expected = reference.moderated_covariance(gains.tolist())
        assert_allclose(found[0], covariance, atol=1e-12)
        assert freedom[0] == pytest.approx(expected)
        assert not found[1].any()
        assert 7 <= freedom[0] <= 35
        assert_allclose(np.trace(found[0]), np.trace(own))
    assert freedom[0] < 12  # features that differ stand for themselves


def pivotal(rng, d):
    """A vote that nearly always turns on one feature: gains are nothing or everything."""
    first, last = rng.normal(size=(d, 12)) * 2 / np.sqrt(d), rng.normal(size=12) * 20 / np.sqrt(12)
    return lambda m: (1 / (1 + np.exp(-np.tanh(m.astype(float) @ first) @ last)))[:, None]


def quota(rng, d):
    """A weighted majority: one interaction of every order."""
    weights = rng.exponential(size=d)
    return lambda m: (1 / (1 + np.exp(-12 * (m.astype(float) @ weights / weights.sum() - 0.5))))[:, None]


@pytest.mark.parametrize("make", [pivotal, quota])
@pytest.mark.parametrize("count", [5, 12])
def test_intervals_of_few_permutations_cover(make, count):
    masks, covered, widths, errors, wrong = every_coalition(9), [], [], [], []
    for seed in range(150):
        rng = np.random.default_rng([seed, count])
        v = make(rng, 9)
        exact = exact_shapley(masks, v(masks))
        found = orders_of(v, *designs.chains(9, count, rng))
        half = intervals.half_widths(found, 0.95)
        covered.append((np.abs(found.values - exact) <= half + 1e-9).mean())
        widths.append(2 * half.mean())
        errors.append(((found.values - exact) ** 2).mean())
        ranking, apart = intervals.ranks_apart(found, 0.95)
        wrong.append((apart[:, 0] & (np.diff(exact[ranking[:, 0], 0]) > 0)).any())
    assert 0.92 <= np.mean(covered) <= 0.99
    assert np.mean(widths) <= 5 * np.sqrt(np.mean(errors))
    assert np.mean(wrong) <= 0.05


def test_dependent_and_heavy_tailed_squares_are_worth_their_degrees_of_freedom():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(12, 12)) + 2 * np.eye(12)
    precision = root @ root.T
    spread = np.sqrt(np.diag(precision))
    draws = (rng.normal(size=(200_000, 12)) @ root.T / spread) ** 2
    means = draws.mean(axis=1)
    assert of_dependent(precision) == pytest.approx(2 * means.mean() ** 2 / means.var(), rel=0.03)
    assert of_dependent(np.diag([1.0, 2, 3])) == pytest.approx(3)
    # ten of sixty are 1 or -1, the others nothing: kurtosis 6, and their mean square is a binomial's share
    residuals = np.repeat([1.0, -1, 0], [5, 5, 50])[:, None]
    share = 10 / 60
    assert_allclose(of_heavy(60.0, residuals), 2 * share**2 / (share * (1 - share) / 60))
    assert_allclose(of_heavy(60.0, np.sign(residuals - 0.5)), 60)  # light tails earn nothing
    assert_array_equal(of_heavy(7.0, np.zeros((5, 2))), [7, 7])


def test_the_doubt_about_the_kernel_shrinks_as_pairs_are_added():
    widths, errors = [], []
    for seed in range(6):
        v = pivotal(np.random.default_rng(seed), 10)
        exact = exact_shapley(every_coalition(10), v(every_coalition(10)))
        found = odd_kernel(pairs_of(v, 10, 440, seed))
        widths.append(2 * intervals.half_widths(found, 0.95).mean())
        errors.append(((found.values - exact) ** 2).mean())
    assert 2 <= np.mean(widths) / np.sqrt(np.mean(errors)) <= 6


@pytest.mark.parametrize("d", [4, 5, 9, 40])
def test_drawn_pairs_are_distinct_and_none_is_anothers_complement(d):
    halves, chances = designs.leverage_pairs(d, 60, np.random.default_rng(1), 0.0, 2)
    assert len(halves) == min(60, 2 ** (d - 1) - 1 - d) == len(chances)
    seen = {tuple(mask) for mask in designs.asked(halves).tolist()}
    assert len(seen) == 2 * len(halves)
    assert np.all((chances > 0) & (chances <= 1))


def test_a_pairs_chance_is_how_often_it_is_drawn():
    counts = {}
    for seed in range(3000):
        halves, chances = designs.leverage_pairs(6, 10, np.random.default_rng(seed))
        for mask, chance in zip(halves, chances, strict=True):
            key = tuple(mask if mask.sum() < 3 or (mask.sum() == 3 and mask[0]) else ~mask)
            counts.setdefault(key, [0, chance])[0] += 1
    assert len(counts) == 31
    for times, chance in counts.values():
        assert times / 3000 == pytest.approx(chance, abs=0.035)


def test_a_very_wide_game_is_drawn_without_overflow():
    halves, chances = designs.leverage_pairs(1500, 50, np.random.default_rng(0), 0.0, 2)
    assert halves.shape == (50, 1500)
    assert np.all(chances > 0)


@pytest.mark.parametrize(("order", "settled"), [(1, True), (2, True), (3, False)])
def test_second_order_games_are_settled_and_others_are_not(order, settled):
    v, exact = game_of(8, 5, order)
    found = second_order(pairs_of(v, 8, 8))
    assert (found is not None) == settled
    if found is not None:
        assert_allclose(found.values[:, 0], exact, atol=1e-12)


def test_interactions_are_those_of_the_definition():
    v, _ = game_of(5, 6)
    masks = every_coalition(5)
    scores = {tuple(np.flatnonzero(m)): s for m, s in zip(masks, v(masks)[:, 0], strict=True)}

    def score(kept):
        return scores[tuple(sorted(kept))]

    expected = np.zeros((5, 5))
    for i, j in combinations(range(5), 2):
        for s in reference.subsets(set(range(5)) - {i, j}):
            weight = 1 / (4 * comb(3, len(s)))
            delta = score({*s, i, j}) - score({*s, i}) - score({*s, j}) + score(s)
            expected[i, j] += weight * delta
            expected[j, i] = expected[i, j]
    assert_allclose(exact_interactions(masks, v(masks))[:, :, 0], expected, atol=1e-12)


def test_enumerated_interactions_reach_the_record():
    found = bb.explain(lambda r: r[:, 0] * r[:, 1] + r[:, 2], [2.0, 3, 1], bb.KernelShap(interactions=2))
    assert_allclose(found.details["interactions"], [[0, 6, 0], [6, 0, 0], [0, 0, 0]], atol=1e-12)


# the method


def wiggly(d, seed):
    """Interactions of every order and no symmetry."""
    f, rng = interacting(d, seed)
    return f, rng.normal(size=d).astype(np.float32).astype(float) * 1.5


@pytest.mark.parametrize("estimator", sorted({*ESTIMATORS} - {"exact"}))
def test_every_estimator_comes_near_the_truth_and_adds_up(estimator):
    f, x = wiggly(10, 1)
    exact = bb.explain(f, x, bb.KernelShap(budget=1022)).values
    found = bb.explain(f, x, bb.KernelShap(budget=200, estimator=estimator))
    assert found.details["masks"] <= 200
    assert np.linalg.norm(found.values - exact) < 0.15 * np.linalg.norm(exact)
    assert found.values.sum() == pytest.approx(found.full_values - found.base_values, abs=1e-9)


@pytest.mark.parametrize("budget", [50, 100])
def test_auto_beats_shaps_own_masks_and_regression(budget):
    ratios = []
    for seed in range(12):
        f, x = wiggly(10, seed)
        exact = bb.explain(f, x, bb.KernelShap(budget=1022)).values
        errors = [
            ((bb.explain(f, x, bb.KernelShap(budget=budget, estimator=e)).values - exact) ** 2).sum()
            for e in ("auto", "kernel")
        ]
        ratios.append(errors[0] / errors[1])
    assert np.median(ratios) <= 0.6


def test_the_intervals_cover_and_are_not_much_too_wide():
    covered, widths, errors, wrong = [], [], [], []
    for seed in range(40):
        f, x = wiggly(9, seed)
        exact = bb.explain(f, x, bb.KernelShap(budget=510)).values
        found = bb.explain(f, x, bb.KernelShap(budget=60), seed=seed)
        covered.append(((found.lower_bounds <= exact) & (exact <= found.upper_bounds)).mean())
        widths.append((found.upper_bounds - found.lower_bounds).mean())
        errors.append(((found.values - exact) ** 2).mean())
        order = found.details["ranking"]
        wrong.append((found.details["rank_separable"] & (np.diff(exact[order]) > 0)).any())
    assert 0.9 <= np.mean(covered) <= 0.995
    assert np.mean(widths) <= 5.5 * np.sqrt(np.mean(errors))
    assert np.mean(wrong) <= 0.05


def test_tied_features_are_not_called_apart():
    wrong = 0
    for seed in range(20):
        w = np.repeat(np.random.default_rng(seed).normal(size=5), 2)

        def f(rows, w=w):
            return np.tanh(rows.astype(float) @ w) + np.cos(rows.astype(float) @ w)

        found = bb.explain(f, np.ones(10), bb.KernelShap(budget=60), seed=seed)
        order, apart = found.details["ranking"], found.details["rank_separable"]
        wrong += bool((apart & (w[order[:-1]] == w[order[1:]])).any())
    assert wrong <= 1


def test_a_tolerance_stops_early_and_says_so():
    f, x = wiggly(12, 2)
    counted = Counted(f)
    found = bb.explain(counted, x, bb.KernelShap(budget=3000, tolerance=0.1))
    assert found.outcome is bb.Outcome.REACHED
    assert counted.count == found.rows < 1000
    half = (found.upper_bounds - found.lower_bounds).max() / 2
    assert half <= 0.1 * np.ptp(found.values)
    tight = bb.explain(f, x, bb.KernelShap(budget=60, tolerance=0.001))
    assert tight.outcome is bb.Outcome.SPENT
    assert tight.details["forecast_masks"] > 60


def test_the_default_is_a_tolerance_with_a_cap():
    f, x = wiggly(14, 3)
    found = bb.explain(f, x)
    assert found.outcome in (bb.Outcome.REACHED, bb.Outcome.SPENT)
    assert found.details["masks"] <= 2 * 14 + 2048
    if found.outcome is bb.Outcome.REACHED:
        assert found.details["relative_width"] <= 0.02


def test_a_game_of_second_order_costs_the_start_and_a_few_witnesses():
    w = np.arange(30.0)

    def f(rows):
        rows = rows.astype(float)
        return rows @ w + rows[:, 0] * rows[:, 29] * 7

    counted = Counted(f)
    found = bb.explain(counted, np.ones(30), bb.KernelShap(budget=900))
    assert found.outcome is bb.Outcome.SECOND_ORDER
    assert counted.count == 2 * 30 + 2 + 2 * 8
    expected = w.copy()
    expected[[0, 29]] += 3.5
    assert_allclose(found.values, expected, atol=1e-9)
    assert_allclose(found.lower_bounds, found.upper_bounds)


def test_exact_is_refused_where_it_cannot_be_had():
    f, x = wiggly(12, 1)
    with pytest.raises(bb.RequestError, match="4,094 masks"):
        bb.explain(f, x, bb.KernelShap(budget=500, estimator="exact"))


@pytest.mark.parametrize(
    "settings",
    [{"estimator": "oddkernel"}, {"confidence": 1.0}, {"confidence": 0}, {"tolerance": 0}, {"interactions": 3},
     {"estimator": "kernel", "tolerance": 0.1}, {"budget": "some"}],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(bb.RequestError):
        bb.KernelShap(**settings)


def test_the_background_interval_is_wider_and_shrinks_with_its_rows():
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=6), rng.normal(size=6) * 2
    rows = rng.normal(size=(400, 6))

    def f(r):
        return r.astype(float) @ w

    few, many = (bb.explain(f, x, background=rows[:n]) for n in (8, 400))
    truth = w * x
    assert "background_note" in few.details
    assert "background_note" not in many.details
    for found, n in ((few, 8), (many, 400)):
        half = found.details["background_half_widths"]
        sd = np.abs(w) * rows[:n].std(axis=0, ddof=1) / np.sqrt(n)
        assert_allclose(half, intervals.quantile(0.95, n - 1.0) * sd, rtol=1e-4)
        assert_allclose(found.lower_bounds, found.values, atol=1e-9)
    assert np.mean(np.abs(many.values - truth) <= many.details["background_half_widths"]) >= 4 / 6


def test_constant_single_and_duplicate_features_are_answered():
    flat = bb.explain(lambda r: np.full(len(r), 3.0), np.ones(20), bb.KernelShap(budget=60))
    assert flat.outcome is bb.Outcome.CONSTANT
    assert_array_equal(flat.values, 0)
    one = bb.explain(lambda r: r[:, 0] ** 2, [3.0])
    assert (one.outcome, one.values.tolist()) == (bb.Outcome.EXACT, [9.0])
    method = bb.KernelShap(budget=100)
    twin = bb.explain(lambda r: np.exp(r.astype(float).sum(axis=1) / 8), np.ones(12), method)
    assert np.ptp(twin.values) < 0.02 * twin.values.mean()


def test_an_infinite_score_is_refused_in_words():
    with pytest.raises(bb.ModelError, match="not a number"):
        bb.explain(lambda r: np.where(r.sum(axis=1) == 7, np.inf, 1.0), np.ones(12), bb.KernelShap(200))
