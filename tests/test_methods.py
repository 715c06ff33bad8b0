"""What is true of every method: hand answers, symmetries, costs, seeds and records."""

import dataclasses
import json
import subprocess
import sys
from itertools import product as pairs
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reference import TWINS, Question, shapley_of_game
from toys import FACTS, MODELS, TOYS, Counted, TwoInputs, linear, product, quadratic, total

import blackbox as bb
from blackbox.api import case
from blackbox.model import open_model
from blackbox.numerics import links
from blackbox.score import Ledger

TOY = {toy.name: toy for toy in TOYS}
DERIVATIVES = {"cafo", "caso", "saliency", "gradient-x-input", "smoothgrad", "integrated-gradients"}
HIDING = [name for name in bb.METHODS if name not in DERIVATIVES]
ONNX = [toy for toy in TOYS if toy.file.exists()]
by_method = pytest.mark.parametrize("name", bb.METHODS)
by_toy = pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)


class Draws:
    """A generator that draws given masks, so that two plays (or a twin) share one design."""

    def __init__(self, masks, seed=0):
        self.masks = masks
        self.rng = np.random.default_rng(seed)

    def random(self, shape):
        assert shape == self.masks.shape
        return np.where(self.masks, 0.25, 0.75)

    def uniform(self, *arguments):
        return self.rng.uniform(*arguments)

    def standard_normal(self, shape):
        return self.rng.standard_normal(shape)


def every_mask(d):
    """Full first, then every coalition twice: a design that is symmetric in the features."""
    return np.array([(True,) * d, *list(pairs((True, False), repeat=d)) * 2])


def asked(name, masks):
    """The settings under which a method and its twin answer the same question."""
    settings = {
        "lime": {"form": "masks", "samples": len(masks), "sampling": "lime"},
        "cafo": {"lambda2": 2.0},
        "caso": {"lambda2": 2.0},
        "smoothgrad": {"width": 1e-4},
        "rise": {"masks": len(masks)},
    }
    return bb.METHODS[name](**settings.get(name, {}))


def play(name, model, x, masks=None, method=None, features=None, background=None, options=None):
    """Play one game with the draws in our hands."""
    x = np.asarray(x, dtype=float)
    masks = every_mask(len(x)) if masks is None else masks
    if callable(model):
        model = open_model(model, options={"shape": x.shape, **(options or {})})
    else:
        model = open_model(model, device="cpu", options=options)
    method = method or asked(name, masks)
    game = case(model, x, features, background).game(None, method.scale)
    return method.explain(game, Draws(masks))


def settings_that_draw(name):
    """Small settings under which the methods that can draw do draw."""
    settings = {
        "lime": {"samples": 40},
        "kernelshap": {"budget": 14},
        "rise": {"masks": 40},
        "caso": {"lambda2": 2.0},
        "smoothgrad": {"samples": 3},
        "sis": {"threshold": "50%"},
    }
    return bb.METHODS[name](**settings.get(name, {}))


def mixed(rows):
    """Products of neighbours: six features, all of them interacting."""
    rows = rows.astype(float)
    return (rows[:, :-1] * rows[:, 1:]).sum(axis=1) + rows[:, 0]


SIX = np.array([1.0, 2, -1, 0.5, 3, 2])


def classes(rows):
    """Three columns that are no probabilities."""
    return np.stack([mixed(rows), total(rows), rows[:, 0] * 2.0 - 1], axis=1)


# answers


@by_toy
@by_method
def test_a_method_agrees_with_its_twin_on_a_python_function(name, toy):
    masks = every_mask(len(toy.x))
    found = play(name, toy.f, toy.x).values
    expected = TWINS[name](toy.question(masks=masks, settings={"lambda2": 2.0}))
    # caso differences a function whose rows are float32; everything else is arithmetic in float64
    assert_allclose(
        found, expected, rtol=2e-3 if name in DERIVATIVES else 0, atol=3e-3 if name in DERIVATIVES else 1e-9
    )


