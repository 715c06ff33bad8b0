"""Large designs: a kernel on part of the pairs, a regression on what it missed."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

import blackbox as bb
from blackbox.numerics.estimators import adjusted, from_pairs
from blackbox.numerics.estimators.adjusted import adjusted_regression
from blackbox.numerics.estimators.regression import leverage_regression


def pairs_of(d, count, seed):
    """Pairs of a network's game with d features, and its exact Shapley values."""
    from blackbox.numerics import designs
    from blackbox.numerics.coalitions import every_coalition, exact_shapley
    from blackbox.numerics.estimators import Pairs

    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(d, 6)) / 5, rng.normal(size=6)

    def v(masks):
        return (np.tanh(masks.astype(float) @ first) @ second)[:, None]

    drawn, chances = designs.leverage_pairs(d, count - d, rng, 0.0, 2)
    halves = np.concatenate([designs.singles(d), drawn])
    ends = v(np.array([[False] * d, [True] * d]))
    every = every_coalition(d)
    odd = designs.odd_part(v(designs.asked(halves)))
    found = Pairs(halves, odd, (ends[1] - ends[0]) / 2, np.concatenate([np.ones(d), chances]), d)
    return found, exact_shapley(every, v(every))


def test_with_few_pairs_in_the_kernel_the_error_stays_far_below_the_regressions(monkeypatch):
    monkeypatch.setattr(adjusted, "MOST", 150)
    ratios, inside = [], []
    for seed in range(8):
        pairs, exact = pairs_of(12, 400, seed)
        found, plain = adjusted_regression(pairs, "product"), leverage_regression(pairs)
        assert found.name == "odd-kernel, adjusted"
        assert_allclose(found.values.sum(axis=0), 2 * pairs.ends, atol=1e-9)
        ratios.append(((found.values - exact) ** 2).mean() / ((plain.values - exact) ** 2).mean())
        deviations = np.sqrt(np.diag(found.covariance[0]))
        inside.append((np.abs(found.values - exact)[:, 0] <= 1.96 * deviations).mean())
    assert np.median(ratios) < 0.5
    assert 0.85 <= np.mean(inside) <= 1.0


def test_every_estimate_beyond_the_limit_is_adjusted(monkeypatch):
    pairs, _ = pairs_of(12, 300, 1)
    monkeypatch.setattr("blackbox.numerics.estimators.choosing.MOST", 200)
    monkeypatch.setattr(adjusted, "MOST", 200)
    assert from_pairs("auto", pairs).name == "odd-kernel, adjusted"
    assert from_pairs("cubic-kernel", pairs).name == "cubic-kernel, adjusted"
    assert from_pairs("leverage", pairs).name == "leverage"


def test_a_wide_game_keeps_drawn_pairs_to_learn_from(monkeypatch):
    pairs, _ = pairs_of(14, 60, 2)
    monkeypatch.setattr(adjusted, "MOST", 20)
    learnt = adjusted._part(pairs)
    assert len(learnt) == 20
    assert (learnt < pairs.start).sum() == 10
    assert len(set(learnt.tolist())) == 20
    assert np.isfinite(adjusted_regression(dataclasses.replace(pairs), "product").values).all()


SCRIPT = """
import resource, sys
import numpy as np
import blackbox as bb
rng = np.random.default_rng(0)
first, second = rng.normal(size=(40, 8)).astype(np.float32), rng.normal(size=8)
method = bb.KernelShap(budget=int(sys.argv[1]), estimator=sys.argv[2])
rows, x = rng.normal(size=(int(sys.argv[3]), 40)), rng.normal(size=(int(sys.argv[4]), 40))
for e in bb.explain_many(lambda r: np.tanh(r @ first / 8) @ second, x, method, background=rows):
    assert np.isfinite(e.values).all()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak(budget, estimator, background, rows):
    """Peak resident MiB of a process of its own."""
    command = [sys.executable, "-c", SCRIPT, *map(str, (budget, estimator, background, rows))]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["auto", "kernel"])
def test_memory_stays_flat_while_everything_grows_tenfold(estimator):
    small = peak(2000, estimator, 5, 4)
    for larger in ((20_000, estimator, 5, 4), (2000, estimator, 50, 4), (2000, estimator, 5, 40)):
        assert peak(*larger) <= 1.1 * small + 64, larger


def test_solving_takes_one_thread_and_gives_the_others_back():
    from threadpoolctl import threadpool_info

    from blackbox.numerics.threads import one_thread

    def threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before = threads()
    assert set(one_thread(threads)()) == {1}
    assert threads() == before
    bb.explain(lambda r: np.sin(r).prod(axis=1), np.ones(12), bb.KernelShap(budget=200))
    assert threads() == before
