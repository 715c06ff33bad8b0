"""Streams come from names: equal ones are equal everywhere, different ones differ."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import blackbox as bb
from blackbox.seeds import generator, resolve


def test_equal_arguments_give_equal_streams():
    assert_array_equal(generator(3, "lime", 5).random(9), generator(3, "lime", 5).random(9))


def test_every_argument_tells_streams_apart():
    paths = [(0,), (1,), (0, "lime"), (0, "kernelshap"), (1, "lime"), (0, "lime", 5), (0, "lime", 6),
             (0, 5, "lime"), (2**70, "lime")]  # fmt: skip
    firsts = {float(generator(*path).random()) for path in paths}
    assert len(firsts) == len(paths)


def test_drawing_from_one_stream_does_not_move_another():
    alone = generator(1, "b").random()
    generator(1, "a").random(1000)
    assert generator(1, "b").random() == alone


def test_another_process_draws_the_same():
    script = (
        "from blackbox.seeds import generator; print(repr(float(generator(7, 'kernelshap', 12).random())))"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(other.stdout) == generator(7, "kernelshap", 12).random()


def test_none_draws_a_seed_and_a_number_is_itself():
    assert resolve(5) == 5
    assert resolve(np.int64(5)) == 5
    assert type(resolve(np.int64(5))) is int
    drawn = {resolve(None) for _ in range(4)}
    assert len(drawn) == 4
    assert all(seed >= 0 for seed in drawn)


@pytest.mark.parametrize("wrong", [-1, 1.5, "7", True, float("nan")])
def test_what_is_no_whole_number_from_zero_up_is_refused(wrong):
    with pytest.raises(bb.RequestError, match="seed"):
        resolve(wrong)
    with pytest.raises(bb.RequestError, match="seed"):
        bb.explain(lambda rows: rows.sum(axis=1), [1.0], "occlusion", seed=wrong)


def test_designs_depend_on_seed_method_and_number_of_features_but_not_on_the_input():
    asked = []

    def f(rows):
        asked.append(rows != 0)
        return rows.astype(float).prod(axis=1) + rows.sum(axis=1)

    method = bb.KernelShap(budget=20)
    for x in ([1.0, 2, 3, 4, 5, 6], [6.0, 5, 4, 3, 2, 7]):
        bb.explain(f, x, method, seed=2)
    half = len(asked) // 2
    assert_array_equal(np.concatenate(asked[:half]), np.concatenate(asked[half:]))
