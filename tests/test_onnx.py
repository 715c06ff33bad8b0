"""The ONNX adapter: awkward graphs are answered, or refused with one sentence that says what to do."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto as Kind
from onnx import helper, numpy_helper

import blackbox as bb
from blackbox.errors import ModelError, RequestError

MODELS = Path(__file__).parents[1] / "sample_models"
LINEAR = MODELS / "toys" / "linear.onnx"
FLOAT, TEXT, INT = Kind.FLOAT, Kind.STRING, Kind.INT64

node = helper.make_node


def save_graph(path, nodes, inputs, outputs, weights=None):
    """Write a graph: inputs and outputs as (name, kind, shape), or ready-made value infos."""
    infos = [
        [helper.make_tensor_value_info(*one) if isinstance(one, tuple) else one for one in group]
        for group in (inputs, outputs)
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid("ai.onnx.ml", 3)]
    path.parent.mkdir(parents=True, exist_ok=True)
    graph = helper.make_graph(nodes, "g", *infos, tensors)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))
    return path


def zip_map(path, labels):
    """A classifier as scikit-learn exports it: the label first, then a sequence of mappings."""
    of_text = isinstance(labels[0], str)
    key = {"classlabels_strings": labels} if of_text else {"classlabels_int64s": labels}
    each = helper.make_map_type_proto(TEXT if of_text else INT, helper.make_tensor_type_proto(FLOAT, None))
    nodes = [
        node("Softmax", ["x"], ["p"], axis=1),
        node("ArgMax", ["x"], ["label"], axis=1, keepdims=0),
        node("ZipMap", ["p"], ["chances"], domain="ai.onnx.ml", **key),
    ]
    mapping = helper.make_value_info("chances", helper.make_sequence_type_proto(each))
    outputs = [("label", INT, ["n"]), mapping]
    return save_graph(path, nodes, [("x", FLOAT, ["n", len(labels)])], outputs)


def cast(path, kind, shape=("n", 2)):
    return save_graph(path, [node("Cast", ["x"], ["y"], to=FLOAT)], [("x", kind, list(shape))],
                      [("y", FLOAT, list(shape))])  # fmt: skip


def add(path, *shapes):
    inputs = [(name, FLOAT, shape) for name, shape in zip("ab", shapes, strict=True)]
    return save_graph(path, [node("Add", ["a", "b"], ["y"])], inputs, [("y", FLOAT, shapes[0])])


def test_the_signature_is_what_the_graph_declares():
    signature = bb.open_model(MODELS / "credit" / "credit.onnx").signature
    assert [(t.name, t.dtype, t.cell_shape) for t in signature.inputs] == [("applicant", "float32", (27,))]
    assert [t.name for t in signature.outputs] == ["label", "probabilities"]
    assert signature.answer == "probabilities"
    assert signature.output("probabilities").labels == ("declined", "approved")
    assert signature.kind is None
    free = bb.open_model(LINEAR).signature.inputs[0].shape[0]
    assert not isinstance(free, int)


def test_the_identity_names_the_bytes_the_runtime_and_the_device_that_really_answered():
    model = bb.open_model(LINEAR, device="cpu")
    assert model.identity.sha256 == {"linear.onnx": hashlib.sha256(LINEAR.read_bytes()).hexdigest()}
    assert model.identity.runtime.startswith("onnxruntime ")
    assert model.identity.device == "cpu"
    assert model.session.get_providers() == model.identity.facts["providers"] == ["CPUExecutionProvider"]
    assert model.identity.facts["opsets"] == {"ai.onnx": 17}
    assert model.identity.facts["bytes"] == LINEAR.stat().st_size


@pytest.mark.parametrize("labels", [["no", "yes"], ["yes", "no"], [3, 7], [10, 2, 1]])
def test_a_zip_map_becomes_columns_in_the_order_of_its_classes(tmp_path, labels):
    model = bb.open_model(zip_map(tmp_path / "zip.onnx", labels))
    assert model.signature.answer == "chances"
    assert model.signature.output("chances").labels == tuple(map(str, labels))
    x = np.arange(len(labels))
    found = bb.explain(model, x, target=list(range(len(labels))))
    np.testing.assert_allclose(found.full_values, np.exp(x) / np.exp(x).sum(), rtol=1e-6)
    assert found.output_names == tuple(map(str, labels))
    assert bb.explain(model, x, target=str(labels[0])).output_names == (str(labels[0]),)
    assert bb.explain(model, x).output_names == (str(labels[-1]),)


def test_another_output_can_be_asked(tmp_path):
    path = zip_map(tmp_path / "zip.onnx", ["no", "yes"])
    model = bb.open_model(path, options={"output": "label"})
    assert bb.explain(model, [0.0, 1.0]).full_values == 1
    with pytest.raises(RequestError, match="Did you mean 'chances'"):
        bb.open_model(path, options={"output": "chance"})


def test_class_names_must_fit_the_columns():
    model = bb.open_model(MODELS / "credit" / "credit.onnx", options={"classes": ("bad", "good")})
    assert model.signature.output("probabilities").labels == ("bad", "good")
    with pytest.raises(RequestError, match="3 class names were given, but output 'probabilities' has 2"):
        bb.open_model(MODELS / "credit" / "credit.onnx", options={"classes": ("a", "b", "c")})


def test_class_names_must_fit_columns_that_the_graph_leaves_open(tmp_path):
    path = cast(tmp_path / "open.onnx", FLOAT, ("n", "c"))
    model = bb.open_model(path, options={"classes": ("a", "b", "c")})
    with pytest.raises(RequestError, match="3 class names"):
        bb.explain(model, [1.0, 2.0])


def test_a_fixed_batch_is_padded_and_the_padding_thrown_away():
    fixed, free = bb.open_model(MODELS / "toys" / "fixed3.onnx"), bb.open_model(LINEAR)
    assert (fixed.limits.rows_per_run, fixed.limits.fixed_batch) == (3, 3)
    x = [1.0, 2.0, 3.0, 4.0]
    background = np.arange(20.0).reshape(5, 4)
    for method in ("occlusion", "kernelshap"):
        a, b = (bb.explain(m, x, method=method, background=background) for m in (fixed, free))
        np.testing.assert_allclose(a.values, b.values, rtol=1e-6)
        assert a.rows == b.rows
    for rows in (1, 2, 3):
        assert len(fixed.predict({"x": np.zeros((rows, 4), np.float32)})["y"]) == rows


@pytest.mark.parametrize("kind", ["FLOAT", "DOUBLE", "FLOAT16", "INT64", "INT32", "UINT8", "INT8", "BOOL"])
def test_every_number_type_is_asked_in_its_own_dtype(tmp_path, kind):
    model = bb.open_model(cast(tmp_path / "x.onnx", getattr(Kind, kind)))
    found = bb.explain(model, [1, 0], target=[0, 1], background=[[0, 1]])
    assert found.values.tolist() == [[1, 0], [0, -1]]


@pytest.mark.parametrize("kind", ["FLOAT8E4M3FN"])
def test_a_type_that_numpy_lacks_is_refused_in_words(tmp_path, kind):
    with pytest.raises(ModelError, match=f"(?i){kind}"):
        bb.explain(bb.open_model(cast(tmp_path / "x.onnx", getattr(Kind, kind))), [1.0, 0.0], target=0)


def words(path):
    """Text in, numbers out: red is 1, blue is 2."""
    colours = node("LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", keys_strings=["red", "blue"],
                   values_floats=[1.0, 2.0], default_float=0.0)  # fmt: skip
    return save_graph(path, [colours], [("x", TEXT, ["n", 2])], [("y", FLOAT, ["n", 2])])


@pytest.mark.parametrize("method", ["occlusion", "kernelshap", "lime", "sis"])
def test_text_inputs_are_explained(tmp_path, method):
    model = bb.open_model(words(tmp_path / "text.onnx"))
    background = [["red", "red"], ["red", "blue"]]
    found = bb.explain(model, ["red", "blue"], method=method, target=1, background=background)
    assert found.values[0] == pytest.approx(0, abs=1e-3)
    assert found.values[1] > 0.4
    assert found.data.tolist() == ["red", "blue"]
    assert bb.Explanation.from_json(found.to_json()).data.tolist() == ["red", "blue"]


def test_text_inputs_without_a_background_are_hidden_as_empty_text(tmp_path):
    found = bb.explain(bb.open_model(words(tmp_path / "text.onnx")), ["red", "blue"], target=1)
    assert found.values.tolist() == [0, 2]
    with pytest.raises(RequestError, match="floating-point"):
        bb.explain(bb.open_model(words(tmp_path / "text.onnx")), ["red", "blue"], method="caso")


def test_two_inputs_are_asked_by_name(tmp_path):
    for batch in ("n", 4):
        model = bb.open_model(add(tmp_path / f"{batch}.onnx", [batch, 2], [batch, 2]))
        found = bb.explain(model, {"a": [1, 2], "b": [3, 4]}, target=0)
        np.testing.assert_allclose(found.values, [1, 0, 3, 0])
        assert found.feature_names == ("a[0]", "a[1]", "b[0]", "b[1]")
    for x, told in (([1, 2], "a, b"), ({"a": [1, 2]}, "'b' is missing"), ({"a": [1, 2], "bb": 3}, "'b'")):
        with pytest.raises(RequestError, match=told):
            bb.explain(model, x)


def external(path, location):
    """A model whose weight lies in a file of its own."""
    save_graph(path, [node("MatMul", ["x", "w"], ["y"])], [("x", FLOAT, ["n", 2])], [("y", FLOAT, ["n", 1])],
               {"w": np.array([[2.0], [3.0]], dtype=np.float32)})  # fmt: skip
    model = onnx.load(str(path))
    onnx.external_data_helper.convert_model_to_external_data(model, location=location, size_threshold=0)
    (path.parent / location).parent.mkdir(exist_ok=True)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("location", ["w.bin", "weights/w.bin"])
def test_external_data_is_hashed_too(tmp_path, location):
    path = external(tmp_path / "m.onnx", location)
    digests = bb.open_model(path).identity.sha256
    assert digests["m.onnx"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert digests[location] == hashlib.sha256((tmp_path / location).read_bytes()).hexdigest()
    assert bb.explain(bb.open_model(path), [1.0, 1.0]).values.tolist() == [2, 3]


def test_missing_external_data_is_told_by_name(tmp_path):
    path = external(tmp_path / "m.onnx", "w.bin")
    (tmp_path / "w.bin").unlink()
    with pytest.raises(ModelError, match=r"w\.bin"):
        bb.open_model(path)


def test_the_device_that_was_asked_for_is_the_one_or_the_request_fails():
    assert bb.open_model(LINEAR, device="cpu").identity.device == "cpu"
    try:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(LINEAR), providers=["CUDAExecutionProvider"])
        cuda = "CUDAExecutionProvider" in session.get_providers()
    except Exception:
        cuda = False
    if cuda:
        pytest.skip("this machine has CUDA")
    assert bb.open_model(LINEAR, device="auto").identity.device == "cpu"
    for device in ("cuda", "cuda:1"):
        with pytest.raises(RequestError, match=rf"'{device}' was asked for.*blackbox\[cuda\].*cpu or auto"):
            bb.open_model(LINEAR, device=device)


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "cuda:", "cpu:1", "auto:0", "", "GPU", None])
def test_an_unknown_device_is_told_with_the_known_ones(device):
    with pytest.raises(RequestError, match=r"auto, cpu, cuda or cuda:N"):
        bb.open_model(LINEAR, device=device)


def damaged(folder, kind):
    whole = (MODELS / "credit" / "credit.onnx").read_bytes()
    content = {
        "empty": b"", "text": b"hello world\n", "cut": whole[: len(whole) // 2],
        "noise": bytes(range(256)) * 20, "zeros": bytes(4096),
    }[kind]  # fmt: skip
    (folder / "bad.onnx").write_bytes(content)
    return folder / "bad.onnx"


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "noise", "zeros"])
def test_a_damaged_file_is_the_models_side_and_named(tmp_path, kind):
    with pytest.raises(ModelError, match=r"bad\.onnx is no ONNX model"):
        bb.open_model(damaged(tmp_path, kind))


def test_a_file_of_another_kind_is_told(tmp_path):
    for name in ("model.pt", "model", "model.onnx.txt"):
        (tmp_path / name).write_bytes(LINEAR.read_bytes())
        with pytest.raises(ModelError, match=r"known are .*\.onnx"):
            bb.open_model(tmp_path / name)
    (tmp_path / "MODEL.ONNX").write_bytes(LINEAR.read_bytes())
    assert bb.open_model(tmp_path / "MODEL.ONNX", device="cpu").identity.device == "cpu"


def test_a_missing_model_or_a_folder_is_told_with_what_is_there():
    with pytest.raises(RequestError, match=r"Did you mean 'linear\.onnx'"):
        bb.open_model(MODELS / "toys" / "linaer.onnx")
    with pytest.raises(RequestError, match="does not exist either"):
        bb.open_model(MODELS / "nowhere" / "linear.onnx")
    with pytest.raises(RequestError, match=r"is a folder.*linear\.onnx"):
        bb.open_model(MODELS / "toys")


def odd_graph(folder, kind):
    path, row = folder / "odd.onnx", [("x", FLOAT, ["n", 2])]
    if kind == "unknown operator":
        return save_graph(path, [node("Nonsense", ["x"], ["y"])], row, [("y", FLOAT, ["n", 1])])
    if kind == "no batch axis":
        return save_graph(path, [node("Identity", ["x"], ["y"])], [("x", FLOAT, [])], [("y", FLOAT, [])])
    if kind == "one answer for all rows":
        return save_graph(path, [node("ReduceSum", ["x"], ["y"], keepdims=0)], row, [("y", FLOAT, [])])
    if kind == "only text":
        return save_graph(path, [node("Cast", ["x"], ["y"], to=TEXT)], row, [("y", TEXT, ["n", 2])])
    if kind == "no inputs":
        one = {"w": np.ones((1, 2), np.float32)}
        return save_graph(path, [node("Identity", ["w"], ["y"])], [], [("y", FLOAT, [1, 2])], one)
    reshape = node("Reshape", ["x", "s"], ["y"])
    return save_graph(path, [reshape], row, [("y", FLOAT, [1, 2])], {"s": np.array([1, 2])})


@pytest.mark.parametrize(
    ("kind", "told"),
    [("unknown operator", "Nonsense"), ("only text", "holds numbers"), ("no inputs", "no inputs"),
     ("one row only", "failed on")],
)  # fmt: skip
def test_a_graph_that_cannot_be_asked_is_the_models_side(tmp_path, kind, told):
    with pytest.raises(ModelError, match=told):
        bb.explain(bb.open_model(odd_graph(tmp_path, kind)), [1.0, 2.0], target=0)


def test_an_input_without_a_batch_axis_has_to_be_held_constant(tmp_path):
    with pytest.raises(RequestError, match=r"no batch axis.*--constant x=VALUE"):
        bb.open_model(odd_graph(tmp_path, "no batch axis"))


def test_one_number_for_a_whole_pass_is_asked_row_by_row(tmp_path):
    model = bb.open_model(odd_graph(tmp_path, "one answer for all rows"))
    assert model.limits.rows_per_run == 1
    assert bb.explain(model, [1.0, 2.0], background=[[0.0, 0.5], [0.5, 0.0]]).values.tolist() == [0.75, 1.75]


def test_a_nan_that_the_model_returns_is_told_with_the_question():
    model = bb.open_model(MODELS / "toys" / "nan.onnx")
    with pytest.raises(ModelError, match=r"returned nan in output 'y'.*nan\.onnx, method occlusion"):
        bb.explain(model, [0.75, 1.0], method="occlusion")
    assert bb.explain(model, [0.25, 1.0], method="occlusion").values.tolist() == [0.25, 1]


@pytest.mark.parametrize(
    ("options", "told"),
    [({"batch": 3}, "Did you mean 'batch_size'"), ({"batch_size": 0}, "at least 1"),
     ({"threads": -1}, "at least 1"), ({"kind": "probability"}, "Did you mean 'probabilities'"), ({"classes": 3}, "'classes'")],
)  # fmt: skip
def test_a_wrong_option_is_told(options, told):
    with pytest.raises(RequestError, match=told):
        bb.open_model(LINEAR, options=options)


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_rows_per_run_change_nothing_beyond_rounding(rows):
    path, x = MODELS / "toys" / "softmax.onnx", [1.0, 0.5, -1.0]
    model = bb.open_model(path, options={"batch_size": rows, "threads": 1})
    found, plain = (bb.explain(m, x, background=np.eye(3)) for m in (model, bb.open_model(path)))
    np.testing.assert_allclose(found.values, plain.values, atol=1e-6)
    assert found.rows == plain.rows


def test_words_of_a_file_cannot_steer_a_terminal(tmp_path):
    proto = onnx.load(str(LINEAR))
    proto.graph.name, proto.producer_name = "\x1b]0;owned\x07g", "\x1b[2Jme"
    helper.set_model_props(proto, {"note\x1b[31m": "line\nline\x9b2J", "classes": '["a"]'})
    onnx.save(proto, str(tmp_path / "m.onnx"))
    facts = bb.open_model(tmp_path / "m.onnx").identity.facts
    shown = "".join([facts["graph"], facts["producer"], *facts["metadata"], *facts["metadata"].values()])
    assert not set(shown) & set("\x1b\x07\x9b")
    assert facts["metadata"]["note\ufffd[31m"] == "line\nline\ufffd2J"
