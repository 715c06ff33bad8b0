"""The KServe SDK's own client against the service, from an environment of its own."""

from __future__ import annotations

import csv
import json
import subprocess

import numpy as np
import pytest
import servers
from serving import SAMPLES, serving

import blackbox as bb

CREDIT = SAMPLES / "credit"


@pytest.mark.slow
def test_the_kserve_client_needs_nothing_new(tmp_path):
    (tmp_path / "credit.onnx").write_bytes((CREDIT / "credit.onnx").read_bytes())
    with (CREDIT / "applicants.csv").open() as file:
        rows = [[float(v) for k, v in row.items() if k != "applicant"] for row in csv.DictReader(file)][:2]
    with serving(tmp_path) as client:
        done = subprocess.run(
            [servers.python_of("kserve"), servers.ROOT / "tests" / "peers" / "ask_kserve.py", str(client.base_url)],
            input=json.dumps(rows), capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert [found[key] for key in ("live", "ready", "model_ready")] == [True, True, True]
    model = bb.open_model(CREDIT / "credit.onnx")
    table = np.array(rows, dtype=np.float32)
    predicted = model.predict({"applicant": table})["probabilities"]
    values = [bb.explain(model, row, "occlusion", target=1).values for row in table]
    np.testing.assert_allclose(found["predictions"], predicted, rtol=1e-5)
    np.testing.assert_allclose([one["values"] for one in found["explanations"]], values, rtol=1e-5, atol=1e-7)
    for binary in (False, True):
        np.testing.assert_allclose(found[f"credit {binary}"]["probabilities"], predicted, rtol=1e-5)
        explained = found[f"credit__occlusion {binary}"]
        np.testing.assert_allclose(explained["values"], values, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(explained["base"], [model.predict({"applicant": table[:1] * 0})["probabilities"][0, 1]] * 2, rtol=1e-5)
        assert found[f"record {binary}"] == "occlusion"
