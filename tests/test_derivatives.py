"""Derivatives through float32 ONNX Runtime against autograd in float64, and what they cost.

The references were made once by tests/derivatives/make.py; torch is not needed here. Steps and forms are
the engine's own choice. CASO is judged at lambda2 = 0.01 and 0.1 of the largest eigenvalue, where CAFO's own
cosine to the optimum is at most 0.9; elsewhere CAFO would pass too.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from toys import Counted

import blackbox as bb
from blackbox.api import case
from blackbox.derivatives import Asked, differentiate
from blackbox.hessians import CLOSED, DIFFERENCES, MIXED, decide, hessian
from blackbox.model import open_model
from blackbox.numerics.steps import KINKED, RESOLVED, STRAIGHT, Bend

HERE = Path(__file__).parent / "derivatives"
CREDIT = Path(__file__).parent.parent / "sample_models" / "credit"
SMOOTH = ("gelu", "tanh", "transformer")
NAMES = ("relu", "biasfree", *SMOOTH)
CASES = [(name, row) for name in NAMES for row in range(6)]
by_case = pytest.mark.parametrize(("name", "row"), CASES)


def cosine(a, b):
    return float(a.ravel() @ b.ravel() / (np.linalg.norm(a) * np.linalg.norm(b)))


def off(found, expected):
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


class Stored:
    """One reference: the model, an input in its shape, and the derivatives there."""

    def __init__(self, name, row):
        with np.load(HERE / f"{name}.npz") as stored:
            self.facts = {key: stored[key][row] for key in stored.files}
        self.model = open_model(HERE / f"{name}.onnx", device="cpu")
        self.x = self.facts["x"]
        self.g, self.h, self.j = (self.facts[key].astype(float) for key in ("g", "H", "J"))
        self.j = self.j.reshape(len(self.j), -1)
        self.top = float(np.linalg.eigvalsh(self.h)[-1])

    def differentiated(self):
        game = case(self.model, self.x).game(None, "log-probability")
        return differentiate(game, Asked(), np.random.default_rng(0))

    def objective(self, delta, lambda2):
        w = self.top + lambda2
        return self.g @ delta + delta @ self.h @ delta / 2 - w / 2 * delta @ delta

    def optimum(self, lambda2):
        return np.linalg.solve((self.top + lambda2) * np.eye(len(self.g)) - self.h, self.g)


@by_case
def test_gradient_and_jacobian_are_those_of_autograd(name, row):
    stored = Stored(name, row)
    found = stored.differentiated()
    least = 0.9999 if name in SMOOTH else 0.999
    assert cosine(found.gradient, stored.g) >= least
    assert cosine(found.jacobian, stored.j) >= least
    if name in SMOOTH:
        assert off(found.gradient, stored.g) <= 1e-3


@by_case
def test_products_with_the_hessian_are_those_of_autograd(name, row):
    stored = Stored(name, row)
    found = hessian(stored.differentiated(), "auto", lambda largest: 0.1 * largest, None, 1e-6)
    assert found.used == (DIFFERENCES if name in SMOOTH else CLOSED)
    leading = np.linalg.eigh(stored.h)[1][:, -1]
    vectors = [stored.g, leading]
    if name not in SMOOTH or len(stored.g) <= 32:  # else a random one lies mostly where nothing was asked
        vectors.append(np.random.default_rng(row).standard_normal(len(stored.g)))
    for vector in vectors:
        assert cosine(found.matrix(vector), stored.h @ vector) >= (0.999 if name in SMOOTH else 0.99)
    assert found.matrix.largest == pytest.approx(stored.top, rel=0.02)
    assert found.error <= 0.02


@by_case
def test_a_differenced_product_with_any_vector_is_that_of_autograd(name, row):
    if name not in SMOOTH:
        pytest.skip("second differences of a ReLU network are its kinks")
    from blackbox.hessians import _products
    from blackbox.numerics.curvature import closed_root

    stored = Stored(name, row)
    found = stored.differentiated()
    root = closed_root(found.jacobian, found.z)
    vector = np.random.default_rng(row).standard_normal(len(stored.g))
    for length in (0.0316, 0.01):
        product = root @ (root.T @ vector) + _products(found, vector, (length,))[0]
        assert cosine(product, stored.h @ vector) >= 0.999


JUDGED = [(name, row, share) for name, row in CASES for share in (0.01, 0.1)]


@pytest.mark.parametrize(("name", "row", "share"), JUDGED)
def test_caso_is_the_optimum_where_the_second_order_matters(name, row, share):
    stored = Stored(name, row)
    lambda2 = share * stored.top
    best = stored.optimum(lambda2)
    found = bb.explain(stored.model, stored.x, bb.Caso(lambda2=lambda2))
    assert found.outcome is bb.Outcome.DONE
    assert found.details["largest_eigenvalue"] == pytest.approx(stored.top, rel=0.02)
    if cosine(stored.g, best) > 0.9:
        pytest.skip("CAFO passes here too")
    assert cosine(found.details["delta"], best) >= 0.99
    assert stored.objective(found.details["delta"], lambda2) >= 0.98 * stored.objective(best, lambda2)
    cafo = bb.explain(stored.model, stored.x, bb.Cafo(lambda2=lambda2))
    assert cosine(cafo.details["delta"], best) <= 0.91


def test_the_second_order_matters_in_enough_of_the_judged_cases():
    count = dict.fromkeys(NAMES, 0)
    for name, row, share in JUDGED:
        stored = Stored(name, row)
        count[name] += cosine(stored.g, stored.optimum(share * stored.top)) <= 0.9
    assert all(number >= 3 for number in count.values()), count


def test_bounds_cover_the_true_derivatives():
    inside = {}
    for name, row in CASES:
        stored = Stored(name, row)
        found = bb.explain(stored.model, stored.x, "saliency")
        true = -stored.g
        covered = (found.lower_bounds <= true) & (true <= found.upper_bounds)
        inside.setdefault(name, []).append(covered.mean())
    assert all(np.mean(shares) >= 0.9 for shares in inside.values()), inside
    # and they are no excuse: half a width is a few per cent of the largest slope
    assert np.ptp([found.lower_bounds, found.upper_bounds], axis=0).max() / 2 <= 0.05 * np.abs(true).max()


def test_bounds_cover_the_solution_of_caso():
    shares = []
    for name, row in CASES:
        stored = Stored(name, row)
        found = bb.explain(stored.model, stored.x, bb.Caso(lambda2=0.1 * stored.top))
        true = -stored.optimum(0.1 * stored.top)
        shares.append(np.mean((found.lower_bounds <= true) & (true <= found.upper_bounds)))
    assert np.mean(shares) >= 0.9


@pytest.mark.parametrize("row", range(6))
def test_a_network_with_kinks_and_gates_abstains_and_bounds_what_it_left_out(row):
    stored = Stored("gated", row)
    found = bb.explain(stored.model, stored.x, bb.Caso(lambda2=0.1 * stored.top))
    assert found.outcome in (bb.Outcome.DONE, bb.Outcome.UNRESOLVED)
    details = found.details
    assert "Sigmoid" in details["hessian_reason"]
    error = abs(details["largest_eigenvalue"] / stored.top - 1)
    assert error <= max(details["hessian_error"], 0.02)
    if found.outcome is bb.Outcome.UNRESOLVED:
        assert details["hessian_error"] > 0.02
        assert "could not be told from the kinks" in details["hessian_reason"]


class Gated:
    """Two smooth gates on two ReLUs: a mixed graph whose kinks lie far from the input."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.w, self.v, self.u = rng.normal(size=(6, 6)), rng.normal(size=(6, 6)), rng.normal(size=(4, 6))
        self.signature = open_model(lambda rows: rows, options={"shape": (6,), "kind": "logits"}).signature
        self.limits = open_model(lambda rows: rows, options={"shape": (6,)}).limits
        self.identity = open_model(lambda rows: rows, options={"shape": (6,)}).identity
        self.traits = {"operators": ["Gemm(constant)", "Relu", "Sigmoid", "Mul"], "link": ""}

    def logits(self, rows):
        gate = 1 / (1 + np.exp(-rows @ self.v.T))
        return 2 * (np.maximum(rows @ self.w.T + 6 * np.sign(self.w.sum(axis=1)), 0) * gate) @ self.u.T

    def predict(self, rows):
        (array,) = rows.values()
        return {"output": self.logits(array.astype(float)).astype(np.float32)}


