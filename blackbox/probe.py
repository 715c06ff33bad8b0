"""What a careful auditor looks at before trusting any attribution: speed, repeatability, kind, flatness."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from blackbox.casts import numpy_dtype
from blackbox.errors import RequestError
from blackbox.model import Model, Rows
from blackbox.numerics import links
from blackbox.numerics.noise import FOUND, ecnoise
from blackbox.score import Ledger, forward

MOST_SECONDS = 1.0
"""Time spent on each batch size at the most."""

MOST_ROWS = 256
"""Rows that are asked for anything but speed."""

NOISY_ROWS = 4
NOISE_STEPS = (1e-6, 1e-5, 1e-4)
"""Steps of the lines on which rounding is looked for, as shares of every cell's size."""


@dataclass(frozen=True)
class Probe:
    """What was seen on some rows of one model.

    speeds : batch size -> rows per second (a clock reading: it differs from run to run).
    repeat : largest change of any output when the same rows are asked again. alone : when every row is
        asked by itself instead of among others. Both as a share of the largest output.
    kind : what the output looks like, ``probabilities``, ``logits`` or ``values``. still : share of rows
        on which a small change of the input (a thousandth of its scale) changed nothing at all.
    noise : how far an output scatters by rounding alone along a short line (ECnoise, good to a factor of 4),
        as a share of the largest output; 0 where it does not move at all, None where no scatter could be
        told from the curve, or the inputs are not floating-point.
    homogeneous : f(2x) = 2 f(x) and f(0) = 0 hold, as on networks of ReLUs without biases; None where
        the inputs are not floating-point. elsewhere : largest change on another device, as a share of the
        largest output, and that device; None where there is only one. rows : forward rows spent.
    """

    speeds: Mapping[int, float]
    repeat: float
    alone: float
    kind: str
    still: float | None
    noise: float | None
    homogeneous: bool | None
    elsewhere: tuple[float, str] | None
    rows: int


