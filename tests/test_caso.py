"""CASO against analytic derivatives and the dense-Hessian twin, and where there are none.

Tolerances. A gradient by central differences at 3 % of a column's size misses by h^2/6 f''' (about
1.5e-4 relative here) and, on float32, by noise/h (1e-6 / 0.03, about 3e-5): 1e-3 covers both. An
eigenvalue by second differences at 10 % misses by h^2-terms of about 0.3 % and by noise/h^2 (1e-6 /
0.01 = 1e-4, several times that for small Hessians): 2 %. Quadratics have no truncation error.
"""

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal
from toys import FACTS, MODELS, TOYS, Counted, TanhNetwork, constant, stump

import blackbox as bb
from blackbox.model import Identity, Limits, Signature, Tensor, open_model

TOY = {toy.name: toy for toy in TOYS}
QUADRATICS = [TOY["quadratic"], TOY["quadratic_indefinite"], TOY["product"], TOY["xor"]]


def cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def relative(found, expected):
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def agrees(found, gradient, hessian, lambda1, lambda2):
    """Gradient, eigenvalue, delta and objective are those of the loss with these derivatives."""
    details, largest = found.details, np.linalg.eigvalsh(hessian)[-1]
    assert found.outcome is bb.Outcome.DONE
    assert relative(details["gradient"], gradient) <= 1e-3
    assert details["largest_eigenvalue"] == pytest.approx(largest, rel=0.02, abs=1e-3)
    assert details["quadratic"] == pytest.approx(details["largest_eigenvalue"] + lambda2)
    expected = reference.caso_sparse(gradient, hessian, lambda1, lambda2)
    assert cosine(details["delta"], expected) >= 0.999
    assert relative(details["delta"], expected) <= 0.03
    assert_array_equal(found.values, -details["delta"])
    w = largest + lambda2
    objective = gradient @ expected + expected @ hessian @ expected / 2
    objective -= lambda1 * np.abs(expected).sum() + w / 2 * expected @ expected
    assert details["objective"] == pytest.approx(objective, rel=0.03)


# quadratics: the loss is minus the output, so g = -(Ax + b) and H = -A


