"""What can only be seen on a GPU: CUDA sessions really run there, also confined, and agree with the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import blackbox as bb
from blackbox.replay import replay

SAMPLES = Path(__file__).parents[1] / "sample_models"
MODEL = SAMPLES / "digits" / "cnn28.onnx"
SMOOTH = Path(__file__).parent / "derivatives"
DERIVATIVES = {"cafo", "caso", "saliency", "gradient-x-input", "smoothgrad", "integrated-gradients"}

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def cuda():
    try:
        return bb.open_model(MODEL, device="cuda")
    except bb.RequestError as error:
        pytest.skip(f"no CUDA session starts here: {error.message[:80]}")


def digit(seed=0):
    return np.random.default_rng(seed).random((1, 28, 28))


CELLS = np.arange(784).reshape(1, 28, 28) // 16
SETTINGS = {
    "occlusion": bb.Occlusion(window=(4, 4)),
    "kernelshap": bb.KernelShap(budget=400),
    "lime": bb.Lime(samples=200),
    "rise": bb.Rise(masks=300),
    "sis": bb.Sis(threshold=bb.Fraction(0.8)),
}


@pytest.mark.parametrize("name", [name for name in bb.METHODS if name not in DERIVATIVES])
def test_methods_that_hide_agree_with_the_cpu(cuda, name):
    more = {} if name == "rise" else {"features": CELLS}
    on_gpu, on_cpu = (
        bb.explain(model, digit(), method=SETTINGS[name], **more)
        for model in (cuda, bb.open_model(MODEL, device="cpu"))
    )
    assert on_gpu.provenance["model"]["device"].startswith("cuda")
    assert on_gpu.rows == on_cpu.rows
    np.testing.assert_allclose(on_gpu.values, on_cpu.values, atol=1e-4 * max(1.0, np.ptp(on_cpu.values)))


@pytest.mark.parametrize("network", ["tanh", "gelu", "relu", "transformer"])
@pytest.mark.parametrize("name", sorted(DERIVATIVES))
def test_derivatives_agree_with_the_cpu(cuda, name, network):
    with np.load(SMOOTH / f"{network}.npz") as stored:
        x = stored["x"][0]
    on_gpu, on_cpu = (
        bb.explain(bb.open_model(SMOOTH / f"{network}.onnx", device), x, method=name) for device in ("cuda", "cpu")
    )
    assert on_gpu.outcome == on_cpu.outcome
    a, b = on_gpu.values.ravel(), on_cpu.values.ravel()
    assert a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) > 0.9999
    assert np.linalg.norm(a - b) < 0.02 * np.linalg.norm(b)


def test_masks_are_played_on_the_device_and_what_stays_is_copied_there_once(cuda):
    found = bb.explain(cuda, digit(), bb.KernelShap(budget=400), features=CELLS)
    assert found.provenance["hiding"] == "in the graph"
    filled = bb.open_model(MODEL, device="cuda", options={"fuse": False})
    plain = bb.explain(filled, digit(), bb.KernelShap(budget=400), features=CELLS)
    np.testing.assert_allclose(found.values, plain.values, atol=1e-4)
    game = bb.api.case(cuda, digit(), features=CELLS).game(None, "raw")
    stays = game.fused.hide.run.kept.stays
    assert all(value.device_name() == "cuda" for value in stays.values())


@pytest.mark.parametrize("scale", ["raw", "probability", "logit", "log-probability"])
@pytest.mark.parametrize("path", ["toys/softmax.onnx", "credit/credit.onnx", "breast_cancer/forest.onnx"])
def test_every_scale_is_read_on_the_device_as_outside(cuda, path, scale):
    width = {"toys": 3, "credit": 27, "breast_cancer": 30}[path.split("/")[0]]
    rows = np.random.default_rng(3).random((40, width)).astype(np.float32)
    found = []
    for fuse in (True, False):
        model = bb.open_model(SAMPLES / path, "cuda", {"fuse": fuse})
        try:
            found.append(bb.explain(model, rows[0], bb.KernelShap(budget=200), scale=scale, target=0, background=rows))
        except bb.ModelError as error:  # a forest's probability of exactly 0 has no logit
            found.append(error.message)
    if isinstance(found[1], str):
        assert found[0] == found[1]
        return
    assert found[0].provenance["hiding"] == "in the graph"
    np.testing.assert_allclose(found[0].values, found[1].values, atol=1e-5 * max(1.0, np.abs(found[1].values).max()))


def test_the_same_question_has_the_same_bits_also_in_another_session(cuda):
    for method in ("occlusion", bb.KernelShap(budget=400)):
        again = bb.open_model(MODEL, device="cuda")
        answers = [bb.explain(model, digit(1), method, features=CELLS).to_json() for model in (cuda, cuda, again)]
        assert len(set(answers)) == 1


def test_rows_per_run_are_probed_on_a_gpu_unless_given(cuda):
    assert cuda.fit({"image": np.zeros((1, 28, 28), np.float32)}).limits.chosen == "by probe"


@pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is proven on Linux only")
def test_a_confined_process_really_uses_the_gpu_and_answers_alike(cuda):
    confined = bb.open_model(MODEL, "cuda", {"sandbox": True})
    assert confined.identity.device.startswith("cuda")
    held = confined.identity.facts["sandbox"]
    assert held["system_calls"].startswith("filtered"), held
    a, b = (bb.explain(model, digit(), bb.KernelShap(budget=400), features=CELLS) for model in (confined, cuda))
    assert a.provenance["hiding"] == "in the graph"
    np.testing.assert_allclose(a.values, b.values, atol=1e-6)


def command(*arguments):
    run = [sys.executable, "-c", "from blackbox.cli import main; main()", *map(str, arguments)]
    return subprocess.run(run, capture_output=True, text=True, timeout=120, env=dict(os.environ))


def test_an_audit_on_the_gpu_is_replayed(cuda, tmp_path):
    plan = SAMPLES / "credit" / "audit.yaml"
    done = command("audit", plan, "-o", tmp_path / "out")
    assert done.returncode in (0, 1), done.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["device"].startswith("cuda"), manifest["device"]
    again = replay(tmp_path / "out", SAMPLES / "credit" / "credit.onnx", base=SAMPLES / "credit", sample=3)
    assert again.cases == 3
    assert again.same, again.differences[:3]


def test_the_doctor_and_the_probe_see_the_gpu(cuda):
    told = json.loads(command("doctor", "--device", "cuda", "--json").stdout)
    assert any("cuda" in json.dumps(line) and "cuda:0" in json.dumps(line) for line in told), told
    probed = command("inspect", MODEL, "--probe", "--device", "cuda")
    assert probed.returncode == 0, probed.stderr
    assert "cuda:0" in probed.stdout