@pytest.mark.parametrize("toy", ONNX, ids=lambda toy: toy.name)
@by_method
def test_a_method_agrees_with_its_twin_on_the_onnx_file(name, toy):
    masks = every_mask(len(toy.x))
    found = play(name, toy.file, toy.x).values
    expected = TWINS[name](toy.question(masks=masks, settings={"lambda2": 2.0}))
    assert_allclose(
        found, expected, rtol=5e-3 if name in DERIVATIVES else 0, atol=5e-3 if name in DERIVATIVES else 1e-5
    )


@by_toy
def test_occlusion_kernelshap_and_sis_give_the_answers_done_by_hand(toy):
    def values(method):
        return bb.explain(toy.f, toy.x, method=method).values

    assert_allclose(values("occlusion"), toy.leave_one_out, atol=1e-12)
    assert_allclose(values("kernelshap"), toy.shapley, atol=1e-12)
    assert tuple(np.flatnonzero(values("sis"))) == toy.subset


@pytest.mark.parametrize(
    ("model", "stated"),
    [(model, stated) for model in FACTS for stated in FACTS[model]["cases"]],
    ids=lambda given: given if isinstance(given, str) else str(given["x"]),
)
def test_the_stated_facts_of_every_onnx_toy_are_found(model, stated):
    opened = open_model(MODELS / "toys" / f"{model}.onnx", device="cpu")
    targets = list(range(len(stated["y"])))
    for method, expected in (("kernelshap", "shapley"), ("occlusion", "leave_one_out")):
        found = bb.explain(opened, stated["x"], method, target=targets, scale="raw")
        values = found.values.reshape(len(stated["x"]), -1)
        assert_allclose(values.T, stated[expected], atol=2e-5)
        assert_allclose(np.atleast_1d(found.full_values), stated["y"], atol=1e-5)
        assert_allclose(np.atleast_1d(found.base_values), FACTS[model]["y_at_zero"], atol=1e-5)


# symmetries


@by_method
def test_permuting_the_features_permutes_the_values(name):
    order = np.array([2, 0, 3, 1])
    back = np.argsort(order)
    x, masks = np.array([1.0, 2, -3, 0.5]), every_mask(4)

    def f(rows):
        rows = rows.astype(float)
        return rows[:, 0] * rows[:, 1] - 2 * rows[:, 2] + rows[:, 3] ** 2

    plain = play(name, f, x, masks)
    moved = play(name, lambda rows: f(rows[:, back]), x[order], masks[:, order])
    assert np.ptp(plain.values) > 0
    assert_allclose(moved.values, plain.values[order], atol=2e-3 if name in DERIVATIVES else 1e-9)


@pytest.mark.parametrize("toy", [TOY["linear"], TOY["product"]], ids=lambda toy: toy.name)
@by_method
def test_a_dummy_feature_gets_zero(name, toy):
    if name in ("lime", "rise") and toy.name != "linear":
        pytest.skip("lime and rise promise it only where their linear model can be right")
    assert toy.x[2] != 0
    method = bb.Lime("masks", len(every_mask(4)), ridge=0.0, sampling="lime") if name == "lime" else None
    values = play(name, toy.f, toy.x, method=method).values
    assert np.any(values != 0)
    assert values[2] == pytest.approx(0, abs=1e-4 if name in DERIVATIVES else 1e-9)


@pytest.mark.parametrize("name", HIDING)
def test_a_feature_that_equals_the_background_gets_zero(name):
    method = bb.Lime("masks", len(every_mask(4)), ridge=0.0, sampling="lime") if name == "lime" else None
    values = play(name, total, [1.0, 0, 2, 3], method=method).values
    assert values[1] == pytest.approx(0, abs=1e-9)
    assert np.any(values != 0)


def mixed_four(rows):
    rows = rows.astype(float)
    return rows[:, 0] * rows[:, 2] + rows[:, 1] + rows[:, 3]


