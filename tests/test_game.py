"""The game: filling, memory, counting, limits and refusals."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reference import Question, hidden_score
from toys import MODELS, Counted, TwoInputs, l2norm, linear, total

import blackbox as bb
from blackbox.api import case
from blackbox.memory import Memory, pack
from blackbox.model import open_model
from blackbox.numerics.coalitions import every_coalition
from blackbox.score import Ledger

X = np.array([1.0, 2, 3, 4])
BACKGROUND = np.array([[0.0, 1, 0, 2], [2.0, 0, 1, 1], [-1.0, 0, 0, 0.5]])


def game_of(f, x=X, background=None, features=None, batch_size=1024, most=None):
    model = open_model(f, options={"shape": np.shape(x), "batch_size": batch_size}) if callable(f) else f
    return case(model, x, features, background, ledger=Ledger(most=most)).game(None, "raw")


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 1024])
def test_the_score_of_every_mask_is_the_mean_over_the_background(batch_size):
    game, masks = game_of(l2norm, background=BACKGROUND, batch_size=batch_size), every_coalition(4)
    q = Question(l2norm, X, BACKGROUND)
    assert_allclose(game(masks)[:, 0], [hidden_score(q, np.flatnonzero(mask)) for mask in masks], atol=1e-12)
    assert game.base()[0] == pytest.approx(hidden_score(q, []), abs=1e-12)
    assert game.full()[0] == pytest.approx(hidden_score(q, range(4)), abs=1e-12)


def test_filling_puts_background_rows_in_the_hidden_cells_mask_after_mask():
    labels = np.array([0, 0, -1, 1])
    game = game_of(total, background=BACKGROUND, features=labels)
    masks = np.array([[True, False], [False, True], [False, False]])
    filled = game.fill(masks)["input"]
    expected = [
        [X[cell] if labels[cell] < 0 or mask[labels[cell]] else row[cell] for cell in range(4)]
        for mask in masks
        for row in BACKGROUND
    ]
    assert_array_equal(filled, np.array(expected, dtype=np.float32))


def test_filling_two_inputs_keeps_their_rows_in_step():
    game = game_of(TwoInputs(), {"a": [1.0, 2.0], "b": [3.0]},
                   {"a": [[10.0, 20.0], [11.0, 21.0]], "b": [[30.0], [31.0]]})  # fmt: skip
    rows = game.fill(np.array([[True, False, False]]))
    assert_array_equal(rows["a"], [[1, 20], [1, 21]])
    assert_array_equal(rows["b"], [[30], [31]])


def test_masks_may_come_in_chunks():
    masks = every_coalition(4)
    whole = game_of(l2norm)(masks)
    assert_array_equal(game_of(l2norm)(masks[k : k + 3] for k in range(0, 16, 3)), whole)
    assert game_of(l2norm)(iter([])).shape == (0, 1)


def test_a_mask_is_asked_once_in_one_call_or_in_many():
    f = Counted(l2norm)
    game = game_of(f)
    twice = np.array([[True, False, True, False]] * 2 + [[True] * 4])
    first = game(twice)
    assert f.count == 2  # the whole input, and one mask
    assert_array_equal(game(twice[::-1]), first[::-1])
    assert f.count == game.rows == 2


def test_a_full_memory_asks_again_and_still_answers_rightly():
    f = Counted(l2norm)
    game, masks = game_of(f), every_coalition(4)
    expected = game_of(l2norm)(masks)
    small = Memory(most_bytes=5 * (120 + 1 + 8))
    object.__setattr__(game, "memory", small)
    for _ in range(2):
        assert_array_equal(game(np.concatenate([masks, masks])), np.concatenate([expected, expected]))
    assert len(small.index) == 5
    assert f.count == 1 + 16 + 11


def test_a_memory_that_grows_keeps_what_it_had():
    memory = Memory()
    for k in range(3000):
        memory.put(str(k).encode(), np.array([k, -k], dtype=float))
    memory.put(b"7", np.array([0.0, 0.0]))
    assert_array_equal(memory.values[memory.index[b"7"]], [7, -7])
    assert_array_equal(memory.values[memory.index[b"2999"]], [2999, -2999])


def test_masks_that_differ_only_in_features_out_of_play_are_one_mask():
    f = Counted(l2norm)
    game = game_of(f, background=[[0.0, 2, 0, 4]])
    assert_array_equal(game.in_play, [True, False, True, False])
    game(every_coalition(4))
    assert f.count == 4


def test_a_feature_is_in_play_if_any_of_its_cells_differs_from_any_background_row():
    labels = np.array([0, 0, 1, -1])
    assert_array_equal(game_of(l2norm, background=[[1.0, 2, 3, 9]], features=labels).in_play, [False, False])
    assert_array_equal(game_of(l2norm, background=[[1.0, 5, 3, 9]], features=labels).in_play, [True, False])
    rows = [[1.0, 2, 3, 9], [1.0, 2, 8, 9]]
    assert_array_equal(game_of(l2norm, background=rows, features=labels).in_play, [False, True])


def test_packed_masks_of_more_than_eight_features_stay_apart():
    masks = np.eye(20, dtype=bool)
    keys = pack(masks)
    assert len(set(keys)) == 20
    assert {len(key) for key in keys} == {3}
    assert pack(np.zeros((0, 5), dtype=bool)) == []


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_the_model_never_sees_more_rows_than_its_limit(batch_size):
    f = Counted(l2norm)
    game_of(f, background=BACKGROUND, batch_size=batch_size)(every_coalition(4))
    assert max(map(len, f.batches)) <= batch_size
    assert f.count == 16 * 3


def test_a_fixed_batch_is_padded_and_its_padding_is_not_counted():
    model = open_model(MODELS / "toys" / "fixed3.onnx", device="cpu")
    found = bb.explain(model, X, "occlusion", background=BACKGROUND[:2])
    plain = bb.explain(linear, X, "occlusion", background=BACKGROUND[:2])
    assert_allclose(found.values, plain.values, atol=1e-5)
    assert found.rows == plain.rows == (4 + 2) * 2


def test_soft_masks_blend_input_and_background_and_are_not_remembered():
    picture, background = np.arange(6.0).reshape(2, 3), np.stack([np.ones((2, 3)), np.full((2, 3), 5.0)])
    f = Counted(total)
    game = game_of(f, picture, background)
    soft = np.array([np.full((2, 3), 0.25), np.eye(3)[:2]])
    expected = [np.mean([(w * picture + (1 - w) * row).sum() for row in background]) for w in soft]
    before = f.count
    for _ in range(2):
        (scores,) = game.blend([soft])
        assert_allclose(scores[:, 0], expected, atol=1e-6)
    assert f.count - before == 2 * 2 * 2


def test_only_pictures_blend():
    with pytest.raises(ValueError, match="picture"):
        list(game_of(l2norm).blend([np.ones((1, 2, 2))]))


def test_a_row_budget_is_never_exceeded():
    f = Counted(l2norm)
    game = game_of(f, most=5)
    game(every_coalition(4)[:3])
    with pytest.raises(bb.RequestError, match="row budget of 5"):
        game(every_coalition(4))
    assert f.count <= 5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_is_refused_with_the_question_named(bad):
    def f(rows):
        return np.where(rows[:, 0] == 0, bad, 1.0)

    with pytest.raises(bb.ModelError, match=r"not a number.*method occlusion.*4 features"):
        bb.explain(f, X, "occlusion")


def test_a_nan_of_the_toy_model_names_the_output():
    with pytest.raises(bb.ModelError, match="'y'"):
        bb.explain(MODELS / "toys" / "nan.onnx", [0.75, 1.0], "occlusion")


def test_infinite_log_odds_say_which_scales_would_do():
    def f(rows):
        p = np.where(rows[:, 0] > 0, 0.75, 0.0)
        return np.stack([p, 1 - p], axis=1)

    with pytest.raises(bb.ModelError, match="raw, probability or log-probability"):
        bb.explain(f, X, "occlusion", scale="logit")
    assert bb.explain(f, X, "occlusion", scale="probability").values[0] == 0.75
    lowest = np.log(np.finfo(np.float32).tiny)
    fall = bb.explain(f, X, "occlusion", target=0, scale="log-probability").values[0]
    assert fall == pytest.approx(np.log(0.75) - lowest)


def test_one_background_row_may_come_without_its_axis():
    one = bb.explain(l2norm, X, background=BACKGROUND[0])
    assert_array_equal(one.values, bb.explain(l2norm, X, background=BACKGROUND[:1]).values)


@pytest.mark.parametrize(
    "background", [np.zeros((0, 4)), np.zeros((2, 3)), [[1.0, 2, 3, np.nan]], {"other": np.zeros((1, 4))}]
)
def test_a_background_that_does_not_fit_is_refused(background):
    with pytest.raises(bb.RequestError, match=r"ackground"):
        bb.explain(l2norm, X, background=background)


@pytest.mark.parametrize(
    "labels", [[0, 1, 3, 2, 4], [0, 2, 3, 3], [-1] * 4, [0, 1, 2, -2], [0.0, 1.0, 2.0, 3.0]]
)
def test_labels_that_do_not_fit_are_refused(labels):
    with pytest.raises(bb.RequestError, match=r"label"):
        bb.explain(l2norm, X, features=np.array(labels))
