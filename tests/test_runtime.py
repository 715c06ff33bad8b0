"""Finding ONNX Runtime: none, two, or one whose GPU does not start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import blackbox as bb
from blackbox_adapters.onnx import runtime

MODEL = Path(__file__).parent.parent / "sample_models" / "toys" / "linear.onnx"
LOADING = runtime.Loading(MODEL.read_bytes(), "linear.onnx")


def test_with_no_runtime_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(bb.ModelError, match=r'ONNX Runtime is not installed: run python -m pip install "blackbox\[gpu\]"'):
        bb.open_model(MODEL)


def test_two_distributions_in_one_environment_are_named(monkeypatch):
    monkeypatch.setattr(runtime, "version", lambda _: "1.31.1")
    assert "Both onnxruntime and onnxruntime-gpu are installed" in runtime.both_installed()


def test_one_distribution_is_no_cause_for_a_warning():
    assert runtime.both_installed() == ""


class FallsBack:
    """A runtime that was built with CUDA and quietly runs on the CPU, as the real one does."""

    def __init__(self, providers):
        self.providers = providers

    def get_available_providers(self):
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def session(self, *_):
        class Session:
            get_providers = staticmethod(lambda: self.providers)

        return Session()


@pytest.fixture
def starts_on(monkeypatch):
    def go(*providers):
        fake = FallsBack(list(providers))
        monkeypatch.setattr(runtime, "load_runtime", lambda: fake)
        monkeypatch.setattr(runtime, "_session", fake.session)

    return go


def test_cuda_asked_for_and_absent_fails_loudly_with_what_to_install(starts_on):
    starts_on("CPUExecutionProvider")
    with pytest.raises(bb.RequestError, match=r"no CUDA session starts here.*CUDA 13 and cuDNN 9.*blackbox\[cuda\]"):
        runtime.start(LOADING, "cuda")


def test_cuda_asked_for_and_absent_may_be_replaced_by_the_cpu_where_that_is_allowed(starts_on):
    starts_on("CPUExecutionProvider")
    assert runtime.start(LOADING, "cuda", allow_cpu=True)[1] == "cpu"


def test_a_cpu_that_stands_in_for_a_gpu_is_what_the_record_names():
    model = bb.open_model(MODEL, device="cuda", options={"allow_cpu": True})
    first = model.session.get_providers()[0]
    assert model.identity.device == ("cuda:0" if first == "CUDAExecutionProvider" else "cpu")


def test_what_a_session_was_started_with_is_recorded():
    facts = bb.open_model(MODEL, device="cpu", options={"threads": 1}).identity.facts["session"]
    assert facts["threads"] == 1
    assert facts["deterministic_compute"] is True
    assert list(facts["providers"]) == ["CPUExecutionProvider"]


def test_auto_believes_the_session_and_not_the_list(starts_on):
    starts_on("CPUExecutionProvider")
    assert runtime.start(LOADING, "auto")[1] == "cpu"
    starts_on("CUDAExecutionProvider", "CPUExecutionProvider")
    assert runtime.start(LOADING, "auto")[1] == "cuda:0"
    assert runtime.start(LOADING, "cuda:1")[1] == "cuda:1"


@pytest.mark.parametrize("asked", [False, True])
def test_a_gpu_rounds_what_it_multiplies_only_when_asked(monkeypatch, asked):
    seen, real = [], runtime.start
    monkeypatch.setattr(runtime, "start", lambda loading, *more: seen.append(loading) or real(loading, *more))
    bb.open_model(MODEL, "cpu", {"tf32": asked} if asked else None)
    assert runtime._cuda(0, seen[0])[1]["use_tf32"] == int(asked)