@pytest.mark.parametrize("name", [name for name in bb.METHODS if name != "sis"])
def test_duplicated_features_get_the_same_value(name):
    def f(rows):
        rows = rows.astype(float)
        return (rows[:, 0] + rows[:, 1]) ** 2 + rows[:, 0] * rows[:, 1] + rows[:, 2]

    values = play(name, f, [2.0, 2, 1]).values
    assert values[0] == pytest.approx(values[1], abs=2e-3 if name in DERIVATIVES else 1e-9)
    assert abs(values[0] - values[2]) > 1e-2


def test_of_duplicated_features_sis_gives_up_the_first():
    found = bb.explain(total, [2.0, 2, 1], bb.Sis(threshold=2))
    assert found.details["removal_order"][0] == [2, 0, 1]
    assert found.details["subsets"] == [[1], [0]]


def test_on_a_linear_model_occlusion_and_kernelshap_agree():
    rng = np.random.default_rng(3)
    w, x, background = rng.normal(size=7), rng.normal(size=7), rng.normal(size=(4, 7))

    def f(rows):
        return (rows.astype(float) * w).sum(axis=1)

    left_out = bb.explain(f, x, "occlusion", background=background).values
    exact = bb.explain(f, x, bb.KernelShap(), background=background)
    drawn = bb.explain(f, x, bb.KernelShap(budget=40), background=background)
    assert (exact.outcome, drawn.outcome) == (bb.Outcome.EXACT, bb.Outcome.SECOND_ORDER)
    x32, b32 = x.astype(np.float32).astype(float), background.astype(np.float32).astype(float)
    for values in (left_out, exact.values, drawn.values):
        assert_allclose(values, w * (x32 - b32.mean(axis=0)), atol=1e-9)


@pytest.mark.parametrize("budget", [None, 14])
def test_kernelshap_adds_up_to_full_minus_base(budget):
    found = bb.explain(mixed, SIX, bb.KernelShap(budget=budget), background=[SIX / 2, -SIX])
    assert found.values.sum() == pytest.approx(found.full_values - found.base_values, abs=1e-12)
    assert_allclose(found.details["residual"], 0, atol=1e-12)


# batches


@by_toy
@by_method
def test_on_toy_functions_batch_sizes_do_not_matter_at_all(name, toy):
    method = settings_that_draw(name) if len(toy.x) == 4 or name != "kernelshap" else bb.KernelShap()
    background = None if name in DERIVATIVES else np.array([toy.x / 2, toy.x * 0, toy.x - 1])
    found = []
    for size in (1, 7, 64):
        model = open_model(toy.f, options={"shape": toy.x.shape, "batch_size": size})
        one = bb.explain(model, toy.x, method, background=background)
        assert one.provenance["rows_per_run"] == size
        found.append(one)
    for other in found[1:]:
        assert_array_equal(other.values, found[0].values)
        assert (other.rows, other.outcome) == (found[0].rows, found[0].outcome)


@pytest.mark.parametrize("toy", ONNX, ids=lambda toy: toy.name)
@by_method
def test_on_onnx_models_batch_sizes_agree_to_one_in_a_million(name, toy):
    found = [play(name, toy.file, toy.x, options={"batch_size": size}).values for size in (1, 7, 64)]
    for other in found[1:]:
        assert_allclose(other, found[0], rtol=1e-6, atol=1e-6)


# targets and scales


@pytest.mark.parametrize("name", [n for n in bb.METHODS if not bb.METHODS[n].one_target])
@pytest.mark.parametrize("background", [None, np.array([SIX / 2, SIX * 0, SIX + 1])], ids=["zeros", "rows"])
def test_several_targets_in_one_call_equal_each_target_alone_and_cost_no_more(name, background):
    method = settings_that_draw(name)
    together = bb.explain(classes, SIX, method, target=[0, 2], background=background)
    assert together.values.shape == (6, 2)
    for column, target in enumerate((0, 2)):
        alone = bb.explain(classes, SIX, method, target=target, background=background)
        assert_allclose(together.values[:, column], alone.values, atol=1e-10)
        assert together.base_values[column] == alone.base_values
        assert together.full_values[column] == alone.full_values
        assert together.rows == alone.rows


