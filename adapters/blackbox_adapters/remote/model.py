"""A model behind a URL with the port's face: one chunk of rows becomes several requests at once."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from blackbox.errors import ModelError, RequestError
from blackbox.model import Identity, Limits, Rows, Signature, Tensor
from blackbox.settings import parse
from blackbox_adapters.onnx.answer import Answer, choose
from blackbox_adapters.remote.address import locate
from blackbox_adapters.remote.batches import USUAL_CELLS, Batches, by_rule, cut, side_by_side
from blackbox_adapters.remote.cards import read_card
from blackbox_adapters.remote.dialects import V2, Card, Dialect, Plain, TooMany, frame, instances
from blackbox_adapters.remote.line import Line, connect
from blackbox_adapters.remote.options import RemoteOptions

UNDECLARED = "predictions"
"""What the answer is called where the endpoint names no outputs; plans may name it so too."""

UNKNOWN = "unknown: the model's bytes stay behind the endpoint"


@dataclass(frozen=True)
class RemoteModel:
    """An endpoint that answers forward passes.

    answer : what is read from the outputs; None = decided on every answer, as nothing is declared.
    limits : rows of one pass; they stay what they were when the model was opened, whatever is learnt about
    requests, so that an audit cuts its rows the same way every time. known : the identity then.
    """

    line: Line
    dialect: Dialect
    signature: Signature
    answer: Answer | None
    limits: Limits
    batches: Batches
    known: Identity

    @property
    def identity(self) -> Identity:
        """What is known of the model, with the rows per request as far as they have been learnt."""
        return replace(self.known, facts={**self.known.facts, "rows_per_request": self.batches.size})

    @property
    def account(self) -> dict[str, int]:
        """What was spent so far: requests, further attempts among them, rows and bytes."""
        meter = self.line.meter
        names = ("requests", "retries", "rows", "bytes_sent", "bytes_received")
        return {name: getattr(meter, name) for name in names}

    def predict(self, rows: Rows) -> Rows:
        """Answer one chunk of rows.

        Raises
        ------
        ModelError : unreachable, too slow, refused, or an answer that cannot be used.
        """
        count = len(next(iter(rows.values())))
        pieces = cut(count, self.batches.size)
        asked = [{name: array[piece] for name, array in rows.items()} for piece in pieces]
        tables = side_by_side(self._ask, asked, self.line.options.in_flight)
        return {self.signature.answer: tables[0] if len(tables) == 1 else _joined(tables)}

    def close(self) -> None:
        """Close the connections; they also close when the model is forgotten."""
        self.line.close()

    def _ask(self, rows: Rows) -> np.ndarray:
        """Send one request, or halves of it where it is refused and a half is taken."""
        count = len(next(iter(rows.values())))
        if count > self.batches.size:  # others have learnt it meanwhile
            return self._halves(rows, self.batches.size)
        try:
            return self._read(self.dialect.ask(self._padded(rows, count)), count)
        except TooMany as refusal:
            if count == 1 or self.limits.fixed_batch:
                raise ModelError(str(refusal)) from None
            table = self._halves(rows, -(-count // 2))
            self.batches.learn(-(-count // 2))
            return table

    def _halves(self, rows: Rows, size: int) -> np.ndarray:
        count = len(next(iter(rows.values())))
        return _joined(
            [self._ask({name: array[part] for name, array in rows.items()}) for part in cut(count, size)]
        )

    def _padded(self, rows: Rows, count: int) -> Rows:
        """Repeat the last row up to the fixed batch."""
        short = (self.limits.fixed_batch or count) - count
        if short <= 0:
            return rows
        return {name: np.concatenate([a, np.repeat(a[-1:], short, axis=0)]) for name, a in rows.items()}

    def _read(self, outputs: Rows, count: int) -> np.ndarray:
        """Take the asked numbers; a server's names and order of outputs are not always the declared ones."""
        options = self.line.options
        answer = self.answer
        if answer is None:
            found = tuple(Tensor(name, _dtype(a), ("batch", *a.shape[1:])) for name, a in outputs.items())
            asked = options.output if options.output in outputs or options.output != UNDECLARED else None
            answer = choose(found, asked, options.select)
        if len(outputs) == len(answer.outputs) == 1:
            return answer.take(list(outputs.values()), count)
        missing = [name for name in answer.outputs if name not in outputs]
        if missing:
            raise ModelError(
                f"The endpoint {self.line.address.url} returned no output {missing[0]!r}, "
                f"only {', '.join(outputs)}."
            )
        return answer.take([outputs[name] for name in answer.outputs], count)


def _joined(tables: list[np.ndarray]) -> np.ndarray:
    try:
        return np.concatenate(tables)
    except ValueError:
        shapes = ", ".join(sorted({str(table.shape[1:]) for table in tables}))
        raise ModelError(f"The endpoint's answers to one question differ in shape: {shapes}.") from None


