"""Custom operators: native code is loaded only when its place and its digest were both given, and match."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto as Kind
from onnx import helper

import blackbox as bb

ROOT = Path(__file__).parent.parent
LIBRARY = "lib/python*/site-packages/onnxruntime_extensions/_extensions_pydll*.so"


@pytest.fixture
def model(tmp_path):
    """The positive part of the input, by an operator that onnxruntime-extensions brings."""
    ends = [helper.make_tensor_value_info(name, Kind.FLOAT, ["n", 2]) for name in ("x", "y")]
    node = helper.make_node("NegPos", ["x"], ["negative", "y"], domain="ai.onnx.contrib")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.contrib", 1)]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(tmp_path / "m.onnx"))
    return tmp_path / "m.onnx"


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_model_cannot_ask_for_a_library_by_itself(model):
    proto = onnx.load(str(model))
    helper.set_model_props(proto, {"custom_ops": "evil.so", "custom_op_library": "evil.so"})
    onnx.save(proto, str(model))
    with pytest.raises(bb.ModelError, match=r"NegPos needs a library of its own.*--custom-ops PATH --custom-ops-sha256"):
        bb.open_model(model)


@pytest.mark.parametrize("given", [{"custom_ops": "x.so"}, {"custom_ops_sha256": "0" * 64}])
def test_neither_place_nor_digest_is_taken_alone(model, given):
    with pytest.raises(bb.RequestError, match="give both its place and its SHA-256"):
        bb.open_model(model, options=given)


def test_a_missing_library_is_told_with_the_nearest(model, tmp_path):
    (tmp_path / "operators.so").write_bytes(b"x")
    with pytest.raises(bb.RequestError, match=r"Did you mean 'operators\.so'"):
        bb.open_model(model, options={"custom_ops": str(tmp_path / "operator.so"), "custom_ops_sha256": "0" * 64})


@pytest.mark.parametrize("sandbox", [False, True])
def test_another_library_than_the_one_that_was_named_is_never_loaded(model, tmp_path, sandbox, monkeypatch):
    library = tmp_path / "operators.so"
    library.write_bytes(b"\x7fELF but not the one")
    from blackbox_adapters.onnx import runtime

    monkeypatch.setattr(runtime, "start", None)  # nothing may get as far as a session
    with pytest.raises(bb.RequestError, match="not the ones that were named"):
        bb.open_model(model, options={"custom_ops": str(library), "custom_ops_sha256": "0" * 64, "sandbox": sandbox})


@pytest.mark.parametrize("sandbox", [False, True])
def test_a_file_that_is_no_library_is_told(model, tmp_path, sandbox):
    library = tmp_path / "operators.so"
    library.write_bytes(b"no library")
    given = {"custom_ops": str(library), "custom_ops_sha256": digest(library).upper(), "sandbox": sandbox}
    with pytest.raises(bb.ModelError, match="cannot load"):
        bb.open_model(model, options=given)


def test_python_operators_stay_refused_with_a_library(tmp_path):
    ends = [helper.make_tensor_value_info(name, Kind.FLOAT, ["n", 2]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("PyOp", ["x"], ["y"], domain="acme")], "g", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("acme", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(tmp_path / "m.onnx"))
    (tmp_path / "a.so").write_bytes(b"x")
    given = {"custom_ops": str(tmp_path / "a.so"), "custom_ops_sha256": digest(tmp_path / "a.so")}
    with pytest.raises(bb.ModelError, match="calls Python code"):
        bb.open_model(tmp_path / "m.onnx", options=given)


@pytest.mark.slow
@pytest.mark.parametrize("sandbox", [False, True])
def test_a_library_that_was_named_runs(model, tmp_path, sandbox):
    found = sorted((ROOT / ".peers" / "extensions").glob(LIBRARY))
    assert found, "there is no library to try: run   python tests/peers/make.py extensions"
    library = tmp_path / "operators.so"
    library.write_bytes(found[0].read_bytes())
    named = {"custom_ops": str(library), "custom_ops_sha256": digest(library), "sandbox": sandbox}
    opened = bb.open_model(model, "cpu", named)
    assert opened.identity.facts["custom_ops"] == {"file": "operators.so", "sha256": digest(library)}
    library.write_bytes(b"changed after it was read")
    assert opened.predict({"x": np.float32([[1, -2], [-3, 4]])})["y"].tolist() == [[1, 0], [0, 4]]
