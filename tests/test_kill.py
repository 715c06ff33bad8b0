"""A run that is killed is gone on with to the same bytes; marked slow, because it starts whole processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from killed import contents

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


SMALL = """
model: {{path: {credit}/credit.onnx, classes: [declined, approved]}}
data: {{path: {credit}/applicants.csv, id: applicant, first: {cases}}}
background: {{path: {credit}/background.csv, most: 10}}
methods: {{kernelshap: {{budget: 100}}, occlusion: {{}}}}
checks: [determinism, additivity]
reasons: {{method: occlusion}}
"""


def small(folder, cases):
    path = folder / "small.yaml"
    path.write_text(SMALL.format(credit=PLAN.parent, cases=cases))
    return path


def test_kill_9_at_any_file_operation_is_gone_on_with_to_the_same_bytes(tmp_path):
    """22 kills, a third of them while the bundle is sealed; every other one replaces an earlier audit."""
    program = [sys.executable, str(Path(__file__).with_name("killed.py"))]
    done = subprocess.run(
        [*program, str(small(tmp_path, 8)), str(tmp_path), "22", "7"], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == 22
    for one in told:
        assert one["killed"], one
        assert one["ended"] == 0, one
        assert one["same"], one
        assert one["nothing_twice"], one
        assert not one["half"], one
        assert one["left"] == [], one
    assert {one["finished_before"] for one in told} >= {0, 9}  # before anything was finished, and after everything


@pytest.mark.parametrize("wait", [2.0, 3.5, 5.0])
def test_kill_9_of_the_parent_ends_its_workers_and_the_rest_is_played(tmp_path, wait):
    path = small(tmp_path, 40)
    program = "from blackbox.cli import main; main()"
    command = [sys.executable, "-c", program, "audit", str(path), "--workers", "2", "-o"]
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    first = subprocess.Popen([*command, str(tmp_path / "out")], env=environment, start_new_session=True)
    time.sleep(wait)
    first.kill()
    first.wait(10)
    for _ in range(100):  # the workers follow their parent
        if not alive(first.pid):
            break
        time.sleep(0.1)
    assert not alive(first.pid)
    for folder in ("out", "whole"):
        subprocess.run([*command, str(tmp_path / folder)], check=True, timeout=300, env=environment, capture_output=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def alive(session):
    """Whether any process of a session is there."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session, *_ = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        if its_session == str(session) and state != "Z":
            return True
    return False
