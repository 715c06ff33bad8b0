"""Occlusion: leave one out, and windows slid over pictures, against the slow twin."""

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal
from toys import MODELS, Counted, constant

import blackbox as bb
from blackbox.features import patches

PICTURE = np.random.default_rng(0).normal(size=(2, 5, 6)).astype(np.float32).astype(float)
BACKGROUND = np.random.default_rng(1).normal(size=(3, 2, 5, 6)).astype(np.float32).astype(float)
WEIGHTS = np.random.default_rng(2).normal(size=(2, 5, 6))


def bent(rows):
    rows = rows.astype(float)
    flat = (rows * WEIGHTS).reshape(len(rows), -1)
    return flat.sum(axis=1) + np.sin(flat).sum(axis=1) ** 2


WINDOWS = [
    ((2, 2), None),
    ((2, 3), (1, 2)),
    ((1, 1), None),
    ((5, 6), None),
    ((3, 2), (2, 3)),
    ((2, 2), (4, 4)),
]


@pytest.mark.parametrize(("window", "stride"), WINDOWS, ids=str)
@pytest.mark.parametrize("background", [BACKGROUND[:1], BACKGROUND], ids=["one row", "three rows"])
def test_a_window_agrees_with_the_twin(window, stride, background):
    f = Counted(bent)
    found = bb.explain(f, PICTURE, bb.Occlusion(window, stride), background=background)
    pixels, drops = reference.sliding_window(bent, PICTURE, background, window, stride or window)
    assert_allclose(found.details["drops"][..., 0], drops, atol=1e-9)
    # one feature per cell: every channel of a pixel gets the pixel's value
    assert_allclose(found.values.reshape(2, 5, 6), np.stack([pixels, pixels]), atol=1e-9)
    assert found.rows == f.count == (drops.size + 2) * len(background)


@pytest.mark.parametrize("shape", [(5, 6), (2, 5, 6), (5, 6, 2)])
def test_the_channels_may_come_first_last_or_not_at_all(shape):
    axis = {2: None, 3: shape.index(2) if 2 in shape else None}[len(shape)]
    picture = PICTURE if axis == 0 else np.moveaxis(PICTURE, 0, 2) if axis == 2 else PICTURE[0]

    def f(rows):
        whole = rows if axis is None else rows.sum(axis=axis + 1)
        return (whole.astype(float) * WEIGHTS[0]).sum(axis=(1, 2))

    found = bb.explain(f, picture, bb.Occlusion((2, 2)))
    drops = found.details["drops"][..., 0]
    ink = picture if axis is None else picture.sum(axis=axis)
    expected = [[(ink * WEIGHTS[0])[r : r + 2, c : c + 2].sum() for c in (0, 2, 4)] for r in (0, 2)]
    assert_allclose(drops, expected, atol=1e-6)


def test_pixels_that_no_window_covers_get_zero():
    found = bb.explain(bent, PICTURE, bb.Occlusion((2, 4)))
    values = found.values.reshape(2, 5, 6)
    assert_array_equal(values[:, 4], 0)
    assert_array_equal(values[:, :, 4:], 0)
    assert np.all(values[:, :4, :4] != 0)


def test_a_feature_gets_the_mean_over_its_pixels():
    labels, _ = patches((2, 5, 6), 2, 3)
    found = bb.explain(bent, PICTURE, bb.Occlusion((2, 3), (1, 1)), features=labels)
    pixels, _ = reference.sliding_window(bent, PICTURE, np.zeros((1, 2, 5, 6)), (2, 3), (1, 1))
    spread = np.broadcast_to(labels, (1, 5, 6))[0]
    assert_allclose(found.values, [pixels[spread == k].mean() for k in range(6)], atol=1e-9)


def test_windows_serve_several_targets_at_once():
    def f(rows):
        return np.stack([bent(rows), -2 * bent(rows) + 3], axis=1)

    found = bb.explain(f, PICTURE, bb.Occlusion((2, 2)), target=[0, 1], scale="raw")
    assert found.details["drops"].shape == (2, 3, 2)
    assert_allclose(found.values[:, 1], -2 * found.values[:, 0], atol=1e-9)


def test_more_windows_than_are_held_at_once_are_all_slid():
    picture = np.random.default_rng(3).normal(size=(12, 12)).astype(np.float32)
    found = bb.explain(lambda rows: rows.astype(float).sum(axis=(1, 2)), picture, bb.Occlusion((1, 1)))
    assert found.rows == 146
    assert_allclose(found.values.reshape(12, 12), picture, atol=1e-6)


