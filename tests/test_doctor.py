"""The environment in one table: what works, what does not, and what to do."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from blackbox import diagnosis
from blackbox.cli import cli
from blackbox_adapters.onnx import diagnosis as ours
from blackbox_adapters.onnx import runtime


def ask(*arguments):
    return CliRunner().invoke(cli, ["doctor", *arguments])


def test_a_working_environment_is_exit_0_and_names_what_runs():
    done = ask("--json")
    found = {reading["item"]: reading for reading in json.loads(done.stdout)}
    assert done.exit_code == 0
    assert found["runs on cpu"]["found"] == "yes (cpu)"
    assert found["ONNX Runtime"]["found"].startswith("onnxruntime")
    assert "numpy" in found


def test_the_table_shows_the_same():
    assert "runs on cpu" in ask().stdout


def test_an_unknown_device_is_a_wrong_request():
    done = ask("--device", "tpu")
    assert done.exit_code == 2
    assert "cuda:N" in done.stderr


def test_cuda_that_does_not_start_is_exit_1_only_when_it_was_asked_for(monkeypatch):
    def start(_, device):
        if device == "cuda":
            raise runtime.RequestError("no CUDA session starts here")
        return device

    monkeypatch.setattr(runtime, "start_graph", start)
    assert ask("--device", "auto").exit_code == 0
    done = ask("--device", "cuda")
    assert done.exit_code == 1
    assert "no CUDA session starts here" in " ".join(done.stdout.split())


def test_a_missing_package_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr(diagnosis, "PACKAGES", ("numpy", "no-such-package"))
    done = ask("--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)[4]["advice"] == "python -m pip install no-such-package"


@pytest.mark.parametrize(
    ("builds", "works", "words"),
    [({}, False, "pip install"), ({"onnxruntime": "1", "onnxruntime-gpu": "1"}, False, ""),
     ({"onnxruntime-gpu": "1"}, True, "")],
)  # fmt: skip
def test_the_builds_are_judged(builds, works, words):
    reading = ours._reading_of(builds)
    assert reading.works is works
    assert words in reading.advice
