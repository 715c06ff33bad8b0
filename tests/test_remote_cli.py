"""Endpoints from the command line and from a plan: the same verbs, the bill on stderr, nothing secret written."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from endpoints import Endpoint, serving
from test_cli import run

import blackbox as bb
from blackbox.errors import RequestError

CREDIT = Path(__file__).parents[1] / "sample_models" / "credit"
TOKEN = "hunter2-0123456789"


@pytest.fixture(scope="module")
def credit():
    local = bb.open_model(CREDIT / "credit.onnx", device="cpu")
    answer = Endpoint(
        lambda x: {"probabilities": local.predict({"applicant": x.astype(np.float32)})["probabilities"]},
        [("applicant", "FP32", [-1, 27])], [("probabilities", "FP32", [-1, 2])],
    )  # fmt: skip
    with serving(answer) as served:
        yield served


def question(url, *arguments):
    return run("explain", url, "--input", CREDIT / "applicants.csv", "--background", CREDIT / "background.csv",
               "--id", "applicant", "--row", "A-003", "--target", "1", "--method", "occlusion", *arguments)  # fmt: skip


@pytest.mark.parametrize("path", ["/v2/models/credit", "/v1/models/credit", "/invocations"])
def test_explain_says_what_the_file_says_and_what_it_cost(credit, path):
    found = question(credit.url + path, "--json", "-")
    here = question(CREDIT / "credit.onnx", "--json", "-")
    theirs, ours = (bb.Explanation.from_json(result.stdout) for result in (found, here))
    np.testing.assert_allclose(theirs.values, ours.values, atol=1e-5)
    assert theirs.rows == ours.rows
    before, after = found.stderr.strip().splitlines()
    assert before == f"occlusion asks {credit.url}{path} for at most {theirs.rows:,} rows"
    assert after.startswith(f"asked {credit.url}{path}: {theirs.rows:,} rows in ")
    assert "asked " not in here.stderr


def test_the_readmes_command_runs_against_a_service(credit):
    """The README asks its own service; here an endpoint of the same name stands in for it."""
    readme = (CREDIT.parents[1] / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^blackbox explain (http://127\.0\.0\.1:8080/.*)$", readme, flags=re.M)
    words = shlex.split(line.replace("http://127.0.0.1:8080", credit.url))
    typed = [CREDIT.parents[1] / word if word.startswith("sample_models") else word for word in words]
    result = run("explain", *typed)
    assert result.exit_code == 0, result.output
    assert "forward rows" in result.stdout


def test_inspect_shows_an_endpoint(credit):
    shown = run("inspect", credit.url + "/v2/models/credit").stdout
    for word in ("endpoint", "applicant", "probabilities", "fake 1.0 over v2", "unknown: the model's bytes"):
        assert word in shown
    assert "file" not in shown
    facts = json.loads(run("inspect", credit.url + "/v2/models/credit", "--json").stdout)
    assert facts["protocol"] == "v2"
    assert facts["sha256"] == {}


def test_further_settings_are_given_by_name(credit):
    options = ("--model-option", "rows_per_request=50", "--model-option", "binary=always")
    facts = json.loads(run("inspect", credit.url + "/v2/models/credit", "--json", *options).stdout)
    assert (facts["rows_per_request"], facts["binary"]) == (50, True)
    with pytest.raises(RequestError, match="Did you mean 'in_flight'"):
        raise told("inspect", credit.url + "/v2/models/credit", "--model-option", "in_fligt=3")
    with pytest.raises(RequestError, match="--model-option in_flight=8"):
        raise told("inspect", credit.url + "/v2/models/credit", "--model-option", "in_flight")


def told(*arguments):
    """The error that a command line ends with."""
    result = run(*arguments)
    assert result.exit_code == 2
    return RequestError(" ".join(result.output.split()))


def test_a_budget_stops_before_it_is_passed(credit):
    before = sum(credit.batches)
    result = question(credit.url + "/v2/models/credit", "--most-rows", 150)
    assert result.exit_code == 2
    assert "row budget of 150" in " ".join(result.output.split())
    assert "asked " in result.stderr
    assert sum(credit.batches) - before <= 150


def plan_for(credit, folder, **model):
    plan = yaml.safe_load((CREDIT / "audit.yaml").read_text(encoding="utf-8"))
    plan["model"] = {"path": credit.url + "/v2/models/credit", "classes": ["declined", "approved"], **model}
    plan["data"] |= {"path": str(CREDIT / "applicants.csv"), "first": 2}
    plan["background"]["path"] = str(CREDIT / "background.csv")
    plan["features"]["labels"] = str(CREDIT / "columns.csv")
    plan["methods"], plan["checks"] = {"occlusion": {}}, ["determinism", "omission"]
    plan["reasons"] = {"method": "occlusion"}
    (folder / "audit.yaml").write_text(yaml.safe_dump(plan), encoding="utf-8")
    return folder / "audit.yaml"


def test_an_audit_of_an_endpoint_keeps_its_token_out_of_the_evidence(credit, tmp_path):
    (tmp_path / "token").write_text(TOKEN, encoding="utf-8")
    plan = plan_for(credit, tmp_path, options={"token_file": "token", "rows_per_request": 64})
    result = run("audit", plan, "-o", tmp_path / "out")
    assert result.exit_code in (0, 1), result.output
    assert credit.headers[-1]["Authorization"] == f"Bearer {TOKEN}"
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) > 3
    assert not any(TOKEN.encode() in path.read_bytes() for path in written)
    assert f"asked {credit.url}/v2/models/credit: " in result.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["endpoint"]["url"] == credit.url + "/v2/models/credit"
    assert manifest["endpoint"]["digest"].startswith("unknown")
    assert len(manifest["endpoint"]["metadata_sha256"]) == 64
    assert "unknown: the model" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    again = run("replay", tmp_path / "out", "--model", credit.url + "/v2/models/credit", "--base", tmp_path)
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize("method", ["lime", "kernelshap", "sis", "saliency", "caso"])
def test_what_is_spent_is_no_more_than_was_foretold(credit, method, tmp_path):
    few = (CREDIT / "background.csv").read_text(encoding="utf-8").splitlines(keepends=True)[:4]
    (tmp_path / "few.csv").write_text("".join(few), encoding="utf-8")
    result = run("explain", credit.url + "/v2/models/credit", "--input", CREDIT / "applicants.csv", "--id",
                 "applicant", "--background", tmp_path / "few.csv", "--method", method)  # fmt: skip
    before, after = result.stderr.strip().splitlines()
    most, spent = (int(re.search(r"([\d,]+) rows", line)[1].replace(",", "")) for line in (before, after))
    assert 0 < spent <= most


def test_a_dry_run_asks_an_endpoint_for_a_few_rows_only(credit, tmp_path):
    before = sum(credit.batches)
    result = run("audit", plan_for(credit, tmp_path), "--dry-run")
    assert result.exit_code == 0, result.output
    assert "forward rows at most" in result.stdout
    assert 0 < sum(credit.batches) - before <= 200


@pytest.mark.parametrize("path", ["/v2/models/credit", "/invocations"])
def test_a_drafted_plan_for_an_endpoint_runs(credit, tmp_path, monkeypatch, path):
    monkeypatch.setenv("MODEL_TOKEN", TOKEN)
    plan = tmp_path / "audit.yaml"
    options = ("--token-env", "MODEL_TOKEN", "--model-option", "timeout=30", "--id", "applicant")
    run("init", credit.url + path, "--data", CREDIT / "applicants.csv", "-o", plan, *options)
    written = yaml.safe_load(plan.read_text(encoding="utf-8"))
    assert written["model"]["path"] == credit.url + path
    assert written["model"]["options"] == {"timeout": 30, "token_env": "MODEL_TOKEN"}
    assert "sha256" not in written["model"]
    written["methods"], written["checks"], written["data"]["first"] = {"occlusion": {}}, ["determinism"], 1
    written.pop("reasons", None)
    plan.write_text(yaml.safe_dump(written), encoding="utf-8")
    result = run("audit", plan, "-o", tmp_path / "out")
    assert result.exit_code in (0, 1), result.output
    assert TOKEN not in plan.read_text(encoding="utf-8")


def test_a_digest_of_an_endpoint_cannot_be_demanded(credit, tmp_path):
    told = run("audit", plan_for(credit, tmp_path, sha256="0" * 64), "-o", tmp_path / "out")
    assert told.exit_code == 2
    assert "is unknown" in " ".join(told.output.split())


def test_options_of_a_plan_do_not_hide_its_keys(credit, tmp_path):
    told = run("audit", plan_for(credit, tmp_path, options={"kind": "logits"}), "-o", tmp_path / "out")
    assert told.exit_code == 2
    assert "kind is a key of model itself" in " ".join(told.output.split())
