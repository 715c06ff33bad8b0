"""The port: what answers a forward pass, and the plain arrays that may travel through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable
from urllib.parse import urlparse

import numpy as np

from blackbox.errors import ModelError, RequestError, nearest
from blackbox.mlmodel import located

Rows = Mapping[str, np.ndarray]
"""Named arrays that share a leading axis."""

GROUP = "blackbox.models"
"""Entry-point group; an entry's name is a file suffix without its dot, a URL scheme, or
``function`` for Python callables. It loads ``open(source, device, options) -> Model``."""


@dataclass(frozen=True)
class Tensor:
    """One input or output: its name, NumPy dtype name (``string`` for text) and shape.

    The first axis is the batch. An axis is a number where it is fixed, a name where it is
    symbolic, None where nothing is known. ``labels`` names the columns of an output.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]
    labels: tuple[str, ...] = ()

    @property
    def cell_shape(self) -> tuple[int | str | None, ...]:
        """The shape of one row, without the batch axis."""
        return self.shape[1:]


@dataclass(frozen=True)
class Signature:
    """Named inputs and outputs.

    ``answer`` is the output that is asked unless somebody says otherwise; ``kind`` says what it
    holds (``probabilities``, ``logits``, ``values``) where that is declared rather than observed.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    answer: str
    kind: str | None = None

    def output(self, name: str) -> Tensor:
        """Return an output by its name."""
        return next(tensor for tensor in self.outputs if tensor.name == name)


def told(signature: Signature) -> dict[str, Any]:
    """Return a signature as plain JSON."""
    return {
        "inputs": [_told(tensor) for tensor in signature.inputs],
        "outputs": [_told(tensor) for tensor in signature.outputs],
        "answer": signature.answer,
    }


def _told(tensor: Tensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "classes": list(tensor.labels),
    }


@dataclass(frozen=True)
class Identity:
    """What was asked: source, SHA-256 of every file, runtime, and the device really used."""

    source: str
    sha256: Mapping[str, str]
    runtime: str
    device: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """How rows may be cut: rows per forward pass, and the batch size where it is fixed.

    chosen : where the number comes from, for the record: ``by rule``, ``by probe``, ``given`` or
    ``fixed by the model``.
    """

    rows_per_run: int
    fixed_batch: int | None = None
    chosen: str = "by rule"


@dataclass(frozen=True)
class Hiding:
    """How features are hidden in one input: put background rows in the hidden cells.

    x : one value per input, without the batch axis; labels : feature number per cell, -1 where a
    cell is never hidden; background : B rows per input.
    """

    x: Rows
    labels: Rows
    background: Rows


@dataclass(frozen=True)
class Readout:
    """What is read from the outputs: output name, column indices, scale, and the output's kind.

    reference : of an embedding, the output that others are compared with; else empty.
    """

    output: str
    indices: tuple[int, ...]
    scale: str
    kind: str
    reference: tuple[float, ...] = ()


@dataclass(frozen=True)
class Hidden:
    """Answers to masks. scores : Float64[np.ndarray, "n t"], means over the background; apart :
    Float64[np.ndarray, "n B t"] where it was asked for; finite : every number of the output was one;
    floored : scores that stand at the least logarithm."""

    scores: np.ndarray
    apart: np.ndarray | None
    finite: bool
    floored: int


Pass = tuple[np.ndarray, bool]
"""Masks of one pass, Bool[np.ndarray, "n d"], and whether scores per background row are wanted."""


@dataclass(frozen=True)
class Hide:
    """A model's own way of hiding. how : one sentence for the record.

    run : plays passes in their order and answers each; the next may begin before the last has been
    answered. None where the rows have to be filled by NumPy instead, for the reason that ``how`` gives.
    """

    how: str
    run: Callable[[Sequence[Pass]], Sequence[Hidden]] | None = None


@runtime_checkable
class Model(Protocol):
    """Anything that answers forward passes.

    A model may also offer ``traits``, a mapping: ``operators``, the types of its operators between the
    inputs and the answer (``Mul(constant)`` where all but one factor are constants), and ``link``, the
    softmax or sigmoid that the answer ends with, or an empty string; ``randomised(rng)``, which opens a
    copy whose weights are shuffled; ``hide(hiding, readout) -> Hide``, which plays masks where the model
    runs and answers what filling, ``predict``, the readout and the mean would give, up to rounding; and
    ``fit(x) -> Model``, the model with limits that suit one input. Their absence is no fault.
    """

    @property
    def signature(self) -> Signature:
        """Named inputs and outputs."""

    @property
    def identity(self) -> Identity:
        """Digests, runtime and device, for evidence."""

    @property
    def limits(self) -> Limits:
        """How rows may be cut."""

    def predict(self, rows: Rows) -> Rows:
        """Run one forward pass of at most ``limits.rows_per_run`` rows."""


Source = str | Path | Model | Callable[[np.ndarray], np.ndarray]


def open_model(source: Source, device: str = "auto", options: Mapping[str, Any] | None = None) -> Model:
    """Open what answers forward passes.

    Parameters
    ----------
    source : a model file, a folder that MLflow saved an ONNX model in, a URL, a Python function
        float32 (n, ...) -> (n, outputs), or a Model (returned as it is). Adapters are found through
        the entry-point group ``blackbox.models``.
    device : ``auto``, ``cpu``, ``cuda`` or ``cuda:N``. What was really used is in ``identity``.
    options : settings of the adapter, see its own documentation, for example
        ``{"output": "probabilities", "classes": ["no", "yes"]}`` or ``{"shape": (8,)}``.

    Raises
    ------
    RequestError : no such file, or an unknown device or option.
    ModelError : the file is there and no adapter can load it.

    Examples
    --------
    >>> model = open_model(lambda x: x.sum(axis=1), options={"shape": (3,)})
    >>> model.signature.inputs[0].shape
    ('batch', 3)
    """
    if isinstance(source, Model):
        return source
    if options is not None and not isinstance(options, Mapping):
        raise RequestError(f"options must be a mapping of names to values; got {options!r}.")
    if isinstance(source, (str, Path)) and not is_url(str(source)):
        source = located(Path(source))
    opened: Model = _adapter(source).load()(source, device, dict(options or {}))
    return opened


def fitted(model: Model, x: Rows) -> Model:
    """Let a model choose its limits for inputs like one, which says how long open axes are.

    Parameters
    ----------
    x : one value per input, without the batch axis.

    Returns
    -------
    The model with its limits set; itself where it does not offer ``fit``.
    """
    fit = getattr(model, "fit", None)
    return model if fit is None else cast("Model", fit(x))


def _adapter(source: object) -> EntryPoint:
    known = {entry.name: entry for entry in entry_points(group=GROUP)}
    key = "function" if callable(source) else _key(str(source))
    if key in known:
        return known[key]
    names = [f"{name}://" if name.startswith("http") else f".{name}" for name in known if name != "function"]
    files = ", ".join(sorted(names))
    kind = type(source).__name__ if not isinstance(source, (str, Path)) else f"{str(source)!r}"
    raise ModelError(f"No adapter opens {kind}: known are {files or 'none'} and Python functions.")


def is_url(source: str) -> bool:
    """Tell a model behind a URL from a file."""
    return "://" in source


def _key(source: str) -> str:
    if is_url(source):
        return urlparse(source).scheme
    path = Path(source)
    if not path.exists():
        raise missing_file(path, "model")
    if path.is_dir():
        found = ", ".join(sorted(p.name for p in path.glob("*.onnx"))) or "none"
        raise RequestError(f"{source} is a folder; name the model file in it (.onnx files: {found}).")
    return path.suffix.lstrip(".").lower()


def missing_file(path: Path, what: str) -> RequestError:
    """Build the error for a file that is not there, naming the nearest one beside it."""
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    where = "" if path.parent.is_dir() else f" The folder {path.parent} does not exist either."
    return RequestError(f"There is no {what} file {path}.{where}{nearest(path.name, beside)}")
