"""Explain so much in the sandbox and print the peaks of resident memory in bytes; test_memory.py starts it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import blackbox as bb

masks, background, inputs = map(int, sys.argv[1:4])
model = bb.open_model(Path(__file__).parents[1] / "sample_models" / "credit" / "credit.onnx", "cpu", {"memory": sys.argv[4]})
rng = np.random.default_rng(0)
rows, hidden = rng.normal(size=(inputs, 27)).astype(np.float32), rng.normal(size=(background, 27)).astype(np.float32)
method = bb.KernelShap(budget=masks, tolerance=None, estimator="kernel")
asked = sum(e.rows for e in bb.explain_many(model, rows, method, target=1, background=hidden))


def peak(process):
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


inside = model.custody.child.watch.process.pid
sys.stdout.write(json.dumps({"rows": asked, "outside": peak("self"), "inside": peak(inside)}))
