"""Which cells belong together: labels, columns, one-hot groups, patches, superpixels."""

from __future__ import annotations

import numpy as np
import pytest

import blackbox as bb
from blackbox.errors import RequestError
from blackbox.features import choose, columns, from_labels, grouped, patches, picture_axes, superpixels

ROW = {"x": np.array([5.0, 1.0, 0.0, 0.0])}
NAMES = ("age", "home_own", "home_rent", "home_other")
HOME = {"home": NAMES[1:]}


def test_every_cell_is_a_feature_unless_somebody_says_otherwise():
    features = choose({"x": np.zeros((2, 3))})
    assert features.names[:2] == ("pixel 0,0", "pixel 0,1")
    assert features.labels["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert choose(ROW).names == ("x0", "x1", "x2", "x3")


def test_cells_of_several_inputs_are_numbered_on():
    features = choose({"a": np.zeros(2), "b": np.zeros(())})
    assert features.names == ("a[0]", "a[1]", "b")
    assert features.labels["b"].tolist() == 2


def test_a_large_picture_gets_a_grid_and_a_large_row_an_error():
    assert len(choose({"x": np.zeros(1024)})) == 1024
    features = choose({"x": np.zeros((3, 64, 64))})
    assert len(features) == 196
    assert "14 x 14" in features.rule
    with pytest.raises(RequestError, match=r"1,025 cells.*groups.*superpixels"):
        choose({"x": np.zeros(1025)})


def test_a_table_of_many_columns_also_names_the_choices():
    with pytest.raises(RequestError, match="more than 1,024 features"):
        grouped({"x": np.zeros(1025)}, [f"c{k}" for k in range(1025)], {})


def test_a_one_hot_group_is_one_feature_and_names_what_is_hot():
    features = grouped(ROW, NAMES, HOME)
    assert features.names == ("age", "home")
    assert features.labels["x"].tolist() == [0, 1, 1, 1]
    assert features.data(ROW).tolist() == [5.0, "home_own"]


def test_a_group_that_is_not_one_hot_holds_its_mean():
    features = grouped({"x": np.array([5.0, 1.0, 3.0, 2.0])}, NAMES, HOME)
    assert features.data({"x": np.array([5.0, 1.0, 3.0, 2.0])}).tolist() == [5.0, 2.0]


def test_a_group_of_text_holds_its_words():
    text = {"x": np.array(["a", "b"], dtype=object)}
    assert grouped(text, ("p", "q"), {"g": ("p", "q")}).data(text).tolist() == ["a, b"]


def test_a_column_that_is_never_hidden_is_no_feature():
    features = grouped(ROW, NAMES, HOME, never_hidden=("age",))
    assert features.names == ("home",)
    assert features.labels["x"].tolist() == [-1, 0, 0, 0]


@pytest.mark.parametrize(
    ("groups", "never", "words"),
    [
        ({"home": ()}, (), "'home' has no columns"),
        ({"home": ("home_own", "home_rnt")}, (), "Did you mean 'home_rent'"),
        ({"a": ("home_own",), "b": ("home_own",)}, (), "in two groups: 'a', 'b'"),
        ({"age": ("home_own", "home_rent")}, (), "both a group and a column"),
        ({}, ("agee",), "Did you mean 'age'"),
        ({}, NAMES, "nothing to explain"),
    ],
)
def test_a_wrong_group_is_told(groups, never, words):
    with pytest.raises(RequestError) as told:
        grouped(ROW, NAMES, groups, never)
    assert words in str(told.value)


def test_names_must_fit_the_cells():
    with pytest.raises(RequestError, match="2 column names for 4 cells"):
        grouped(ROW, NAMES[:2], {})
    with pytest.raises(RequestError, match="4 features but 2 feature names"):
        columns(ROW, NAMES[:2])


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1, 2], "shape (3,) do not fit input 'x' of shape (4,)"),
        ([0, 1, 3, 3], "2 is missing"),
        ([-1, -1, -1, -1], "nothing to explain"),
        ([0, 1, 2, -2], "whole numbers from 0 up, or -1"),
        ([0.0, 1, 2, 3], "whole numbers from 0 up, or -1"),
        (["a", "b", "c", "d"], "whole numbers from 0 up, or -1"),
        ([[0], [1, 2]], "labels"),
        ({"y": [0, 1, 2, 3]}, "'y'"),
    ],
)
def test_wrong_labels_are_told(labels, words):
    with pytest.raises(RequestError) as told:
        bb.explain(lambda x: x.sum(axis=1), ROW["x"], features=labels)
    assert words in str(told.value) or "input" in str(told.value)


def test_labels_of_height_and_width_serve_all_channels():
    features = from_labels(np.array([[0, 1], [1, -1]]), {"x": np.zeros((3, 2, 2))})
    assert features.labels["x"].shape == (3, 2, 2)
    assert (features.labels["x"][0] == features.labels["x"][2]).all()


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((8, 8), (0, 1)), ((3, 8, 8), (1, 2)), ((8, 8, 3), (0, 1)), ((8,), None), ((5, 8, 8), None)],
)
def test_the_spatial_axes_are_found(shape, axes):
    assert picture_axes(shape) == axes


@pytest.mark.parametrize("size", [(7, 7), (28, 28), (10, 3)])
def test_patches_differ_by_one_pixel_at_the_most_per_side(size):
    labels, names = patches(size, 3, 3)
    counts = np.bincount(labels.ravel())
    assert len(names) == 9 == len(counts)
    sides = [-(-size[0] // 3) * -(-size[1] // 3), (size[0] // 3) * (size[1] // 3)]
    assert sides[1] <= counts.min() <= counts.max() <= sides[0]


@pytest.mark.parametrize("grid", [(0, 1), (9, 1), (1, 9), (-1, 1)])
def test_a_grid_that_does_not_fit_is_told(grid):
    with pytest.raises(RequestError, match="does not fit a picture of 8 x 8 pixels"):
        patches((8, 8), *grid)


@pytest.mark.parametrize("shape", [(12, 12), (3, 12, 12), (12, 12, 3)])
def test_superpixels_are_connected_and_follow_a_strong_edge(shape):
    from scipy.ndimage import label

    picture = np.zeros(shape)
    np.moveaxis(picture, picture_axes(shape)[1], 0)[6:] = 9
    labels, names = superpixels(picture, 4, compactness=0.1)
    plane = labels.reshape(12, 12)
    assert len(names) == plane.max() + 1
    assert all(label(plane == k)[1] == 1 for k in range(plane.max() + 1))
    assert not set(plane[:, :6].ravel()) & set(plane[:, 6:].ravel())


def test_superpixels_of_an_even_picture_still_number_every_pixel():
    labels, names = superpixels(np.zeros((6, 6)), 4)
    assert sorted(set(labels.ravel())) == list(range(len(names)))
    for wrong in (0, 37):
        with pytest.raises(RequestError, match="between 1 and 36"):
            superpixels(np.zeros((6, 6)), wrong)
