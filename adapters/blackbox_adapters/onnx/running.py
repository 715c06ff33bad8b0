"""One pass of a session, also where NumPy lacks the type: bfloat16 travels as bits."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

BFLOAT16 = "bfloat16"


def run(
    session: Any, outputs: Sequence[str], feeds: Mapping[str, Any], dtypes: Mapping[str, str]
) -> list[Any]:
    """Run a session and return the asked outputs.

    Parameters
    ----------
    feeds : input name -> array. dtypes : input or output name -> the graph's dtype; the arrays of a
        bfloat16 input are float32 and are rounded to it here, and bfloat16 outputs come back as float32.
    """
    bits = BFLOAT16 in dtypes.values() and any(dtypes.get(name) == BFLOAT16 for name in (*outputs, *feeds))
    if not bits:
        return list(session.run(list(outputs), dict(feeds)))
    values = {name: _value(array, dtypes.get(name)) for name, array in feeds.items()}
    return [_array(value) for value in session.run_with_ort_values(list(outputs), values)]


def _value(array: Any, dtype: str | None) -> Any:
    import onnxruntime

    if dtype != BFLOAT16:
        return onnxruntime.OrtValue.ortvalue_from_numpy(array)
    import ml_dtypes
    import onnx

    bits = np.ascontiguousarray(array.astype(ml_dtypes.bfloat16)).view(np.uint16)
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, onnx.TensorProto.BFLOAT16)


def _array(value: Any) -> np.ndarray:
    """Copy an answer out of the runtime; it has no NumPy type for bfloat16, so its bytes are read."""
    if value.data_type() != "tensor(bfloat16)":
        return np.asarray(value.numpy())
    import ml_dtypes

    shape = tuple(value.shape())
    if not np.prod(shape):
        return np.zeros(shape, dtype=np.float32)
    raw = ctypes.string_at(value.data_ptr(), int(np.prod(shape)) * 2)
    return np.frombuffer(raw, dtype=ml_dtypes.bfloat16).astype(np.float32).reshape(shape)
