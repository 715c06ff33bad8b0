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


@cache
def peaks(masks, background, inputs):
    command = [sys.executable, str(HERE / "measured.py"), *map(str, (masks, background, inputs)), "400MiB"]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


@pytest.mark.parametrize("tenfold", [(4000, 20, 3), (400, 200, 3), (400, 20, 30)], ids=["masks", "background", "inputs"])
def test_tenfold_work_adds_at_most_a_tenth_and_64_mib(tenfold):
    once, more = peaks(400, 20, 3), peaks(*tenfold)
    assert more["rows"] > 9 * once["rows"]
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
