"""Memory does not grow with the work: ten times the masks, background rows or inputs, under one ceiling."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import blackbox as bb

HERE = Path(__file__).parent
CEILING = 400 * 2**20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")

WORK = {"kernelshap": (400, 20, 3), "rise": (200, 10, 3), "occlusion": (78, 10, 3), "sis": (250, 4, 3)}
"""Masks, background rows and inputs of each method; one of the three is taken tenfold."""


@cache
def peaks(method, *work):
    command = [sys.executable, str(HERE / "measured.py"), method, *map(str, work), "400MiB"]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


@pytest.mark.parametrize("more", range(3), ids=["masks", "background", "inputs"])
@pytest.mark.parametrize(
    "method", ["kernelshap", "rise", *(pytest.param(m, marks=pytest.mark.slow) for m in ("occlusion", "sis"))]
)
def test_tenfold_work_adds_at_most_a_tenth_and_64_mib(method, more):
    work = WORK[method]
    once, more = peaks(method, *work), peaks(method, *work[:more], 10 * work[more], *work[more + 1 :])
    assert more["rows"] > 8 * once["rows"]
    for end in ("inside", "outside"):
        assert more[end] <= 1.1 * once[end] + 64 * 2**20
    assert more["inside"] + more["outside"] <= CEILING


def test_a_probe_stays_far_below_the_ceiling(tmp_path, monkeypatch):
    from blackbox_adapters.onnx import pace

    monkeypatch.setenv("BLACKBOX_CACHE", str(tmp_path))
    asked = []
    monkeypatch.setattr(pace, "_fastest", lambda predict, x, sizes, device: asked.append(sizes) or sizes[0])
    path = HERE.parent / "sample_models" / "digits" / "mlp.onnx"
    x = {"image": np.zeros(2**20, np.float64)}
    for memory in (None, 2**29):
        model = bb.open_model(path, "cpu")
        settings = pace.OnnxOptions(batch_size="probe", memory=memory)
        pace.suited(model, model.rehearse, x, settings)
    assert max(asked[0]) * x["image"].nbytes <= pace.MOST_BYTES
    assert max(asked[1]) * x["image"].nbytes <= 2**29 // pace.SHARE
