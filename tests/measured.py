"""Explain so much in the sandbox and print the peaks of resident memory in bytes; test_memory.py starts it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import blackbox as bb

CREDIT = Path(__file__).parents[1] / "sample_models" / "credit" / "credit.onnx"


def main(masks, background, inputs, ceiling):
    model = bb.open_model(CREDIT, "cpu", {"memory": ceiling})
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(int(inputs), 27)).astype(np.float32)
    hidden = rng.normal(size=(int(background), 27)).astype(np.float32)
    method = bb.KernelShap(budget=int(masks), tolerance=None, estimator="kernel")
    asked = sum(e.rows for e in bb.explain_many(model, rows, method, target=1, background=hidden))
    inside = peak(model.custody.child.watch.process.pid)
    sys.stdout.write(json.dumps({"rows": asked, "outside": peak("self"), "inside": inside}))


def peak(process):
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    main(*sys.argv[1:])
