"""What the routes have in common: rows through a model, and rows explained, under the request's limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from blackbox.model import Tensor
from blackbox.score import forward
from blackbox.service import questions
from blackbox.service.clock import Clock
from blackbox.service.desk import Desk
from blackbox.service.questions import Answered
from blackbox.service.shelf import Served

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Explained:
    """Every input's answer, and the forward rows that were really spent on all of them."""

    answers: list[Answered]
    rows: int


def predict(desk: Desk, served: Served, rows: Arrays, clock: Clock) -> np.ndarray:
    """Return the model's answer to rows, in its declared shape where that is fixed.

    Raises
    ------
    RequestError, ModelError, Late
    """
    ledger = desk.ledger(clock, desk.settings.ceilings.rows)
    tensor = served.model.signature.output(served.model.signature.answer)
    with served.seat(clock) as seat:
        table = forward(seat, rows, tensor.name, ledger)
    desk.spent(served.name, ledger)
    return _shaped(table, tensor)


def explain(
    desk: Desk, served: Served, rows: Arrays, parameters: Mapping[str, Any], clock: Clock,
    fixed: str | None = None,
) -> Explained:  # fmt: skip
    """Explain every row as the request's parameters say.

    Raises
    ------
    RequestError, ModelError, Late, Gone
    """
    ceilings = desk.settings.ceilings
    question = questions.read_question(parameters, served, ceilings, fixed)
    count = len(next(iter(rows.values()), ()))
    questions.check_count(count, ceilings)
    nearer = clock.within(question.seconds)
    ledger = desk.ledger(nearer, question.most_rows)
    inputs = [{name: array[k] for name, array in rows.items()} for k in range(count)]
    try:
        answers = questions.explain(served, inputs, question, nearer, ledger)
    finally:
        desk.spent(served.name, ledger)
    desk.metrics.explanations.labels(served.name, question.method.name).inc(count)
    return Explained(answers, ledger.rows)


def _shaped(table: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Undo the flattening of trailing axes where their sizes are declared."""
    cells = [size for size in tensor.cell_shape if isinstance(size, int)]
    if len(tensor.shape) == 1 and table.shape[1] == 1:
        return table[:, 0]
    fits = len(cells) == len(tensor.cell_shape) and int(np.prod(cells)) == table.shape[1]
    return table.reshape(len(table), *cells) if fits else table
