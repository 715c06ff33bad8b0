"""What OpenAPI says about bodies that the routes read themselves: schemas, with examples that work."""

from __future__ import annotations

from typing import Any

TEXT, WHOLE, OBJECT = {"type": "string"}, {"type": "integer"}, {"type": "object"}
PARAMETERS = {
    "type": "object",
    "description": "method, target, scale, seed, most_rows, seconds; all else is a setting of the method.",
    "properties": {
        "method": {"type": "string", "examples": ["kernelshap"]},
        "target": {"anyOf": [TEXT, WHOLE, {"type": "array", "items": {"anyOf": [TEXT, WHOLE]}}]},
        "scale": {"type": "string", "enum": ["raw", "probability", "logit", "log-probability"]},
        "seed": {"type": "integer", "minimum": 0},
        "most_rows": {"type": "integer", "minimum": 1},
        "seconds": {"type": "number", "exclusiveMinimum": 0},
    },
    "additionalProperties": True,
}
INSTANCES = {
    "type": "array",
    "minItems": 1,
    "items": {},
    "description": "One input each, without the batch axis.",
}
V1_PREDICT = {
    "type": "object", "required": ["instances"], "properties": {"instances": INSTANCES},
    "examples": [{"instances": [[1.0, 0.5, -1.0]]}],
}  # fmt: skip
V1_EXPLAIN = {
    "type": "object",
    "required": ["instances"],
    "properties": {"instances": INSTANCES, "parameters": PARAMETERS},
    "examples": [
        {"instances": [[1.0, 0.5, -1.0]], "parameters": {"method": "kernelshap", "target": 0, "budget": 64}}
    ],
}
TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": TEXT,
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "datatype": {"type": "string", "enum": [
            "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32",
            "FP64", "BYTES"]},
        "parameters": OBJECT,
        "data": {"type": "array", "items": {}},
    },
}  # fmt: skip
V2 = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": TEXT,
        "parameters": PARAMETERS,
        "inputs": {"type": "array", "minItems": 1, "items": TENSOR},
        "outputs": {"type": "array", "items": {
            "type": "object", "required": ["name"], "properties": {"name": TEXT, "parameters": OBJECT}}},
    },
    "examples": [
        {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1.0, 0.5, -1.0]}],
         "parameters": {"method": "occlusion"}}
    ],
}  # fmt: skip
ORDER = {
    "type": "object", "required": ["model", "instances"], "additionalProperties": False,
    "properties": {
        "model": TEXT, "instances": INSTANCES, "ids": {"type": "array", "items": TEXT},
        "plan": {
            "type": "object", "additionalProperties": False,
            "description": "Parts of a plan (docs/plan.md) that name no files.",
            "properties": {
                "targets": {}, "methods": {}, "checks": {}, "probe": {"type": "boolean"}, "purpose": TEXT,
                "reasons": OBJECT, "budget": {},
                "seed": {"type": "integer", "minimum": 0},
                "privacy": {"type": "string", "enum": ["keep", "hash", "omit"]},
            },
        },
    },
    "examples": [{"model": "softmax", "instances": [[1.0, 0.5, -1.0]], "plan": {"methods": ["occlusion"]}}],
}  # fmt: skip
Told = dict[int | str, dict[str, Any]]
ERROR = {"type": "object", "required": ["error"], "properties": {"error": TEXT}}
MEANINGS = {
    400: "The body cannot be read.", 401: "No valid token.", 403: "Asked from another site.",
    404: "No such model, version or method.", 413: "Larger than allowed.",
    422: "It does not fit the model, or asks for more than allowed.", 429: "Too many requests wait.",
    500: "A fault of the service.", 502: "The model failed.", 503: "The model is not ready.",
    504: "Not ready before the deadline.",
}  # fmt: skip


def body(schema: dict[str, Any]) -> dict[str, Any]:
    """Return what describes a JSON body that a route reads by itself."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what describes the errors of a route."""
    content = {"application/json": {"schema": ERROR}}
    return {status: {"description": MEANINGS[status], "content": content} for status in statuses}


BYTES = {"schema": {"type": "string", "format": "binary"}}
TENSORS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Tensors, as JSON or with binary ones behind it.", "content": {
        "application/json": {"schema": OBJECT}, "application/octet-stream": BYTES}}}  # fmt: skip
METERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "For Prometheus.", "content": {"text/plain": {"schema": TEXT}}}}  # fmt: skip
ASKED = errors(401, 403, 404, 503)
WORKED = errors(400, 401, 403, 404, 413, 422, 429, 500, 502, 503, 504)
AUDIT: Told = {
    202: {"description": "Taken.", "content": {"application/json": {"schema": OBJECT}}},
    **WORKED,
}
LINES: Told = {
    200: {"description": "Records.", "content": {"application/x-ndjson": {"schema": TEXT}}},
    **errors(401, 403, 404),
}
STREAM: Told = {
    200: {"description": "Events.", "content": {"text/event-stream": {"schema": TEXT}}},
    **errors(401, 403, 404),
}
ZIP: Told = {
    200: {"description": "The bundle.", "content": {"application/zip": BYTES}},
    **errors(401, 403, 404),
}
