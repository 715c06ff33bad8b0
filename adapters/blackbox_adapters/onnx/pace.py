"""Rows per run: by rule from the size of one row, or by a short probe that is remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from time import perf_counter
from typing import Any

import numpy as np

from blackbox import cache
from blackbox.errors import ModelError
from blackbox.model import Limits, Model, Rows, Tensor
from blackbox_adapters.onnx.options import OnnxOptions

CELLS_PER_RUN = 262_144
"""Rows per run by rule: so many input cells, a power of two of rows between 4 and 4,096. Measured:
4,096 rows of 64 columns, 256 pictures of 28 x 28 and 4 of 3 x 224 x 224 are at or near the best."""

FACTORS = {"cpu": (0.25, 1.0, 4.0), "cuda": (1.0, 8.0, 64.0)}
"""Sizes that are tried, in units of the rule's, which was measured on CPUs."""

MOST_ROWS = 16_384
MOST_BYTES = 256 * 2**20
"""Input bytes of one pass at the most; activations take several times as much."""

SHARE = 32
"""Under a ceiling of memory, the input of one pass may take so small a part of it: rows stand in it up to
four times (filled, in shared memory as both processes see it, cast), activations take the rest."""

SECONDS = 0.05
"""Each size is asked for at least this long, and at least twice."""

GAIN = 0.03
"""A larger pass has to be faster by this share: below it, two timings cannot be told apart."""

BY_RULE, BY_PROBE, GIVEN, FIXED = "by rule", "by probe", "given", "fixed by the model"


def by_rule(tensors: Sequence[Tensor], rows: Rows | None = None) -> int:
    """Return the rows per run that follow from the number of cells of one row.

    Parameters
    ----------
    rows : one input, which says how long open axes are; without it they count as 1.
    """
    cells = sum(
        rows[t.name].size
        if rows is not None
        else prod(size if isinstance(size, int) else 1 for size in t.cell_shape)
        for t in tensors
    )
    power = 2 ** int(np.log2(max(1, CELLS_PER_RUN // max(1, cells))))
    return int(np.clip(power, 4, 4096))


def suited(model: Model, x: Rows, settings: OnnxOptions) -> Limits:
    """Return the limits that suit one input.

    Parameters
    ----------
    x : one value per input, without the batch axis. settings : how the model was opened.
    """
    if model.limits.chosen in (GIVEN, FIXED, BY_PROBE):
        return model.limits
    limits = Limits(by_rule(model.signature.inputs, x))
    # the rule was measured on CPUs; a GPU wants far larger passes, how large only a probe tells
    if (settings.batch_size or ("rule" if model.identity.device == "cpu" else "probe")) != "probe":
        return limits
    ceiling = settings.memory_bytes
    most = MOST_BYTES if ceiling is None else min(MOST_BYTES, ceiling // SHARE)
    question = {
        "sha256": dict(model.identity.sha256), "runtime": model.identity.runtime,
        "output": model.signature.answer, "threads": settings.threads, "most_bytes": most,
        "sandboxed": "sandbox" in model.identity.facts,
    }  # fmt: skip
    return probed(model.predict, limits, x, model.identity.device, question, most)


def probed(
    predict: Callable[[Rows], object], limits: Limits, x: Rows, device: str, question: Mapping[str, Any],
    most_bytes: int = MOST_BYTES,
) -> Limits:  # fmt: skip
    """Try three sizes on rows like those to be asked, or recall what was found before.

    Parameters
    ----------
    predict : one pass. limits : by rule. x : one input. device : ``cpu`` or ``cuda:N``. question : what
        else the answer depends on (digests, runtime, threads), as plain JSON.

    Returns
    -------
    Limits with the fastest size, the smaller one where two are about as fast. A size that the model fails
    on ends the search; where it fails on all, the rule stays.
    """
    shapes = {name: [*array.shape, str(array.dtype)] for name, array in sorted(x.items())}
    asked = {**question, "device": device, "inputs": shapes}
    known = (cache.recall("rows-per-run", asked) or {}).get("rows_per_run")
    if isinstance(known, int) and not isinstance(known, bool) and 1 <= known <= MOST_ROWS:
        return Limits(known, chosen=BY_PROBE)
    best = _fastest(predict, x, _sizes(limits.rows_per_run, x, device, most_bytes))
    if best is None:
        return replace(limits, chosen=f"{BY_RULE}: the model failed on the probe's rows")
    cache.remember("rows-per-run", asked, {"rows_per_run": best})
    return Limits(best, chosen=BY_PROBE)


def _sizes(rule: int, x: Rows, device: str, most_bytes: int = MOST_BYTES) -> list[int]:
    each = max(1, sum(array.nbytes for array in x.values()))
    most = max(1, min(MOST_ROWS, most_bytes // each))
    factors = FACTORS["cpu" if device == "cpu" else "cuda"]
    return sorted({int(np.clip(rule * factor, 1, most)) for factor in factors})


def _fastest(predict: Callable[[Rows], object], x: Rows, sizes: Sequence[int]) -> int | None:
    best, rate = None, 0.0
    for size in sizes:
        try:
            found = _rate(predict, _rows(x, size), size)
        except ModelError:
            break
        if best is None or found > rate * (1 + GAIN):
            best, rate = size, found
    return best


def _rate(predict: Callable[[Rows], object], rows: Rows, size: int) -> float:
    """Rows per second, the first pass not counted: it allocates."""
    predict(rows)
    begun, turns = perf_counter(), 0
    while turns < 2 or perf_counter() - begun < SECONDS:
        predict(rows)
        turns += 1
    return turns * size / (perf_counter() - begun)


def _rows(x: Rows, size: int) -> dict[str, np.ndarray]:
    """Return distinct rows, the input with random cells at zero: equal rows flatter tree ensembles."""
    rng = np.random.default_rng(0)
    found = {}
    for name, array in x.items():
        rows = np.repeat(array[None], size, axis=0)
        if array.dtype.kind in "fiu":
            rows[rng.random(rows.shape) < 0.5] = 0
        found[name] = rows
    return found
