"""Serve an ONNX file by the KServe SDK; runs in the environment ``kserve`` of make.py.

    .peers/kserve/bin/python tests/peers/serve_kserve.py MODEL.onnx --name credit --port 8080
"""

from __future__ import annotations

import argparse

import kserve
import numpy as np
import onnxruntime
from kserve.utils.utils import get_predict_response

DTYPES = {"tensor(float)": "FP32", "tensor(double)": "FP64", "tensor(int64)": "INT64", "tensor(string)": "BYTES"}


class Served(kserve.Model):
    """One session. v2 takes its inputs by name; v1 takes rows of the one input."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.asked = [one.name for one in self.session.get_outputs()][-1:]
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        """Answer v1 with ``predictions`` and v2 with tensors."""
        if isinstance(payload, dict):
            (declared,) = self.session.get_inputs()
            rows = np.array(payload["instances"], dtype=np.float32)
            (found,) = self.session.run(self.asked, {declared.name: rows})
            return {"predictions": found.tolist()}
        fed = {one.name: one.as_numpy() for one in payload.inputs}
        (found,) = self.session.run(self.asked, fed)
        return get_predict_response(payload, found, self.name)

    async def get_input_types(self):
        """Declare what the session takes."""
        return [self._listed(one) for one in self.session.get_inputs()]

    async def get_output_types(self):
        """Declare what is answered."""
        return [self._listed(one) for one in self.session.get_outputs() if one.name in self.asked]

    @staticmethod
    def _listed(one):
        shape = [size if isinstance(size, int) else -1 for size in one.shape]
        return {"name": one.name, "datatype": DTYPES[one.type], "shape": shape}


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--name", default="credit")
    parser.add_argument("--port", type=int, required=True)
    asked = parser.parse_args()
    server = kserve.ModelServer(http_port=asked.port, enable_grpc=False, workers=1, access_log_format=None)
    server.start([Served(asked.name, asked.model)])


if __name__ == "__main__":
    main()
