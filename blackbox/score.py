"""What is asked of a model's output, and the only caller of ``predict``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from blackbox.casts import numpy_dtype
from blackbox.errors import BudgetSpent, ModelError, RequestError, unknown
from blackbox.model import Model, Readout, Rows
from blackbox.numerics import links

Target = int | str | Sequence[int | str] | None

CLASSIFIERS = (links.PROBABILITIES, links.LOGITS)
"""Kinds of output that have probabilities."""

SIMILARITY = "similarity"
"""The one target of an embedding: the cosine to the input's own output."""


@dataclass
class Ledger:
    """A notebook: rows and calls spent, the most allowed, who watches, and the notebook above it.

    floored : scores that stand at the least logarithm because the model returned a probability of 0.
    """

    rows: int = 0
    calls: int = 0
    floored: int = 0
    most: int | None = None
    observer: Callable[[int], None] | None = field(default=None, repr=False)
    above: Ledger | None = field(default=None, repr=False)

    @property
    def limited(self) -> bool:
        """Say whether this ledger or one above it may stop the rows."""
        return self.most is not None or (self.above is not None and self.above.limited)

    def spend(self, rows: int) -> None:
        """Note one forward pass before it is made.

        Raises
        ------
        BudgetSpent : the pass would exceed the rows allowed.
        """
        if self.most is not None and self.rows + rows > self.most:
            raise BudgetSpent(
                f"The row budget of {self.most:,} is spent ({self.rows:,} rows used): raise it, or "
                "ask for fewer methods, cases or masks."
            )
        if self.above is not None:
            self.above.spend(rows)
        self.rows += rows
        self.calls += 1
        if self.observer is not None:
            self.observer(rows)


