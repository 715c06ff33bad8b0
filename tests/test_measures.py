"""Measures of explanations, by hand, and the checks that use them."""

import numpy as np
import pytest
from toys import Counted

import blackbox as bb
from blackbox.api import case
from blackbox.checks import CHECKS, Subject, measures
from blackbox.model import open_model

RIGHT, WRONG = np.array([1.0, 2.0, 4.0]), np.array([4.0, 2.0, 1.0])


def additive(rows):
    return rows.astype(float) @ RIGHT


def conjunction(rows):
    return rows[:, 0].astype(float) * rows[:, 1]


def game(f=additive, d=3):
    return case(open_model(f, options={"shape": (d,)}), np.ones(d)).game(None, "raw")


# scores while hiding 4, 2, 1: 7 3 1 0; while hiding 1, 2, 4: 7 6 4 0
@pytest.mark.parametrize(
    ("values", "step", "deletion", "insertion"),
    [(RIGHT, 1, 7.5 / 3, 13.5 / 3), (WRONG, 1, 13.5 / 3, 7.5 / 3), (RIGHT, 2, 4.5 / 2, 9.5 / 2)],
)
def test_deletion_and_insertion(values, step, deletion, insertion):
    assert measures.deletion_auc(game(), values, step) == pytest.approx(deletion)
    assert measures.insertion_auc(game(), values, step) == pytest.approx(insertion)


def test_comprehensiveness_and_sufficiency():
    shares = (1 / 3, 2 / 3)
    # hidden: {4} then {4, 2}; kept alone: the same
    assert measures.comprehensiveness(game(), RIGHT, shares) == pytest.approx((4 + 6) / 2)
    assert measures.sufficiency(game(), RIGHT, shares) == pytest.approx((3 + 1) / 2)
    assert measures.comprehensiveness(game(), RIGHT, (0.001,)) == pytest.approx(4)


def test_infidelity():
    masks = np.array([[False, True], [True, False], [False, False]])
    # falls 1, 1, 1; values (1/2, 1/2) predict 1/2, 1/2, 1
    values = np.array([0.5, 0.5])
    both = game(conjunction, 2)
    assert measures.infidelity(both, values, masks, scaled=False) == pytest.approx((0.25 + 0.25 + 0) / 3)
    # beta = mean(1/2, 1/2, 1) / mean(1/4, 1/4, 1) = 4/3
    assert measures.infidelity(both, values, masks) == pytest.approx((1 / 9 + 1 / 9 + 1 / 9) / 3)
    assert measures.infidelity(game(), RIGHT, np.eye(3, dtype=bool), scaled=False) == pytest.approx(0)


def test_faithfulness_correlation():
    masks = np.array([[False, True, True], [True, False, True], [True, True, False]])
    assert measures.faithfulness_correlation(game(), RIGHT, masks) == pytest.approx(1)
    hand = np.corrcoef(WRONG, RIGHT)[0, 1]
    assert measures.faithfulness_correlation(game(), WRONG, masks) == pytest.approx(hand)
    assert measures.faithfulness_correlation(game(), np.ones(3), masks) == 0


def test_max_sensitivity():
    x = np.array([3.0, 4.0])
    draws = np.random.default_rng(0).uniform(-0.1, 0.1, (5, 2))
    hand = max(np.linalg.norm(u) for u in draws) / 5
    found = measures.max_sensitivity(lambda z: z, x, 0.1, 5, np.random.default_rng(0))
    assert found == pytest.approx(hand)
    with pytest.raises(bb.RequestError, match="zero"):
        measures.max_sensitivity(np.zeros_like, x, 0.1, 5, np.random.default_rng(0))


def test_random_masks_hide_the_number_asked():
    masks = measures.hidden_at_random(9, 2, 50, np.random.default_rng(0))
    assert set((~masks).sum(axis=1)) == {2}


def subject(f, values):
    one = case(open_model(f, options={"shape": (3,)}), np.ones(3))
    answer = one.explain(bb.KernelShap(), None, None, 0)
    wrong = {"kernelshap": answer if values is None else _with(answer, values)}
    return Subject("a", one, wrong, {"kernelshap": (bb.KernelShap(), None)}, None, 0), one


def _with(explanation, values):
    import dataclasses

    return dataclasses.replace(explanation, values=values)


@pytest.mark.parametrize("name", ["curves", "erasure", "correlation"])
def test_the_checks_pass_a_right_ranking_and_warn_of_a_reversed_one(name):
    right, _ = subject(additive, None)
    (found,) = CHECKS[name]().examine(right)
    assert found.status == "passed"
    reversed_, _ = subject(additive, WRONG - 5.0)
    (found,) = CHECKS[name](gate="fail").examine(reversed_)
    assert found.status == "failed"
    assert found.sentence.startswith("kernelshap:")


def test_checks_share_what_was_asked():
    f = Counted(additive)
    given, _ = subject(f, None)
    before = f.count
    for name in ("curves", "erasure", "correlation"):
        CHECKS[name]().examine(given)
    assert f.count == before  # eight coalitions of three features: all of them asked already