@pytest.mark.parametrize("name", [n for n in bb.METHODS if bb.METHODS[n].one_target])
def test_methods_of_one_target_refuse_two_and_say_so(name):
    with pytest.raises(bb.RequestError, match=f"{name} explains one target"):
        bb.explain(classes, SIX, name, target=[0, 1])


@by_method
def test_the_default_target_is_the_predicted_class(name):
    predicted = int(classes(SIX[None])[0].argmax())
    found = bb.explain(classes, SIX, settings_that_draw(name))
    assert found.output_names == (str(predicted),)
    named = bb.explain(classes, SIX, settings_that_draw(name), target=predicted)
    assert_array_equal(found.values, named.values)


LOGITS = np.array([1.2, -0.3, 0.4])


def softmax(z):
    return np.exp(z) / np.exp(z).sum()


@pytest.mark.parametrize("given", ["logits", "probabilities"])
@pytest.mark.parametrize("scale", links.SCALES)
def test_every_scale_is_the_hand_formula_of_the_output(given, scale):
    p = softmax(LOGITS)
    answer = LOGITS if given == "logits" else p
    expected = {
        "raw": answer, "probability": p, "logit": np.log(p / (1 - p)), "log-probability": np.log(p),
    }[scale]  # fmt: skip
    found = bb.explain(
        lambda rows: np.tile(answer, (len(rows), 1)), [1.0, 2.0], "occlusion", target=[0, 1, 2], scale=scale
    )
    assert_allclose(found.full_values, expected, atol=1e-12)
    assert (found.scale, found.provenance["output_kind"]) == (scale, given)


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
@pytest.mark.parametrize("scale", links.SCALES)
@pytest.mark.parametrize("name", ["occlusion", "kernelshap"])
def test_the_score_is_averaged_over_the_background_after_the_scale(name, scale, kind):
    rng = np.random.default_rng(1)
    w, x, background = rng.normal(size=(3, 3)), rng.normal(size=3), rng.normal(size=(4, 3))
    x, background = (array.astype(np.float32).astype(float) for array in (x, background))

    def model(rows):
        logits = np.tanh(rows.astype(float) @ w) * 2
        return logits if kind == "logits" else np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    def v(kept):
        scores = []
        for row in background:
            out = model(np.array([[x[i] if i in kept else row[i] for i in range(3)]]))[0]
            p = softmax(out) if kind == "logits" else out
            scores.append({
                "raw": out, "probability": p, "logit": np.log(p / (1 - p)), "log-probability": np.log(p),
            }[scale][1])  # fmt: skip
        return np.mean(scores)

    found = bb.explain(model, x, name, target=1, scale=scale, background=background)
    everyone = frozenset(range(3))
    expected = {
        "occlusion": [v(everyone) - v(everyone - {i}) for i in range(3)],
        "kernelshap": shapley_of_game(v, 3),
    }[name]
    assert_allclose(found.values, expected, atol=1e-10)
    assert found.base_values == pytest.approx(v(frozenset()), abs=1e-12)


def test_sis_with_several_background_rows_takes_their_mean_score():
    x, background = np.array([2.0, 3.0]), np.array([[0.0, 0.0], [1.0, 4.0]])
    # only x1 kept: (0 + 1*3)/2 = 1.5; only x0: (0 + 2*4)/2 = 4; nothing: (0 + 4)/2 = 2; both: 6
    found = bb.explain(product, x, bb.Sis(threshold=3.5), background=background)
    assert (found.base_values, found.full_values) == (2, 6)
    assert found.details["removal_scores"] == [[4.0, 2.0]]
    assert found.details["subsets"] == [[0]]