def test_a_mixed_network_gets_both_terms_where_they_can_be_told_apart():
    model, x = Gated(), np.full(6, 0.4)
    h, eye = 1e-4, np.eye(6)

    def loss(t):
        z = model.logits(t[None])[0]
        return np.logaddexp.reduce(z) - z.max()

    y = int(model.logits(x[None])[0].argmax())
    true = np.array([
        [loss(x + a + b) - loss(x + a - b) - loss(x - a + b) + loss(x - a - b) for a in h * eye]
        for b in h * eye
    ]) / (4 * h * h)  # fmt: skip
    top = np.linalg.eigvalsh(true)[-1]
    found = bb.explain(model, x, bb.Caso(lambda2=0.1 * top), target=y)
    assert (found.outcome, found.details["hessian"]) == (bb.Outcome.DONE, MIXED)
    assert found.details["largest_eigenvalue"] == pytest.approx(top, rel=0.005)
    closed = bb.explain(model, x, bb.Caso(lambda2=0.1 * top, hessian="closed-form"), target=y)
    assert abs(closed.details["largest_eigenvalue"] / top - 1) > 0.02


STRAIGHT_BEND, SMOOTH_BEND, KINKED_BEND = (Bend(v, 0.03, 1.0, 0.1) for v in (STRAIGHT, RESOLVED, KINKED))


