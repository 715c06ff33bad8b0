"""Error of Shapley values per forward pass: our estimators against shap's KernelExplainer, same masks count.

``python benchmarks/accuracy.py`` rewrites the table in the README (half an hour); ``--only rf10`` and
``--scale 0.5`` play fewer instances and write nothing. ``--designs`` rewrites the small table under it: the
odd kernel with the pairs that are chosen for it over the same kernel with drawn pairs.

Every estimator gets the same number of masks, the empty and the full one not counted; shap runs with
``l1_reg=False``, because its default keeps ten features and does not converge.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
from games import GAMES, Instance

import blackbox as bb
from blackbox.numerics import designs

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- accuracy:begin -->", "<!-- accuracy:end -->"
INSTANCES = {
    "rf10": 20, "mlp10": 20, "rf30": 10, "mlp30": 10, "hgb30": 6, "credit27": 8, "digits64": 8, "cnn49": 6,
    "cnn196": 3, "svm13": 10, "attention24": 6,
}  # fmt: skip
BUDGETS = (2, 5, 10, 50)
DRAWS = 3
"""Seeds per instance, of every estimator: a mean squared error is a mean over the drawing of the masks."""
ESTIMATORS = ("auto", "odd-kernel", "cubic-kernel", "leverage", "permutation", "kernel")


def ours(one: Instance, estimator: str, budget: int, seed: int) -> np.ndarray | None:
    """Explain with a budget; None where the estimator refuses it."""
    method = bb.KernelShap(budget=budget, estimator=estimator)
    try:
        found = bb.explain(
            one.f, one.x, method, features=one.labels, background=one.background, seed=seed, scale="raw"
        )
    except bb.RequestError:
        return None
    return found.values


def theirs(one: Instance, budget: int, seed: int) -> np.ndarray:
    """Ask KernelExplainer on the masks themselves, no features dropped."""
    import shap

    np.random.seed(seed)  # noqa: NPY002 - shap draws from the global state
    explainer = shap.KernelExplainer(lambda rows: one.v(rows > 0.5), np.zeros((1, one.d)), silent=True)
    return np.asarray(explainer.shap_values(np.ones(one.d), nsamples=budget, l1_reg=False, silent=True))


def error(values: np.ndarray | None, exact: np.ndarray) -> float:
    """Mean squared error over the mean square of the exact values."""
    return float("nan") if values is None else float(((values - exact) ** 2).mean() / (exact**2).mean())


def lines(game: str, count: int) -> list[str]:
    """Measure one game: errors of shap, then medians of the ratios to it."""
    instances = list(GAMES[game](count))
    shap = np.zeros((len(instances), len(BUDGETS)))
    mine = np.zeros((len(ESTIMATORS), *shap.shape))
    for draw in range(DRAWS):
        for i, one in enumerate(instances):
            seed = i + draw * 1000
            for b, times in enumerate(BUDGETS):
                shap[i, b] += error(theirs(one, times * one.d, seed), one.exact) / DRAWS
                for e, name in enumerate(ESTIMATORS):
                    mine[e, i, b] += error(ours(one, name, times * one.d, seed), one.exact) / DRAWS
    head = f"| {game} ({len(instances)}) |"
    rows = [f"{head} shap, l1_reg=False: error | {_cells(np.median(shap, axis=0), '.1e')} |"]
    for e, name in enumerate(ESTIMATORS):
        ratios = np.median(mine[e] / shap, axis=0)
        RATIOS.setdefault(name, []).append(ratios)
        rows.append(f"| | {name} | {_cells(ratios, '.3g')} |")
    best = np.median(mine[1:] / shap, axis=1).min(axis=0)
    AGAINST_BEST.append(np.median(mine[0] / shap, axis=0) / best)
    return rows


RATIOS: dict[str, list[np.ndarray]] = {}
AGAINST_BEST: list[np.ndarray] = []


def drawn(_: str, m: int, count: int, rng: np.random.Generator) -> designs.Design:
    """Draw pairs by leverage scores, whatever estimator answers."""
    return designs.Drawn(*designs.leverage_pairs(m, count, rng, smallest=2))


def of_designs(game: str, count: int) -> str:
    """One line of the second table; keeps the ratios for its last one."""
    budgets = BUDGETS[1:]
    chosen = np.zeros((count, len(budgets)))
    other = np.zeros_like(chosen)
    for i, one in enumerate(GAMES[game](count)):
        for b, times in enumerate(budgets):
            for draw in range(DRAWS):
                asked = (one, "odd-kernel", times * one.d, i + draw * 1000)
                chosen[i, b] += error(ours(*asked), one.exact)
                with mock.patch("blackbox.players._design", drawn):
                    other[i, b] += error(ours(*asked), one.exact)
    RATIOS.setdefault("designs", []).append(np.median(chosen / other, axis=0))
    return f"| {game} ({count}) | {_cells(RATIOS['designs'][-1], '.2f')} |"


def _cells(values: np.ndarray, form: str) -> str:
    return " | ".join("" if np.isnan(v) else format(v, form) for v in values)


def summary() -> list[str]:
    """Geometric means over the games, and auto against the best single estimator of each game."""
    found = []
    for name, rows in RATIOS.items():
        means = np.exp(np.nanmean(np.log(rows), axis=0))
        found.append(f"| geometric mean | {name} | {_cells(means, '.3g')} |")
    against = np.exp(np.mean(np.log(AGAINST_BEST), axis=0))
    found.append(f"| auto over the best single estimator | geometric mean | {_cells(against, '.3g')} |")
    found.append(f"| | worst game | {_cells(np.max(AGAINST_BEST, axis=0), '.3g')} |")
    return found


def main() -> None:
    """Measure, print, and write the README's table when everything was measured."""
    warnings.simplefilter("ignore")  # shap's imports use what matplotlib and numba deprecate
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=tuple(GAMES), help="one game; write nothing")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the instances; write nothing")
    parser.add_argument("--designs", action="store_true", help="chosen against drawn pairs alone")
    asked = parser.parse_args()
    if asked.designs:
        compare_designs((asked.only,) if asked.only else tuple(GAMES), asked.scale)
        return
    block = [
        "| Game (instances) | Estimator | " + " | ".join(f"{times} d" for times in BUDGETS) + " |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    print("\n".join(block), flush=True)
    for game in (asked.only,) if asked.only else GAMES:
        found = lines(game, max(1, round(INSTANCES[game] * asked.scale)))
        print("\n".join(found), flush=True)
        block += found
    block += summary()
    print("\n".join(block[-len(RATIOS) - 2 :]))
    if asked.only is None and asked.scale == 1:
        write(BEGIN, END, block)


def compare_designs(games: tuple[str, ...], scale: float) -> None:
    """Measure and print the second table, and write it when everything was measured."""
    times = BUDGETS[1:]
    block = [
        "| Game (instances) | " + " | ".join(f"{k} d" for k in times) + " |",
        "| --- | ---: | ---: | ---: |",
    ]
    print("\n".join(block), flush=True)
    for game in games:
        block.append(of_designs(game, max(1, round(INSTANCES[game] * scale))))
        print(block[-1], flush=True)
    block.append(f"| geometric mean | {_cells(np.exp(np.mean(np.log(RATIOS['designs']), axis=0)), '.2f')} |")
    print(block[-1])
    if games == tuple(GAMES) and scale == 1:
        write("<!-- designs:begin -->", "<!-- designs:end -->", block)


def write(begin: str, end: str, block: list[str]) -> None:
    """Replace what stands between two markers of the README."""
    before, rest = README.read_text().split(begin)
    README.write_text(f"{before}{begin}\n" + "\n".join(block) + f"\n{end}{rest.split(end)[1]}")


if __name__ == "__main__":
    main()
