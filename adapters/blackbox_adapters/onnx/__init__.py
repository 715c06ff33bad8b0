"""ONNX files through ONNX Runtime."""

from blackbox_adapters.onnx.model import OnnxModel, open_onnx
from blackbox_adapters.onnx.options import OnnxOptions

__all__ = ["OnnxModel", "OnnxOptions", "open_onnx"]
