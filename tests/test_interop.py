"""Explanations in other people's hands: shap's plots, data frames, lists and notebooks."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

import blackbox as bb

X = np.array([2.0, 3.0, -1.0])
ROWS = np.random.default_rng(0).normal(size=(12, 3))


def f(rows):
    rows = rows.astype(float)
    return rows[:, 0] * rows[:, 1] + rows[:, 2]


@pytest.fixture
def shap_and_figures():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shap and matplotlib disagree about what is deprecated
        import matplotlib as mpl

        mpl.use("Agg")
        import matplotlib.pyplot as plt
        import shap

        yield shap, plt
        plt.close("all")


@pytest.mark.parametrize("plot", ["waterfall", "bar", "decision", "force"])
def test_shaps_plots_of_one_row_draw(shap_and_figures, plot):
    shap, plt = shap_and_figures
    one = bb.explain(f, X).to_shap()
    if plot == "decision":
        shap.plots.decision(one.base_values, one.values, feature_names=one.feature_names, show=False)
    elif plot == "force":
        shap.plots.force(one.base_values, one.values, one.feature_names, matplotlib=True, show=False)
    else:
        getattr(shap.plots, plot)(one, show=False)
    assert plt.get_fignums()


@pytest.mark.parametrize("plot", ["beeswarm", "bar", "heatmap", "violin", "scatter"])
def test_shaps_plots_of_many_rows_draw(shap_and_figures, plot):
    shap, plt = shap_and_figures
    many = bb.stack(bb.explain_many(f, ROWS)).to_shap()
    assert many.values.shape == many.data.shape == (12, 3)
    getattr(shap.plots, plot)(many[:, 0] if plot == "scatter" else many, show=False)
    assert plt.get_fignums()


def test_shaps_image_plot_draws(shap_and_figures):
    shap, plt = shap_and_figures
    picture = np.random.default_rng(0).random((4, 5))
    found = bb.explain(lambda r: r.reshape(len(r), -1).sum(axis=1), picture, "occlusion")
    shap.image_plot(found.values.reshape(1, 4, 5, 1), picture.reshape(1, 4, 5, 1), show=False)
    assert plt.get_fignums()


def test_shaps_text_plot_draws(shap_and_figures):
    shap, _ = shap_and_figures
    one = bb.explain(f, X).to_shap()
    words = shap.Explanation(one.values, one.base_values, np.array(["good ", "not ", "bad "], dtype=object))
    assert "good" in shap.plots.text(words, display=False)


def test_a_data_frame_has_a_line_per_feature_and_target():
    pytest.importorskip("pandas")
    found = bb.explain(lambda r: np.stack([f(r), -f(r)], axis=1), X, target=[0, 1], scale="raw")
    table = found.to_dataframe()
    assert list(table.columns) == ["feature", "target", "data", "value", "lower", "upper"]
    assert len(table) == 6
    assert_allclose(table["value"].to_numpy().reshape(3, 2), found.values)
    assert table["target"].tolist() == ["0", "1"] * 3
    many = bb.stack(bb.explain_many(f, ROWS)).to_dataframe()
    assert many["row"].tolist() == [i for i in range(12) for _ in range(3)]


def test_a_list_is_sorted_by_size():
    found = bb.explain(lambda r: r.astype(float) @ np.array([1.0, -5, 2]), np.ones(3))
    assert [name for name, _ in found.as_list()] == ["x1", "x2", "x0"]
    assert_allclose([value for _, value in found.as_list()], [-5, 2, 1])


def test_a_notebook_shows_an_escaped_table_with_intervals():
    found = bb.explain(
        f, X, features=bb.Features({"input": np.arange(3)}, ("<b>", "y", "z")), method=bb.KernelShap()
    )
    page = found._repr_html_()
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "[3, 3]" in page
    assert str(found.outcome) in page


def test_what_does_not_belong_together_is_not_stacked():
    with pytest.raises(bb.RequestError, match="no explanations"):
        bb.stack([])
    with pytest.raises(bb.RequestError, match="same features"):
        bb.stack([bb.explain(f, X), bb.explain(lambda r: r[:, 0], [1.0])])
