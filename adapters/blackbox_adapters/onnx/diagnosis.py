"""What ``blackbox doctor`` says about ONNX Runtime: which builds, and which devices really start."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from blackbox.diagnosis import Reading
from blackbox.errors import BlackboxError
from blackbox_adapters.onnx import runtime

BUILDS = ("onnxruntime", "onnxruntime-gpu")


def diagnose(device: str) -> list[Reading]:
    """Read the installed builds, start a session on every device kind, and find the GPU.

    Parameters
    ----------
    device : ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; the one that has to work.
    """
    kind, _ = runtime.parse_device(device)
    builds = _builds()
    found = [_reading_of(builds)]
    try:
        engine = runtime.load_runtime()
    except BlackboxError as error:
        return [*found, Reading("runs on cpu", "no", False, error.message)]
    found.append(Reading("compiled in", ", ".join(engine.get_available_providers())))
    found.append(_starts("cpu", needed=True))
    found.append(_starts(device if kind == "cuda" else "cuda", needed=kind == "cuda"))
    return [*found, Reading("GPU", _gpu())]


def _builds() -> dict[str, str]:
    found = {}
    for name in BUILDS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _reading_of(builds: dict[str, str]) -> Reading:
    shown = ", ".join(f"{name} {number}" for name, number in builds.items()) or "missing"
    if len(builds) > 1:
        return Reading("ONNX Runtime", shown, False, runtime.both_installed().strip())
    return Reading("ONNX Runtime", shown, bool(builds), "" if builds else runtime.INSTALL)


def _starts(device: str, needed: bool) -> Reading:
    """Start a session of one node; what it reports is what works."""
    try:
        used = runtime.start_graph(one_node(), device)
    except BlackboxError as error:
        return Reading(f"runs on {device}", "no", not needed, error.message)
    return Reading(f"runs on {device}", f"yes ({used})")


def one_node() -> bytes:
    """Return the smallest graph that a session can start on."""
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "one", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 13)]
    model: Any = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return bytes(model.SerializeToString())


def _gpu() -> str:
    """Ask the NVIDIA driver's own tool, where there is one."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "no NVIDIA driver found"
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "the NVIDIA driver does not answer"
    return "; ".join(told.stdout.strip().splitlines()) or "the NVIDIA driver reports no GPU"
