"""A model's face as plain JSON and back: signature, limits, identity and traits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from blackbox.model import Identity, Limits, Signature, Tensor
from blackbox_adapters.onnx.model import OnnxModel


@dataclass(frozen=True)
class Face:
    """What a model shows of itself."""

    signature: Signature
    limits: Limits
    identity: Identity
    traits: Mapping[str, Any]


def face_of(model: OnnxModel) -> dict[str, Any]:
    """Return a model's face as plain JSON."""
    parts = (model.signature, model.limits, model.identity)
    signature, limits, identity = (dataclasses.asdict(part) for part in parts)
    return {"signature": signature, "limits": limits, "identity": identity, "traits": dict(model.traits)}


def face_from(data: Mapping[str, Any]) -> Face:
    """Rebuild a face from what a process that is not trusted sent.

    Raises
    ------
    ValueError, KeyError, TypeError, StopIteration : it is no face.
    """
    told, rows = data["signature"], data["limits"]
    inputs, outputs = (tuple(map(_tensor, told[role])) for role in ("inputs", "outputs"))
    kind = told["kind"]
    signature = Signature(inputs, outputs, str(told["answer"]), None if kind is None else str(kind))
    signature.output(signature.answer)
    fixed = rows["fixed_batch"]
    limits = Limits(
        _count(rows["rows_per_run"]), None if fixed is None else _count(fixed), str(rows["chosen"])
    )
    about = data["identity"]
    identity = Identity("", {}, str(about["runtime"]), str(about["device"]), dict(about["facts"]))
    traits = data["traits"]
    bends = {"operators": [str(one) for one in traits["operators"]], "link": str(traits["link"])}
    return Face(signature, limits, identity, bends)


def _tensor(data: Mapping[str, Any]) -> Tensor:
    shape = tuple(axis if axis is None or isinstance(axis, int) else str(axis) for axis in data["shape"])
    return Tensor(str(data["name"]), str(data["dtype"]), shape, tuple(map(str, data["labels"])))


def _count(value: object) -> int:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"no count of rows: {value!r}")
    return value
