"""Checks on the rows that methods make up: are they ordinary, and does the model behave there as usual?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from blackbox import seeds
from blackbox.checks.finding import GATES, MODEL, Finding, Study, Subject, judge, skip
from blackbox.checks.flat import count, flat, ordinary, row, stack
from blackbox.errors import RequestError
from blackbox.features import Features
from blackbox.game import Game
from blackbox.model import Rows
from blackbox.numerics.coalitions import kernel_design
from blackbox.numerics.least_squares import efficient_regression
from blackbox.numerics.nearness import Nearness
from blackbox.numerics.ranks import rank_correlation
from blackbox.score import forward
from blackbox.settings import choice, number, whole


@dataclass(frozen=True)
class Manifold:
    """The questions lie near the data, and those that do not do not decide the ranking.

    A query is x with the hidden cells of one background row b. It is far when its distance to the
    nearest other background row is beyond the ``quantile`` (default 0.95) of that distance among the
    background rows; distances are Euclidean after whitening (Ledoit and Wolf 2004). Two
    statements: the share of far queries among the masks of a Shapley regression is at most ``far``; and the
    Shapley values of the same masks, once averaged over all background rows and once over ordinary queries
    only (the nearest one where there is none), have a rank correlation of at least ``least``. Defaults 0.5
    and 0.5: beyond, most of what is known of the case is known about rows that nobody has seen; and
    hiding by unrelated values and by plausible ones are two questions, so only plain reversals are flagged.
    ``masks`` None = 4 d + 32; ``rows`` : background rows that lend values. Costs masks x rows.

    References: Aas, Jullum and Løland 2021, doi 10.1016/j.artint.2021.103502 (empirical conditional).
    """

    name: ClassVar[str] = "manifold"
    quantile: float = 0.95
    masks: int | None = None
    rows: int = 25
    far: float = 0.5
    least: float = 0.5
    gate: str = "warn"

    def __post_init__(self) -> None:
        _between("quantile", self.quantile)
        if self.masks is not None:
            whole("masks", self.masks, 4)
        whole("rows", self.rows, 2)
        number("far", self.far, 0.0)
        number("least", self.least, -1.0)
        choice("gate", self.gate, GATES)

    def examine(self, subject: Subject) -> list[Finding]:
        game = subject.case.game(subject.target, "raw")
        if game.d < 3:
            return []
        near = ordinary(game.background.rows, self.quantile)
        if isinstance(near, str):
            return [skip(self, subject.id, near)]
        plain, likely, far = self._both(game, near, seeds.generator(subject.seed, self.name, game.d))
        same = rank_correlation(plain, likely)
        share = (
            f"{far:.0%} of the questions lie farther from the background than {self.quantile:.0%} of its own "
            "rows do."
        )
        ranks = f"With ordinary questions only, the ranking has a correlation of {same:.2f} with that of all."
        return [
            judge(self, subject, far <= self.far, share, far, self.far),
            judge(self, subject, same >= self.least, ranks, same, self.least),
        ]

    def _both(
        self, game: Game, near: Nearness, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Shapley values over all lent rows, over ordinary queries, and the share of far ones."""
        wanted = max(2 * game.d, self.masks or 4 * game.d + 32)
        masks, weights = kernel_design(game.d, wanted, rng)
        lenders = np.sort(rng.permutation(len(game.background))[: self.rows])
        scores, far = np.empty((len(masks), len(lenders))), np.empty((len(masks), len(lenders)))
        for k, lender in enumerate(lenders):
            queries = game.fill(masks, slice(lender, lender + 1))
            far[:, k] = near(flat(queries), np.full(len(masks), lender))
            scores[:, k] = game.score(queries)[:, 0]
        beyond = far > near.limit
        kept = ~beyond
        kept[np.arange(len(masks)), far.argmin(axis=1)] = True
        base, full = game.base()[:1], game.full()[:1]
        averages = (scores.mean(axis=1), (scores * kept).sum(axis=1) / kept.sum(axis=1))
        plain, likely = (
            efficient_regression(masks, weights, average[:, None], base, full)[:, 0] for average in averages
        )
        return plain, likely, float(beyond.mean())


