"""The design of least posterior variance: against its formula, and against drawn pairs."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from blackbox.numerics import designs, informative
from blackbox.numerics.coalitions import every_coalition, exact_shapley
from blackbox.numerics.estimators import Pairs, odd_kernel
from blackbox.numerics.estimators.choices import FREE, Choice, likely
from blackbox.numerics.estimators.odd_kernel import Product
from blackbox.numerics.estimators.symmetric import TIES
from blackbox.numerics.informative import NOISE, STRENGTH, InformativePairs
from blackbox.players import _next


def first(d, count, seed=0, smallest=2):
    return InformativePairs(d, count, np.random.default_rng(seed), smallest).first(count)


def left_unknown(halves):
    """Total posterior variance of phi under the design's prior, by one dense inverse."""
    d = halves.shape[1]
    start = np.concatenate([np.ones((1, d)), np.where(designs.singles(d), 1.0, -1.0)])
    z = np.concatenate([start, np.where(halves, 1.0, -1.0)])
    prior = Choice(Product(np.full(d, STRENGTH / d), FREE), NOISE, np.inf)
    noise = np.full(len(z), NOISE)
    noise[0] = TIES
    reach, centre = prior.reach(z), np.eye(d) - 1 / d
    known = reach.T @ np.linalg.solve(prior.kernel.gram(z, z) + np.diag(noise), reach)
    return float(np.trace(centre @ (prior.prior(d) - known) @ centre))


def test_every_pair_of_a_block_lowers_the_posterior_variance_most():
    d, count = 7, 6
    pool, _ = designs.leverage_pairs(d, informative.POOL * count, np.random.default_rng(3), 0.0, 2)
    found, _ = first(d, count, 3)
    candidates = pool[: informative.TRIED * count]  # one block tries them all
    asked = np.zeros((0, d), dtype=bool)
    for chosen in found:
        left = [left_unknown(np.concatenate([asked, one[None]])) for one in candidates]
        asked = np.concatenate([asked, chosen[None]])
        assert left_unknown(asked) == pytest.approx(min(left), rel=1e-5)


@pytest.mark.parametrize("d", [4, 5, 9, 40])
def test_chosen_pairs_are_distinct_and_none_is_anothers_complement(d):
    halves, chances = first(d, 60, 1)
    assert len(halves) == min(60, 2 ** (d - 1) - 1 - d) == len(chances)
    assert len({tuple(mask) for mask in designs.asked(halves).tolist()}) == 2 * len(halves)
    assert np.all((chances > 0) & (chances <= 1))
    sizes = np.minimum(halves.sum(axis=1), d - halves.sum(axis=1))
    assert sizes.min() >= 2


def test_what_was_chosen_first_does_not_depend_on_what_is_asked_later():
    whole, _ = first(12, 150, 4)
    grown = InformativePairs(12, 150, np.random.default_rng(4))
    for count in (8, 40, 41, 150):
        assert_array_equal(grown.first(count)[0], whole[:count])
    assert len(grown) == 150


def test_beyond_what_is_chosen_the_rest_is_drawn(monkeypatch):
    monkeypatch.setattr(informative, "MOST", 60)
    halves, _ = first(12, 100, 5)
    assert len({tuple(mask) for mask in designs.asked(halves).tolist()}) == 200


def test_a_pair_of_a_size_is_chosen_as_likely_as_another():
    counts, expected = {}, {}
    for seed in range(600):
        halves, chances = first(6, 8, seed)
        for mask, chance in zip(halves, chances, strict=True):
            key = tuple(mask if mask.sum() < 3 or (mask.sum() == 3 and mask[0]) else ~mask)
            counts[key] = counts.get(key, 0) + 1
            expected.setdefault(sum(key), []).append(chance)
    assert len(counts) == 25  # 15 pairs of size 2, 10 of size 3
    for key, times in counts.items():
        alike = [n for other, n in counts.items() if sum(other) == sum(key)]
        assert times == pytest.approx(np.mean(alike), rel=0.35)


