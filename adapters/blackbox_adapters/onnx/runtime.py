"""ONNX Runtime: finding it, starting a session, and checking which device it really runs on."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from blackbox.errors import ModelError, RequestError
from blackbox_adapters.onnx.hints import hint

INSTALL = (
    'ONNX Runtime is not installed: run python -m pip install "blackbox[gpu]" '
    '(or "blackbox[cpu]" for the smaller CPU-only build).'
)
CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"


def load_runtime() -> Any:
    """Import onnxruntime, or say what to install."""
    try:
        import onnxruntime
    except ImportError:
        raise ModelError(INSTALL) from None
    if not hasattr(onnxruntime, "InferenceSession"):
        raise ModelError(f"The installed ONNX Runtime is broken.{both_installed()} {INSTALL}")
    return onnxruntime


def both_installed() -> str:
    """Return a sentence when two distributions own the import package, else an empty string."""
    found = [name for name in ("onnxruntime", "onnxruntime-gpu") if _installed(name)]
    if len(found) < 2:
        return ""
    return (
        " Both onnxruntime and onnxruntime-gpu are installed and overwrite each other: uninstall "
        "both, then install one."
    )


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def parse_device(device: str) -> tuple[str, int]:
    """Split ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` into a kind and a device number."""
    match = re.fullmatch(r"(auto|cpu|cuda)(?::(\d+))?", str(device))
    if match is None or (match[2] and match[1] != "cuda"):
        raise RequestError(f"Unknown device {device!r}: use auto, cpu, cuda or cuda:N (for example cuda:1).")
    return match[1], int(match[2] or 0)


@dataclass(frozen=True)
class Loading:
    """What a session is made from: bytes only, so that what was scanned and hashed is what is run.

    content : the model. name : how to call it in an error. weights : content of every file of external
    data. threads : within one pass, None = one per core. library : a file of custom operators. memory :
    bytes that the session may take on a GPU, None = no limit. tf32 : a GPU may round what it multiplies.
    """

    content: bytes
    name: str = "the graph"
    weights: Mapping[str, bytes] = field(default_factory=dict)
    threads: int | None = None
    library: str | None = None
    memory: int | None = None
    tf32: bool = False


def start(loading: Loading, device: str, allow_cpu: bool = False) -> tuple[Any, str]:
    """Start a session; return it with its device.

    ``auto`` takes CUDA where a session on it really starts, else the CPU. Runtimes fall back to the
    CPU without raising, so the answer is read from the session, never from what was asked.

    allow_cpu : a GPU asked for by name may be replaced by the CPU; the returned device says so.

    Raises
    ------
    RequestError : CUDA was asked for by name and no session runs on it.
    ModelError : the runtime is missing, or cannot load the model.
    """
    kind, number = parse_device(device)
    runtime = load_runtime()
    compiled_in = CUDA in runtime.get_available_providers()
    if kind == "cpu" or (kind == "auto" and not compiled_in):
        return _session(runtime, loading, [CPU]), "cpu"
    providers = [_cuda(number, loading), CPU]
    session = _session(runtime, loading, providers) if compiled_in else None
    if session is not None and session.get_providers()[0] == CUDA:
        return session, f"cuda:{number}"
    if kind == "auto" or allow_cpu:
        return session or _session(runtime, loading, [CPU]), "cpu"
    raise RequestError(
        f"device {device!r} was asked for, but no CUDA session starts here: it needs the "
        "onnxruntime-gpu build, an NVIDIA driver, CUDA 13 and cuDNN 9 "
        f'(python -m pip install "blackbox[cuda]" brings the libraries).{both_installed()} '
        "Use device cpu or auto, or --allow-cpu, to run without a GPU."
    )


def facts(session: Any, threads: int | None) -> dict[str, Any]:
    """Return what decides the last bits of a session's answers, as plain JSON.

    TF32 and cuDNN's choice of algorithms are among the options of its provider.
    """
    return {
        "threads": threads,
        "deterministic_compute": True,
        "optimisation": "all",
        "providers": session.get_provider_options(),
    }


def start_graph(graph: bytes, device: str) -> str:
    """Start a session on a graph in memory and return the device that it reports."""
    return start(Loading(graph), device)[1]


def _cuda(number: int, loading: Loading) -> tuple[str, dict[str, Any]]:
    # EXHAUSTIVE, the default, times convolution algorithms and may choose another one next time;
    # TF32 cuts the mantissa to 10 bits, so it is off unless asked for
    options = {"device_id": number, "cudnn_conv_algo_search": "HEURISTIC", "use_tf32": int(loading.tf32)}
    return CUDA, options | ({"gpu_mem_limit": loading.memory} if loading.memory is not None else {})


def _session(runtime: Any, loading: Loading, providers: list[Any]) -> Any:
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is told by our own errors, not by log lines
    options.use_deterministic_compute = True
    if loading.threads is not None:
        options.intra_op_num_threads = loading.threads
    if providers[0] != CPU:
        runtime.set_default_logger_severity(4)
        if importlib.util.find_spec("nvidia") is not None:
            runtime.preload_dlls()
    try:
        if loading.library is not None:
            options.register_custom_ops_library(loading.library)
        if loading.weights:
            buffers = list(loading.weights.values())
            options.add_external_initializers_from_files_in_memory(
                list(loading.weights), buffers, [len(buffer) for buffer in buffers]
            )
        return runtime.InferenceSession(loading.content, options, providers=providers)
    except Exception as error:  # the runtime raises a family of its own exceptions, and RuntimeError
        raise ModelError(f"ONNX Runtime cannot load {loading.name}: {reason(error)}") from None


def reason(error: Exception) -> str:
    """Return the first telling line of a runtime error, without its prefix and file positions."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error).strip())
    text = re.sub(r"/\S+/(\w+\.(?:cc|h)):\d+ ", "", text)
    lines = [line for line in text.splitlines() if line.strip()] or [type(error).__name__]
    return lines[0][:400].rstrip(". ") + "." + hint(text)
