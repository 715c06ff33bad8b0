"""What pytest and MLflow load: light, and doing what their documentation says; pipelines' files run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from test_cli import STRONGEST, plan

import blackbox as bb
from blackbox_plugins import assert_audit_passes

ROOT = Path(__file__).parent.parent
PEER = ROOT / ".peers" / "mlflow" / "bin" / "python"


def test_the_plugins_load_nothing_heavy():
    program = (
        "import sys, blackbox_plugins.for_pytest, blackbox_plugins.for_mlflow\n"
        "print([n for n in 'blackbox numpy onnx onnxruntime pandas mlflow'.split() if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_assertion_passes_or_quotes_what_failed(tmp_path):
    result = assert_audit_passes(plan(tmp_path), folder=tmp_path / "good")
    assert isinstance(result, bb.AuditResult)
    assert assert_audit_passes(result) is result
    with pytest.raises(AssertionError) as told:
        assert_audit_passes(plan(tmp_path, STRONGEST), folder=tmp_path / "bad")
    assert "The audit did not pass: " in str(told.value)
    assert "protected, " in str(told.value)
    assert str(tmp_path / "bad" / "report.html") in str(told.value)


SUITE = '''
from blackbox_plugins import assert_audit_passes

def test_passes(blackbox_audit):
    result = assert_audit_passes(blackbox_audit({good!r}))
    assert result.manifest["cases"] >= 1

def test_is_played_once(blackbox_audit):
    assert blackbox_audit({good!r}) is blackbox_audit({good!r})

def test_does_not_pass(blackbox_audit):
    assert_audit_passes(blackbox_audit({bad!r}))
'''


def test_pytest_finds_the_fixture_and_keeps_the_bundles(tmp_path):
    paths = {}
    for name, checks in (("good", "additivity"), ("bad", STRONGEST)):
        (tmp_path / name).mkdir()
        paths[name] = str(plan(tmp_path / name, checks))
    (tmp_path / "test_models.py").write_text(SUITE.format(**paths))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_models.py", "--blackbox-audits", "kept"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    assert "1 failed" in done.stdout
    assert "AssertionError: The audit did not pass" in done.stdout
    assert "passing.py" not in done.stdout  # the failure is shown where the test stands
    assert sorted(path.parent.name for path in (tmp_path / "kept").glob("*/manifest.json")) == ["plan", "plan-2"]


def shell(command, folder, **environment):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command, cwd=folder, env=os.environ | {"PATH": path, **environment}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def keys(tmp_path):
    assert shell(["blackbox", "keygen", "-o", "auditor"], tmp_path).returncode == 0
    return tmp_path / "auditor.pem", tmp_path / "auditor.pub.pem"


@pytest.mark.parametrize(("checks", "code"), [("additivity", 0), (STRONGEST, 1)])
def test_the_shell_snippet_signs_and_ends_as_the_audit_did(tmp_path, keys, checks, code):
    script = ROOT / "docs" / "pipelines" / "audit.sh"
    done = shell([str(script), str(plan(tmp_path, checks)), "evidence", *map(str, keys)], tmp_path)
    assert done.returncode == code, done.stderr
    assert "HOLDS: evidence" in done.stdout
    missing = shell([str(script), "nowhere.yaml", "other", *map(str, keys)], tmp_path)
    assert missing.returncode == 2
    assert "HOLDS" not in missing.stdout


def test_the_workflow_s_own_commands_run(tmp_path, keys):
    workflow = yaml.safe_load((ROOT / "docs" / "pipelines" / "audit.yml").read_text())
    steps = workflow["jobs"]["audit"]["steps"]
    named = {step["name"]: step["run"] for step in steps if "run" in step}
    assert list(named) == ["install", "plan", "audit", "sign"]
    environment = {"PLAN": str(plan(tmp_path)), "PUBLIC_KEY": str(keys[1]), "RUNNER_TEMP": str(tmp_path),
                   "BLACKBOX_KEY": keys[0].read_text().strip()}  # fmt: skip
    for name in ("plan", "audit", "sign"):
        done = shell(["bash", "-e", "-c", named[name]], tmp_path, **environment)
        assert done.returncode == 0, (name, done.stderr)
    assert done.stdout.splitlines()[1] == "HOLDS: evidence"
    assert not (tmp_path / "key.pem").exists()
    kept = [step["with"] for step in steps if "with" in step]
    assert {"name": "evidence", "path": "evidence"} in kept
    assert (tmp_path / kept[-1]["sarif_file"]).exists()


def test_the_snippets_of_the_page_are_python():
    page = (ROOT / "docs" / "pipelines" / "README.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    assert len(snippets) == 2
    for snippet in snippets:
        compile(snippet, "README.md", "exec")


MLFLOW = '''
import json, sys
import mlflow, numpy as np, onnx, pandas as pd
folder, models = sys.argv[1:]
mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
rows = pd.read_csv(f"{models}/credit/applicants.csv").head(3).drop(columns="applicant").astype("float32")
plan = {"model": {"classes": ["declined", "approved"]},
        "background": {"path": f"{models}/credit/background.csv", "most": 20},
        "methods": ["occlusion"], "checks": ["determinism"]}
network = onnx.load(f"{models}/credit/credit.onnx")
answer = {}
def evaluate(uri, **config):
    return mlflow.models.evaluate(
        uri, rows.assign(outcome=0), targets="outcome", model_type="classifier", evaluators="blackbox",
        evaluator_config=config,
    )
experiment = mlflow.create_experiment("audits", artifact_location=f"file://{folder}/artifacts")
with mlflow.start_run(experiment_id=experiment) as run:
    logged = mlflow.onnx.log_model(network, name="credit")
    found = evaluate(logged.model_uri, plan=plan)
    answer["metrics"] = found.metrics
    answer["schema"] = found.artifacts["blackbox_manifest"].content["schema"]
    answer["model"] = found.artifacts["blackbox_manifest"].content["inputs"]["model"]
stored = mlflow.get_run(run.info.run_id)
answer["stored"] = {name: value for name, value in stored.data.metrics.items() if name.startswith("blackbox")}
kept = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="blackbox", dst_path=f"{folder}/kept")
answer["kept"] = kept
def refused(**config):
    try:
        evaluate(config.pop("model_uri", logged.model_uri), **config)
    except Exception as error:
        return str(error)
answer["unknown"] = refused(plan=plan, plann=1)
answer["path"] = refused(plan={**plan, "model": {"path": "x.onnx"}})
mlflow.onnx.save_model(network, f"{folder}/local")
answer["unlogged"] = refused(plan=plan, model_uri=f"{folder}/local")
answer["named"] = refused(plan=plan, model_uri=f"{folder}/local", model=f"{folder}/local")
print("ANSWER" + json.dumps(answer))
'''


@pytest.mark.slow
def test_mlflow_s_evaluate_audits_logs_and_refuses(tmp_path):
    import json

    if not PEER.exists():
        pytest.fail("the environment with mlflow is missing: run python tests/peers/make.py mlflow")
    command = [str(PEER), "-c", MLFLOW, str(tmp_path), str(ROOT / "sample_models")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    answer = json.loads(done.stdout.split("ANSWER")[1])
    assert answer["metrics"]["blackbox_passed"] == 1
    assert answer["metrics"]["blackbox_cases"] == 3
    assert answer["stored"] == answer["metrics"]
    assert answer["schema"] == "blackbox.bundle/1"
    assert len(answer["model"]["model.onnx"]) == 64
    kept = bb.AuditResult(Path(answer["kept"]))
    assert kept.passed
    assert kept.report.exists()
    assert "no key 'plann'" in answer["unknown"]
    assert "names a model.path" in answer["path"]
    assert "never logged" in answer["unlogged"]
    assert answer["named"] is None
