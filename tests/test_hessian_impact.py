"""The published picture: CASO against CAFO over many inputs, from Python and from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import blackbox as bb
from blackbox.cli import cli

ROOT = Path(__file__).parents[1]
TANH = ROOT / "tests" / "derivatives" / "tanh.onnx"
RELU = ROOT / "tests" / "derivatives" / "relu.onnx"
FOREST = ROOT / "sample_models" / "breast_cancer" / "forest.onnx"


def digits(count):
    table = np.loadtxt(ROOT / "sample_models/digits/digits.csv", delimiter=",", skiprows=1)
    return table[:count, :64].reshape(-1, 1, 8, 8)


def test_impact_is_the_distance_of_the_two_directions():
    (x,) = digits(1)
    found = bb.hessian_impact(TANH, [x], lambda2=0.05)
    (point,) = found.points
    caso = bb.explain(TANH, x, bb.Caso(lambda2=0.05, relative=True))
    plain = bb.explain(TANH, x, "cafo")
    a, b = (e.details["delta"] / np.linalg.norm(e.details["delta"]) for e in (caso, plain))
    assert point.difference == pytest.approx(np.linalg.norm(a - b), abs=1e-3)
    assert caso.details["quadratic"] == pytest.approx(1.05 * caso.details["largest_eigenvalue"])
    assert point.rows == caso.rows


def test_on_a_relu_network_every_input_costs_one_jacobian():
    found = bb.hessian_impact(RELU, digits(5))
    assert {point.hessian for point in found.points} == {"closed-form"}
    assert found.rows <= 5 * (2 * 64 + 64)
    assert "normalised difference" in found.sentence
    assert sum(count for _, _, count, _ in found.bands()) == 5


def test_a_python_function_and_a_regression_are_served():
    found = bb.hessian_impact(lambda rows: rows[:, 0] * rows[:, 1], [[1.0, 2.0], [2.0, -1.0]])
    assert [point.hessian for point in found.points] == ["finite-difference"] * 2
    assert np.isnan(found.points[0].probability)
    assert found.bands() == []
    assert json.loads(found.to_json())["points"][0]["probability"] is None


def test_the_command_writes_a_picture_and_a_record(tmp_path):
    target = tmp_path / "out"
    inputs = ROOT / "sample_models" / "digits" / "images"
    run = CliRunner().invoke(
        cli, ["hessian-impact", str(RELU), "--inputs", str(inputs), "-o", str(target), "--most", "4"]
    )
    assert run.exit_code == 0, run.output
    assert "inputs, median difference" in run.output
    record = json.loads((target / "impact.json").read_text())
    assert record["schema"] == "blackbox.hessian-impact/1"
    assert len(record["points"]) == 4
    assert (target / "impact.png").read_bytes()[:4] == b"\x89PNG"


def test_flat_models_are_told_in_a_sentence(tmp_path):
    inputs = ROOT / "sample_models" / "breast_cancer" / "patients.csv"
    run = CliRunner().invoke(
        cli, ["hessian-impact", str(FOREST), "--inputs", str(inputs), "-o", str(tmp_path), "--most", "2"]
    )
    assert run.exit_code == 0, run.output
    assert "No input has a second order to show" in run.output
    assert (tmp_path / "impact.png").exists()


@pytest.mark.parametrize(("change", "message"), [({"lambda2": -1}, "above 0"), ({"inputs": []}, "no input")])
def test_what_means_nothing_is_refused(change, message):
    asked = {"inputs": digits(1), **change}
    with pytest.raises(bb.RequestError, match=message):
        bb.hessian_impact(RELU, **asked)
