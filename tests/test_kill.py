"""A run that is killed leaves nothing half-written; marked slow, because it starts whole processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLAN = ROOT / "sample_models" / "credit" / "audit.yaml"

pytestmark = pytest.mark.slow


def start(folder):
    program = "from blackbox.cli import main; main()"
    command = [sys.executable, "-c", program, "audit", str(PLAN), "-o", str(folder / "out")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("wait", [0.3, 0.8, 1.5, 2.2, 3.0])
def test_ctrl_c_says_so_and_leaves_nothing(tmp_path, wait):
    process = start(tmp_path)
    time.sleep(wait)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=60)
    if process.returncode == 0:
        assert (tmp_path / "out" / "manifest.json").is_file()
        return
    assert {path.name for path in tmp_path.iterdir()} <= {"out.partial"}
    # before the command line is up, the interpreter itself may end the process, and a library whose
    # import is interrupted looks like one that is not installed
    assert process.returncode in (130, -signal.SIGINT, 1, 3)
    if process.returncode == 130:
        assert "Stopped" in messages


@pytest.mark.parametrize("wait", [0.5, 1.5, 2.5, 3.5])
def test_kill_9_never_leaves_a_folder_without_its_manifest(tmp_path, wait):
    process = start(tmp_path)
    time.sleep(wait)
    process.kill()
    process.communicate(timeout=60)
    out = tmp_path / "out"
    assert not out.exists() or (out / "manifest.json").is_file()
    done = start(tmp_path)
    _, messages = done.communicate(timeout=120)
    assert done.returncode == 0, messages
    assert (out / "report.html").is_file()
    assert sorted(os.listdir(tmp_path)) == ["out"]