@pytest.mark.parametrize(
    ("bend", "operators", "form"),
    [
        (SMOOTH_BEND, {"Relu", "Conv(constant)"}, CLOSED),
        (KINKED_BEND, {"Relu", "MaxPool"}, CLOSED),
        (SMOOTH_BEND, {"Clip", "Mul"}, MIXED),  # HardSwish
        (KINKED_BEND, {"Relu", "Sigmoid", "Mul"}, MIXED),
        (SMOOTH_BEND, {"Tanh"}, DIFFERENCES),
        (KINKED_BEND, {"Tanh"}, DIFFERENCES),  # by cancellation
        (STRAIGHT_BEND, {"Tanh"}, CLOSED),
        (SMOOTH_BEND, None, DIFFERENCES),
        (KINKED_BEND, None, CLOSED),
        (STRAIGHT_BEND, None, CLOSED),
    ],
)
def test_auto_decides_from_what_was_seen_and_from_the_graph(bend, operators, form):
    used, reason = decide(bend, None if operators is None else frozenset(operators))
    assert used == form
    assert reason


# cost


@pytest.mark.parametrize("row", range(6))
def test_caso_costs_one_jacobian_on_a_relu_network(row):
    stored = Stored("relu", row)
    found = bb.explain(stored.model, stored.x, bb.Caso(lambda2=0.1))
    assert found.rows <= 2 * 64 + 64
    forward = bb.explain(stored.model, stored.x, bb.Caso(lambda2=0.1, difference="forward"))
    assert forward.rows <= 64 + 64
    assert cosine(forward.details["gradient"], stored.g) >= 0.999
    naive = 122 * 64
    assert found.rows * 40 < naive


def test_sparsities_and_weights_cost_no_rows():
    stored = Stored("relu", 0)
    rows = {
        bb.explain(stored.model, stored.x, method).rows
        for method in (bb.Caso(), bb.Caso(sparsity=0.8), bb.Caso(lambda1=0.01, lambda2=1.0))
    }
    assert len(rows) == 1


