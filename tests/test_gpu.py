"""What can only be seen on a GPU: a CUDA session really runs there and agrees with the CPU.

None of this was run where this was written: no GPU was there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import blackbox as bb

MODEL = Path(__file__).parent.parent / "sample_models" / "digits" / "cnn28.onnx"

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def cuda():
    try:
        return bb.open_model(MODEL, device="cuda")
    except bb.RequestError as error:
        pytest.skip(f"no CUDA session starts here: {error.message[:80]}")


METHODS = [bb.Occlusion(window=(4, 4)), bb.KernelShap(budget=400), bb.Lime(samples=200)]


@pytest.mark.parametrize("method", METHODS)
def test_cuda_agrees_with_the_cpu(cuda, method):
    x = np.random.default_rng(0).random((1, 28, 28))
    features = np.arange(784).reshape(1, 28, 28) // 16
    on_gpu = bb.explain(cuda, x, method=method, features=features)
    on_cpu = bb.explain(bb.open_model(MODEL, device="cpu"), x, method=method, features=features)
    assert on_gpu.provenance["model"]["device"].startswith("cuda")
    np.testing.assert_allclose(on_gpu.values, on_cpu.values, atol=1e-4)


def test_masks_are_played_on_the_device_and_what_stays_is_copied_there_once(cuda):
    x = np.random.default_rng(0).random((1, 28, 28))
    features = np.arange(784).reshape(1, 28, 28) // 16
    found = bb.explain(cuda, x, bb.KernelShap(budget=400), features=features)
    assert found.provenance["hiding"] == "in the graph"
    filled = bb.open_model(MODEL, device="cuda", options={"fuse": False})
    plain = bb.explain(filled, x, bb.KernelShap(budget=400), features=features)
    np.testing.assert_allclose(found.values, plain.values, atol=1e-4)
    game = bb.api.case(cuda, x, features=features).game(None, "raw")
    stays = game.fused.hide.run.kept.stays
    assert all(value.device_name() == "cuda" for value in stays.values())


def test_the_same_question_has_the_same_bits(cuda):
    x = np.random.default_rng(1).random((1, 28, 28))
    assert bb.explain(cuda, x, "occlusion").to_json() == bb.explain(cuda, x, "occlusion").to_json()


def test_rows_per_run_are_probed_on_a_gpu_unless_given(cuda):
    assert cuda.fit({"image": np.zeros((1, 28, 28), np.float32)}).limits.chosen == "by probe"