@pytest.mark.parametrize(("d", "drawn"), [(10, 30), (30, 120), (64, 96)])
def test_it_leaves_less_unknown_than_pairs_drawn_by_leverage(d, drawn):
    chosen = left_unknown(first(d, drawn)[0])
    leverage = left_unknown(designs.leverage_pairs(d, drawn, np.random.default_rng(0), 0.0, 2)[0])
    assert chosen < 0.8 * leverage


def test_a_saturated_network_is_explained_with_less_error():
    rng, d, ratios = np.random.default_rng(8), 10, []
    for _ in range(6):
        w, u = rng.normal(size=(d, 16)) * 0.9, rng.normal(size=16) * 3

        def v(masks, w=w, u=u):
            return 1 / (1 + np.exp(-np.tanh(masks @ w) @ u))[:, None]

        everything = every_coalition(d)
        exact = exact_shapley(everything, v(everything))[:, 0]
        ends = v(np.array([[False] * d, [True] * d]))
        errors = []
        for halves in (
            first(d, 40)[0],
            designs.leverage_pairs(d, 40, np.random.default_rng(0), 0.0, 2)[0],
        ):
            every = np.concatenate([designs.singles(d), halves])
            odd = designs.odd_part(v(designs.asked(every)))
            pairs = Pairs(every, odd, (ends[1] - ends[0]) / 2, np.ones(len(every)), d)
            errors.append(((odd_kernel(pairs).values[:, 0] - exact) ** 2).mean())
        ratios.append(errors[0] / errors[1])
    assert np.exp(np.mean(np.log(ratios))) < 0.85


def test_rounding_does_not_choose():
    """Candidates that are alike tie, up to rounding: the first of them is taken."""
    unknown, reach = np.eye(4) * 2.0, np.ones((4, 3))
    reach[2] *= 1 + 1e-9
    assert informative._greedy(unknown, reach, 2).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("short", "expected"), [(1.01, 1.19), (1.4, 1.19), (1.8, 1.41), (2.0, 1.41), (3.9, 2.0), (50.0, 2.0), (np.inf, 2.0)]
)
@pytest.mark.parametrize("count", [1000, 1189, 1414, 2828])
def test_the_next_look_is_where_the_goal_is_expected_but_never_far(count, short, expected):
    assert _next(count, 1000, 10**6, short) / count == pytest.approx(expected, abs=0.01)


def test_looks_end_at_the_budget_and_leave_no_crumbs():
    counts, short = [100], 9.0
    while counts[-1] < 2000:
        counts.append(_next(counts[-1], 100, 2000, short))
        assert counts[-1] > counts[-2]
    assert counts[-1] == 2000
    assert counts[-2] * 6 <= 2000 * 5
    assert _next(1900, 1900, 2000, short) == 2000
    assert _next(0, 100, 2000, 0.0) == 100
    assert _next(0, 1900, 2000, 0.0) == 2000


@pytest.mark.parametrize("drawn", [5, 127, 128, 255, 256, 700, 1500])
def test_the_pairs_that_choose_are_spread_over_the_design(drawn):
    rows = likely(drawn)
    assert len(rows) == min(drawn, 128)
    assert np.all(np.diff(rows) == rows[1] - rows[0])
    assert rows[-1] >= drawn / 2 - 8


@pytest.mark.parametrize(("d", "drawn"), [(640, 8), (420, 300)])
def test_a_wide_game_has_intervals_from_few_pairs(d, drawn):
    weights = np.random.default_rng(0).normal(size=d)

    def v(masks):
        return np.tanh(masks @ weights / 8)[:, None]

    every = np.concatenate([designs.singles(d), first(d, drawn)[0]])
    ends = v(np.array([[False] * d, [True] * d]))
    odd = designs.odd_part(v(designs.asked(every)))
    found = odd_kernel(Pairs(every, odd, (ends[1] - ends[0]) / 2, np.ones(len(every)), d))
    assert np.isfinite(found.covariance).all()
    assert np.trace(found.covariance[0]) > 0
    assert found.freedom >= 1
