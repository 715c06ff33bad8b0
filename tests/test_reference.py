"""The twins themselves: complete, and right where the answer can be done by hand."""

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose
from toys import TOYS

import blackbox as bb

FIRST = {toy.name: toy for toy in TOYS}


@pytest.mark.parametrize("name", bb.METHODS)
def test_every_method_has_a_slow_twin(name):
    assert name in reference.TWINS, f"tests/reference.py has no twin for the method {name!r}"


def test_no_twin_is_left_of_a_method_that_is_gone():
    assert set(reference.TWINS) == set(bb.METHODS)


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_the_shapley_twin_gives_the_hand_answer(toy):
    assert_allclose(reference.shapley(toy.question()), toy.shapley, atol=1e-12)


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_the_leave_one_out_twin_gives_the_hand_answer(toy):
    assert_allclose(reference.leave_one_out(toy.question()), toy.leave_one_out, atol=1e-12)


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_the_sis_twin_gives_the_hand_answer(toy):
    assert tuple(np.flatnonzero(reference.first_subset(toy.question()))) == toy.subset


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_the_stated_derivatives_are_those_of_the_toy(toy):
    h, eye = 1e-4, np.eye(len(toy.x))
    slopes = [(toy.f((toy.x + h * e)[None]) - toy.f((toy.x - h * e)[None]))[0] / (2 * h) for e in eye]
    bends = [
        [
            (toy.f((toy.x + h * a + h * b)[None]) - toy.f((toy.x + h * a - h * b)[None])
             - toy.f((toy.x - h * a + h * b)[None]) + toy.f((toy.x - h * a - h * b)[None]))[0] / (4 * h * h)
            for a in eye
        ]
        for b in eye
    ]  # fmt: skip
    assert_allclose(slopes, toy.gradient, atol=1e-6)
    assert_allclose(bends, toy.hessian, atol=1e-6)


def test_the_kkt_system_with_every_coalition_and_the_kernel_gives_shapley_values():
    q = FIRST["quadratic_indefinite"].question()
    sets = [s for s in reference.subsets(range(3)) if 0 < len(s) < 3]
    masks = np.array([[i in s for i in range(3)] for s in sets])
    weights = np.array([reference.kernel_weight(3, len(s)) for s in sets])
    values = np.array([reference.hidden_score(q, s) for s in sets])
    found = reference.constrained_least_squares(masks, weights, values, 0.0, 0.5)
    assert_allclose(found, [0.5, 2, -2], atol=1e-12)


def test_with_enough_budget_the_allocation_enumerates_every_coalition_with_the_kernels_weights():
    found = reference.enumerated_part(5, 30)
    sizes = {mask: sum(mask) for mask in found}
    assert len(found) == 30
    total = sum(reference.kernel_weight(5, size) for size in sizes.values())
    assert_allclose([found[m] for m in found], [reference.kernel_weight(5, sizes[m]) / total for m in found])


def test_the_two_caso_twins_agree_without_an_l1_norm():
    g, hessian = np.array([1.0, -2.0, 0.5]), FIRST["quadratic_indefinite"].hessian
    assert_allclose(
        reference.caso_sparse(g, hessian, 0.0, 1.5), reference.caso_closed_form(g, hessian, 1.5), atol=1e-10
    )


def test_the_sparse_caso_twin_cannot_be_improved_by_a_small_move():
    g, hessian = np.array([1.0, -2.0, 0.5]), FIRST["quadratic_indefinite"].hessian
    w = np.linalg.eigvalsh(hessian)[-1] + 1.5

    def objective(d):
        return g @ d + d @ hessian @ d / 2 - 0.4 * np.abs(d).sum() - w / 2 * d @ d

    best = reference.caso_sparse(g, hessian, 0.4, 1.5)
    moves = np.random.default_rng(0).normal(size=(200, 3)) * 1e-3
    assert all(objective(best + move) < objective(best) for move in moves)
    assert (best == 0).any()


def test_limes_distance_of_a_mask_follows_its_number_of_kept_features():
    for kept in range(5):
        mask = np.arange(4) < kept
        assert reference.cosine_distance(mask.astype(float), np.ones(4)) == pytest.approx(
            1 - np.sqrt(kept / 4)
        )
