"""Hostile files, and valid ones with something changed: explained, refused or given up, and nothing else."""

from __future__ import annotations

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest

import blackbox as bb
from blackbox.errors import BlackboxError
from blackbox_adapters.onnx.options import OnnxOptions
from blackbox_adapters.onnx.sandboxed import INMATE, Custody, opened
from blackbox_adapters.sandbox import custody
from blackbox_adapters.sandbox.bounds import Bounds

HERE = Path(__file__).parent
SAMPLES = HERE.parent / "sample_models"
sys.path.insert(0, str(HERE / "corpus" / "hostile"))
import hostile  # noqa: E402
import mutations  # noqa: E402

sys.path.pop(0)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is proven on Linux only")

BOUNDS = Bounds(600 * 2**20, together=False, deadline=20.0)
SHORT = Bounds(600 * 2**20, together=False, deadline=1.5)
MUTATIONS, WORKERS = 2400, 2


class Warm:
    """A confined process that opens one file after the other; a new one takes the place of one that died."""

    def __init__(self, bounds):
        self.child, self.bounds = None, bounds

    def open(self, path):
        if self.child is None or self.child.watch.stopping:
            self.child = custody.start(INMATE, self.bounds)
        self.child.watch.bounds = self.bounds
        return opened(Custody(path, "cpu", OnnxOptions(sandbox=True, threads=1)), self.child)


@pytest.fixture(scope="module")
def warm():
    return Warm(BOUNDS)


def what_happens(warm, path, x):
    """Open and explain a file; every error but our own is a failure of the test."""
    try:
        model = warm.open(path)
    except BlackboxError as error:
        return (hostile.GIVEN_UP if "given up" in str(error) else hostile.REFUSED), str(error)
    try:
        found = bb.explain(model, x, bb.Occlusion(), target=0)
    except BlackboxError as error:
        return (hostile.GIVEN_UP if "given up" in str(error) else hostile.FAILED), str(error)
    assert np.isfinite(found.values).all()
    return hostile.ANSWERED, str(found.outcome)


@pytest.mark.parametrize("name", hostile.CASES)
def test_a_hostile_file_ends_as_the_table_says(warm, tmp_path, name):
    _, wanted, words = hostile.CASES[name]
    warm.bounds = SHORT if "did not answer" in words else BOUNDS
    found, told = what_happens(warm, hostile.make(name, tmp_path), np.full(2, 700, np.float32))
    assert wanted is None or (found, words in told) == (wanted, True), f"{found}: {told}"
    assert "\n" not in told
    assert len(told) < 1500


def test_after_all_of_them_an_honest_file_is_answered(warm):
    assert what_happens(warm, SAMPLES / "toys" / "softmax.onnx", np.ones(3))[0] == hostile.ANSWERED


def valid_graphs():
    """Small models of every family, with an input each."""
    found = []
    for path in sorted([*SAMPLES.glob("*/*.onnx"), *(HERE / "corpus").glob("*/*.onnx")]):
        try:
            signature = bb.open_model(path, "cpu").signature
        except BlackboxError:  # the corpus holds files that are refused
            continue
        if path.stat().st_size < 300_000:
            x = {tensor.name: values(tensor) for tensor in signature.inputs}
            found.append((path.parent.name + "/" + path.stem, onnx.load(str(path), load_external_data=False), x))
    return found


def values(tensor):
    shape = [side if isinstance(side, int) else 2 for side in tensor.cell_shape]
    drawn = np.random.default_rng(0).integers(0, 4, shape)
    return drawn.astype(str).astype(object) if tensor.dtype == "string" else drawn.astype("float32" if tensor.dtype == "bfloat16" else tensor.dtype)


def play(share, folder):
    """Open and explain a share of the mutations with one warm process; return what happened to each."""
    warm, seen = Warm(Bounds(2**30, together=False, deadline=5.0)), []
    for number, (name, model, x) in share:
        changed, told = mutations.mutate(model, np.random.default_rng([3, number]))
        path = folder / f"{number}.onnx"
        path.write_bytes(changed.SerializeToString())
        found, words = what_happens(warm, path, x)
        seen.append((found, name, told, words))
        path.unlink()
    return seen


@pytest.mark.slow
def test_changed_graphs_are_explained_refused_or_given_up(tmp_path, record_property):
    graphs = valid_graphs()
    assert len(graphs) >= 10
    tasks = [(number, graphs[number % len(graphs)]) for number in range(MUTATIONS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        shares = [tasks[worker::WORKERS] for worker in range(WORKERS)]
        seen = [one for share in pool.map(lambda share: play(share, tmp_path), shares) for one in share]
    counts = Counter(found for found, *_ in seen)
    record_property("mutations", dict(counts))
    sys.stderr.write(f"{len(seen)} mutations: " + ", ".join(f"{n} {what}" for what, n in counts.most_common()))
    assert len(seen) == MUTATIONS >= 500
    assert set(counts) <= {hostile.ANSWERED, hostile.REFUSED, hostile.FAILED, hostile.GIVEN_UP}
    assert counts[hostile.ANSWERED] > 0.1 * MUTATIONS  # the changes are subtle enough to be run
    assert counts[hostile.REFUSED] > 0.2 * MUTATIONS