# features and inputs


@by_method
def test_a_cell_labelled_minus_one_is_never_touched(name):
    x = np.array([1.0, 7.25, 2.0, 3.0])
    f = Counted(mixed_four)
    background = np.array([[0.0, 0, 0, 0], [1.0, 1, 1, 1], [2.0, 5, 3, 3]])
    found = bb.explain(
        f, x, settings_that_draw(name), features=np.array([0, -1, 1, 2]), background=background
    )
    assert found.values.shape == (3,)
    assert f.count > 3
    assert_array_equal(f.rows[:, 1], np.full(f.count, 7.25))
    assert np.ptp(f.rows[:, 0]) > 0


def test_lime_never_touches_a_cell_labelled_minus_one_in_its_mask_form_either():
    f = Counted(mixed_four)
    bb.explain(f, [1.0, 7.25, 2, 3], bb.Lime(form="masks", samples=50), features=np.array([0, -1, 1, 2]))
    assert_array_equal(f.rows[:, 1], np.full(f.count, 7.25))


@pytest.mark.parametrize("name", HIDING)
def test_cells_with_one_label_are_hidden_together(name):
    f = Counted(mixed_four)
    bb.explain(f, [1.0, 5.0, 2.0, 3.0], name, features=np.array([1, 0, 1, 0]), scale="raw")
    assert f.count >= 4
    assert_array_equal(f.rows[:, 0] == 0, f.rows[:, 2] == 0)
    assert_array_equal(f.rows[:, 1] == 0, f.rows[:, 3] == 0)


def test_groups_get_the_shapley_values_of_the_game_among_groups():
    x, labels = np.array([1.0, 5.0, 2.0, 3.0]), np.array([1, 0, 1, 2])

    def v(kept):
        return float(mixed_four(np.array([[x[i] if labels[i] in kept else 0 for i in range(4)]]))[0])

    for given in (labels, {"input": labels}, bb.Features({"input": labels}, ("a", "b", "c"))):
        found = bb.explain(mixed_four, x, features=given)
        assert_allclose(found.values, shapley_of_game(v, 3), atol=1e-12)
    assert found.feature_names == ("a", "b", "c")


@by_method
def test_a_model_of_two_inputs_is_asked_by_a_mapping(name):
    method = settings_that_draw(name) if name != "kernelshap" else bb.KernelShap()
    found = bb.explain(TwoInputs(), {"a": [2.0, 3.0], "b": [1.0]}, method)
    assert found.feature_names == ("a[0]", "a[1]", "b[0]")
    assert found.full_values == 9
    expected = {
        "occlusion": [6, 6, 3], "kernelshap": [3, 3, 3],
        # 50 % is 4.5: nothing but a0 and a1 together passes
        "sis": [1, 1, 0],
    }  # fmt: skip
    if name in expected:
        assert_allclose(found.values, expected[name], atol=1e-12)
    if name == "caso":
        assert_allclose(found.details["gradient"], [-3, -2, -3], rtol=1e-4)
    assert found.values.shape == (3,)


def test_lime_draws_the_columns_of_two_inputs_into_their_places():
    model, seen = TwoInputs(), []

    @dataclasses.dataclass(frozen=True)
    class Watched(TwoInputs):
        def predict(self, rows):
            seen.append({name: array.copy() for name, array in rows.items()})
            return model.predict(rows)

    background = {"a": [[10.0, 200.0], [11.0, 201.0]], "b": [[3000.0], [3001.0]]}
    bb.explain(Watched(), {"a": [12.0, 202.0], "b": [3002.0]}, bb.Lime(samples=30), background=background)
    a, b = (np.concatenate([rows[name] for rows in seen]) for name in "ab")
    assert len(a) >= 30
    assert np.all((a[:, 0] >= 10) & (a[:, 0] <= 12))
    assert np.all((a[:, 1] >= 200) & (a[:, 1] <= 202))
    assert np.all((b >= 3000) & (b <= 3002))


