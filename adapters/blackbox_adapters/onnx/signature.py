"""What the runtime reports about inputs and outputs, as tensors of the port."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from blackbox.errors import ModelError, RequestError
from blackbox.model import Tensor
from blackbox_adapters.onnx.answer import Answer
from blackbox_adapters.onnx.constants import Constant, read_constants

DTYPES = {"float": "float32", "double": "float64"}
"""ONNX Runtime's names that differ from NumPy's."""

FED = {
    "float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16",
    "uint32", "uint64", "bool", "string",
}  # fmt: skip
"""Input types that can be fed from NumPy arrays."""


@dataclass(frozen=True)
class Inputs:
    """The inputs that are asked about, those that are held, and the graph's dtype of all of them."""

    asked: tuple[Tensor, ...]
    constants: tuple[Constant, ...]
    dtypes: Mapping[str, str]


def read_inputs(session: Any, given: Mapping[str, Any]) -> Inputs:
    """Tell the inputs to explain from those that are held constant or stay out.

    Parameters
    ----------
    given : input name -> value, as the caller holds them.

    Raises
    ------
    ModelError : no input, or one of a type that cannot be fed. RequestError : an input that has to be held
        constant and is not, or a value that does not fit.
    """
    nodes = list(session.get_inputs())
    if not nodes:
        raise ModelError("The model takes no inputs, so there is nothing to explain.")
    optional = [node.name for node in nodes if node.type.startswith("optional(")]
    tensors = [_tensor(node) for node in nodes]
    overridable = [_tensor(node) for node in session.get_overridable_initializers()]
    constants = read_constants(given, [*tensors, *overridable], optional)
    held = {constant.tensor.name for constant in constants}
    asked = tuple(tensor for tensor in tensors if tensor.name not in held)
    if not asked:
        raise RequestError("Every input of the model is held constant, so there is nothing to explain.")
    for tensor in asked:
        _check(tensor)
    _check_batch(asked)
    return Inputs(asked, constants, {t.name: t.dtype for t in (*tensors, *overridable)})


def _tensor(node: Any) -> Tensor:
    inside = re.fullmatch(r"optional\((.*)\)", node.type)
    return Tensor(node.name, dtype_of(inside[1] if inside else node.type), tuple(node.shape or ()))


def _check(tensor: Tensor) -> None:
    if not tensor.shape:
        raise RequestError(
            f"Input {tensor.name!r} is one number for all rows ({tensor.dtype}, no batch axis), so it cannot "
            f"be explained row by row: hold it with --constant {tensor.name}=VALUE "
            f'(options={{"constants": {{"{tensor.name}": VALUE}}}}).'
        )
    if tensor.dtype not in FED:
        raise ModelError(f"Input {tensor.name!r} is {tensor.dtype}, which cannot be fed from here.")


def _check_batch(asked: Sequence[Tensor]) -> None:
    """Refuse inputs that do not share their leading axis: one of them is a state, no row."""
    symbols = {tensor.shape[0] for tensor in asked if isinstance(tensor.shape[0], str)}
    sizes = {tensor.shape[0] for tensor in asked if isinstance(tensor.shape[0], int)}
    for tensor in asked:
        follows = symbols & set(tensor.shape[1:])
        if isinstance(tensor.shape[0], int) and (follows or len(sizes) > 1):
            others = ", ".join(t.name for t in asked if t.name != tensor.name)
            raise RequestError(
                f"Input {tensor.name!r} of shape {tensor.shape} does not begin with the batch axis that "
                f"{others} has: hold it with --constant {tensor.name}=0 or --constant {tensor.name}=FILE.npy."
            )


def read_output(node: Any, names: Mapping[str, tuple[str, ...]]) -> Tensor:
    """Turn one output into a tensor, with its columns' names where the graph knows them.

    Parameters
    ----------
    names : class names by output; "" = those that belong to no single output.
    """
    labels = names.get(node.name, ())
    if node.type.startswith("seq(map("):
        return Tensor(node.name, "float32", (None, len(labels) or None), labels)
    shape = tuple(node.shape or ())
    if labels and len(shape) > 1:
        return Tensor(node.name, dtype_of(node.type), shape, labels)
    dtype = dtype_of(node.type)
    columns = shape[-1] if len(shape) > 1 else None
    shared = names.get("", ())
    fits = dtype.startswith("float") and columns in (None, len(shared)) and len(shape) > 1
    return Tensor(node.name, dtype, shape, shared if fits else ())


def dtype_of(text: str) -> str:
    """Return NumPy's name of a type as the runtime writes it: ``tensor(float)`` is float32."""
    match = re.fullmatch(r"tensor\((\w+)\)", text)
    name = match[1] if match else text
    return DTYPES.get(name, name)


def labelled(answer: Answer, classes: tuple[str, ...]) -> Answer:
    """Name the answer's columns as the caller wants them.

    Raises
    ------
    RequestError : the output has another number of columns.
    """
    if not classes:
        return answer
    shape = answer.tensor.shape
    columns = shape[-1] if len(shape) > 1 else 1
    if isinstance(columns, int) and columns != len(classes):
        raise RequestError(
            f"{len(classes)} class names were given, but output {answer.tensor.name!r} has {columns} columns."
        )
    return replace(answer, tensor=replace(answer.tensor, labels=classes))


def is_scalar(proto: Any, name: str) -> bool:
    """Whether the graph declares an output to be one number for the whole pass, with no axis at all."""
    output = next((o for o in proto.graph.output if o.name == name), None)
    if output is None or not output.type.HasField("tensor_type"):
        return False
    return output.type.tensor_type.HasField("shape") and not output.type.tensor_type.shape.dim
