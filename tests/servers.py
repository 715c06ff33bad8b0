"""Servers of the slow tests: processes on free ports that are waited for, and ended with all their children."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parent.parent
PATIENCE = 120
"""Seconds until a server that does not answer has failed: some import for half a minute."""


def free_port():
    """Return a port of the loopback that nothing listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def python_of(name):
    """The interpreter of an environment made by tests/peers/make.py; without it the test fails."""
    python = ROOT / ".peers" / name / "bin" / "python"
    if not python.exists():
        pytest.fail(f"The environment {name} is missing: run   python tests/peers/make.py {name}")
    return python


@contextmanager
def running(command, ready, **environment):
    """Run a server until the block ends; ``ready`` is the URL that answers 200 once it is up."""
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, env={**os.environ, **environment},
    )  # fmt: skip
    try:
        wait_for(process, ready)
        yield process
    finally:
        end(process)


def wait_for(process, ready):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if process.poll() is not None:
            pytest.fail(f"{process.args[0]} ended with {process.returncode} before it was ready.")
        try:
            if httpx.get(ready, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    pytest.fail(f"{process.args[0]} was not ready within {PATIENCE} s.")


def end(process):
    """End a server and what it has started."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
            process.wait(timeout=10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


@contextmanager
def kserve(model, name="credit"):
    """Serve an ONNX file by the KServe SDK; yields its address."""
    port = free_port()
    script = ROOT / "tests" / "peers" / "serve_kserve.py"
    command = [python_of("kserve"), script, model, "--name", name, "--port", port]
    with running(command, f"http://127.0.0.1:{port}/v2/models/{name}/ready"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def mlserver(model, folder, name="credit"):
    """Serve an ONNX file by MLServer's MLflow runtime; yields its address."""
    port = free_port()
    script = ROOT / "tests" / "peers" / "serve_mlserver.py"
    command = [python_of("mlserver"), script, model, "--name", name, "--port", port, "--folder", folder]
    with running(command, f"http://127.0.0.1:{port}/v2/models/{name}/ready"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def blackbox(*arguments, port, ready, **environment):
    """Run the command line as a server."""
    program = "import sys; from blackbox.cli import main; sys.exit(main())"
    with running([sys.executable, "-c", program, *arguments], f"http://127.0.0.1:{port}{ready}", **environment):
        yield f"http://127.0.0.1:{port}"