@pytest.mark.parametrize("toy", QUADRATICS, ids=lambda toy: toy.name)
@pytest.mark.parametrize("lambda2", [0.5, 2.0, 20.0])
def test_on_quadratics_the_closed_form_is_found(toy, lambda2):
    method = bb.Caso(lambda2=lambda2, tolerance=1e-6, iterations=1000)
    found = bb.explain(toy.f, toy.x, method)
    agrees(found, -toy.gradient, -toy.hessian, 0.0, lambda2)
    expected = reference.caso_closed_form(-toy.gradient, -toy.hessian, lambda2)
    assert_allclose(found.details["delta"], expected, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize("toy", QUADRATICS, ids=lambda toy: toy.name)
def test_the_onnx_quadratics_agree_within_float32(toy):
    model = open_model(toy.file, device="cpu")
    found = bb.explain(model, toy.x, bb.Caso(lambda2=2.0))
    agrees(found, -toy.gradient, -toy.hessian, 0.0, 2.0)


@pytest.mark.parametrize("toy", QUADRATICS[:2], ids=lambda toy: toy.name)
@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_an_l1_norm_gives_the_sparse_optimum_of_the_twin(toy, share):
    lambda1 = share * np.abs(toy.gradient).max()
    method = bb.Caso(lambda1=lambda1, lambda2=2.0, tolerance=1e-7, iterations=1000)
    found = bb.explain(toy.f, toy.x, method)
    expected = reference.caso_sparse(-toy.gradient, -toy.hessian, lambda1, 2.0)
    assert (expected == 0).any()
    assert_array_equal(found.details["delta"] == 0, expected == 0)
    agrees(found, -toy.gradient, -toy.hessian, lambda1, 2.0)


def test_an_l1_norm_above_every_slope_leaves_nothing():
    toy = TOY["quadratic"]
    found = bb.explain(toy.f, toy.x, bb.Caso(lambda1=2 * np.abs(toy.gradient).max()))
    assert_array_equal(found.values, 0)
    assert found.outcome is bb.Outcome.DONE


def test_more_l1_norm_is_sparser():
    toy = TOY["quadratic"]
    kept = [
        np.count_nonzero(bb.explain(toy.f, toy.x, bb.Caso(lambda1=l1, lambda2=1.0)).values)
        for l1 in (0.0, 0.7, 1.5, 5.0)
    ]
    assert kept == sorted(kept, reverse=True)
    assert kept[0] == 3 > kept[-1]


@pytest.mark.parametrize("toy", [TOY["quadratic"], TOY["quadratic_indefinite"]], ids=lambda toy: toy.name)
def test_too_few_iterations_are_reported(toy):
    found = bb.explain(toy.f, toy.x, bb.Caso(lambda1=0.1, lambda2=0.1, iterations=2, tolerance=1e-9))
    assert found.outcome is bb.Outcome.NOT_CONVERGED
    assert found.details["iterations"] == 2
    assert np.isfinite(found.values).all()


@pytest.mark.parametrize("step", [0.01, 1.0, 100.0])
def test_the_first_step_does_not_change_the_solution(step):
    toy = TOY["quadratic_indefinite"]
    method = bb.Caso(lambda2=2.0, step=step, tolerance=1e-7, iterations=3000)
    found = bb.explain(toy.f, toy.x, method)
    assert_allclose(
        found.details["delta"],
        reference.caso_closed_form(-toy.gradient, -toy.hessian, 2.0),
        rtol=1e-2,
        atol=1e-3,
    )


def test_a_linear_model_gives_its_weights_over_lambda2():
    found = bb.explain(TOY["linear"].f, [1.0, 2, 3, 4], bb.Caso(lambda2=4.0))
    assert_allclose(found.values, np.array([1, 2, 0, -1]) / 4, atol=1e-3)
    assert found.details["largest_eigenvalue"] == pytest.approx(0, abs=1e-2)


# smooth networks


POINTS = [np.array([1.0, -1, 0.5]), np.array([-0.5, 2.0, 1.0]), np.array([0.3, 0.4, -0.6])]


@pytest.mark.parametrize("x", POINTS, ids=str)
@pytest.mark.parametrize("source", ["numpy", "onnx"])
@pytest.mark.parametrize("lambda1", [0.0, 0.05])
def test_on_the_published_tanh_network_the_dense_hessian_agrees(x, source, lambda1):
    network = TanhNetwork.published()
    model = network if source == "numpy" else open_model(MODELS / "toys" / "softmax.onnx", device="cpu")
    y = int(network(x[None])[0].argmax())
    gradient, hessian = network.loss_derivatives(x, y)
    found = bb.explain(model, x, bb.Caso(lambda1=lambda1, lambda2=1.0, tolerance=1e-5))
    assert (found.scale, found.provenance["targets"]) == ("log-probability", [y])
    agrees(found, gradient, hessian, lambda1, 1.0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("target", [0, 2])
def test_on_drawn_networks_the_dense_hessian_agrees(seed, target):
    # logits with slopes of about 1 and curvatures below 2: the default steps are short against them
    network = TanhNetwork.drawn(8, 16, 5, seed, steepness=0.4)
    x, gradient, hessian = at_a_point(network, seed, target)
    found = bb.explain(network, x, bb.Caso(lambda2=1.0), target=target)
    agrees(found, gradient, hessian, 0.0, 1.0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("target", [0, 2])
def test_on_steep_networks_a_shorter_curvature_step_agrees(seed, target):
    # curvatures up to 9: at the default 0.1 the eigenvalue misses by up to 5 %, a tenth of it at 0.03
    network = TanhNetwork.drawn(8, 16, 5, seed)
    x, gradient, hessian = at_a_point(network, seed, target)
    method = bb.Caso(lambda2=1.0, gradient_step=0.01, curvature_step=0.03)
    agrees(bb.explain(network, x, method, target=target), gradient, hessian, 0.0, 1.0)


def at_a_point(network, seed, target):
    x = np.random.default_rng(100 + seed).uniform(0.5, 1.5, size=8).astype(np.float32).astype(float)
    return x, *network.loss_derivatives(x, target)


def test_the_stated_derivatives_of_the_network_are_those_of_its_loss():
    network, x, h, eye = TanhNetwork.drawn(4, 6, 3, 9), np.array([0.3, -1, 0.5, 2]), 1e-4, np.eye(4)
    gradient, hessian = network.loss_derivatives(x, 1)

    def loss(point):
        logits = network(point[None])[0]
        return np.log(np.exp(logits).sum()) - logits[1]

    assert_allclose([(loss(x + h * e) - loss(x - h * e)) / (2 * h) for e in eye], gradient, atol=1e-7)
    slopes = [
        network.loss_derivatives(x + h * e, 1)[0] - network.loss_derivatives(x - h * e, 1)[0] for e in eye
    ]
    assert_allclose(np.array(slopes) / (2 * h), hessian, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "stated"),
    [(name, one) for name in FACTS if name not in ("constant", "stump") for one in FACTS[name]["cases"]],
    ids=lambda given: given if isinstance(given, str) else str(given["x"]),
)  # fmt: skip
def test_the_stated_gradients_of_the_onnx_toys_are_found(model, stated):
    opened = open_model(MODELS / "toys" / f"{model}.onnx", device="cpu")
    for target, gradient in enumerate(stated["gradient"]):
        found = bb.explain(opened, stated["x"], "caso", target=target, scale="raw")
        assert found.outcome is bb.Outcome.DONE
        # the loss is minus the output
        assert_allclose(found.details["gradient"], -np.array(gradient), atol=1e-3 * np.abs(gradient).max())


# flat models


def flat(found):
    assert found.outcome is bb.Outcome.FLAT
    assert np.isnan(found.values).all()
    assert not {"delta", "gradient", "objective"} & set(found.details)
    back = bb.Explanation.from_json(found.to_json())
    assert np.isnan(back.values).all()
    assert back.outcome is bb.Outcome.FLAT


@pytest.mark.parametrize("x", [[1.0, 3.0], [1.0, 1.0], [0.0, 3.0], [0.5, 2.0], [0.51, 2.01], [0.49, 1.99]])
@pytest.mark.parametrize("source", [stump, MODELS / "toys" / "stump.onnx"], ids=["numpy", "onnx"])
def test_a_stump_is_flat_wherever_it_is_asked(source, x):
    flat(bb.explain(source, x, "caso"))


@pytest.mark.parametrize("source", [constant, MODELS / "toys" / "constant.onnx"], ids=["numpy", "onnx"])
def test_a_constant_is_flat(source):
    flat(bb.explain(source, [1.0, 2.0, 3.0], "caso"))


def test_a_saturated_classifier_is_flat():
    flat(bb.explain(lambda rows: np.stack([rows[:, 0] * 0 + 60, rows[:, 0] * 0], axis=1), [1.0, 2.0], "caso"))


@pytest.mark.parametrize("height", [0.1, 1e-3, 1e-4, 4e-5])
def test_a_staircase_is_flat_however_low_its_steps(height):
    # as in a forest of many trees: one tree of a thousand changes its mind within the step
    flat(bb.explain(lambda rows: 0.5 + height * (rows[:, 0] > 1.02) + 0 * rows[:, 1], [1.0, 2.0], "caso"))


def patients():
    folder = MODELS / "breast_cancer"
    rows = np.genfromtxt(folder / "patients.csv", delimiter=",", skip_header=1)[:, 1:]
    return rows, np.genfromtxt(folder / "background.csv", delimiter=",", skip_header=1)


FOREST = MODELS / "breast_cancer" / "forest.onnx"


@pytest.mark.parametrize("row", range(0, 30, 3))
@pytest.mark.parametrize("unit", ["input", "deviation"])
def test_a_forest_is_flat_at_every_patient(row, unit):
    rows, background = patients()
    flat(bb.explain(FOREST, rows[row], bb.Caso(unit=unit), background=background))


@pytest.mark.parametrize("scale", ["raw", "probability"])
def test_a_forest_is_flat_at_every_patient_on_scales_that_are_always_finite(scale):
    rows, background = patients()
    model = open_model(FOREST, device="cpu")
    assert len(rows) == 30
    for row in rows:
        flat(bb.explain(model, row, "caso", scale=scale, background=background))


def test_a_forest_is_flat_at_every_patient_without_its_background():
    model = open_model(FOREST, device="cpu")
    for row in patients()[0]:
        flat(bb.explain(model, row, "caso", scale="probability"))


def test_derivatives_need_no_score_of_the_background():
    # the background's probability of class 0 is exactly 0, so its log-probability is infinite
    def f(rows):
        p = np.where(rows[:, 0] > 0, 1 / (1 + np.exp(-rows[:, 0].astype(float))), 0.0)
        return np.stack([p, 1 - p], axis=1)

    found = bb.explain(f, [1.0, 2.0], bb.Caso(lambda2=1.0))
    assert found.outcome is bb.Outcome.DONE
    # g = -(1 - p), H = p (1 - p): D = g / lambda2
    assert_allclose(found.values, [1 / (1 + np.e), 0], atol=1e-3)


@pytest.mark.parametrize("step", [0.01, 0.1, 0.3])
def test_a_forest_is_flat_at_other_steps_too(step):
    rows, background = patients()
    flat(bb.explain(FOREST, rows[4], bb.Caso(gradient_step=step), background=background))


@pytest.mark.parametrize("step", [0.01, 0.03, 0.05, 0.1])
def test_a_smooth_model_is_not_called_flat_where_most_features_are_at_their_extremes(step):
    # x1 and x2 stand at the top of a parabola; the slope along x0 is 1 all the same
    def f(rows):
        rows = rows.astype(float)
        return rows[:, 0] - rows[:, 1] ** 2 - rows[:, 2] ** 2

    found = bb.explain(f, [1.0, 0.0, 0.0], bb.Caso(lambda2=2.0, gradient_step=step))
    assert found.outcome is bb.Outcome.DONE
    assert_allclose(found.details["gradient"], [-1, 0, 0], atol=1e-3)


@pytest.mark.parametrize("offset", [0.0, 1.0, 100.0])
def test_one_slope_among_many_features_without_any_effect_is_found(offset):
    def f(rows):
        return rows[:, 7].astype(float) * 2 + offset

    found = bb.explain(f, np.ones(20), bb.Caso(lambda2=2.0))
    assert found.outcome is bb.Outcome.DONE
    assert_allclose(found.values, np.eye(20)[7], atol=1e-3)


# units, groups and inputs


def test_one_hot_groups_are_held_fixed():
    weights = np.array([2.0, -1.0, 5.0, 5.0, 1.0])
    f = Counted(lambda rows: (rows.astype(float) * weights).sum(axis=1))
    labels = np.array([0, 1, 2, 2, 3])
    found = bb.explain(f, [1.0, 1, 0, 1, 2], bb.Caso(lambda2=1.0), features=labels)
    assert found.details["fixed"] == [2]
    assert_allclose(found.values, [2, -1, 0, 1], atol=1e-3)
    moved = f.rows[1:]  # row 0 is the input; the base hides the group
    away = ~np.isin(moved[:, 2:4], [0, 1]).all(axis=1)
    assert not away.any()
    assert (moved[:, 3] == 0).sum() == 1


def test_only_groups_leave_nothing_to_move():
    with pytest.raises(bb.RequestError, match="single columns"):
        bb.explain(lambda rows: rows.sum(axis=1), np.ones(4), "caso", features=np.array([0, 0, 1, 1]))


def test_patches_of_a_picture_move_together():
    weights = np.arange(16.0).reshape(4, 4)
    labels = np.array([[0, 0, 1, 1]] * 2 + [[2, 2, 3, 3]] * 2)
    found = bb.explain(
        lambda rows: (rows.astype(float) * weights).sum(axis=(1, 2)), np.ones((4, 4)), bb.Caso(lambda2=1.0),
        features=labels,
    )  # fmt: skip
    assert_allclose(found.values, [weights[labels == k].sum() for k in range(4)], rtol=1e-3)


def test_deviation_units_are_those_of_standardised_columns():
    toy = TOY["quadratic_indefinite"]
    background = np.random.default_rng(0).normal(size=(40, 3)) * [0.5, 2.0, 1.0] + toy.x
    s = background.astype(np.float32).std(axis=0, dtype=float)
    found = bb.explain(toy.f, toy.x, bb.Caso(lambda2=2.0, unit="deviation"), background=background)
    agrees(found, -toy.gradient * s, -toy.hessian * np.outer(s, s), 0.0, 2.0)


def test_deviation_units_do_not_depend_on_the_units_of_the_columns():
    scale = np.array([1e4, 1e-3, 1.0])
    toy = TOY["quadratic"]
    background = np.random.default_rng(1).normal(size=(30, 3)) + toy.x
    plain = bb.explain(toy.f, toy.x, bb.Caso(unit="deviation"), background=background)
    other = bb.explain(
        lambda rows: toy.f(rows / scale),
        toy.x * scale,
        bb.Caso(unit="deviation"),
        background=background * scale,
    )
    assert_allclose(other.values, plain.values, rtol=1e-2, atol=1e-4)


def test_a_column_that_never_varies_is_held_fixed_in_deviation_units():
    background = np.array([[0.0, 5.0], [2.0, 5.0]])
    found = bb.explain(
        lambda rows: rows.astype(float).sum(axis=1), [1.0, 5.0], bb.Caso(unit="deviation", lambda2=1.0),
        background=background,
    )  # fmt: skip
    assert found.details["fixed"] == [1]
    assert_allclose(found.values, [1, 0], atol=1e-3)


def test_deviation_units_need_rows_that_vary():
    with pytest.raises(bb.RequestError, match="several different rows"):
        bb.explain(lambda rows: rows.sum(axis=1), [1.0, 2.0], bb.Caso(unit="deviation"))


def test_steps_follow_the_scale_of_every_column():
    f = Counted(lambda rows: rows.astype(float).sum(axis=1))
    background = np.array([[90.0, 0.0, 0.0], [110.0, 0.0, 0.0]])
    found = bb.explain(f, [100.0, -4.0, 0.0], bb.Caso(gradient_step=0.1, lambda2=1.0), background=background)
    # deviation 10 where there is one, else the value's own size, else 1
    assert_allclose(found.details["steps"], [1.0, 0.4, 0.1])
    assert {101.0, 99.0} <= set(np.round(f.rows[:, 0], 4).tolist())


def test_whole_number_inputs_are_refused_with_the_methods_that_would_do():
    digits = np.zeros((1, 3), dtype=np.int64)

    class Whole:
        signature = Signature(
            (Tensor("x", "int64", ("batch", 3)),), (Tensor("y", "float32", ("batch", 1)),), "y"
        )
        limits, identity = Limits(8), Identity("whole", {}, "python", "cpu")

        def predict(self, rows):
            return {"y": rows["x"].sum(axis=1).astype(np.float32)}

    with pytest.raises(bb.RequestError, match=r"int64.*occlusion, kernelshap, lime or sis"):
        bb.explain(Whole(), digits[0] + 1, "caso")


@pytest.mark.parametrize("size", [4, 5, 6, 7, 64])
def test_every_pair_that_is_subtracted_rides_in_one_call(size):
    toy = TOY["quadratic"]
    f = Counted(toy.f)
    bb.explain(open_model(f, options={"shape": (3,), "batch_size": size}), toy.x, "caso")
    slopes = f.batches[1]
    assert_allclose(slopes[0] + slopes[1], 2 * toy.x, atol=1e-6)
    assert_allclose(slopes[2] + slopes[3], 2 * toy.x, atol=1e-6)
    for batch in f.batches[1:-1]:
        moved = batch.astype(float) - toy.x
        far = np.abs(moved).max(axis=1) > 2e-4  # nearer ones measure the noise; the last one is the base
        assert all(np.isclose(moved, -move, atol=1e-6).all(axis=1).any() for move in moved[far])
    assert all(len(batch) <= size for batch in f.batches)


@pytest.mark.parametrize(
    "wrong",
    [{"lambda1": -1}, {"lambda2": 0}, {"unit": "pixels"}, {"gradient_step": 0}, {"curvature_step": -1},
     {"step": 0}, {"iterations": 0}, {"tolerance": 0}, {"sparsity": 0}, {"sparsity": 1.0}, {"sparsity": -0.1},
     {"lambda2": -1}, {"hessian": "newton"}, {"smooth": 0}, {"budget": 0}, {"input_range": (1, 0)}],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(bb.RequestError, match=next(iter(wrong))):
        bb.Caso(**wrong)