# seeds and records


@by_method
def test_equal_seeds_give_identical_json_and_the_seed_is_recorded(name):
    first, second = (bb.explain(mixed, SIX, settings_that_draw(name), seed=11).to_json() for _ in range(2))
    assert first == second
    assert json.loads(first)["seed"] == 11


@pytest.mark.parametrize("name", ["lime", "kernelshap"])
def test_another_seed_draws_something_else(name):
    def f(rows):
        return np.exp(mixed(rows) / 8)  # interactions of every order: nothing settles it early

    first, second = (bb.explain(f, SIX, settings_that_draw(name), seed=seed) for seed in (1, 2))
    assert np.abs(first.values - second.values).max() > 1e-9


def test_a_seed_of_none_is_drawn_recorded_and_repeats_the_answer():
    first = bb.explain(mixed, SIX, bb.Lime(samples=30), seed=None)
    again = bb.explain(mixed, SIX, bb.Lime(samples=30), seed=first.seed)
    assert first.to_json() == again.to_json()
    assert first.seed != bb.explain(mixed, SIX, "occlusion", seed=None).seed


def everything_as_json():
    """Every method on an ONNX toy and on a function; also run in another process."""
    onnx = open_model(MODELS / "toys" / "softmax.onnx", device="cpu")
    answers = [bb.explain(onnx, [1.0, -1, 0.5], name, scale="log-probability", seed=5) for name in bb.METHODS]
    answers += [bb.explain(mixed, SIX, settings_that_draw(name), seed=5) for name in bb.METHODS]
    return [answer.to_json() for answer in answers]


def test_another_process_gives_the_same_json():
    script = "import json, test_methods as t; print(json.dumps(t.everything_as_json()))"
    other = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    assert json.loads(other.stdout) == everything_as_json()


@by_method
def test_explaining_does_not_touch_numpys_global_random_state(name):
    np.random.seed(4)  # noqa: NPY002 - the global state is what is watched
    before = np.random.get_state()  # noqa: NPY002
    bb.explain(mixed, SIX, settings_that_draw(name), background=[SIX / 2, SIX * 0])
    after = np.random.get_state()  # noqa: NPY002
    assert before[2] == after[2]
    assert_array_equal(before[1], after[1])


def same(left, right):
    """Compare records field by field; arrays exactly, NaN equal to NaN."""
    for item in dataclasses.fields(bb.Explanation):
        a, b = getattr(left, item.name), getattr(right, item.name)
        if item.name in ("settings", "provenance", "details"):
            a, b = (json.loads(left.to_json())[item.name], json.loads(right.to_json())[item.name])
        if isinstance(a, np.ndarray):
            assert type(a) is type(b)
            assert a.dtype == b.dtype
            assert_array_equal(a, b, err_msg=item.name)
        else:
            assert a == b, item.name


@by_method
@pytest.mark.parametrize("f", [mixed, classes, total, lambda rows: np.full(len(rows), 0.5)],
                         ids=["mixed", "classes", "total", "constant"])  # fmt: skip
def test_a_record_survives_its_json(name, f):
    found = bb.explain(f, SIX, settings_that_draw(name), background=[SIX / 2, SIX * 0])
    back = bb.Explanation.from_json(found.to_json())
    same(found, back)
    assert back.to_json() == found.to_json()
    for key, value in found.details.items():
        if isinstance(value, np.ndarray):
            assert_array_equal(back.details[key], value)


@pytest.mark.parametrize("name", ["occlusion", "kernelshap", "lime"])
def test_a_record_of_several_targets_survives_its_json(name):
    found = bb.explain(classes, SIX, settings_that_draw(name), target=[2, 0])
    same(found, bb.Explanation.from_json(found.to_json()))


