"""What a careful auditor looks at before trusting any attribution: speed, repeatability, kind, flatness."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from blackbox.casts import numpy_dtype
from blackbox.errors import RequestError
from blackbox.model import Model, Rows
from blackbox.numerics import links
from blackbox.numerics.noise import FOUND, ecnoise
from blackbox.score import Ledger, forward

MOST_ROWS = 256
"""Rows that are asked for anything but speed."""

TIMED_ROWS = 32
"""Each batch size is timed over about so many rows, and over three passes at the least."""

NOISY_ROWS = 4
NOISE_STEPS = (1e-6, 1e-5, 1e-4)
"""Steps of the lines on which rounding is looked for, as shares of every cell's size."""


@dataclass(frozen=True)
class Probe:
    """What was seen on some rows of one model; none of it is a clock reading, so a model that repeats its
    answers gives the same probe again.

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


def probe(model: Model, rows: Rows, other: Model | None = None, ledger: Ledger | None = None) -> Probe:
    """Ask a model about the same rows in several ways.

    Parameters
    ----------
    rows : at least one row per input name. other : the same model on another device. ledger : counts the
        rows too.
    """
    own, answer = Ledger(above=ledger), model.signature.output(model.signature.answer)
    some = {name: array[:MOST_ROWS] for name, array in rows.items()}
    first = _ask(model, some, own)
    size = float(np.abs(first).max()) or 1.0
    again = _ask(model, some, own)
    alone = np.concatenate([_ask(model, row, own) for row in _one_by_one(some)])
    return Probe(
        repeat=float(np.abs(again - first).max()) / size,
        alone=float(np.abs(alone - first).max()) / size,
        kind=model.signature.kind or links.detect_named(first, answer.name, answer.dtype),
        still=_still(model, some, first, own),
        noise=_noise(model, some, size, own),
        homogeneous=_homogeneous(model, some, first, own),
        elsewhere=None if other is None else _elsewhere(other, some, first / size, size, own),
        rows=own.rows,
    )


def speeds(model: Model, rows: Rows, ledger: Ledger, most: int | None = None) -> dict[int, float]:
    """Time passes of 1, 4, 16, ... rows, up to the model's limit or ``most``.

    Returns
    -------
    batch size -> rows per second, by the fastest of the passes; a clock reading, which differs from run to
    run. How many rows are spent does not.
    """
    have, found = len(next(iter(rows.values()))), {}
    for size in _sizes(model, most):
        batch = {name: array[np.arange(size) % have] for name, array in rows.items()}
        _ask(model, batch, ledger)
        found[size] = size / min(_seconds(model, batch, ledger) for _ in range(_turns(size)))
    return found


def cost(model: Model, count: int, devices: int = 1) -> int:
    """Return the forward rows of a probe of ``count`` rows on so many devices, without speeds."""
    some = min(count, MOST_ROWS)
    if not _floats(model):
        return (2 + devices) * some
    lines = 9 * len(NOISE_STEPS) * min(NOISY_ROWS, some)
    return (4 + devices) * some + 1 + lines


def timing_cost(model: Model, most: int | None = None) -> int:
    """Return the forward rows of ``speeds``."""
    return sum(size * (1 + _turns(size)) for size in _sizes(model, most))


def said(seen: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say in words what a probe saw, given as a mapping of its fields."""
    still = seen["still"]
    flat = "not asked: the inputs are no floating-point numbers"
    if still is not None:
        flat = f"{100 * still:.0f}% of the rows do not answer to a nudge of a thousandth"
        flat += ": a tree ensemble, rounding or saturation; derivatives say nothing" if still > 0.5 else ""
        flat = flat if still else "no: every row answers to a nudge of a thousandth"
    return [
        ("asked about", f"{seen['asked_about']}; {seen['rows']:,} forward rows"),
        ("output looks like", seen["kind"]),
        ("asked again", _moved(seen["repeat"])),
        ("alone or in a batch", _moved(seen["alone"])),
        ("on another device", _other(seen["elsewhere"])),
        ("noise of rounding", _scatter(seen["noise"])),
        ("flat", flat),
        ("homogeneous", {True: "yes: f(2x) = 2 f(x)", False: "no", None: "not asked"}[seen["homogeneous"]]),
    ]


def _moved(share: float) -> str:
    return "the same to the last bit" if share == 0 else f"differs by {share:.1g} of the largest output"


def _other(seen: Sequence[Any] | None) -> str:
    return "not asked: it ran on one device alone" if seen is None else f"{seen[1]}: {_moved(seen[0])}"


def _scatter(share: float | None) -> str:
    if share is None:
        return "not told: no scatter apart from the curve itself, or no floating-point inputs"
    return "none: the outputs do not move" if share == 0 else f"about {share:.1g} of the largest output"


def _ask(model: Model, rows: Rows, ledger: Ledger) -> np.ndarray:
    return forward(model, rows, model.signature.answer, ledger).astype(float)


def _one_by_one(rows: Rows) -> list[dict[str, np.ndarray]]:
    count = min(32, len(next(iter(rows.values()))))
    rest = len(next(iter(rows.values()))) - count
    single = [{name: array[k : k + 1] for name, array in rows.items()} for k in range(count)]
    return [*single, {name: array[count:] for name, array in rows.items()}] if rest else single


def _sizes(model: Model, most: int | None) -> list[int]:
    limit = model.limits.rows_per_run
    if model.limits.fixed_batch:
        return [limit]
    limit = limit if most is None else min(limit, most)
    return [4**k for k in range(8) if 4**k < limit] + [limit]


def _turns(size: int) -> int:
    return max(3, TIMED_ROWS // size)


def _seconds(model: Model, batch: Rows, ledger: Ledger) -> float:
    begun = time.perf_counter()
    _ask(model, batch, ledger)
    return max(time.perf_counter() - begun, 1e-9)


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


def _elsewhere(
    other: Model, rows: Rows, shares: np.ndarray, size: float, ledger: Ledger
) -> tuple[float, str]:
    there = _ask(other, rows, ledger)
    return float(np.abs(there / size - shares).max()), other.identity.device


def _homogeneous(model: Model, rows: Rows, first: np.ndarray, ledger: Ledger) -> bool | None:
    if not _floats(model):
        return None
    double = _ask(model, {name: 2 * array for name, array in rows.items()}, ledger)
    nothing = _ask(model, {name: 0 * array[:1] for name, array in rows.items()}, ledger)
    size = float(np.abs(first).max()) or 1.0
    return bool(np.abs(double - 2 * first).max() <= 1e-4 * size and np.abs(nothing).max() <= 1e-6 * size)
