"""The service against requests made up from its own description: never a fault, always one form of error."""

from __future__ import annotations

import copy
import random
import re

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import openapi
from schemathesis.specs.openapi import checks
from serving import SAMPLES, SOFTMAX, serving

MODELS = ("softmax", "fixed3", "softmax__occlusion", "softmax__sis", "softmax__kernelshap", "fixed3__lime")
EACH = 50
"""Requests made up for each of the addresses."""

ODD = (None, True, -1, 0, 1, 2**31, 2**70, 10**30, 0.5, -0.0, 1e300, "", "x", "softmax", "[0, 1]", "[" * 99, "\ud7ff", "\x00",
       "../../etc/passwd", [], [[]], [1], [[1.0, 2.0, 3.0]], ["a"], [None], {}, {"a": 1}, {"name": "x"})  # fmt: skip
BODIES = {
    "/v1/models/softmax:predict": {"instances": [[1.0, 0.5, -1.0]]},
    "/v1/models/softmax:explain": {
        "instances": [{"x": [1.0, 0.5, -1.0]}, {"x": [0.0, 0.0, 0.0]}],
        "parameters": {"method": "occlusion", "target": [0, 2], "scale": "raw", "seed": 3, "window": None, "most_rows": 500},
    },
    "/v2/models/softmax/explain": {
        "id": "7",
        "parameters": {"method": "kernelshap", "budget": 20, "target": "1", "seconds": 5.0, "binary_data_output": False},
        "inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1.0, 0.5, -1.0], "parameters": {}}],
        "outputs": [{"name": "values", "parameters": {"binary_data": True}}, {"name": "record"}],
    },
}


@pytest.fixture(scope="module")
def service():
    with serving(SOFTMAX, SAMPLES / "toys" / "fixed3.onnx", ceilings={"rows": 20_000, "seconds": 10.0}) as client:
        yield client


def in_order(status, text):
    assert status != 500, text
    if status >= 400:
        assert re.fullmatch(r'\{"error":"[^\n]+"\}', text), text
        assert "Traceback" not in text
        assert "site-packages" not in text


@pytest.mark.slow
def test_requests_made_up_from_the_description_never_cause_a_fault(service):
    description = openapi.from_url(f"{service.base_url}/openapi.json")
    drawn, seen = random.Random(0), {}
    operations = [found.ok() for found in description.get_all_operations()]
    for operation in operations:

        @settings(max_examples=EACH, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        def ask(case):
            if "model" in (case.path_parameters or {}) and drawn.random() < 0.8:
                case.path_parameters["model"] = drawn.choice(MODELS)  # else nearly all would end with 404
            if "version" in (case.path_parameters or {}):
                case.path_parameters["version"] = "1"
            response = case.call(timeout=30)
            in_order(response.status_code, response.text)
            case.validate_response(
                response, checks=[checks.status_code_conformance, checks.content_type_conformance,
                                  checks.response_schema_conformance],
            )  # fmt: skip
            key = case.operation.label, response.status_code
            seen[key] = seen.get(key, 0) + 1

        given(case=operation.as_strategy())(ask)()
    assert len(operations) >= 15
    assert sum(seen.values()) >= 10 * len(operations)
    assert {status for _, status in seen} >= {200, 404, 422}
    assert service.post("/v1/models/softmax:predict", json=BODIES["/v1/models/softmax:predict"]).status_code == 200


def places(value, path=()):
    """Every place in a JSON value."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def spoilt(body, rng):
    """Replace, remove or repeat something in a body that works."""
    body = {"": copy.deepcopy(body)}
    *way, last = rng.choice(list(places(body))[1:])
    inside = body
    for key in way:
        inside = inside[key]
    kind = rng.random()
    if kind < 0.2 and last != "":
        del inside[last]
    elif kind < 0.3 and isinstance(inside, list):
        inside.append(inside[last])
    elif kind < 0.4 and isinstance(inside, dict) and last != "":
        inside[rng.choice(["x", "method", "a" * 5000, "\u202e", ""])] = inside[last]
    else:
        inside[last] = rng.choice(ODD)
    return body[""]


@pytest.mark.parametrize("path", BODIES)
def test_bodies_with_one_thing_spoilt_never_cause_a_fault(service, path):
    assert service.post(path, json=BODIES[path]).status_code == 200
    rng, statuses = random.Random(path), set()
    for _ in range(80):
        got = service.post(path, json=spoilt(BODIES[path], rng))
        in_order(got.status_code, got.text if got.status_code >= 400 else "")
        statuses.add(got.status_code)
    assert statuses >= {200, 422}
    assert service.post(path, json=BODIES[path]).status_code == 200


def test_bodies_cut_or_flipped_never_cause_a_fault(service):
    whole = httpx.Request("POST", "http://x", json=BODIES["/v2/models/softmax/explain"]).content
    rng = random.Random(1)
    for _ in range(100):
        body = bytearray(whole[: rng.randrange(len(whole))] if rng.random() < 0.3 else whole)
        for _ in range(rng.randrange(1, 4)):
            if body:
                body[rng.randrange(len(body))] = rng.randrange(256)
        headers = {"Inference-Header-Content-Length": str(rng.randrange(len(whole) + 5))} if rng.random() < 0.3 else {}
        got = service.post("/v2/models/softmax/explain", content=bytes(body), headers=headers)
        in_order(got.status_code, got.text if got.status_code >= 400 else "")