@dataclass(frozen=True)
class Score:
    """A model narrowed to the numbers being asked about.

    Called with named rows it returns Float64[np.ndarray, "n t"]: the readout's columns on its
    scale. It cuts rows by the model's limits, counts them, and refuses outputs that are not finite.
    """

    model: Model
    readout: Readout
    ledger: Ledger

    def __call__(self, rows: Rows) -> np.ndarray:
        return self.read(forward(self.model, rows, self.readout.output, self.ledger))

    def read_each(self, outputs: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Put raw outputs Float[np.ndarray, "n c"] on the scale and keep one column per row.

        Returns
        -------
        Float[np.ndarray, "n"]: what ``read`` gives a score that asks for that column.
        """
        readout, rows = self.readout, np.arange(len(outputs))
        if readout.reference:
            return self.read(outputs)[:, 0]
        if readout.kind == links.PROBABILITIES and readout.scale == "log-probability":
            self.ledger.floored += int((outputs[rows, columns] < links.LEAST).sum())
        if readout.scale == "raw":
            return np.asarray(outputs[rows, columns].astype(np.float64))
        scaled = links.read(outputs.astype(np.float64), readout.kind, readout.scale)
        return self._finite(scaled[rows, columns])

    @property
    def classifies(self) -> bool:
        """The score is the log-probability of a class, so that its derivatives go through the logits."""
        return self.readout.scale == "log-probability" and self.readout.kind in CLASSIFIERS

    def logits(self, rows: Rows) -> np.ndarray:
        """Return what derivatives are taken of: the logits of all classes, or the score itself.

        Returns
        -------
        Float64[np.ndarray, "n c"]: logits, or log-probabilities where the model gives probabilities
        (two columns where it has one output); the asked column of anything that is no classifier.
        """
        outputs = forward(self.model, rows, self.readout.output, self.ledger)
        if not self.classifies:
            return self.read(outputs)[:, :1]
        if self.readout.kind == links.PROBABILITIES:
            self.ledger.floored += int((outputs[:, list(self.readout.indices)] < links.LEAST).sum())
        return links.logits(outputs, self.readout.kind)

    def read(self, outputs: np.ndarray) -> np.ndarray:
        """Put raw outputs Float[np.ndarray, "n c"] on the scale and keep the asked columns."""
        readout = self.readout
        if readout.reference:
            return links.similarity(outputs.astype(np.float64), np.array(readout.reference))[:, None]
        if readout.indices and max(readout.indices) >= outputs.shape[1]:
            raise RequestError(
                f"Target {max(readout.indices)} does not exist: output {readout.output!r} has "
                f"{outputs.shape[1]} columns, numbered from 0."
            )
        if readout.scale == "raw" and len(readout.indices) == 1:
            return outputs[:, readout.indices[0] :][:, :1].astype(np.float64)
        if readout.scale == "raw":
            return outputs[:, list(readout.indices)].astype(np.float64)
        if readout.kind == links.PROBABILITIES and readout.scale == "log-probability":
            self.ledger.floored += int((outputs[:, list(readout.indices)] < links.LEAST).sum())
        scaled = links.read(outputs.astype(np.float64), readout.kind, readout.scale)
        return self._finite(scaled[:, list(readout.indices)])

    def mean(self, outputs: np.ndarray) -> np.ndarray:
        """Read the outputs of one mask and average them over its background rows: Float[np.ndarray, "t"]."""
        scores = self.read(outputs)
        return scores[0] if len(scores) == 1 else np.asarray(scores.mean(axis=0))

    def _finite(self, scaled: np.ndarray) -> np.ndarray:
        if not np.isfinite(scaled).all():
            raise ModelError(
                f"The score is infinite on the {self.readout.scale} scale, because the model returned a "
                "probability of exactly 0 or 1: ask for the raw, probability or log-probability scale."
            )
        return scaled


def forward(model: Model, rows: Rows, output: str, ledger: Ledger) -> np.ndarray:
    """Run rows through the model in pieces of at most its limit.

    Returns
    -------
    Float[np.ndarray, "n c"] in the model's own dtype: one output, all trailing axes flattened.

    Raises
    ------
    ModelError : the output is missing, has another number of rows, is text, or is not finite.
    """
    n = len(next(iter(rows.values())))
    most = model.limits.rows_per_run
    rows = {
        tensor.name: rows[tensor.name].astype(numpy_dtype(tensor.dtype), copy=False)
        for tensor in model.signature.inputs
    }
    pieces = []
    for start in range(0, n, most):
        piece = rows if n <= most else {name: array[start : start + most] for name, array in rows.items()}
        ledger.spend(min(most, n - start))
        pieces.append(_table(model.predict(piece), output, min(most, n - start)))
    return _checked(pieces[0] if len(pieces) == 1 else np.concatenate(pieces), output)


def _table(outputs: Rows, output: str, n: int) -> np.ndarray:
    """Return the output of n rows as Float[np.ndarray, "n c"]."""
    if output not in outputs:
        raise ModelError(f"The model returned no output {output!r}, only {', '.join(outputs)}.")
    array = np.asarray(outputs[output])
    if array.ndim == 0 or len(array) != n:
        raise ModelError(
            f"The model returned shape {array.shape} in {output!r} for {n} rows: its leading axis is not the "
            "batch, so no score belongs to a row. Name an output that has one entry per row (--output)."
        )
    if array.dtype.kind not in "fiub":
        raise ModelError(f"Output {output!r} holds text, not numbers: name another output.")
    table = array.reshape(n, -1) if array.size else array.reshape(n, 0)
    if table.shape[1] == 0:
        raise ModelError(f"The model returned no columns in {output!r}: shape {array.shape}.")
    return table


def _checked(table: np.ndarray, output: str) -> np.ndarray:
    if not np.isfinite(table).all():
        row = int(np.argwhere(~np.isfinite(table))[0][0])
        raise ModelError(
            f"The model returned {table[row].tolist()[0] if table.shape[1] == 1 else 'a NaN or infinity'} "
            f"in output {output!r}: a score that is not a number cannot be explained."
        )
    return table


def choose_readout(
    model: Model, outputs: np.ndarray, target: Target, scale: str, labels: Sequence[str] = ()
) -> Readout:
    """Decide what to read from outputs that were seen once.

    Parameters
    ----------
    outputs : Float[np.ndarray, "n c"], the model's answer to the input in question.
    target : column number, class name or a list of them; None = the predicted class, or the only
        column.
    scale : one of ``links.SCALES``. labels : class names, where the model has none of its own.

    Raises
    ------
    RequestError : unknown target or scale, or a scale that the output does not have.
    """
    signature = model.signature
    if scale not in links.SCALES:
        raise unknown("scale", scale, links.SCALES)
    dtype = signature.output(signature.answer).dtype
    kind = signature.kind or links.detect_named(outputs, signature.answer, dtype)
    if kind == links.EMBEDDING:
        return _compared(signature.answer, outputs, target, scale)
    if kind not in CLASSIFIERS and scale in ("probability", "logit"):
        raise RequestError(
            f"The scale {scale!r} needs a classifier, but output {signature.answer!r} holds {kind}; "
            "declare its kind (probabilities or logits) if it is one, or ask for the raw scale."
        )
    # a regression has no log-probability: the derivative methods' default falls back to the value
    effective = scale if kind in CLASSIFIERS else "raw"
    indices = target_indices(target, outputs, labels or output_labels(model, outputs.shape[1]))
    return Readout(signature.answer, indices, effective, kind)


def _compared(output: str, outputs: np.ndarray, target: Target, scale: str) -> Readout:
    """Ask how similar the embedding stays to the input's own."""
    if scale != "raw":
        raise RequestError(
            f"Output {output!r} is an embedding, whose score is its similarity to the input's own: that has "
            "the raw scale only, and no slope at the input. Use a method that hides features (occlusion, "
            "kernelshap, lime, rise or sis)."
        )
    if target not in (None, 0, SIMILARITY, [0], [SIMILARITY], (0,), (SIMILARITY,)):
        raise RequestError(
            f"Output {output!r} is an embedding: its one target is {SIMILARITY!r}; got {target!r}."
        )
    own = outputs.mean(axis=0, dtype=np.float64)
    if not own.any():
        raise ModelError(f"The embedding {output!r} of the input is all zeros: nothing is similar to it.")
    return Readout(output, (0,), "raw", links.EMBEDDING, tuple(own.tolist()))


def asked_names(model: Model, readout: Readout, columns: int) -> tuple[str, ...]:
    """Return the names of the targets that a readout asks about."""
    if readout.reference:
        return (SIMILARITY,)
    names = output_labels(model, columns)
    return tuple(names[index] for index in readout.indices)


def output_labels(model: Model, columns: int) -> tuple[str, ...]:
    """Return the names of an output's columns: class names where known, else their numbers."""
    labels = model.signature.output(model.signature.answer).labels
    if labels and len(labels) != columns:
        raise RequestError(
            f"{len(labels)} class names were given, but output {model.signature.answer!r} has "
            f"{columns} columns."
        )
    if labels:
        return labels
    return (model.signature.answer,) if columns == 1 else tuple(map(str, range(columns)))


def target_indices(target: Target, outputs: np.ndarray, labels: Sequence[str]) -> tuple[int, ...]:
    """Turn a target as a person says it into column numbers."""
    if target is None:
        return (int(outputs.mean(axis=0).argmax()),)
    if isinstance(target, (list, tuple)):
        if not target:
            raise RequestError("The list of targets is empty.")
        found = tuple(_index(one, labels) for one in target)
        if len(set(found)) < len(found):
            raise RequestError(f"A target is named twice in {list(target)}.")
        return found
    return (_index(target, labels),)


def _index(target: object, labels: Sequence[str]) -> int:
    if isinstance(target, (int, np.integer)) and not isinstance(target, bool):
        if 0 <= target < len(labels):
            return int(target)
        last = len(labels) - 1
        raise RequestError(f"Target {target} does not exist: the output's columns are 0 to {last}.")
    if isinstance(target, str) and target in labels:
        return list(labels).index(target)
    if isinstance(target, str) and target.isdecimal():
        return _index(int(target), labels)
    raise unknown("target", target, labels)
