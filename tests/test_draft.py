"""``blackbox init``: the second thing a new user does ends in an audit that passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from onnx import TensorProto as Kind
from onnx import helper
from PIL import Image
from test_cli import APPLICANTS, CREDIT, MODELS, run
from test_onnx import save_graph

from blackbox.draft import one_hot_groups
from blackbox.materials import gather
from blackbox.plan import load_plan

node = helper.make_node


def softmax_net(path, shape, cell, classes=3):
    """Average pooling, one dense layer, softmax: a picture classifier of a few bytes."""
    side = shape[-1] // cell
    weights = np.random.default_rng(0).normal(size=(shape[0] * side * side, classes)).astype(np.float32)
    nodes = [
        node("AveragePool", ["picture"], ["p"], kernel_shape=[cell, cell], strides=[cell, cell]),
        node("Flatten", ["p"], ["f"]), node("MatMul", ["f", "w"], ["l"]), node("Softmax", ["l"], ["y"], axis=1),
    ]  # fmt: skip
    return save_graph(path, nodes, [("picture", Kind.FLOAT, [1, *shape])], [("y", Kind.FLOAT, [1, classes])],
                      {"w": weights})  # fmt: skip


def linear_net(path, columns):
    weights = np.random.default_rng(0).normal(size=(columns, 1)).astype(np.float32)
    return save_graph(path, [node("MatMul", ["x", "w"], ["y"])], [("x", Kind.FLOAT, ["n", columns])],
                      [("y", Kind.FLOAT, ["n", 1])], {"w": weights})  # fmt: skip


def noise(path, *size, seed=0):
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, size, dtype=np.uint8)).save(path)
    return path


def drafted(folder, *arguments):
    """Write a plan and read it back."""
    result = run("init", *arguments, "-o", folder / "audit.yaml")
    assert result.exit_code == 0
    assert "Then run: blackbox audit" in result.stderr
    load_plan(folder / "audit.yaml")
    return yaml.safe_load((folder / "audit.yaml").read_text(encoding="utf-8"))


def test_a_table_with_ids_labels_and_one_hot_columns(tmp_path):
    said = drafted(tmp_path, CREDIT, "--data", APPLICANTS)
    assert said["data"]["id"] == "applicant"
    assert "not_inputs" not in said["data"]
    assert said["data"]["columns"][0] == "age"
    assert said["features"]["groups"]["housing"] == ["housing_own", "housing_mortgage", "housing_rent"]
    assert said["model"]["classes"] == ["declined", "approved"]
    text = (tmp_path / "audit.yaml").read_text(encoding="utf-8")
    assert text.count("CHECK") > 3
    (tmp_path / "audit.yaml").write_text(text.replace("first: 5", "first: 1").replace("most: 100", "most: 10"))
    result = run("audit", tmp_path / "audit.yaml", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stdout


def test_a_jpeg_for_a_224_by_224_classifier_with_class_names(tmp_path):
    model = softmax_net(tmp_path / "net.onnx", (3, 224, 224), 56)
    (tmp_path / "labels.txt").write_text("cat\ndog\nno\n")
    picture = noise(tmp_path / "photo.jpg", 240, 300, 3)
    said = drafted(tmp_path, model, "--data", picture, "--class-names", tmp_path / "labels.txt")
    image = said["data"]["image"]
    assert (image["size"], image["layout"]) == ([224, 224], "NCHW")
    assert image["mean"] == [0.485, 0.456, 0.406]
    assert said["model"]["classes"] == "labels.txt"
    assert said["features"]["grid"] == [14, 14]
    path = tmp_path / "audit.yaml"
    quick = path.read_text().replace("grid: [14, 14]", "grid: [4, 4]").replace("lime: {}", "lime: {samples: 60}")
    path.write_text(quick)
    result = run("audit", path, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stdout
    assert "asked about" in result.stdout
    assert any(name in result.stdout for name in ("cat", "dog", "no"))


def test_declared_mean_and_deviation_are_kept(tmp_path):
    model = softmax_net(tmp_path / "net.onnx", (3, 16, 16), 4)
    picture = noise(tmp_path / "photo.png", 20, 20, 3)
    said = drafted(tmp_path, model, "--data", picture, "--mean", "0.5,0.5,0.5", "--std", "0.25", "--range", "0,1")
    assert said["data"]["image"]["mean"] == [0.5, 0.5, 0.5]
    assert said["data"]["image"]["std"] == [0.25]


def test_a_folder_of_small_pictures(tmp_path):
    said = drafted(tmp_path, MODELS / "digits" / "cnn.onnx", "--data", MODELS / "digits" / "images")
    assert said["data"]["first"] == 5
    path = tmp_path / "audit.yaml"
    path.write_text(path.read_text().replace("first: 5", "first: 1").replace("lime: {}", "lime: {samples: 400}"))
    assert run("audit", path, "-o", tmp_path / "out").exit_code == 0


@pytest.mark.parametrize("columns", [513, 1024])
def test_the_budgets_in_a_plan_for_a_wide_table_are_large_enough(tmp_path, columns):
    rows = np.random.default_rng(0).normal(size=(4, columns))
    header = ",".join(f"c{k}" for k in range(columns))
    np.savetxt(tmp_path / "wide.csv", rows, delimiter=",", header=header, comments="", fmt="%.3f")
    said = drafted(tmp_path, linear_net(tmp_path / "wide.onnx", columns), "--data", tmp_path / "wide.csv")
    budget = (said["methods"]["kernelshap"] or {}).get("budget")
    assert budget is None or budget >= 2 * columns


def test_arrays_get_a_plan_too(tmp_path):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(3, 4)))
    drafted(tmp_path, MODELS / "toys" / "linear.onnx", "--data", tmp_path / "rows.npy")
    result = run("audit", tmp_path / "audit.yaml", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stdout


CORPUS = Path(__file__).parent / "corpus" / "graphs"


def test_what_the_model_was_opened_with_stands_in_the_plan(tmp_path):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(2, 4)))
    np.save(tmp_path / "state.npy", np.zeros((2, 1, 3)))
    said = drafted(tmp_path, CORPUS / "state-and-rate.onnx", "--data", tmp_path / "rows.npy", "--constant", "rate=8000",
                   "--constant", f"state={tmp_path / 'state.npy'}")  # fmt: skip
    assert said["model"]["constants"] == {"rate": 8000, "state": "state.npy"}
    result = run("audit", tmp_path / "audit.yaml", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    (tmp_path / "part").mkdir()
    np.save(tmp_path / "part" / "rows.npy", np.random.default_rng(0).normal(size=(2, 4)))
    said = drafted(tmp_path / "part", CORPUS / "detector.onnx", "--data", tmp_path / "part" / "rows.npy",
                   "--output", "scores", "--select", "[0,:,1]", "--kind", "values")  # fmt: skip
    assert (said["model"]["output"], said["model"]["select"], said["model"]["kind"]) == ("scores", "[0,:,1]", "values")
    assert gather(load_plan(tmp_path / "part" / "audit.yaml"), tmp_path / "part").model.signature.kind == "values"


def test_names_that_yaml_would_change_are_quoted(tmp_path):
    model = linear_net(tmp_path / "m.onnx", 4)
    (tmp_path / "no.csv").write_text('id,no,012,"a: b","# c"\n007,1,2,3,4\n1e5,2,3,4,5\n')
    said = drafted(tmp_path, model, "--data", tmp_path / "no.csv", "--id", "id")
    assert said["data"]["columns"] == ["no", "012", "a: b", "# c"]
    result = run("audit", tmp_path / "audit.yaml", "-o", tmp_path / "out")
    assert result.exit_code in (0, 1)
    assert "Error" not in result.stderr


def test_paths_in_the_plan_are_relative_to_the_plan(tmp_path):
    (tmp_path / "plans").mkdir()
    model = linear_net(tmp_path / "m.onnx", 2)
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    said = drafted(tmp_path / "plans", model, "--data", tmp_path / "rows.csv")
    assert said["model"]["path"] == "../m.onnx"
    assert said["data"]["path"] == "../rows.csv"


def test_a_plan_is_only_replaced_when_asked(tmp_path):
    model = linear_net(tmp_path / "m.onnx", 2)
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "audit.yaml").write_text("mine")
    arguments = ("init", model, "--data", tmp_path / "rows.csv", "-o", tmp_path / "audit.yaml")
    assert run(*arguments).exit_code == 2
    assert (tmp_path / "audit.yaml").read_text() == "mine"
    assert run(*arguments, "--force").exit_code == 0
    assert (tmp_path / "audit.yaml").read_text() != "mine"


@pytest.mark.parametrize(
    ("columns", "rows", "wanted"),
    [
        (("h_a", "h_b", "x"), [[1, 0, 5], [0, 1, 7]], {"h": ["h_a", "h_b"]}),
        (("h_a", "h_b"), [[1, 1], [0, 1]], {}),
        (("h_a", "h_b"), [[0, 0], [0, 1]], {}),
        (("h_a", "h_b"), [[0.5, 0.5], [0, 1]], {}),
        (("h_a", "x"), [[1, 2], [1, 3]], {}),
        (("h_a", "h_b", "h"), [[1, 0, 1], [0, 1, 1]], {}),
        (("a", "b"), [[1, 0], [0, 1]], {}),
    ],
)
def test_one_hot_groups_are_found_by_prefix_and_content(columns, rows, wanted):
    assert one_hot_groups(columns, {"x": np.array(rows, dtype=float)}) == wanted