def test_patches_of_a_large_picture_cost_at_most_456_rows():
    rng = np.random.default_rng(0)
    w = rng.normal(size=(16, 3 * 14 * 14)) / 24

    def f(rows):  # patch means through a network of ReLUs: what costs is the number of rows
        small = rows.reshape(len(rows), 3, 14, 16, 14, 16).mean(axis=(3, 5)).reshape(len(rows), -1)
        return np.maximum(small @ w.T, 0)[:, :8] - np.maximum(small @ w.T, 0)[:, 8:]

    counted = Counted(f)
    model = open_model(counted, options={"shape": (3, 224, 224), "kind": "logits", "batch_size": 8})
    found = bb.explain(model, rng.random((3, 224, 224)), bb.Caso(lambda2=0.1, hessian="closed-form"))
    assert found.rows == counted.count <= 2 * 196 + 64


# settings


def test_sparsity_leaves_the_wanted_share_at_zero():
    stored = Stored("relu", 0)
    for method in (bb.Caso(sparsity=0.75, lambda2=0.1), bb.Cafo(sparsity=0.75)):
        found = bb.explain(stored.model, stored.x, method)
        assert np.mean(found.values == 0) == pytest.approx(0.75, abs=1.5 / 64)
        assert found.details["lambda1"] > 0


