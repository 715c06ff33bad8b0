"""RISE: the published average against its twin, the regression, and the masks themselves."""

import tracemalloc

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal
from toys import Counted

import blackbox as bb
from blackbox.numerics.soft_masks import enlarging, mean_crop, smooth_masks

PICTURE = np.random.default_rng(0).random((2, 9, 11)).astype(np.float32)


def weighted(rows):
    """Only the upper left corner counts, and twice in one channel."""
    rows = rows.astype(float)
    return rows[:, 0, :3, :3].sum(axis=(1, 2)) * 2 + rows[:, 1, :3, :3].sum(axis=(1, 2))


def test_enlarging_is_the_published_bilinear_resize():
    # pixel centres aligned: source = (i + 1/2) s / pixels - 1/2, edges repeated
    weights = enlarging(3, 6)
    assert weights.shape == (8, 3)
    grid = np.array([1.0, 5.0, -2.0])
    expected = []
    for i in range(8):
        at = np.clip((i + 0.5) * 3 / 8 - 0.5, 0, 2)
        low = int(np.floor(at))
        high = min(low + 1, 2)
        expected.append(grid[low] * (1 - at + low) + grid[high] * (at - low))
    assert_allclose(weights @ grid, expected, atol=1e-12)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_masks_lie_in_zero_to_one_and_a_full_grid_keeps_everything(interpolation):
    down, across = enlarging(4, 9, interpolation), enlarging(4, 11, interpolation)
    assert_allclose(down.sum(axis=1), 1, atol=1e-12)
    rng = np.random.default_rng(0)
    grids = rng.random((20, 4, 4)) < 0.5
    grids[0] = True
    masks = smooth_masks(grids, rng.integers(0, 3, (20, 2)), down, across, (9, 11))
    assert masks.shape == (20, 9, 11)
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert_allclose(masks[0], 1)
    assert_allclose(mean_crop(down, 9, 3)[4], down[[4, 5, 6]].mean(axis=0))


def test_the_published_form_is_its_twin_on_the_same_masks(monkeypatch):
    caught = []

    def catch(*arguments):
        caught.append(smooth_masks(*arguments))
        return caught[-1]

    monkeypatch.setattr("blackbox.methods.rise.smooth_masks", catch)
    background = np.full_like(PICTURE, 0.25)
    method = bb.Rise(masks=150, cells=4, form="published")
    found = bb.explain(weighted, PICTURE, method, background=[background])
    expected = reference.rise_published(weighted, PICTURE, background, np.concatenate(caught), 0.5)
    assert_allclose(found.details["map"][:, :, 0], expected, rtol=1e-5)
    by_feature = np.tile(expected.ravel(), 2)
    assert_allclose(found.values, by_feature, rtol=1e-5)


def test_the_regression_finds_what_counts_with_fewer_masks():
    truth = np.zeros((9, 11))
    truth[:3, :3] = 1

    def likeness(form, seed):
        method = bb.Rise(masks=80, cells=4, form=form)
        found = bb.explain(weighted, PICTURE, method, seed=seed).details["map"]
        return np.corrcoef(found.ravel(), truth.ravel())[0, 1]

    regressed, published = (
        np.mean([likeness(form, seed) for seed in range(8)]) for form in ("regression", "published")
    )
    assert regressed > published
    assert regressed > 0.7


def test_on_an_additive_score_hard_masks_regress_to_the_weights():
    w = np.arange(5.0)
    found = bb.explain(lambda r: r.astype(float) @ w, np.ones(5), bb.Rise(masks=60))
    assert_allclose(found.values, w, atol=1e-9)


def test_masks_cost_what_they_say():
    f = Counted(weighted)
    found = bb.explain(f, PICTURE, bb.Rise(masks=150, cells=4))
    assert f.count == found.rows == 150 + 2


def test_memory_is_flat_in_the_number_of_masks():
    def peak(masks):
        tracemalloc.start()
        bb.explain(weighted, PICTURE, bb.Rise(masks=masks, cells=4))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(100)
    assert peak(4000) < 1.3 * peak(400)


def test_a_constant_picture_score_is_constant():
    found = bb.explain(lambda r: np.full(len(r), 2.0), PICTURE, bb.Rise(masks=20, cells=4))
    assert found.outcome is bb.Outcome.CONSTANT
    assert_array_equal(found.values, 0)


def test_pictures_that_cannot_be_masked_are_refused():
    with pytest.raises(bb.RequestError, match="10 x 10"):
        bb.explain(weighted, PICTURE, bb.Rise(masks=10, cells=10))


@pytest.mark.parametrize(
    "wrong", [{"keep": 0}, {"keep": 1.0}, {"form": "publishd"}, {"masks": 1}, {"cells": 1}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(bb.RequestError):
        bb.Rise(**wrong)
