"""Explain so much in the sandbox and print the peaks of resident memory in bytes; test_memory.py starts it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import blackbox as bb

SAMPLES = Path(__file__).parents[1] / "sample_models"
CREDIT, CNN = SAMPLES / "credit" / "credit.onnx", SAMPLES / "digits" / "cnn28.onnx"
DIGITS = SAMPLES / "digits" / "images28"


def kernelshap(model, masks, background, inputs, rng):
    """Rows of a table: masks, background rows and inputs grow."""
    method = bb.KernelShap(budget=masks, tolerance=None, estimator="kernel")
    x, hidden = (rng.normal(size=(count, 27)).astype(np.float32) for count in (inputs, background))
    return sum(e.rows for e in bb.explain_many(model, x, method, target=1, background=hidden))


def pictures(count, rng):
    return rng.random((count, 1, 28, 28), dtype=np.float32)


def explained(model, method, side, background, inputs, rng):
    """Explain pictures by a grid of patches, one after the other."""
    labels = bb.features.patches((1, 28, 28), side, side)[0]
    hidden = pictures(background, rng)
    found = bb.explain_many(model, pictures(inputs, rng), method, target=1, features=labels, background=hidden)
    return sum(e.rows for e in found)


def occlusion(model, masks, background, inputs, rng):
    """Without each patch: the finer the grid, the more masks."""
    return explained(model, bb.Occlusion(), round(masks**0.5), background, inputs, rng)


def rise(model, masks, background, inputs, rng):
    return explained(model, bb.Rise(masks=masks), 7, background, inputs, rng)


def sis(model, masks, background, inputs, rng):
    """In lockstep: candidates grow with the square of the features."""
    labels = bb.features.patches((1, 28, 28), round(masks**0.25), round(masks**0.25))[0]
    method = bb.Sis(threshold="50%", search="backselect", max_subsets=1)
    digits = [np.asarray(Image.open(path), dtype=np.float32)[None] / 255 for path in sorted(DIGITS.glob("*.png"))]
    x, hidden = np.stack([digits[k % len(digits)] for k in range(inputs)]), pictures(background, rng) / 10
    found = bb.sis_profile(model, x, method, features=labels, background=hidden, eps=1e9, min_samples=1)
    return sum(e.rows for e in found.explanations)


METHODS = {"kernelshap": kernelshap, "occlusion": occlusion, "rise": rise, "sis": sis}


def main(method, masks, background, inputs, ceiling):
    model = bb.open_model(CREDIT if method == "kernelshap" else CNN, "cpu", {"memory": ceiling})
    asked = METHODS[method](model, int(masks), int(background), int(inputs), np.random.default_rng(0))
    inside = peak(model.custody.child.watch.process.pid)
    sys.stdout.write(json.dumps({"rows": asked, "outside": peak("self"), "inside": inside}))


def peak(process):
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    main(*sys.argv[1:])
