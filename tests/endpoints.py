"""Endpoints for tests: a server in a thread that answers as v2, v1 and MLflow do, and can misbehave."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

HEAD = "Inference-Header-Content-Length"
NAMES = {"float32": "FP32", "float64": "FP64", "float16": "FP16", "int64": "INT64", "bool": "BOOL"}


class Endpoint:
    """What a fake server serves, how, and what it has seen.

    answer : rows (n, ...) -> mapping of output name -> array. behave : called with the handler and the
    number of the POST before it is answered; returns True where it has dealt with the request itself.
    """

    def __init__(self, answer, inputs=(("x", "FP32", [-1, 3]),), outputs=(("y", "FP32", [-1, 1]),)):
        self.answer, self.inputs, self.outputs = answer, inputs, outputs
        self.extensions, self.config, self.name = [], None, "credit"
        self.behave = lambda handler, number: False
        self.posts, self.gets, self.batches, self.headers, self.bodies = 0, [], [], [], []
        self.busy = self.busiest = 0
        self.lock = threading.Lock()
        self.url = ""

    def metadata(self):
        def listed(tensors):
            return [{"name": n, "datatype": d, "shape": s} for n, d, s in tensors]

        found = {"name": self.name, "platform": "test", "inputs": listed(self.inputs)}
        return found | {"outputs": listed(self.outputs)}

    def get(self, path):
        if path == "/v2":
            return 200, {"name": "fake", "version": "1.0", "extensions": self.extensions}
        if path in (f"/v2/models/{self.name}", f"/v2/models/{self.name}/versions/3"):
            return 200, self.metadata()
        if path == f"/v2/models/{self.name}/config" and self.config is not None:
            return 200, self.config
        if path == f"/v1/models/{self.name}":
            return 200, {"name": self.name, "ready": True}
        if path in ("/v1/models", "/v2/models"):
            return 200, {"models": [self.name]}
        return 404, {"error": "no such thing"}

    def post(self, path, headers, body):
        if path.endswith("/infer"):
            return self.infer(headers, body)
        request = json.loads(body)
        rows = request.get("instances") or request.get("inputs") or request["dataframe_split"]["data"]
        arrays = self.seen(np.array(rows))
        one = next(iter(arrays.values())) if len(arrays) == 1 else None
        listed = {name: array.tolist() for name, array in arrays.items()}
        return json.dumps({"predictions": one.tolist() if one is not None else listed}).encode(), {}

    def infer(self, headers, body):
        cut = int(headers.get(HEAD, len(body)))
        request, place, given = json.loads(body[:cut]), cut, []
        for tensor in request["inputs"]:
            dtype = {v: k for k, v in NAMES.items()}[tensor["datatype"]]
            if "data" in tensor:
                flat = np.array(tensor["data"], dtype)
            else:
                size = tensor["parameters"]["binary_data_size"]
                flat, place = np.frombuffer(body[place : place + size], dtype), place + size
            given.append(flat.reshape(tensor["shape"]))
        arrays = self.seen(*given)
        binary = request.get("parameters", {}).get("binary_data_output", False)
        outputs, blobs = [], []
        for name, array in arrays.items():
            head = {"name": name, "shape": list(array.shape), "datatype": NAMES[array.dtype.name]}
            blob = array.tobytes()
            outputs.append(head | ({"parameters": {"binary_data_size": len(blob)}} if binary
                                   else {"data": array.ravel().tolist()}))  # fmt: skip
            blobs += [blob] if binary else []
        text = json.dumps({"model_name": self.name, "outputs": outputs}).encode()
        return text + b"".join(blobs), {HEAD: str(len(text))} if binary else {}

    def seen(self, *arrays):
        with self.lock:
            self.batches.append(len(arrays[0]))
        return self.answer(*arrays)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        endpoint = self.server.endpoint
        endpoint.gets.append(self.path)
        endpoint.headers.append(dict(self.headers))
        status, found = endpoint.get(self.path)
        self.reply(status, json.dumps(found).encode())

    def do_POST(self):
        endpoint = self.server.endpoint
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        with endpoint.lock:
            endpoint.posts += 1
            number = endpoint.posts
            endpoint.busy += 1
            endpoint.busiest = max(endpoint.busiest, endpoint.busy)
        endpoint.headers.append(dict(self.headers))
        endpoint.bodies.append(self.body)
        try:
            if not endpoint.behave(self, number):
                self.reply(200, *endpoint.post(self.path, self.headers, self.body))
        finally:
            with endpoint.lock:
                endpoint.busy -= 1

    def reply(self, status, body, headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self):
        """End the connection without a word."""
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_):
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass  # peers that go away in the middle are what these tests are about


@contextmanager
def serving(endpoint):
    """Serve an endpoint on a free port of the loopback while the block runs."""
    server = _Server(("127.0.0.1", 0), Handler)
    server.endpoint = endpoint
    endpoint.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