def _dtype(array: np.ndarray) -> str:
    return "string" if array.dtype.kind in "OU" else array.dtype.name


def open_remote(source: Any, device: str, options: Mapping[str, Any]) -> RemoteModel:
    """Open a model behind a URL; see ``RemoteOptions`` for the options.

    Raises
    ------
    RequestError : a URL or option that cannot be. ModelError : unreachable, or no such model.
    """
    settings = parse(RemoteOptions, options, "a model behind a URL")
    if device != "auto":
        raise RequestError(
            f"A model behind a URL runs where its server runs; device {device!r} cannot be chosen."
        )
    line = connect(locate(str(source), settings.protocol), settings)
    try:
        return _opened(line, read_card(line))
    except BaseException:
        line.close()
        raise


def _opened(line: Line, card: Card) -> RemoteModel:
    options = line.options
    inputs = _inputs(card, options)
    answer = choose(card.outputs, options.output, options.select) if card.outputs else None
    signature = _signature(inputs, card, answer, options)
    limits, size = _limits(inputs, card, options)
    wanted = answer.outputs if answer is not None and len(card.outputs) > 1 else ()
    model = RemoteModel(
        line,
        _dialect(line, card, inputs, wanted),
        signature,
        answer,
        limits,
        Batches(size),
        _identity(line, card),
    )
    weakref.finalize(model, line.close)
    return model


def _inputs(card: Card, options: RemoteOptions) -> tuple[Tensor, ...]:
    """Return the inputs as declared, or as the options say where there is one."""
    given = options.input or options.shape is not None or options.dtype
    if card.inputs and (len(card.inputs) == 1 or not given):
        if not given:
            return card.inputs
        one = card.inputs[0]
        shape = one.shape if options.shape is None else _shape(options)
        return (Tensor(options.input or one.name, options.dtype or one.dtype, shape),)
    if card.inputs:
        names = ", ".join(tensor.name for tensor in card.inputs)
        raise RequestError(f"input, shape and dtype are for models with one input; this one takes {names}.")
    return (Tensor(options.input or "input-0", options.dtype or "float32", _shape(options)),)


def _shape(options: RemoteOptions) -> tuple[int | str | None, ...]:
    """Return the shape that the options give, () = whatever comes."""
    return () if options.shape is None else ("batch", *options.shape)


def _limits(inputs: tuple[Tensor, ...], card: Card, options: RemoteOptions) -> tuple[Limits, int]:
    """Return how rows may be cut, and the rows of one request to begin with.

    A batch that is declared as a number is the only one that is taken, unless the options know better.
    """
    declared = [t.shape[0] for t in inputs if t.shape and isinstance(t.shape[0], int)]
    if declared and options.batch_size is None and options.rows_per_request is None:
        return Limits(max(declared), max(declared)), max(declared)
    size = options.rows_per_request or by_rule(_cells(inputs), card.binary)
    size = min(size, card.most or size, options.batch_size or size)
    return Limits(options.batch_size or size * options.in_flight), size


def _cells(inputs: tuple[Tensor, ...]) -> int:
    known = [t for t in inputs if t.shape and all(isinstance(size, int) for size in t.cell_shape)]
    if len(known) < len(inputs):
        return USUAL_CELLS
    return sum(math.prod(int(size) for size in t.cell_shape if size is not None) for t in known)


def _signature(
    inputs: tuple[Tensor, ...], card: Card, answer: Answer | None, options: RemoteOptions
) -> Signature:
    if answer is None:
        name = f"{options.output or UNDECLARED}{(options.select or '').replace(' ', '')}"
        tensor = Tensor(name, "float32", (None, None), options.classes)
        return Signature(inputs, (tensor,), name, options.kind)
    tensor = replace(answer.tensor, labels=options.classes)
    others = tuple(output for output in card.outputs if output.name != tensor.name)
    return Signature(inputs, (*others, tensor), tensor.name, options.kind)


def _dialect(line: Line, card: Card, inputs: tuple[Tensor, ...], wanted: tuple[str, ...]) -> Dialect:
    place = line.address.place
    if line.address.protocol == "v1":
        return Plain(line, f"{place}:predict", instances)
    if line.address.protocol == "mlflow":
        return Plain(line, place, frame(line.options.columns))
    return V2(line, card.binary, {tensor.name: tensor.dtype for tensor in inputs}, wanted)


def _identity(line: Line, card: Card) -> Identity:
    address = line.address
    server = card.runtime or "a server that does not name itself"
    told = {name: value for name, value in card.facts.items() if name != "extensions" and value}
    facts = {
        "protocol": address.protocol,
        "binary": card.binary,
        "digest": UNKNOWN,
        "in_flight": line.options.in_flight,
        # what evidence keeps: nothing in it depends on how the endpoint was asked
        "endpoint": {"url": address.url, "protocol": address.protocol, "digest": UNKNOWN, **told},
        **card.facts,
    }
    return Identity(address.url, {}, f"{server} over {address.protocol}", "remote", facts)
