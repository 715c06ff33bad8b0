"""Many rows at once: one design, one factorisation, flat memory, answers in order."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from test_kernelshap import interacting
from toys import Counted, TwoInputs

import blackbox as bb


def rows_of(count, d=10, seed=0):
    f, _ = interacting(d, seed)
    return f, np.random.default_rng(seed + 1).normal(size=(count, d)).astype(np.float32)


def test_every_row_is_asked_the_same_masks_and_comes_near_its_truth():
    f, rows = rows_of(12)
    counted = Counted(f)
    method = bb.KernelShap(budget=120)
    found = list(bb.explain_many(counted, rows, method))
    assert [e.details["masks"] for e in found] == [120] * 12
    assert all(e.details["pooled"] for e in found)
    hidden = [(batch == 0).all(axis=0) for batch in counted.batches]
    assert hidden
    for row, one in zip(rows, found, strict=True):
        exact = bb.explain(f, row, bb.KernelShap(budget=1022)).values
        assert np.linalg.norm(one.values - exact) < 0.25 * np.linalg.norm(exact)
        assert one.values.sum() == pytest.approx(one.full_values - one.base_values, abs=1e-9)
        assert one.rows == 122


def test_shared_intervals_cover():
    f, rows = rows_of(30, d=9)
    exact = [bb.explain(f, row, bb.KernelShap(budget=510)).values for row in rows]
    found = list(bb.explain_many(f, rows, bb.KernelShap(budget=80)))
    covered = [
        ((e.lower_bounds <= v) & (v <= e.upper_bounds)).mean() for e, v in zip(found, exact, strict=True)
    ]
    assert 0.85 <= np.mean(covered) <= 1


def test_small_games_and_other_methods_are_as_alone():
    f, rows = rows_of(5, d=6)
    for method in ("kernelshap", "occlusion", "lime"):
        many = [e.values for e in bb.explain_many(f, rows, method)]
        alone = [bb.explain(f, row, method).values for row in rows]
        assert_array_equal(many, alone)


def test_answers_come_one_by_one_and_memory_stays_flat():
    f, rows = rows_of(400, d=12)
    method = bb.KernelShap(budget=100)
    next(iter(bb.explain_many(f, rows, method)))

    def peak(count):
        tracemalloc.start()
        for one in bb.explain_many(f, rows[:count], method):
            assert one.values.shape == (12,)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(400) < 1.5 * peak(40)


def test_rows_that_differ_in_players_each_get_their_design():
    f, rows = rows_of(6, d=11)
    rows[::2, :2] = 0  # equals the background: nine players
    found = list(bb.explain_many(f, rows, bb.KernelShap(budget=100)))
    for row, one in zip(rows, found, strict=True):
        exact = bb.explain(f, row, bb.KernelShap(budget=2046)).values
        assert np.linalg.norm(one.values - exact) < 0.3 * np.linalg.norm(exact)
        assert_array_equal(one.values[row == 0], 0)


def test_a_mapping_of_inputs_and_each_rows_own_class():
    found = list(bb.explain_many(TwoInputs(), {"a": [[2.0, 3], [1, 1]], "b": [[1.0], [2]]}))
    assert_allclose([e.values for e in found], [[3, 3, 3], [0.5, 0.5, 6]])


@pytest.mark.parametrize("rows", [3.0, {"a": [[1.0, 2]], "b": [[1.0], [2]]}])
def test_rows_without_a_common_axis_are_refused(rows):
    with pytest.raises(bb.RequestError, match="leading axis"):
        list(bb.explain_many(TwoInputs() if isinstance(rows, dict) else sum, rows))


def test_no_rows_are_no_answers():
    assert list(bb.explain_many(lambda r: r.sum(axis=1), np.zeros((0, 3)))) == []