def test_groups_of_pixels_are_selected_together():
    stored = Stored("relu", 0)
    groups = tuple((np.arange(64) // 4).tolist())
    found = bb.explain(stored.model, stored.x, bb.Caso(sparsity=0.5, lambda2=0.1, groups=groups))
    kept = (found.values.reshape(16, 4) != 0).any(axis=1)
    assert kept.sum() == 8
    assert ((found.values.reshape(16, 4) != 0).all(axis=1) == kept).all()
    with pytest.raises(bb.RequestError, match="one number per feature"):
        bb.explain(stored.model, stored.x, bb.Caso(groups=(0, 1)))


def test_smooth_averages_gradient_and_hessian_over_samples():
    stored = Stored("relu", 0)
    plain = bb.explain(stored.model, stored.x, bb.Caso(lambda2=0.1))
    none = bb.explain(stored.model, stored.x, bb.Caso(lambda2=0.1, smooth=4, smooth_width=1e-5))
    assert cosine(plain.values, none.values) > 0.999
    wide = bb.explain(stored.model, stored.x, bb.Caso(lambda2=0.1, smooth=8))
    assert cosine(plain.values, wide.values) < 0.999
    assert wide.rows == plain.rows + 8 * (2 * 64 + 1)


def test_low_frequencies_are_a_basis_and_come_back_in_pixels():
    stored = Stored("tanh", 0)
    found = bb.explain(stored.model, stored.x, bb.Saliency(frequencies=8))
    assert "8 x 8 cosines" in found.details["basis"]
    assert cosine(found.values, -stored.g) > 0.9999  # all frequencies: the whole gradient
    few = bb.explain(stored.model, stored.x, bb.Saliency(frequencies=3))
    assert few.rows < found.rows - 2 * 50
    assert 0.1 < cosine(few.values, -stored.g) < 0.99
    caso = bb.explain(stored.model, stored.x, bb.Caso(frequencies=3, lambda2=0.1))
    assert caso.values.shape == (64,)
    assert caso.outcome is bb.Outcome.DONE


def test_hessian_none_is_cafo():
    stored = Stored("tanh", 0)
    first = bb.explain(stored.model, stored.x, bb.Cafo(lambda2=2.0))
    none = bb.explain(stored.model, stored.x, bb.Caso(lambda2=2.0, hessian="none"))
    assert cosine(first.values, none.values) > 0.9999
    assert_allclose(first.values, -first.details["gradient"] / 2)
    assert "largest_eigenvalue" not in none.details


def test_details_say_when_the_second_order_matters():
    stored = Stored("tanh", 0)
    details = bb.explain(stored.model, stored.x, bb.Caso(lambda2=0.01 * stored.top)).details
    read = details["second_order"]
    values, vectors = np.linalg.eigh(stored.h)
    assert read["cosine"] == pytest.approx(abs(cosine(vectors[:, -1], stored.g)), abs=0.01)
    assert read["ratio"] == pytest.approx(values[-2] / values[-1], abs=0.02)
    p = np.exp(stored.facts["z"] - np.logaddexp.reduce(stored.facts["z"]))
    assert read["probability"] == pytest.approx(p[stored.facts["y"]], abs=1e-4)
    assert 0 < read["difference"] <= np.sqrt(2)
    assert "changes the direction (normalised difference" in details["second_order_text"]


# outcomes and refusals


def test_a_saturated_probability_asks_for_logits():
    def f(rows):
        p = 1 / (1 + np.exp(-30 - rows[:, 0].astype(float)))
        return np.stack([p, 1 - p], axis=1).astype(np.float32)

    found = bb.explain(f, [1.0, 2.0], "caso", target=0)
    assert found.outcome in (bb.Outcome.SATURATED, bb.Outcome.FLAT)
    assert np.isnan(found.values).all()

    def three(rows):
        z = np.stack([20 + rows[:, 0], rows[:, 1], -rows[:, 0]], axis=1).astype(float)
        return np.exp(z - np.logaddexp.reduce(z, axis=1)[:, None])

    found = bb.explain(three, [1.0, 2.0], "caso", target=0)
    assert found.outcome is bb.Outcome.SATURATED
    assert "logits" in str(found.outcome)
    logits = bb.explain(lambda rows: np.log(three(rows)), [1.0, 2.0], bb.Caso(lambda2=1e-9), target=0)
    assert logits.outcome is bb.Outcome.DONE
    assert logits.values[0] > 0 > logits.values[1]


def test_rounded_inputs_are_flat_and_a_surrogate_may_be_asked():
    def f(rows):
        return np.round(rows.astype(float) * 4) @ np.array([1.0, -2.0])

    found = bb.explain(f, [1.0, 2.0], "caso")
    assert found.outcome is bb.Outcome.FLAT
    assert "occlusion" in str(found.outcome)
    smooth = bb.explain(f, [1.0, 2.0], bb.Saliency(surrogate=0.5))
    assert smooth.outcome is bb.Outcome.DONE
    assert "width 0.5" in smooth.details["surrogate"]
    assert_allclose(smooth.details["surrogate_width"], [0.5, 1.0])
    assert np.all((smooth.lower_bounds <= [4, -8]) & (smooth.upper_bounds >= [4, -8]))


def test_one_sigmoid_is_a_classifier_of_two_classes():
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=4), rng.normal(size=4)

    def f(rows):
        return 1 / (1 + np.exp(-(rows.astype(float) @ w)))

    model = open_model(f, options={"shape": (4,), "kind": "probabilities"})
    p = float(f(x.astype(np.float32)[None])[0])
    found = bb.explain(model, x, bb.Caso(lambda2=0.5))
    assert found.scale == "log-probability"
    assert_allclose(found.details["gradient"], -(1 - p) * w, rtol=1e-3)
    assert found.details["largest_eigenvalue"] == pytest.approx(p * (1 - p) * w @ w, rel=1e-2)
    assert found.details["second_order"]["cosine"] == pytest.approx(1, abs=1e-4)
    # H = p / (1 - p) g g': CASO is parallel to CAFO
    assert found.details["second_order"]["difference"] < 1e-2
    log_odds = open_model(lambda rows: rows.astype(float) @ w, options={"shape": (4,), "kind": "logits"})
    assert_allclose(bb.explain(log_odds, x, bb.Caso(lambda2=0.5)).values, found.values, rtol=1e-2)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (bb.Caso(input_range=(0, 1)), "outside the model's range 0 to 1"),
        (bb.Cafo(budget=50), "2 variables need 68 rows, more than the budget of 50"),
        (bb.SmoothGrad(budget=100), "need 148 rows"),
        (bb.Saliency(frequencies=2), "one picture"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_would_do(method, message):
    with pytest.raises(bb.RequestError, match=message):
        bb.explain(lambda rows: rows.sum(axis=1), [1.0, 2.0], method)


def test_a_target_that_is_no_class_is_refused():
    with pytest.raises(bb.RequestError, match="columns are 0 to 9"):
        bb.explain(Stored("relu", 0).model, Stored("relu", 0).x, "caso", target=10)


# the gradient family


def layered(rng, sizes):
    return [rng.normal(size=(a, b)) / np.sqrt(a) for a, b in pairwise(sizes)]


def lrp_zero(weights, x):
    """Relevance of the output, handed down in proportion to each contribution."""
    activations = [x]
    for w in weights[:-1]:
        activations.append(np.maximum(activations[-1] @ w, 0))
    relevance = activations[-1] @ weights[-1]
    for a, w in zip(reversed(activations), reversed(weights), strict=True):
        z = a @ w
        relevance = (a[:, None] * w) @ np.where(z != 0, relevance / np.where(z != 0, z, 1), 0)
    return relevance


@pytest.mark.parametrize("seed", range(5))
def test_gradient_times_input_is_lrp_zero_on_a_network_of_relus_without_biases(seed):
    rng = np.random.default_rng(seed)
    weights, x = layered(rng, (5, 16, 16, 1)), rng.normal(size=5).astype(np.float32).astype(float)

    def f(rows):
        a = rows.astype(float)
        for w in weights[:-1]:
            a = np.maximum(a @ w, 0)
        return (a @ weights[-1])[:, 0]

    expected = lrp_zero(weights, x)
    found = bb.explain(f, x, "gradient-x-input")
    assert found.details["homogeneous"]
    assert_allclose(found.values, expected, atol=2e-3 * np.abs(expected).max())
    assert found.values.sum() == pytest.approx(f(x[None])[0], rel=1e-2)
    along = bb.explain(f, x, "integrated-gradients")
    assert along.details["points"] == 1
    assert along.rows <= 2 * 5 + 67
    assert_allclose(along.values, expected, atol=2e-3 * np.abs(expected).max())
    assert abs(along.details["completeness_error"]) <= 1e-2 * abs(f(x[None])[0])


def test_a_trained_network_without_biases_is_found_homogeneous_and_one_with_them_is_not():
    stored = Stored("biasfree", 0)
    y = int(stored.facts["y"])
    found = bb.explain(stored.model, stored.x, "gradient-x-input", target=y, scale="raw")
    assert found.details["homogeneous"]
    assert_allclose(found.values, stored.j[y] * stored.x.ravel(), atol=5e-3 * np.abs(found.values).max())
    assert found.details["sum"] == pytest.approx(stored.facts["z"][y], rel=1e-2)
    other = Stored("relu", 0)
    assert not bb.explain(other.model, other.x, "gradient-x-input", scale="raw").details["homogeneous"]


@pytest.mark.parametrize("name", NAMES)
def test_integrated_gradients_report_their_completeness_error(name):
    stored = Stored(name, 0)
    found = bb.explain(stored.model, stored.x, bb.IntegratedGradients(points=24))
    details = found.details
    missing = found.values.sum() - (found.full_values - details["baseline_score"])
    assert details["completeness_error"] == pytest.approx(missing)
    way = abs(found.full_values - details["baseline_score"])
    assert abs(missing) <= (0.02 if name in SMOOTH else 0.3) * way


def test_smoothgrad_is_the_mean_of_gradients_and_is_reproducible():
    stored = Stored("tanh", 0)
    first, again = (bb.explain(stored.model, stored.x, bb.SmoothGrad(samples=6), seed=3) for _ in range(2))
    assert_array_equal(first.values, again.values)
    assert first.rows == bb.explain(stored.model, stored.x, "saliency").rows + 6 * (2 * 64 + 1)
    near = bb.explain(stored.model, stored.x, bb.SmoothGrad(samples=6, width=1e-6))
    assert cosine(near.values, -stored.g) > 0.9999
    assert cosine(first.values, -stored.g) < 0.999


def test_a_confident_probability_is_not_taken_for_a_staircase():
    # 1 - p is rounded to 6e-8: on the log scale the rare class moves in steps that are not the model's
    model = open_model(CREDIT / "credit.onnx", device="cpu")
    rows = np.genfromtxt(CREDIT / "applicants.csv", delimiter=",", skip_header=1)[:, 1:]
    background = np.genfromtxt(CREDIT / "background.csv", delimiter=",", skip_header=1)
    for seed in range(3):
        for row in rows[:12]:
            found = bb.explain(model, row, bb.Caso(unit="deviation"), background=background, seed=seed)
            assert found.outcome is bb.Outcome.DONE
