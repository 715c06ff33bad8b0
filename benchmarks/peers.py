"""Error of Shapley values per forward pass: ours against the estimators of shapiq 1.8, same passes for all.

shapiq needs Python 3.12 and an environment of its own:

    python3.12 -m venv .peers/shapiq
    .peers/shapiq/bin/python -m pip install "shapiq==1.8.0" lightgbm xgboost -e ".[cpu]"
    .peers/shapiq/bin/python benchmarks/peers.py

rewrites the table in the README (about ten minutes); ``--only mlp10`` plays one game and writes nothing.
Every estimator gets the empty and the full mask and the same number of others. A cell is the median over
the instances of the mean squared error, divided by that of our ``auto``: above 1, ours is better.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from accuracy import error, ours
from games import GAMES, Instance

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- peers:begin -->", "<!-- peers:end -->"
COUNT = {"cnn49": 3, "hgb30": 3, "digits64": 3, "cnn196": 2, "attention24": 3}
"""Instances per game; 5 where nothing is said."""
BUDGETS = (2, 5, 10, 50)
LONGEST = 30
"""Seconds after which an estimate is given up, and the peer is asked no more of that game: an empty cell."""


def makers() -> dict[str, Callable[[int, int], Any]]:
    """Return shapiq's estimators by name: (features, seed) -> approximator."""
    from shapiq import approximator as a

    return {
        "LeverageSHAP": lambda n, seed: a.LeverageSHAP(n, random_state=seed),
        "OddSHAP": lambda n, seed: a.OddSHAP(n, random_state=seed),
        "PolySHAP": lambda n, seed: a.PolySHAP(n, max_order=2, pairing_trick=True, random_state=seed),
        "RegressionMSR": lambda n, seed: a.RegressionMSR(n, "SV", random_state=seed),
        "ProxySHAP": lambda n, seed: a.ProxySHAP(n, max_order=1, index="SV", random_state=seed),
        "PermutationSamplingSV": lambda n, seed: a.PermutationSamplingSV(n, random_state=seed),
        "KernelSHAP": lambda n, seed: a.KernelSHAP(n, pairing_trick=True, random_state=seed),
    }


def theirs(make: Callable[[int, int], Any], one: Instance, masks: int, seed: int) -> tuple[float, float]:
    """Return the error and the seconds; not a number where the estimator refuses."""
    begun = time.perf_counter()
    base = float(one.v(np.zeros((1, one.d), dtype=bool))[0])

    def game(coalitions: np.ndarray) -> np.ndarray:
        return one.v(np.atleast_2d(np.asarray(coalitions, dtype=bool))) - base

    def late(*_: object) -> None:
        raise TimeoutError(f"no answer within {LONGEST} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST)
    try:
        found = make(one.d, seed).approximate(masks + 2, game)
    except Exception as refused:  # a peer's own errors are no concern of ours, but are shown
        print(f"  {type(refused).__name__}: {str(refused)[:120]}", flush=True)
        return float("nan"), time.perf_counter() - begun
    finally:
        signal.alarm(0)
    values = np.array([found[(k,)] for k in range(one.d)])
    return error(values, one.exact), time.perf_counter() - begun


def lines(game: str) -> list[str]:
    """Play one game with everybody."""
    instances = list(GAMES[game](COUNT.get(game, 5)))
    mine = np.array([[error(ours(one, "auto", b * one.d, i), one.exact) for b in BUDGETS]
                     for i, one in enumerate(instances)])  # fmt: skip
    rows, best = [], np.full(len(BUDGETS), np.inf)
    for name, make in makers().items():
        found, slow = np.full(mine.shape, np.nan), False
        for b, times in enumerate(BUDGETS):
            for i, one in enumerate(instances):
                if slow:
                    continue
                found[i, b], seconds = theirs(make, one, times * one.d, i)
                slow = seconds >= LONGEST
        medians = np.median(found, axis=0)
        best = np.fmin(best, medians)
        rows.append(f"| | {name} | {_cells(medians / np.median(mine, axis=0))} |")
        print(rows[-1], flush=True)
    head = f"| {game} ({len(instances)}) | auto: error | {_cells(np.median(mine, axis=0), '.1e')} |"
    against = np.median(mine, axis=0) / best
    return [head, *rows, f"| | **auto over the best of these** | {_cells(against)} |"]


def _cells(values: np.ndarray, form: str = ".3g") -> str:
    return " | ".join("" if np.isnan(v) else format(v, form) for v in values)


def main() -> None:
    """Measure, print, and write the README's table when everything was measured."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=tuple(GAMES), help="one game; write nothing")
    asked = parser.parse_args()
    block = [
        "| Game (instances) | Estimator | " + " | ".join(f"{times} d" for times in BUDGETS) + " |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for game in (asked.only,) if asked.only else GAMES:
        found = lines(game)
        print("\n".join(found), flush=True)
        block += found
    if asked.only is None:
        before, rest = README.read_text().split(BEGIN)
        after = rest.split(END)[1]
        README.write_text(f"{before}{BEGIN}\n" + "\n".join(block) + f"\n{END}{after}")


if __name__ == "__main__":
    main()
