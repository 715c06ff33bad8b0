"""Ask a service with the KServe SDK's client, as a stranger's program would; prints what came back as JSON.

    .peers/kserve/bin/python tests/peers/ask_kserve.py http://127.0.0.1:8080 < rows.json
"""

from __future__ import annotations

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig


async def ask(url: str, rows: np.ndarray) -> dict:
    """Health, v1 predict and explain, v2 infer with JSON and with binary tensors, plain and virtual models."""
    found = {}
    v1, v2 = (InferenceRESTClient(RESTConfig(protocol=version)) for version in ("v1", "v2"))
    found["live"] = await v2.is_server_live(url)
    found["ready"] = await v2.is_server_ready(url)
    found["model_ready"] = await v2.is_model_ready(url, "credit__kernelshap")
    instances = {"instances": rows.tolist(), "parameters": {"method": "occlusion", "target": 1}}
    found["predictions"] = (await v1.infer(url, instances, model_name="credit"))["predictions"]
    found["explanations"] = (await v1.explain(url, "credit", instances))["explanations"]
    for binary in (False, True):
        given = InferInput("applicant", list(rows.shape), "FP32")
        given.set_data_from_numpy(rows, binary_data=binary)
        for model in ("credit", "credit__occlusion"):
            asked = InferRequest(model, [given], parameters={"target": 1, "binary_data_output": binary})
            if model == "credit":
                asked.parameters = {"binary_data_output": binary}
            answer = await v2.infer(url, asked, model_name=model)
            found[f"{model} {binary}"] = {
                one.name: np.asarray(one.as_numpy(), dtype=float).tolist()
                for one in answer.outputs
                if one.datatype != "BYTES"
            }
            if model != "credit":
                record = next(one for one in answer.outputs if one.name == "record")
                text = record.as_numpy().ravel()[0]
                found[f"record {binary}"] = json.loads(text)["method"]
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(ask(sys.argv[1], np.array(json.load(sys.stdin), dtype=np.float32)))))
