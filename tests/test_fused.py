"""Hiding inside the graph gives what filled rows give: every layout, scale and number of targets."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto as Kind
from onnx import helper, numpy_helper

import blackbox as bb
from blackbox.model import Hiding, Readout
from blackbox.score import Ledger, Score
from blackbox_adapters.onnx.binding import Kept
from blackbox_adapters.onnx.fusing import Layout
from blackbox_adapters.onnx.played import Played, Plays

MODELS = Path(__file__).parents[1] / "sample_models"
RNG = np.random.default_rng(5)
SCALES = ("raw", "probability", "logit", "log-probability")


def pair(path, **options):
    """The same file, hiding in its graph and by filled rows."""
    return [bb.open_model(path, "cpu", {"fuse": fuse, **options}) for fuse in (True, False)]


def both(path, x, method, **more):
    options = more.pop("options", {})
    found = [bb.explain(model, x, method, **more) for model in pair(path, **options)]
    assert found[0].provenance["hiding"] == "in the graph"
    assert found[1].provenance["hiding"] == "rows filled by NumPy: as asked"
    return found


def agree(a, b, tolerance=1e-6):
    size = max(1.0, float(np.abs(b.values).max()))
    np.testing.assert_allclose(a.values, b.values, atol=tolerance * size)
    np.testing.assert_allclose(a.base_values, b.base_values, atol=tolerance * size)
    assert (a.rows, a.outcome) == (b.rows, b.outcome)
    assert a.provenance["calls"] == b.provenance["calls"]


def save(path, nodes, inputs, outputs, weights=None, opset=19, extra=()):
    ends = [[helper.make_tensor_value_info(*one) for one in group] for group in (inputs, outputs)]
    tensors = [numpy_helper.from_array(np.asarray(a), n) for n, a in (weights or {}).items()]
    graph = helper.make_graph([helper.make_node(*n[:3], **n[3]) for n in nodes], "g", *ends, tensors)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(*one) for one in extra)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return path


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("target", [None, [0, 2]])
def test_every_scale_of_logits_is_read_in_the_graph_as_outside(scale, target):
    few = np.load(MODELS / "digits" / "background.npy")[:7, :, :3, :3].reshape(7, -1)[:, :3]
    a, b = both(MODELS / "toys" / "softmax.onnx", [1.0, 0.5, -1.0], "kernelshap", scale=scale, target=target,
                background=few, options={"kind": "logits"})  # fmt: skip
    agree(a, b, 1e-9)


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_of_probabilities_is_read_in_the_graph_as_outside(scale):
    folder = MODELS / "credit"
    rows = np.loadtxt(folder / "background.csv", delimiter=",", skiprows=1, dtype=np.float32)[:40]
    # log-odds differ in their last bits by the way they are read; a descent of hyper-parameters enlarges that
    method = bb.KernelShap(budget=200, estimator="leverage")
    a, b = both(folder / "credit.onnx", rows[3], method, scale=scale, target=[0, 1], background=rows)
    agree(a, b, 1e-8)
    # the second interval reads the scores per background row, which the graph gives as well
    np.testing.assert_allclose(a.details["background_half_widths"], b.details["background_half_widths"], rtol=1e-5, atol=1e-8)


def test_patches_of_a_picture_are_spread_in_the_graph():
    x = RNG.random((1, 28, 28)).astype(np.float32)
    labels = bb.features.patches(x.shape, 7, 7)[0]
    for background in (None, RNG.random((3, 1, 28, 28)).astype(np.float32)):
        a, b = both(MODELS / "digits" / "cnn28.onnx", x, bb.KernelShap(budget=300), features=labels, background=background)
        agree(a, b)


def test_channels_share_one_row_of_the_spreading_matrix():
    labels = np.broadcast_to(np.arange(4).reshape(1, 2, 2), (3, 2, 2))
    layout = Layout.of(Hiding({"x": np.zeros((3, 2, 2))}, {"x": labels}, {}), Readout("y", (0,), "raw", "values"))
    assert layout.parts[0].spread == (1, 2, 2)


def test_groups_of_columns_and_cells_that_are_never_hidden(tmp_path):
    path = save(tmp_path / "m.onnx", [("MatMul", ["x", "w"], ["y"], {})], [("x", Kind.FLOAT, ["n", 6])],
                [("y", Kind.FLOAT, ["n", 2])], {"w": RNG.normal(size=(6, 2)).astype(np.float32)})  # fmt: skip
    for labels in ([0, 0, 1, 2, 2, 1], [-1, 0, 1, -1, 2, 3], [3, 2, 1, 0, 5, 4]):
        for method in ("occlusion", "kernelshap", "sis"):
            a, b = both(path, RNG.normal(size=6), method, features=np.array(labels), background=RNG.normal(size=(5, 6)))
            agree(a, b)


def test_several_inputs_of_several_types_and_one_that_is_never_hidden(tmp_path):
    nodes = [
        ("Cast", ["ids"], ["f"], {"to": Kind.FLOAT}), ("ReduceSum", ["f", "axes"], ["s"], {"keepdims": 1}),
        ("Cast", ["half"], ["h"], {"to": Kind.FLOAT}), ("MatMul", ["h", "w"], ["t"], {}),
        ("Mul", ["s", "t"], ["p"], {}), ("Add", ["p", "scale"], ["y"], {}),
    ]  # fmt: skip
    inputs = [("ids", Kind.INT64, ["n", 3]), ("half", Kind.FLOAT16, ["n", 2]), ("scale", Kind.DOUBLE, ["n", 1])]
    nodes.insert(4, ("Cast", ["scale"], ["scale32"], {"to": Kind.FLOAT}))
    nodes[-1] = ("Add", ["p", "scale32"], ["y"], {})
    path = save(tmp_path / "m.onnx", nodes, inputs, [("y", Kind.FLOAT, ["n", 1])],
                {"w": np.array([[1.5], [-2.0]], np.float32), "axes": np.array([1])})  # fmt: skip
    x = {"ids": [3, 1, 2], "half": [0.5, 2.0], "scale": [7.0]}
    background = {"ids": [[0, 0, 0], [1, 1, 1]], "half": [[0.0, 0.25], [1.0, 1.0]], "scale": [[0.0], [1.0]]}
    agree(*both(path, x, "kernelshap", background=background))
    labels = {"ids": np.array([0, 1, 2]), "half": np.array([3, 3]), "scale": np.array([-1])}
    agree(*both(path, x, "kernelshap", background=background, features=labels))


@pytest.mark.parametrize("opset", [13, 17, 18, 21, 22])
def test_old_and_new_opsets_are_fused_alike(tmp_path, opset):
    path = save(tmp_path / "m.onnx", [("Softmax", ["x"], ["y"], {"axis": 1})], [("x", Kind.FLOAT, ["n", 4])],
                [("y", Kind.FLOAT, ["n", 4])], opset=opset)  # fmt: skip
    for scale in SCALES:
        agree(*both(path, [1.0, 2.0, 0.5, -1.0], "kernelshap", scale=scale, background=RNG.normal(size=(9, 4))), 1e-8)


def test_trees_of_an_old_opset_are_fused_and_a_changed_operator_is_not(tmp_path):
    rows = np.loadtxt(MODELS / "breast_cancer" / "background.csv", delimiter=",", skiprows=1, dtype=np.float32)
    agree(*both(MODELS / "breast_cancer" / "forest.onnx", rows[0], bb.KernelShap(budget=80), background=rows[1:20]))
    path = save(tmp_path / "m.onnx", [("Softmax", ["x"], ["y"], {"axis": 1})], [("x", Kind.FLOAT, ["n", 4])],
                [("y", Kind.FLOAT, ["n", 4])], opset=11)  # fmt: skip
    found = bb.explain(pair(path)[0], [1.0, 2.0, 0.5, -1.0], "occlusion")
    assert found.provenance["hiding"] == "rows filled by NumPy: the opset is below 13"


def test_class_maps_and_joined_outputs_are_read_as_their_tables(tmp_path):
    each = helper.make_map_type_proto(Kind.INT64, helper.make_tensor_type_proto(Kind.FLOAT, None))
    nodes = [helper.make_node("Softmax", ["x"], ["p"], axis=1),
             helper.make_node("ZipMap", ["p"], ["z"], domain="ai.onnx.ml", classlabels_int64s=[4, 5, 6])]  # fmt: skip
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", Kind.FLOAT, ["n", 3])],
                              [helper.make_value_info("z", helper.make_sequence_type_proto(each))])  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(tmp_path / "z.onnx"))
    agree(*both(tmp_path / "z.onnx", [1.0, 0.0, 2.0], "kernelshap", background=RNG.normal(size=(4, 3))))
    nodes = [("Split", ["x"], ["a", "b", "c"], {"axis": 1, "num_outputs": 3})]
    outputs = [(name, Kind.FLOAT, ["n", 1]) for name in "abc"]
    path = save(tmp_path / "j.onnx", nodes, [("x", Kind.FLOAT, ["n", 3])], outputs)
    asked = {"output": "c,a"}
    agree(*both(path, [1.0, 0.0, 2.0], "kernelshap", target=[0, 1], background=RNG.normal(size=(4, 3)), options=asked))


def test_weights_in_another_file_are_found_by_the_fused_graph(tmp_path):
    path = save(tmp_path / "m.onnx", [("MatMul", ["x", "w"], ["y"], {})], [("x", Kind.FLOAT, ["n", 2])],
                [("y", Kind.FLOAT, ["n", 1])], {"w": np.array([[2.0], [3.0]], np.float32)})  # fmt: skip
    model = onnx.load(str(path))
    onnx.external_data_helper.convert_model_to_external_data(model, location="w.bin", size_threshold=0)
    onnx.save(model, str(path))
    assert (tmp_path / "w.bin").is_file()
    a, b = both(path, [1.0, 1.0], "kernelshap", background=[[0.0, 0.5], [0.5, 0.0]])
    agree(a, b)
    assert a.values.tolist() == [1.5, 2.25]


def test_constants_travel_with_every_pass(tmp_path):
    path = save(tmp_path / "m.onnx", [("Mul", ["x", "rate"], ["y"], {})],
                [("x", Kind.FLOAT, ["n", 2]), ("rate", Kind.FLOAT, [])], [("y", Kind.FLOAT, ["n", 2])])  # fmt: skip
    a, b = both(path, [1.0, 2.0], "kernelshap", target=[0, 1], background=RNG.normal(size=(3, 2)), options={"constants": {"rate": 4.0}})
    agree(a, b)


def test_another_case_and_another_target_need_no_other_session():
    model = bb.open_model(MODELS / "toys" / "softmax.onnx", "cpu", {"fuse": True})
    for x in ([1.0, 0.5, -1.0], [0.0, 2.0, 1.0]):
        for target in (0, 1, [0, 2]):
            bb.explain(model, x, "kernelshap", target=target, background=np.eye(3))
    assert len(model.fusing.sessions) == 1


def test_a_nan_is_named_as_filled_rows_name_it():
    fused, plain = pair(MODELS / "toys" / "nan.onnx")
    told = []
    for model in (fused, plain):
        with pytest.raises(bb.ModelError, match="returned nan in output 'y'") as caught:
            bb.explain(model, [0.75, 1.0], "occlusion")
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_a_nan_in_a_column_that_is_not_asked_is_named_too(tmp_path):
    nodes = [("Log", ["x"], ["l"], {}), ("Concat", ["x", "l"], ["y"], {"axis": 1})]
    path = save(tmp_path / "m.onnx", nodes, [("x", Kind.FLOAT, ["n", 1])], [("y", Kind.FLOAT, ["n", 2])])
    for model in pair(path):
        with pytest.raises(bb.ModelError, match="a NaN or infinity"):
            bb.explain(model, [1.0], "occlusion", target=0)


def test_an_infinite_score_is_named_and_a_floored_one_counted(tmp_path):
    path = save(tmp_path / "m.onnx", [("Concat", ["x", "x"], ["y"], {"axis": 1})], [("x", Kind.FLOAT, ["n", 1])],
                [("y", Kind.FLOAT, ["n", 2])])  # fmt: skip
    kind = {"kind": "probabilities"}
    for model in pair(path, **kind):
        with pytest.raises(bb.ModelError, match="infinite on the logit scale"):
            bb.explain(model, [0.5], "occlusion", target=0, scale="logit")
    found = [bb.explain(m, [0.5], "occlusion", target=0, scale="log-probability") for m in pair(path, **kind)]
    floored = [e.provenance["scores_at_least_logarithm"] for e in found]
    assert floored[0] == floored[1] > 0


def test_the_budget_stops_a_pass_before_it_is_made():
    model = bb.open_model(MODELS / "toys" / "linear.onnx", "cpu", {"fuse": True})
    case = bb.api.case(model, [1.0, 2.0, 3.0, 4.0], background=np.eye(4), ledger=Ledger(most=10))
    with pytest.raises(bb.RequestError, match="row budget of 10"):
        case.explain(bb.KernelShap(), None, None, 0)
    assert case.ledger.rows <= 10


def test_where_it_cannot_be_rows_are_filled_and_the_record_says_why():
    model = bb.open_model(MODELS / "toys" / "fixed3.onnx", "cpu", {"fuse": True})
    found = bb.explain(model, [1.0, 2.0, 3.0, 4.0], "occlusion")
    assert found.provenance["hiding"] == "rows filled by NumPy: the batch is fixed"
    assert json.loads(found.to_json())["provenance"]["hiding"] == found.provenance["hiding"]


def test_on_a_cpu_rows_are_filled_unless_the_graph_is_asked_for():
    found = bb.explain(bb.open_model(MODELS / "toys" / "linear.onnx", "cpu"), [1.0, 2.0, 3.0, 4.0], background=np.eye(4))
    assert "on a CPU" in found.provenance["hiding"]


def test_bound_arrays_give_the_same_answers_and_are_copied_once():
    model = bb.open_model(MODELS / "toys" / "softmax.onnx", "cpu", {"fuse": True})
    case = bb.api.case(model, [1.0, 0.5, -1.0], background=np.eye(3))
    game = case.game([0, 1], "raw")
    playing = game.fused.hide.run
    bound = Kept.of(playing.kept.session, playing.kept.stays, "cpu", bound=True)
    masks = RNG.random((20, 3)) < 0.5
    feeds, names = {f"{playing.prefix}masks": masks}, [f"{playing.prefix}scores", f"{playing.prefix}apart"]
    for a, b in zip(bound.run(feeds, names), playing.kept.run(feeds, names), strict=True):
        assert np.array_equal(a, b)
    assert isinstance(game.score, Score)


def test_on_a_device_every_pass_has_one_shape_and_the_padding_is_thrown_away():
    """Played here by a model that says it is on a GPU; that a GPU then answers with equal bits is not shown."""
    path, x = MODELS / "toys" / "softmax.onnx", np.array([1.0, 0.5, -1.0], np.float32)
    plain = bb.open_model(path, "cpu", {"fuse": True, "batch_size": 12})
    elsewhere = dataclasses.replace(plain, identity=dataclasses.replace(plain.identity, device="cuda:0"))
    seen = []

    class Watched:
        def run(self, outputs, feeds):
            seen.append(len(next(iter(feeds.values()))))
            return plain.session.run(outputs, feeds)

    padded = dataclasses.replace(elsewhere, session=Watched())
    for count in (1, 5, 12):
        rows = {"x": np.tile(x, (count, 1))}
        (name,) = plain.predict(rows)
        np.testing.assert_array_equal(padded.predict(rows)[name], plain.predict(rows)[name])
    assert seen == [12, 12, 12]
    game = bb.api.case(plain, x, background=np.eye(3)).game(0, "log-probability")
    run, masks = game.fused.hide.run, RNG.random((10, 3)) < 0.5
    even = dataclasses.replace(run, even=4)
    for apart in (False, True):
        (a,), (b,) = run([(masks, apart)]), even([(masks, apart)])
        np.testing.assert_array_equal(a.scores, b.scores)
        assert a.apart is None or np.array_equal(a.apart, b.apart)


def test_what_is_kept_for_layouts_and_grids_is_bounded():
    model = bb.open_model(Path(__file__).parent / "corpus" / "graphs" / "symbolic-picture.onnx", "cpu", {"fuse": True})
    for side in range(6, 18):
        x = RNG.random((3, side, side)).astype(np.float32)
        labels = bb.features.patches(x.shape, 2, 2)[0]
        for _ in range(2):
            assert bb.explain(model, x, "occlusion", features=labels).provenance["hiding"] == "in the graph"
    assert len(model.fusing.sessions) == 8
    assert len(model.fusing.matrices) == 4


def test_a_confined_process_keeps_so_many_bytes_and_is_sent_the_rest_again(monkeypatch):
    monkeypatch.setattr("blackbox_adapters.onnx.played.MOST_BYTES", 200)
    model = bb.open_model(MODELS / "toys" / "softmax.onnx", "cpu", {"fuse": True})
    plays = Plays()

    def tell(question, arrays):
        return (plays.hide(model.hide, question, arrays), {}) if question["verb"] == "hide" else plays.play(question, arrays)

    several = []
    for k in range(4):
        hiding = Hiding({"x": np.full(3, k, np.float32)}, {"x": np.arange(3)}, {"x": np.eye(3, dtype=np.float32)})
        several.append(Played(tell, hiding, Readout(model.signature.answer, (0,), "raw", "logits"), 300.0))
        assert several[-1].begin()
    assert len(plays.runs) < 4
    masks = np.array([[True, False, True]])
    for k, played in enumerate(several):
        (expected,) = model.hide(played.hiding, played.readout).run([(masks, False)])
        (found,) = played([(masks, False)])
        np.testing.assert_array_equal(found.scores, expected.scores, err_msg=str(k))


def test_seven_rows_a_pass_give_what_all_at_once_give():
    rows = RNG.normal(size=(3, 4))
    found = [
        bb.explain(bb.open_model(MODELS / "toys" / "linear.onnx", "cpu", {"fuse": True, "batch_size": size}),
                   [1.0, 2.0, 3.0, 4.0], "kernelshap", background=rows)
        for size in (1, 7, 64)
    ]  # fmt: skip
    for other in found[1:]:
        np.testing.assert_allclose(found[0].values, other.values, atol=1e-6)
        assert found[0].rows == other.rows


def test_several_passes_give_what_they_give_one_by_one_in_any_number_of_hands():
    model = bb.open_model(MODELS / "toys" / "softmax.onnx", "cpu", {"fuse": True})
    run = bb.api.case(model, [1.0, 0.5, -1.0], background=np.eye(3)).game([0, 1], "raw").fused.hide.run
    passes = [(RNG.random((count, 3)) < 0.5, apart) for count, apart in ((5, True), (1, False), (8, True), (3, False))]
    wanted = [run([each])[0] for each in passes]
    sent, plays = [], Plays()

    def tell(question, arrays):
        sent.append(question["verb"])
        return (plays.hide(model.hide, question, arrays), {}) if question["verb"] == "hide" else plays.play(question, arrays)

    hiding = Hiding({"x": np.array([1.0, 0.5, -1.0], np.float32)}, {"x": np.arange(3)}, {"x": np.eye(3, dtype=np.float32)})
    played = Played(tell, hiding, Readout(model.signature.answer, (0, 1), "raw", "logits"), 300.0)
    assert played.begin()
    played(passes[:1])  # how long a pass takes is known from now on
    sent.clear()
    for many in (run, dataclasses.replace(run, ahead=2), played):
        for a, b in zip(many(passes), wanted, strict=True):
            np.testing.assert_array_equal(a.scores, b.scores)
            assert (a.finite, a.floored, a.apart is None) == (b.finite, b.floored, b.apart is None)
            assert a.apart is None or np.array_equal(a.apart, b.apart)
    assert sent == ["play"]  # the masks of all passes crossed at once


def test_passes_cross_one_by_one_where_each_takes_a_large_part_of_the_deadline():
    hiding = Hiding({"x": np.zeros(2)}, {"x": np.arange(2)}, {"x": np.zeros((1, 2))})
    sent = []

    def tell(question, arrays):
        sent.append(len(question["passes"]))
        time.sleep(0.01)
        return {"floored": [0] * sent[-1], "finite": [True] * sent[-1]}, {"scores": np.zeros((len(arrays["masks"]), 1))}

    played = Played(tell, hiding, Readout("y", (0,), "raw", "values"), 0.3, 1)
    assert len(played([(np.ones((4, 2), bool), False)] * 5)) == 5
    assert sent == [1] * 5


def test_where_rows_may_run_out_passes_are_made_one_by_one():
    model = bb.open_model(MODELS / "toys" / "softmax.onnx", "cpu", {"fuse": True, "batch_size": 3})
    for most, expected in ((None, [4]), (30, [1] * 4)):
        case = bb.api.case(model, [1.0, 0.5, -1.0], background=np.eye(3), ledger=Ledger(most=most))
        game, seen = case.game(0, "raw"), []
        run = game.fused.hide.run
        game.fused.hide.__dict__["run"] = lambda passes, run=run, seen=seen: seen.append(len(passes)) or run(passes)
        game(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], bool))
        assert seen == expected


@pytest.fixture(scope="module")
def confined():
    if sys.platform != "linux":
        pytest.skip("the sandbox is proven on Linux only")
    return bb.open_model(MODELS / "credit" / "credit.onnx", "cpu", {"fuse": True, "sandbox": True, "threads": 1})


def credit_rows(count):
    return np.loadtxt(MODELS / "credit" / "background.csv", delimiter=",", skiprows=1, dtype=np.float32)[:count]


def test_masks_cross_to_a_confined_process_and_only_scores_come_back(confined):
    rows, asked = credit_rows(12), []
    custody = confined.custody
    inside = bb.open_model(MODELS / "credit" / "credit.onnx", "cpu", {"fuse": True, "threads": 1})
    a, b = (bb.explain(m, rows[0], bb.KernelShap(budget=100), target=[0, 1], background=rows) for m in (confined, inside))
    agree(a, b, 1e-12)
    assert a.provenance["hiding"] == "in the graph"
    game = bb.api.case(confined, rows[0], background=rows).game([0, 1], "raw")
    played = game.fused.hide.run
    played.tell = lambda question, arrays: asked.append((question["verb"], sum(a.nbytes for a in arrays.values()))) or custody.ask(question, arrays)
    masks = RNG.random((300, 27)) < 0.5
    first = played([(masks, False)])[0].scores
    assert asked == [("play", masks.nbytes)]
    np.testing.assert_allclose(first, bb.api.case(inside, rows[0], background=rows).game([0, 1], "raw")(masks), atol=1e-12)


def test_a_confined_process_that_was_replaced_is_sent_the_case_again(confined):
    rows = credit_rows(5)
    game = bb.api.case(confined, rows[0], background=rows).game(0, "raw")
    masks = RNG.random((9, 27)) < 0.5
    (before,) = game.fused.hide.run([(masks, True)])
    confined.custody.child.watch.process.kill()
    with pytest.raises(bb.ModelError):
        game.fused.hide.run([(masks, True)])
    (after,) = game.fused.hide.run([(masks, True)])
    assert np.array_equal(before.scores, after.scores)
    assert np.array_equal(before.apart, after.apart)


@pytest.mark.parametrize(
    "answer",
    [({}, {}), ({"floored": [0], "finite": [True]}, {"scores": np.zeros((3, 2))}),
     ({"floored": [-1], "finite": [True]}, {"scores": np.zeros((4, 1))}),
     ({"floored": [0], "finite": [True]}, {"scores": np.zeros((4, 1), np.float32)}),
     ({"floored": [0, 0], "finite": [True, True]}, {"scores": np.zeros((4, 1))}),
     ({"floored": 0, "finite": True}, {"scores": np.zeros((4, 1))}),
     ({"floored": [0], "finite": [True]}, {"scores": np.zeros((4, 1)), "more": np.zeros((4, 1))})],
)  # fmt: skip
def test_what_is_no_score_is_not_taken_from_a_confined_process(answer):
    hiding = Hiding({"x": np.zeros(2)}, {"x": np.arange(2)}, {"x": np.zeros((1, 2))})
    played = Played(lambda question, arrays: answer, hiding, Readout("y", (0,), "raw", "values"), 300.0, 1)
    with pytest.raises(bb.ModelError, match="not trusted"):
        played([(np.ones((4, 2), bool), False)])
