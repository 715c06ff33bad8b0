"""Serve an ONNX file by MLServer's MLflow runtime, without code of ours; runs in the environment ``mlserver``.

    .peers/mlserver/bin/python tests/peers/serve_mlserver.py MODEL.onnx --name credit --port 8080 --folder EMPTY

The folder gets the model in MLflow's format and MLServer's two settings files.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from pathlib import Path

import mlflow
import onnx
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def save(path: str, folder: Path) -> None:
    """Write the model in MLflow's format, with the signature that the graph declares."""
    model = onnx.load(path)
    given, answered = ([_declared(one) for one in part] for part in (model.graph.input, model.graph.output))
    signature = ModelSignature(inputs=Schema(given), outputs=Schema(answered))
    mlflow.onnx.save_model(model, str(folder), signature=signature)


def _declared(one: onnx.ValueInfoProto) -> TensorSpec:
    tensor = one.type.tensor_type
    shape = tuple(axis.dim_value or -1 for axis in tensor.shape.dim)
    return TensorSpec(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type), shape, one.name)


def main() -> None:
    """Save the model and become the server."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--name", default="credit")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    asked = parser.parse_args()
    save(asked.model, asked.folder / "model")
    settings = {
        "host": "127.0.0.1", "http_port": asked.port, "grpc_port": free_port(), "metrics_port": free_port(),
        "parallel_workers": 0,
    }  # fmt: skip
    model = {
        "name": asked.name,
        "implementation": "mlserver_mlflow.MLflowRuntime",
        "parameters": {"uri": str(asked.folder / "model")},
    }
    (asked.folder / "settings.json").write_text(json.dumps(settings))
    (asked.folder / "model-settings.json").write_text(json.dumps(model))
    mlserver = str(Path(sys.executable).parent / "mlserver")
    os.execv(mlserver, [mlserver, "start", str(asked.folder)])


if __name__ == "__main__":
    main()
