"""What a request asks for, read from its parameters, and the explanations that answer it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from blackbox import seeds
from blackbox.case import Case
from blackbox.errors import RequestError, unknown
from blackbox.explanation import Explanation
from blackbox.methods import METHODS, Method
from blackbox.model import Rows
from blackbox.score import Ledger, Target
from blackbox.service.bodies import no_constant
from blackbox.service.clock import Clock
from blackbox.service.failures import TooLarge
from blackbox.service.settings import Ceilings
from blackbox.service.shelf import Served
from blackbox.settings import number, parse, whole

DEFAULT = "kernelshap"
OURS = ("method", "target", "scale", "seed", "most_rows", "seconds")
PROTOCOL = ("binary_data_output", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout",
            "content_type", "headers")  # fmt: skip
"""Parameters that protocols and their clients add by themselves."""


@dataclass(frozen=True)
class Question:
    """method : with its settings. most_rows, seconds : at most the service's ceilings."""

    method: Method
    target: Target
    scale: str | None
    seed: int
    most_rows: int
    seconds: float


@dataclass(frozen=True)
class Answered:
    """One explanation and the model's own answer, Float[np.ndarray, "c"]."""

    explanation: Explanation
    outputs: np.ndarray


def read_question(
    parameters: Mapping[str, Any], served: Served, ceilings: Ceilings, fixed: str | None = None
) -> Question:
    """Read method, target, scale, seed and limits; every other parameter is a setting of the method.

    Parameters
    ----------
    parameters : values as JSON has them; text that is a JSON list or number is read as such, because
        version 2 of the protocol allows no lists here. fixed : the method of a virtual model.

    Raises
    ------
    RequestError : an unknown method or setting, a value that does not fit, or a limit above the ceiling.
    """
    given = {name: _value(value) for name, value in parameters.items() if name not in PROTOCOL}
    name = given.pop("method", None) or fixed or default(served)
    if fixed is not None and name != fixed:
        raise RequestError(f"This model explains by {fixed}; ask another one for {name!r}.")
    if not isinstance(name, str) or name not in served.methods:
        raise unknown("method", name, served.methods)
    ours = {key: given.pop(key) for key in OURS if given.get(key) is not None}
    for key in OURS:
        given.pop(key, None)
    return Question(
        _with_settings(served.methods[name], name, given, ceilings.rows),
        _target(ours.get("target")),
        _text("scale", ours.get("scale")),
        seeds.resolve(ours.get("seed", served.seed)),
        _at_most("most_rows", ours.get("most_rows", ceilings.rows), ceilings.rows),
        _seconds(ours.get("seconds", ceilings.seconds), ceilings.seconds),
    )


def explain(
    served: Served, inputs: Iterable[Rows], question: Question, clock: Clock, ledger: Ledger
) -> list[Answered]:
    """Explain every input, one after the other, sharing forward passes with other requests.

    Parameters
    ----------
    ledger : counts the request's rows and stops it at its budget.

    Raises
    ------
    RequestError, ModelError, Late, Gone
    """
    return [explain_one(served, x, question, clock, ledger)[1] for x in inputs]


def explain_one(
    served: Served, x: Rows, question: Question, clock: Clock, ledger: Ledger
) -> tuple[Case, Answered]:
    """Explain one input; the case comes with the answer for whoever wants to draw it."""
    with served.seat(clock) as seat:
        case = served.case(seat, x, ledger)
        made = case.explain(question.method, question.target, question.scale, question.seed)
    details = {**made.details, "pooled": bool(seat.merged)}
    return case, Answered(dataclasses.replace(made, details=details), case.answers[0][0])


def check_count(count: int, ceilings: Ceilings) -> None:
    """Refuse more inputs than one request may have explained, and none at all."""
    if count < 1:
        raise RequestError("There is no input to explain.")
    if count > ceilings.instances:
        raise TooLarge(f"{count} inputs are more than the {ceilings.instances} of one request: send fewer.")


def record(explanation: Explanation) -> dict[str, Any]:
    """Return the whole record as plain JSON values."""
    found: dict[str, Any] = json.loads(explanation.to_json())
    return found


def default(served: Served) -> str:
    """Return the method that is used where a request names none."""
    return DEFAULT if DEFAULT in served.methods else next(iter(served.methods))


def _value(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value, parse_constant=no_constant)
        except (ValueError, RecursionError):
            return value
    return value


def _with_settings(default: Method, name: str, given: Mapping[str, Any], most: int) -> Method:
    """Change some settings of a method; no count may be larger than the rows of a request."""
    if not given:
        return default
    asked = parse(METHODS[name], given, f"method {name}")
    for key in given:
        value = getattr(asked, key)
        if type(value) is int and value > most:
            raise RequestError(f"{key} of method {name} is {value:,}; this service allows {most:,}.")
    usual = METHODS[name]()
    kept = {f.name: getattr(default, f.name) for f in dataclasses.fields(default)}  # type: ignore[arg-type]
    kept = {key: value for key, value in kept.items() if key not in given and value != getattr(usual, key)}
    return parse(METHODS[name], kept | dict(given), f"method {name}") if kept else asked


def _target(value: object) -> Target:
    if isinstance(value, bool) or not (value is None or isinstance(value, (int, str, list))):
        raise RequestError(f"target must be a column number, a class name or a list of them; got {value!r}.")
    return value


def _text(name: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise RequestError(f"{name} must be text; got {value!r}.")
    return value


def _at_most(name: str, value: object, most: int) -> int:
    whole(name, value, 1)
    if value > most:  # type: ignore[operator]
        raise RequestError(f"{name} is {value:,}; this service allows {most:,}.")
    return value  # type: ignore[return-value]


def _seconds(value: object, most: float) -> float:
    number("seconds", value, 0, strict=True)
    if value > most:  # type: ignore[operator]
        raise RequestError(f"seconds is {value}; this service allows {most:g}.")
    return float(value)  # type: ignore[arg-type]
