"""What can only be seen on a GPU: a CUDA session really runs there and agrees with the CPU."""

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