@by_method
def test_a_method_is_the_same_by_name_by_settings_and_by_mapping(name):
    from blackbox.methods import method

    by_name = bb.explain(mixed, SIX, name)
    by_object = bb.explain(mixed, SIX, bb.METHODS[name]())
    plain = dataclasses.asdict(bb.METHODS[name]())
    by_mapping = bb.explain(mixed, SIX, method(name, plain))
    assert by_name.to_json() == by_object.to_json() == by_mapping.to_json()
    assert by_name.method == name


@by_method
def test_an_unknown_setting_names_the_nearest_known_one(name):
    from blackbox.methods import method

    first = dataclasses.fields(bb.METHODS[name])[0].name
    with pytest.raises(bb.RequestError, match=f"Did you mean '{first}'"):
        method(name, {first + "s": 1})


# costs


@pytest.mark.parametrize("count", [1, 3])
def test_occlusion_costs_d_plus_2_masks(count):
    f = Counted(mixed)
    background = np.array([SIX / (2 + k) for k in range(count)])
    found = bb.explain(f, SIX, "occlusion", background=background)
    assert found.rows == f.count == (6 + 2) * count
    assert found.rows_shared == 0


@pytest.mark.parametrize("count", [1, 3])
def test_exact_kernelshap_costs_two_to_the_d_masks(count):
    f = Counted(mixed)
    background = np.array([SIX / (2 + k) for k in range(count)])
    found = bb.explain(f, SIX, "kernelshap", background=background)
    assert found.rows == f.count == 2**6 * count
    assert found.details["masks"] == 2**6 - 2


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("budget", [12, 13, 30, 61])
def test_drawn_kernelshap_costs_its_budget_and_two_masks_at_most(budget, count):
    f = Counted(lambda rows: np.exp(mixed(rows) / 8))
    background = np.array([SIX / (2 + k) for k in range(count)])
    found = bb.explain(f, SIX, bb.KernelShap(budget=budget), background=background)
    assert found.rows == f.count == (found.details["masks"] + 2) * count
    assert found.rows <= (budget + 2) * count
    assert found.outcome is bb.Outcome.DONE


@pytest.mark.parametrize("d", [1, 4, 7])
def test_one_sis_over_everything_costs_1_plus_half_d_times_d_plus_1_rows(d):
    f = Counted(total)
    x = np.arange(1.0, d + 1)
    found = bb.explain(f, x, bb.Sis(threshold=x.sum()))
    assert found.details["subsets"] == [list(range(d))[::-1]]
    assert found.rows == f.count == 1 + d * (d + 1) // 2


def test_asking_for_one_sis_costs_no_check_whether_there_is_another():
    f = Counted(total)
    found = bb.explain(f, [1.0, 2, 3, 4, 5], bb.Sis(threshold=8, max_subsets=1))
    assert found.details["subsets"] == [[4, 3]]
    assert found.rows == f.count == 1 + 5 * 6 // 2


@pytest.mark.parametrize("count", [1, 3])
def test_lime_costs_its_samples_and_no_mask_twice(count):
    f = Counted(mixed)
    background = np.array([SIX / (2 + k) for k in range(count)])
    found = bb.explain(f, SIX, bb.Lime(form="masks", samples=500, sampling="lime"), background=background)
    assert found.rows == f.count == 2**6 * count  # 500 draws of six bits meet all 64 masks
    f = Counted(mixed)
    found = bb.explain(f, SIX, bb.Lime(samples=500), background=np.concatenate([background, background + 1]))
    assert found.details["form"] == "table"
    assert found.rows == f.count == 500 + 2 * 2 * count  # and the base and the full score


@pytest.mark.parametrize("name", ["cafo", "saliency"])
@pytest.mark.parametrize("toy", [TOY["quadratic"], TOY["linear"], TOY["l2norm"]], ids=lambda toy: toy.name)
def test_one_jacobian_costs_2k_rows_and_55_probes_at_the_most(name, toy):
    f, k = Counted(toy.f), len(toy.x)
    found = bb.explain(toy_model(f, k), toy.x, name)
    probes = 7 + 16 * min(3, k)
    # the base and the full score come on top; rounded inputs may ask the noise again
    assert found.rows == f.count in (2 * k + probes + 2, 2 * k + probes + 2 + 6)
    assert found.rows <= 2 * k + 64