def sample_rows(model: Model, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw standard normal rows for a model whose inputs are floating-point and of fixed shape.

    Raises
    ------
    RequestError : an input is not floating-point, or has an open axis: rows must be given.
    """
    found = {}
    for tensor in model.signature.inputs:
        open_axes = [axis for axis in tensor.cell_shape if not isinstance(axis, int)]
        if open_axes or not tensor.dtype.startswith(("float", "bfloat")):
            raise RequestError(
                f"Input {tensor.name!r} ({tensor.dtype}, shape {tensor.shape}) cannot be drawn: give rows "
                "with --data."
            )
        found[tensor.name] = rng.standard_normal((count, *tensor.cell_shape)).astype(  # type: ignore[arg-type]
            numpy_dtype(tensor.dtype)
        )
    return found


def probe(model: Model, rows: Rows, other: Model | None = None) -> Probe:
    """Ask a model about the same rows in several ways.

    Parameters
    ----------
    rows : at least one row per input name. other : the same model on another device.
    """
    ledger, answer = Ledger(), model.signature.output(model.signature.answer)
    some = {name: array[:MOST_ROWS] for name, array in rows.items()}
    first = _ask(model, some, ledger)
    size = float(np.abs(first).max()) or 1.0
    again = _ask(model, some, ledger)
    alone = np.concatenate([_ask(model, row, ledger) for row in _one_by_one(some)])
    return Probe(
        speeds=_speeds(model, rows, ledger),
        repeat=float(np.abs(again - first).max()) / size,
        alone=float(np.abs(alone - first).max()) / size,
        kind=model.signature.kind or links.detect_named(first, answer.name, answer.dtype),
        still=_still(model, some, first, ledger),
        noise=_noise(model, some, size, ledger),
        homogeneous=_homogeneous(model, some, first, ledger),
        elsewhere=None if other is None else _elsewhere(other, some, first / size, size),
        rows=ledger.rows,
    )


def _ask(model: Model, rows: Rows, ledger: Ledger) -> np.ndarray:
    return forward(model, rows, model.signature.answer, ledger).astype(float)


def _one_by_one(rows: Rows) -> list[dict[str, np.ndarray]]:
    count = min(32, len(next(iter(rows.values()))))
    rest = len(next(iter(rows.values()))) - count
    single = [{name: array[k : k + 1] for name, array in rows.items()} for k in range(count)]
    return [*single, {name: array[count:] for name, array in rows.items()}] if rest else single


def _speeds(model: Model, rows: Rows, ledger: Ledger) -> dict[int, float]:
    """Time whole passes at sizes 1, 4, 16, ... up to the model's limit, each until a second is over."""
    most = model.limits.rows_per_run
    sizes = [most] if model.limits.fixed_batch else [4**k for k in range(8) if 4**k < most] + [most]
    have = len(next(iter(rows.values())))
    found = {}
    for size in sizes:
        batch = {name: array[np.arange(size) % have] for name, array in rows.items()}
        _ask(model, batch, ledger)
        begun, turns = time.perf_counter(), 0
        while turns < 3 or (time.perf_counter() - begun < MOST_SECONDS / 10 and turns < 1000):
            _ask(model, batch, ledger)
            turns += 1
        found[size] = turns * size / (time.perf_counter() - begun)
    return found


def _floats(model: Model) -> bool:
    return all(tensor.dtype.startswith(("float", "bfloat")) for tensor in model.signature.inputs)


def _still(model: Model, rows: Rows, first: np.ndarray, ledger: Ledger) -> float | None:
    """Share of rows that do not answer to a nudge of every cell by a thousandth of its scale."""
    if not _floats(model):
        return None
    nudged = {name: array + 1e-3 * _scale(array) for name, array in rows.items()}
    return float((_ask(model, nudged, ledger) == first).all(axis=1).mean())


def _scale(array: np.ndarray) -> np.ndarray:
    spread = array.std(axis=0, dtype=float)
    return np.asarray(np.where(spread > 0, spread, np.maximum(np.abs(array).max(axis=0), 1.0)))


def _noise(model: Model, rows: Rows, size: float, ledger: Ledger) -> float | None:
    """Look at nine points along a line of steps near the precision of the inputs, on a few rows.

    The longest line on which scatter shows counts: on shorter ones too few numbers change.
    """
    if not _floats(model):
        return None
    rng, found = np.random.default_rng(0), []
    for k in range(min(NOISY_ROWS, len(next(iter(rows.values()))))):
        sigmas = []
        for step in NOISE_STEPS:
            line = {}
            for name, array in rows.items():
                way = rng.choice([-1.0, 1.0], array.shape[1:]) * np.maximum(np.abs(array[k]), 1e-3)
                steps = np.arange(9).reshape(9, *[1] * way.ndim)
                line[name] = (array[k] + step * steps * way).astype(array.dtype)
            values = _ask(model, line, ledger)
            seen = ecnoise(values)
            if not np.ptp(values, axis=0).any():
                sigmas.append(0.0)
            elif seen.verdict == FOUND:
                sigmas.append(float(np.nanmax(seen.sigma)))
        found += [max(sigmas)] if sigmas else []
    return float(np.median(found)) / size if found else None


def _elsewhere(other: Model, rows: Rows, shares: np.ndarray, size: float) -> tuple[float, str]:
    there = _ask(other, rows, Ledger())
    return float(np.abs(there / size - shares).max()), other.identity.device


def _homogeneous(model: Model, rows: Rows, first: np.ndarray, ledger: Ledger) -> bool | None:
    if not _floats(model):
        return None
    double = _ask(model, {name: 2 * array for name, array in rows.items()}, ledger)
    nothing = _ask(model, {name: 0 * array[:1] for name, array in rows.items()}, ledger)
    size = float(np.abs(first).max()) or 1.0
    return bool(np.abs(double - 2 * first).max() <= 1e-4 * size and np.abs(nothing).max() <= 1e-6 * size)
