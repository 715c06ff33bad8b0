"""What every audit looks at before its first case: sealed without a clock, timed in run.json, counted, refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from test_audit import files, read
from test_cli import CREDIT, LINEAR, MODELS, ROWS, plan, run
from test_surveys import about

import blackbox as bb
from blackbox import study
from blackbox.errors import ModelError
from blackbox.plan import load_plan
from blackbox.probe import said

FIELDS = {"asked_about", "repeat", "alone", "kind", "still", "noise", "homogeneous", "elsewhere", "rows"}


def test_a_bundle_holds_the_probe_and_the_report_shows_it(tmp_path):
    result = bb.audit(plan(tmp_path), tmp_path / "out")
    seen = result.manifest["probe"]
    assert set(seen) == FIELDS
    assert (seen["repeat"], seen["alone"], seen["kind"], seen["still"]) == (0, 0, "values", 0)
    assert seen["asked_about"] == "3 rows to explain"
    assert seen["elsewhere"] is None
    page = result.report.read_text(encoding="utf-8")
    for what, found in said(seen):
        assert f"<th>{what.capitalize()}</th><td>{found}</td>" in page.replace("&#39;", "'")


def test_a_bundle_says_what_the_model_is_how_and_on_what_it_ran_and_what_for(tmp_path):
    path = plan(tmp_path, purpose="'<Annual> validation, kept five years'")
    result = bb.audit(path, tmp_path / "out")
    model = result.manifest["model"]
    assert model["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["batch", 4], "classes": []}]
    assert model["answer"] == model["outputs"][0]["name"]
    assert {"bytes", "ir_version", "opsets", "producer", "operators", "providers", "session"} <= set(model)
    assert model["session"]["deterministic_compute"] is True
    environment = read(tmp_path / "out", "run.json")["environment"]
    assert environment["packages"]["numpy"] == np.__version__
    assert {"python", "system", "processor", "cores"} <= set(environment)
    assert "&lt;Annual&gt; validation, kept five years" in result.report.read_text(encoding="utf-8")
    assert str(tmp_path) not in json.dumps(model)


def test_clock_readings_stand_in_run_json_alone(tmp_path):
    bb.audit(plan(tmp_path), tmp_path / "out")
    first, *others = read(tmp_path / "out", "run.json")["shards"]
    assert list(first["rows_per_second"]) == ["1", "4", "16", "64", "256"]
    assert all(rate > 0 for rate in first["rows_per_second"].values())
    assert not any("rows_per_second" in shard for shard in others)
    for name, content in files(tmp_path / "out", ["run.json"]).items():
        assert b"rows_per_second" not in content, name


def test_its_rows_are_foretold_and_counted(tmp_path):
    with_it, without = plan(tmp_path), tmp_path / "without.yaml"
    without.write_text(with_it.read_text() + "probe: false\n")
    told = [json.loads(run("audit", path, "--dry-run", "--json").stdout)["rows_once"] for path in (with_it, without)]
    played = [bb.audit(path, tmp_path / path.stem) for path in (with_it, without)]
    assert played[0].rows - played[1].rows == told[0] - told[1] == told[0]
    assert played[1].manifest["probe"] is None
    assert "rows_per_second" not in read(tmp_path / "without", "run.json")["shards"][0]
    assert 'id="probe"' not in played[1].report.read_text(encoding="utf-8")
    assert [json.loads(run("audit", path, "--dry-run", "--json").stdout)["rows_once"] for path in (with_it,)] == told[:1]


@pytest.mark.parametrize("model", [CREDIT, MODELS / "breast_cancer" / "forest.onnx", MODELS / "digits" / "cnn.onnx"])
def test_what_is_sealed_does_not_depend_on_the_session(model):
    rng = np.random.default_rng(0)
    asked = [bb.open_model(model, "cpu", {"threads": 2}) for _ in range(2)]
    rows = rng.normal(size=(64, *asked[0].signature.inputs[0].cell_shape)).astype(np.float32)
    named = {asked[0].signature.inputs[0].name: rows}
    seen = [study.probed(load_plan(MODELS / "credit" / "audit.yaml"), whole(one, named)) for one in asked]
    assert seen[0] == seen[1]
    assert seen[0]["noise"] == float(f"{seen[0]['noise']:.1e}")


def whole(model, rows):
    (name,) = rows
    return replace(about(lambda x: x.sum(axis=1), np.ones((1, 2)), np.ones((1, 2))), model=model, rows={name: rows[name]})


def test_a_model_that_fails_meanwhile_is_told_and_the_audit_goes_on(tmp_path, monkeypatch):
    def broken(*given):
        raise ModelError("The model went away.")

    monkeypatch.setattr(study, "probe", broken)
    monkeypatch.setattr(study, "speeds", broken)
    result = bb.audit(plan(tmp_path), tmp_path / "out")
    assert result.manifest["probe"] == {"error": "The model went away."}
    assert "The model went away." in result.report.read_text(encoding="utf-8")
    assert result.passed


def test_on_a_gpu_the_cpu_is_asked_the_same():
    def on(device, shift):
        model = bb.open_model(lambda x: x.sum(axis=1) * (1 + shift), options={"shape": (2,)})
        object.__setattr__(model, "identity", replace(model.identity, device=device))
        return model

    examined = replace(whole(on("cuda:0", 0), {"input": np.ones((5, 2))}), reopen=lambda device: on(device, 1e-3))
    read_plan = load_plan(MODELS / "credit" / "audit.yaml")
    seen = study.probed(read_plan, examined)
    assert seen["elsewhere"] == [1e-3, "cpu"]
    assert examined.ledger.rows == seen["rows"]
    study.timed(read_plan, examined)
    assert examined.ledger.rows == study.probe_cost(read_plan, examined.model, 5)


def test_rows_that_may_cost_money_are_not_timed():
    class Metered:
        account = {}

        def __init__(self, model):
            self.signature, self.limits, self.identity = model.signature, model.limits, model.identity
            self.predict = model.predict

    examined = whole(Metered(bb.open_model(LINEAR, "cpu")), {"x": np.loadtxt(ROWS, delimiter=",", skiprows=1, dtype=np.float32)})
    read_plan = load_plan(MODELS / "credit" / "audit.yaml")
    study.probed(read_plan, examined)
    assert study.timed(read_plan, examined) == {}
    assert examined.ledger.rows == study.probe_cost(read_plan, examined.model, len(examined.rows["x"])) < 430