@dataclass(frozen=True)
class Scaffolding:
    """The model reacts to the same features on made-up rows as on ordinary ones.

    A model can recognise the rows that explainers make up and behave well on those alone (Slack et al.
    2020). For ``inputs`` inputs x and every feature j, one and the same swap of x_j for another row's
    value is made twice: in x itself, with the value that leaves the row most ordinary of ``tries``; and in
    x with half of the features hidden, the farthest of ``tries``. With a_j and b_j the mean change of the
    model's answer in the first and the second place, as shares of their sums: sum_j |a_j - b_j| / 2, at
    most ``most``; 1 where only one place reacts at all. Default 0.5: half of the influence moved to other
    features; honest models of the samples stay below 0.2. Far and ordinary as in ``manifold``, with the data
    and the background as the sample. Costs 4 rows per input and feature.

    References: Slack, Hilgard, Jia, Singh and Lakkaraju 2020, arXiv 1911.02508.
    """

    name: ClassVar[str] = "scaffolding"
    inputs: int = 24
    tries: int = 16
    most: float = 0.5
    gate: str = "warn"

    def __post_init__(self) -> None:
        whole("inputs", self.inputs, 1)
        whole("tries", self.tries, 1)
        number("most", self.most, 0.0)
        choice("gate", self.gate, GATES)

    def survey(self, study: Study) -> list[Finding]:
        rows = study.rows
        # a mean or zeros are no row of anybody's; where rows lend values, they are
        several = len(study.background) > 1
        pool = {n: np.concatenate([a, study.background.rows[n]]) if several else a for n, a in rows.items()}
        near = ordinary(pool, 0.95)
        if isinstance(near, str):
            return [skip(self, MODEL, near)]
        inside, outside = self._influence(study, pool, near)
        moved = shift(inside, outside)
        if moved is None:
            return [skip(self, MODEL, "No swap of any feature changed the model's answer.")]
        holds = moved <= self.most
        place = int(np.argmax(_shares(inside) - _shares(outside)))
        sentence = (
            f"On made-up rows the model reacts to the same features as on ordinary ones ({moved:.0%} of the "
            "influence lies elsewhere)."
            if holds
            else f"On made-up rows the model reacts to other features than on ordinary ones ({moved:.0%} of "
            f"the influence lies elsewhere, most of all that of {study.features.names[place]}): attributions "
            "may show a behaviour that real cases never meet."
        )
        return [judge(self, MODEL, holds, sentence, moved, self.most)]

    def _influence(self, study: Study, pool: Rows, near: Nearness) -> tuple[np.ndarray, np.ndarray]:
        rng = seeds.generator(study.seed, self.name)
        d = len(study.features)
        inside, outside = np.zeros(d), np.zeros(d)
        for number_ in rng.permutation(count(study.rows))[: self.inputs]:
            x = row(study.rows, int(number_))
            odd = self._farthest(study, x, near, rng)
            asked: list[Rows] = []
            swapped: list[int] = []
            for j in range(d):
                donor = self._donor(study.features, x, pool, near, j, rng)
                if donor is not None:
                    alone = np.arange(d) != j
                    asked += [x, _mixed(study.features, x, donor, alone)]
                    asked += [_mixed(study.features, odd, other, alone) for other in (x, donor)]
                    swapped.append(j)
            if swapped:
                model = study.model
                answers = forward(model, stack(asked), model.signature.answer, study.ledger).astype(float)
                a, b, c, e = answers.reshape(len(swapped), 4, -1).transpose(1, 0, 2)
                inside[swapped] += np.abs(a - b).max(axis=1)
                outside[swapped] += np.abs(c - e).max(axis=1)
        return inside, outside

    def _farthest(self, study: Study, x: Rows, near: Nearness, rng: np.random.Generator) -> Rows:
        """The least ordinary of some rows that a method would make of ``x``."""
        lent = rng.integers(0, len(study.background), self.tries)
        masks = rng.random((self.tries, len(study.features))) < 0.5
        made = [
            _mixed(study.features, x, row(study.background.rows, int(b)), mask)
            for b, mask in zip(lent, masks, strict=True)
        ]
        return made[int(near(flat(stack(made))).argmax())]

    def _donor(
        self, features: Features, x: Rows, pool: Rows, near: Nearness, j: int, rng: np.random.Generator
    ) -> Rows | None:
        """The row whose value of feature j makes the most ordinary row of ``x``; None = all hold the same."""
        lenders = rng.integers(0, count(pool), self.tries)
        made = stack([_mixed(features, x, row(pool, int(b)), np.arange(len(features)) != j) for b in lenders])
        far = near(flat(made), lenders)
        far[(flat(made) == flat({name: array[None] for name, array in x.items()})).all(axis=1)] = np.inf
        return row(pool, int(lenders[far.argmin()])) if np.isfinite(far).any() else None


def shift(inside: np.ndarray, outside: np.ndarray) -> float | None:
    """Return half the sum of |share - share|; 1 where one side is all zero, None where both are.

    Examples
    --------
    >>> shift(np.array([3.0, 1.0]), np.array([1.0, 1.0]))
    0.25
    """
    if inside.sum() == 0 and outside.sum() == 0:
        return None
    if inside.sum() == 0 or outside.sum() == 0:
        return 1.0
    return float(np.abs(_shares(inside) - _shares(outside)).sum() / 2)


def _shares(influence: np.ndarray) -> np.ndarray:
    total = float(influence.sum())
    return influence / total if total else influence


def _mixed(features: Features, x: Rows, other: Rows, kept: np.ndarray) -> dict[str, np.ndarray]:
    """One input: ``x`` in the kept features and in what belongs to none, ``other`` elsewhere."""
    padded = np.append(kept, True)
    return {name: np.where(padded[features.labels[name]], array, other[name]) for name, array in x.items()}


def _between(name: str, value: object) -> None:
    number(name, value, 0.0, strict=True)
    if value >= 1:  # type: ignore[operator]
        raise RequestError(f"{name} must be below 1; got {value!r}.")
