"""How often the intervals hold the exact values: over small games of every family, and sample models.

``python benchmarks/calibration.py`` plays every game with budgets that force estimation, at fixed budgets
and at the stopping time of a tolerance, and rewrites the table in the README; ``--games 10`` plays fewer
of each family and writes nothing. Exact values come from enumeration. Every game has a seed, and so a
design, of its own: games that share one err together, and a family's coverage by one design of 30 games
has a standard deviation of 2 to 3 %.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from games import GAMES, Instance, by_enumeration

import blackbox as bb

README = Path(__file__).parent / "README.md"
Game = Callable[[np.ndarray], np.ndarray]
GAMES_EACH = 120
"""Games per family: standard errors of coverage are then below 1 %."""


def polynomial(rng: np.random.Generator, d: int, order: int, terms: int) -> Game:
    """Random products of up to ``order`` features."""
    members = [rng.choice(d, size=rng.integers(1, order + 1), replace=False) for _ in range(terms)]
    weights = rng.normal(size=terms)

    def f(rows: np.ndarray) -> np.ndarray:
        return sum(w * rows[:, m].astype(float).prod(axis=1) for w, m in zip(weights, members, strict=True))

    return f


def network(rng: np.random.Generator, d: int, steep: float) -> Game:
    """A tanh network and its probability."""
    first, last = rng.normal(size=(d, 12)) * 2 / np.sqrt(d), rng.normal(size=12) * steep / np.sqrt(12)
    bias = rng.normal(size=12) / 2

    def f(rows: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-np.tanh(rows.astype(float) @ first + bias) @ last))

    return f


def trees(rng: np.random.Generator, d: int, count: int = 20) -> Game:
    """Sums of random trees of depth 3."""
    splits = rng.integers(d, size=(count, 7))
    limits, leaves = rng.uniform(0.2, 0.8, size=(count, 7)), rng.normal(size=(count, 8))

    def f(rows: np.ndarray) -> np.ndarray:
        total = np.zeros(len(rows))
        for split, limit, leaf in zip(splits, limits, leaves, strict=True):
            node = np.zeros(len(rows), dtype=int)
            for _ in range(3):
                node = 2 * node + 1 + (rows[np.arange(len(rows)), split[node]] > limit[node])
            total += leaf[node - 7]
        return total

    return f


def votes(rng: np.random.Generator, d: int) -> Game:
    """A weighted majority with a soft quota: one interaction of every order."""
    weights = rng.exponential(size=d)

    def f(rows: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-12 * (rows.astype(float) @ weights / weights.sum() - 0.5)))

    return f


def tied(rng: np.random.Generator, d: int) -> Game:
    """Features in equal pairs: neighbours 0 and 1, 2 and 3, ... have the same value."""
    weights, root = rng.normal(size=d // 2), rng.normal(size=d // 2)

    def f(rows: np.ndarray) -> np.ndarray:
        pairs = rows.astype(float).reshape(len(rows), -1, 2).sum(axis=2)
        return np.tanh(pairs @ weights) + (pairs * root).prod(axis=1) * 0.05 + np.cos(pairs @ root)

    return f


FAMILIES: dict[str, Callable[[np.random.Generator, int], Game]] = {
    "polynomials": lambda rng, d: polynomial(rng, d, 5, 4 * d),
    "networks": lambda rng, d: network(rng, d, 4.0),
    "saturated networks": lambda rng, d: network(rng, d, 20.0),
    "trees": trees,
    "votes": votes,
    "tied pairs": tied,
}


@dataclass(frozen=True)
class Play:
    """One explanation against the truth."""

    covered: np.ndarray
    width: float
    error: float
    false_rank: bool
    false_tie: bool | None


def instances(count: int) -> Iterator[tuple[str, Instance]]:
    """Yield games of 10 or 12 features per family, then trained models."""
    for number, (family, make) in enumerate(FAMILIES.items()):
        for k in range(count):
            rng = np.random.default_rng([number, k])
            d = 10 if k % 2 else 12
            f = make(rng, d)
            x, background = np.ones(d, np.float32), np.zeros((1, d), np.float32)

            def v(masks: np.ndarray, f: Game = f) -> np.ndarray:
                return f(masks.astype(np.float32))

            yield family, Instance(family, f, x, background, by_enumeration(v, d))
    for name in ("rf10", "mlp10"):
        yield from ((name, one) for one in GAMES[name](count))
    yield from (("credit, 12 columns", one) for one in twelve_of_credit(count))


def twelve_of_credit(count: int) -> Iterator[Instance]:
    """The sample credit network, its 27 columns in 12 groups."""
    from games import credit_rows, hidden

    f, rows, background = credit_rows(10)
    labels = np.arange(rows.shape[1]) * 12 // rows.shape[1]
    for k in range(count):  # the 40 applicants again and again, by other designs
        x = rows[k % len(rows)]

        def v(masks: np.ndarray, x: np.ndarray = x) -> np.ndarray:
            return hidden(f, x, background, labels, masks)

        yield Instance("credit", f, x, background, by_enumeration(v, 12), labels)


def play(one: Instance, method: bb.KernelShap, seed: int) -> Play | None:
    """Explain and compare; None where there is no interval to judge."""
    found = bb.explain(
        one.f, one.x, method, features=one.labels, background=one.background, seed=seed, scale="raw"
    )
    settled = (bb.Outcome.EXACT, bb.Outcome.SECOND_ORDER)
    if found.lower_bounds is None or found.upper_bounds is None or found.outcome in settled:
        return None
    # float32 rows round: that much is no error of the estimate
    slack = 1e-6 * np.abs(one.exact).max()
    covered = (found.lower_bounds - slack <= one.exact) & (one.exact <= found.upper_bounds + slack)
    order, apart = found.details["ranking"], found.details["rank_separable"]
    gaps = one.exact[order[:-1]] - one.exact[order[1:]]
    tied = np.abs(gaps) <= slack
    return Play(
        covered, float((found.upper_bounds - found.lower_bounds).mean()),
        float(np.sqrt(((found.values - one.exact) ** 2).mean())),
        bool((apart & (gaps < -slack)).any()), bool((apart & tied).any()) if tied.any() else None,
    )  # fmt: skip


def settings(d: int) -> dict[str, bb.KernelShap]:
    """What is measured: fixed budgets, a stopping time, and the other estimators."""
    found = {f"auto, {k} d": bb.KernelShap(budget=k * d) for k in (4, 6, 10)}
    found["odd-kernel, stopped at 5 %"] = bb.KernelShap(budget=900, tolerance=0.05, estimator="odd-kernel")
    for k in (3, 6):
        found[f"leverage, {k} d"] = bb.KernelShap(budget=k * d, estimator="leverage")
    found["permutation, 10 d"] = bb.KernelShap(budget=10 * d, estimator="permutation")
    return found


def line(family: str, setting: str, plays: list[Play]) -> str:
    """One row of the table."""
    covered = np.array([p.covered.mean() for p in plays])
    error = covered.std(ddof=1) / np.sqrt(len(covered)) if len(covered) > 1 else np.nan
    width = np.median([p.width / p.error for p in plays if p.error > 0])
    pooled = np.mean([p.width for p in plays]) / np.sqrt(np.mean([p.error**2 for p in plays]))
    ranks = np.mean([p.false_rank for p in plays])
    ties = [p.false_tie for p in plays if p.false_tie is not None]
    shown = f"{np.mean(ties):.3f}" if ties else ""
    return (
        f"| {family} | {setting} | {len(plays)} | {covered.mean():.3f} ± {error:.3f} | {width:.1f} "
        f"| {pooled:.1f} | {ranks:.3f} | {shown} |"
    )


def measure(count: int) -> dict[tuple[str, str], list[Play]]:
    """Play everything."""
    found: dict[tuple[str, str], list[Play]] = {}
    for seed, (family, one) in enumerate(instances(count)):
        for name, method in settings(one.d).items():
            played = play(one, method, seed)
            if played is not None:
                for group in (family, "all families"):
                    found.setdefault((group, name), []).append(played)
    return found


HEADER = (
    "| Games | Estimator, masks | Explanations | Coverage, standard error | Width / RMSE, median "
    "| Mean width / RMSE | Any false rank claim | Ties called apart |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
)


def main() -> None:
    """Measure, print, and write the README's table when everything was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--games", type=int, help="games per family; writes nothing")
    asked = parser.parse_args()
    found = measure(asked.games or GAMES_EACH)
    order = sorted(found, key=lambda key: (key[1], key[0] != "all families"))
    block = "\n".join([*HEADER, *(line(*key, found[key]) for key in order)])
    print(block)
    if asked.games is None:
        before, rest = README.read_text().split("<!-- coverage:begin -->")
        after = rest.split("<!-- coverage:end -->")[1]
        README.write_text(f"{before}<!-- coverage:begin -->\n{block}\n<!-- coverage:end -->{after}")


if __name__ == "__main__":
    main()
