"""Rows per run: by rule from the size of one row, or by a short probe that is remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod
from statistics import median
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

FACTORS = (1 / 16, 0.25, 1.0, 4.0)
"""Sizes that are tried on a CPU, in units of the rule's. A convolutional network on small pictures holds far
more between its layers than in its input: for 8 x 8 digits 256 rows were 1.28 times as fast as the rule's
4,096."""

LADDER = tuple(16 * 4**step for step in range(6))
"""Sizes that are tried on a GPU, one after the other while they pay: a row's cells say little about how many
rows fill it (ResNet-50 wants 256, an encoder of BERT-base's size 64)."""

MOST_ROWS = 16_384
MOST_BYTES = 256 * 2**20
"""Input bytes of one pass at the most; activations take several times as much."""

SHARE = 32
"""Under a ceiling of memory, the input of one pass may take so small a part of it: rows stand in it up to
four times (filled, in shared memory as both processes see it, cast), activations take the rest."""

SECONDS = 0.05
"""Each size is asked for at least this long, and at least three times."""

WARM = 2
"""Passes that are not timed: the first allocates, and in the second the runtime lays out its memory anew."""

GAIN = {"cpu": 0.03, "cuda": 0.08}
"""A larger pass has to be faster by this share. Below the first, two timings cannot be told apart; on a GPU,
where short passes are padded, a larger one wastes more."""

Rehearse = Callable[[Rows], Callable[[], object]]
"""Lays rows where the model runs and returns what makes one pass over them."""

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


def suited(model: Model, rehearse: Rehearse, x: Rows, settings: OnnxOptions) -> Limits:
    """Return the limits that suit one input.

    Parameters
    ----------
    rehearse : the model's own, to time passes by. x : one value per input, without the batch axis. settings :
        how the model was opened.
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
        "tf32": settings.tf32,
        "sandboxed": "sandbox" in model.identity.facts,
    }  # fmt: skip
    return probed(rehearse, limits, x, model.identity.device, question, most)


def probed(
    rehearse: Rehearse, limits: Limits, x: Rows, device: str, question: Mapping[str, Any],
    most_bytes: int = MOST_BYTES,
) -> Limits:  # fmt: skip
    """Try a few sizes on rows like those to be asked, or recall what was found before.

    Parameters
    ----------
    rehearse : rows -> what makes one pass over them. limits : by rule. x : one input. device : ``cpu`` or
        ``cuda:N``. question : what else the answer depends on (digests, runtime, threads), as plain JSON.

    Returns
    -------
    Limits with the fastest size, the smaller one where two are about as fast. A size that the model fails
    on ends the search, and on a GPU one that does not pay; where it fails on all, the rule stays.
    """
    shapes = {name: [*array.shape, str(array.dtype)] for name, array in sorted(x.items())}
    asked = {**question, "device": device, "inputs": shapes}
    known = (cache.recall("rows-per-run", asked) or {}).get("rows_per_run")
    if isinstance(known, int) and not isinstance(known, bool) and 1 <= known <= MOST_ROWS:
        return Limits(known, chosen=BY_PROBE)
    best = _fastest(rehearse, x, _sizes(limits.rows_per_run, x, device, most_bytes), device)
    if best is None:
        return replace(limits, chosen=f"{BY_RULE}: the model failed on the probe's rows")
    cache.remember("rows-per-run", asked, {"rows_per_run": best})
    return Limits(best, chosen=BY_PROBE)


def _sizes(rule: int, x: Rows, device: str, most_bytes: int = MOST_BYTES) -> list[int]:
    each = max(1, sum(array.nbytes for array in x.values()))
    most = max(1, min(MOST_ROWS, most_bytes // each))
    if device == "cpu":
        return sorted({int(np.clip(rule * factor, 1, most)) for factor in FACTORS})
    return [size for size in LADDER if size <= most] or [most]


def _fastest(rehearse: Rehearse, x: Rows, sizes: Sequence[int], device: str) -> int | None:
    best, rate, gain = None, 0.0, GAIN["cpu" if device == "cpu" else "cuda"]
    for size in sizes:
        try:
            found = _rate(rehearse(_rows(x, size)), size)
        except ModelError:
            break
        if best is None or found > rate * (1 + gain):
            best, rate = size, found
        elif device != "cpu":
            break
    return best


def _rate(run: Callable[[], object], size: int) -> float:
    """Rows per second of the median pass."""
    for _ in range(WARM):
        run()
    times = [perf_counter()]
    while len(times) < 4 or times[-1] - times[0] < SECONDS:
        run()
        times.append(perf_counter())
    return size / median(after - before for before, after in pairwise(times))


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
