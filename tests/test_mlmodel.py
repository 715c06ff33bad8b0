"""MLflow's model folders are opened like the ONNX file in them."""

from __future__ import annotations

import hashlib
import shutil

import numpy as np
import pytest
from test_cli import LINEAR, ROWS, run

import blackbox as bb
from blackbox.errors import ModelError, RequestError

MLMODEL = "artifact_path: model\nflavors:\n  onnx:\n    data: {data}\n    onnx_version: 1.21.0\n  python_function:\n    data: {data}\n    loader_module: mlflow.onnx\nmodel_uuid: 0\n"


def saved(folder, data="model.onnx"):
    folder.mkdir()
    shutil.copy(LINEAR, folder / "model.onnx")
    (folder / "MLmodel").write_text(MLMODEL.format(data=data))
    return folder


def test_a_folder_that_mlflow_saved_is_its_model(tmp_path):
    model, plain = bb.open_model(saved(tmp_path / "m")), bb.open_model(LINEAR)
    rows = {plain.signature.inputs[0].name: np.ones((2, len(ROWS.read_text().splitlines()[0].split(","))), np.float32)}
    answers = model.predict(rows), plain.predict(rows)
    assert all(np.array_equal(answers[0][name], answers[1][name]) for name in answers[1])
    assert list(model.identity.sha256) == ["model.onnx"]
    assert run("explain", tmp_path / "m", "--input", ROWS, "--json", "-").exit_code == 0
    assert "model.onnx" in run("inspect", tmp_path / "m").stdout


def test_a_plan_may_name_the_folder_and_its_model_s_digest(tmp_path):
    digest = hashlib.sha256(LINEAR.read_bytes()).hexdigest()
    model = {"path": str(saved(tmp_path / "m")), "sha256": digest}
    rows = {"path": str(ROWS)}
    told = {"model": model, "data": rows, "background": rows, "methods": ["occlusion"], "checks": ["determinism"]}
    result = bb.audit(told, folder=tmp_path / "out")
    assert result.manifest["inputs"]["model"] == {"model.onnx": digest}
    assert "in a confined process" in result.report.read_text(encoding="utf-8")  # like any file from a stranger
    free = bb.audit(told | {"model": model | {"sandbox": False}}, folder=tmp_path / "free")
    assert "in a confined process" not in free.report.read_text(encoding="utf-8")
    with pytest.raises(RequestError, match="not the model of the plan"):
        bb.audit(told | {"model": model | {"sha256": "0" * 64}}, folder=tmp_path / "other")


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("flavors: {sklearn: {}}\n", ModelError, "no ONNX flavor (flavors: sklearn)"),
        ("nothing\n", ModelError, "no ONNX flavor (flavors: none)"),
        ("flavors: {onnx: {data: other.onnx}}\n", ModelError, "names other.onnx"),
        ("flavors: {onnx: {data: ../outside.onnx}}\n", ModelError, "names outside.onnx"),
        ("flavors: [\n", RequestError, "no readable YAML"),
    ],
)
def test_a_folder_without_an_onnx_model_says_what_to_do(tmp_path, text, error, words):
    shutil.copy(LINEAR, tmp_path / "outside.onnx")
    (saved(tmp_path / "m") / "MLmodel").write_text(text)
    with pytest.raises(error) as told:
        bb.open_model(tmp_path / "m")
    assert words in str(told.value)


def test_a_plain_folder_still_names_the_files_in_it(tmp_path):
    folder = saved(tmp_path / "m")
    (folder / "MLmodel").unlink()
    with pytest.raises(RequestError, match=r"model\.onnx"):
        bb.open_model(folder)