def toy_model(f, k):
    return open_model(f, options={"shape": (k,)})


def test_a_flat_model_costs_caso_its_probes_alone():
    f = Counted(TOY["constant"].f)
    found = bb.explain(f, [1.0, 2, 3], "caso")
    assert found.rows == f.count <= 7 + 48 + 6 + 2


@by_method
def test_several_rows_per_mask_are_counted_for_what_the_model_saw(name):
    f = Counted(mixed)
    found = bb.explain(f, SIX, settings_that_draw(name), background=[SIX / 2, SIX * 0])
    assert found.rows == f.count


@pytest.mark.parametrize(("first", "second"), list(pairs(bb.METHODS, bb.METHODS)))
def test_methods_on_one_case_share_rows_and_report_them(first, second):
    background = np.array([SIX / 2, SIX * 0])
    alone = bb.explain(mixed, SIX, settings_that_draw(second), background=background)
    f = Counted(mixed)
    model = open_model(f, options={"shape": (6,)})
    one = case(model, SIX, None, background)
    one.explain(settings_that_draw(first), None, "raw", 0)
    before = f.count
    found = one.explain(settings_that_draw(second), None, "raw", 0)
    assert found.rows == alone.rows
    assert found.rows_shared > 0
    assert f.count - before == found.rows - found.rows_shared
    assert_array_equal(found.values, alone.values)
    assert alone.rows_shared == 0


def test_asking_the_same_again_costs_nothing():
    f = Counted(mixed)
    one = case(open_model(f, options={"shape": (6,)}), SIX)
    first = one.explain(bb.KernelShap(), None, "raw", 0)
    before = f.count
    again = one.explain(bb.KernelShap(), None, "raw", 0)
    assert f.count == before
    assert again.rows == again.rows_shared == first.rows == 64


def test_another_scale_or_target_is_not_answered_from_memory():
    f = Counted(classes)
    one = case(open_model(f, options={"shape": (6,)}), SIX)
    raw = one.explain(bb.Occlusion(), 1, "raw", 0)
    log = one.explain(bb.Occlusion(), 1, "log-probability", 0)
    other = one.explain(bb.Occlusion(), 0, "raw", 0)
    assert_array_equal(log.values, bb.explain(classes, SIX, "occlusion", 1, "log-probability").values)
    assert_array_equal(other.values, bb.explain(classes, SIX, "occlusion", 0, "raw").values)
    assert np.abs(raw.values - log.values).max() > 0.1


@by_method
def test_a_row_budget_ends_the_question_before_it_is_exceeded(name):
    f = Counted(mixed)
    method = settings_that_draw(name)
    model = open_model(f, options={"shape": (6,), "batch_size": 4})
    with pytest.raises(bb.RequestError, match="row budget of 7"):
        case(model, SIX, ledger=Ledger(most=7)).explain(method, None, "raw", 0)
    assert f.count <= 7


def test_questions_and_quadratics_are_not_mutated_by_being_asked():
    x, background = np.array([1.0, -1, 2]), np.zeros((2, 3))
    for name in bb.METHODS:
        bb.explain(
            quadratic, x, settings_that_draw(name) if name != "kernelshap" else name, background=background
        )
    assert_array_equal(x, [1, -1, 2])
    assert_array_equal(background, np.zeros((2, 3)))


def test_a_twin_question_and_a_game_mean_the_same_by_hiding():
    q = Question(linear, np.array([1.0, 2, 3, 4]), np.array([[0.0, 1, 0, 1], [2.0, 0, 0, 0]]))
    found = bb.explain(linear, q.x, "occlusion", background=q.background)
    assert_allclose(found.values, TWINS["occlusion"](q), atol=1e-12)