def test_leaving_patches_out_hides_all_their_cells():
    labels, names = patches((2, 5, 6), 2, 2)
    found = bb.explain(bent, PICTURE, bb.Occlusion(), features=labels)
    spread = np.broadcast_to(labels, PICTURE.shape)
    expected = [bent(PICTURE[None])[0] - bent(np.where(spread == k, 0, PICTURE)[None])[0] for k in range(4)]
    assert_allclose(found.values, expected, atol=1e-9)
    assert len(names) == found.rows - 2 == 4


def test_on_a_real_picture_a_blank_window_costs_no_score():
    from blackbox.model import open_model

    picture = np.load(MODELS / "digits" / "background.npy")[0]
    model = open_model(MODELS / "digits" / "cnn.onnx", device="cpu")
    found = bb.explain(model, picture, bb.Occlusion((1, 1)))
    values, ink = found.values.reshape(8, 8), picture[0]
    assert (ink == 0).any()
    assert_allclose(values[ink == 0], 0, atol=1e-5)
    assert np.abs(values[ink > 0]).max() > 0.1


def test_a_constant_model_is_reported_as_constant():
    for method, x in ((bb.Occlusion(), [1.0, 2.0]), (bb.Occlusion((2, 2)), np.ones((4, 4)))):
        found = bb.explain(constant, x, method)
        assert found.outcome is bb.Outcome.CONSTANT
        assert_array_equal(found.values, 0)


def test_xor_moves_although_the_whole_scores_as_much_as_nothing():
    from toys import xor

    found = bb.explain(xor, [1.0, 1.0], "occlusion")
    assert found.outcome is bb.Outcome.DONE
    assert_array_equal(found.values, [-1, -1])


@pytest.mark.parametrize(
    ("x", "window", "words"),
    [
        (np.ones((5, 6)), (6, 2), "larger than the picture"),
        (np.ones((5, 6)), (2, 7), "larger than the picture"),
        (np.ones(6), (2, 2), "needs one floating-point picture"),
        (np.ones((5, 6, 7)), (2, 2), "needs one floating-point picture"),
    ],
)
def test_a_window_that_does_not_fit_the_input_is_refused(x, window, words):
    with pytest.raises(bb.RequestError, match=words):
        bb.explain(lambda rows: rows.reshape(len(rows), -1).sum(axis=1), x, bb.Occlusion(window))


@pytest.mark.parametrize(
    ("window", "stride"),
    [(None, (1, 1)), ((0, 2), None), ((2, 2), (0, 1)), ((2, 1.5), None),
     ((2,), None), ((2, 2, 2), None), (2, (1, 1)), ((2, 2), 1), (0, None), (True, None)],
)  # fmt: skip
def test_windows_and_strides_that_mean_nothing_are_refused(window, stride):
    with pytest.raises(bb.RequestError, match=r"window|stride"):
        bb.Occlusion(window, stride)


SERIES = np.random.default_rng(3).normal(size=(12, 3)).astype(np.float32).astype(float)


@pytest.mark.parametrize(("window", "stride"), [(3, None), (4, 2), (5, 3), (12, None), (1, 1)])
def test_a_window_of_steps_hides_all_channels_of_a_series(window, stride):
    def f(rows):
        return np.sin(rows.astype(float)).sum(axis=(1, 2)) ** 2

    found = bb.explain(f, SERIES, bb.Occlusion(window, stride))
    drops, mean, times = [], np.zeros(12), np.zeros(12)
    for start in range(0, 12 - window + 1, stride or window):
        hidden = SERIES.copy()
        hidden[start : start + window] = 0
        drops.append(f(SERIES[None])[0] - f(hidden[None])[0])
        mean[start : start + window] += drops[-1]
        times[start : start + window] += 1
    assert_allclose(found.details["drops"][:, 0], drops, atol=1e-6)
    steps = mean / np.maximum(times, 1)
    assert_allclose(found.values.reshape(12, 3), np.repeat(steps[:, None], 3, axis=1), atol=1e-6)
    assert found.rows == len(drops) + 2


def test_a_series_of_one_channel_is_a_series_too():
    found = bb.explain(lambda rows: rows.sum(axis=1), np.arange(6.0), bb.Occlusion(2))
    assert_allclose(found.values, [1, 1, 5, 5, 9, 9])


def test_a_window_longer_than_the_series_is_refused():
    with pytest.raises(bb.RequestError, match="6 steps"):
        bb.explain(lambda rows: rows.sum(axis=1), np.arange(6.0), bb.Occlusion(7))
