"""Checks on what an audit is made of: does the background tell anything, do the weights matter?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from blackbox import seeds
from blackbox.checks.finding import GATES, MODEL, Finding, Study, judge, skip
from blackbox.checks.flat import count, row
from blackbox.errors import ModelError
from blackbox.fill import Fill
from blackbox.model import Hiding, Model, Rows
from blackbox.numerics.coalitions import leave_one_out
from blackbox.numerics.ranks import rank_correlation
from blackbox.score import forward
from blackbox.settings import choice, number, whole


@dataclass(frozen=True)
class BackgroundCheck:
    """The background differs from the inputs, in their cells and in the model's answer.

    Two shares over at most ``inputs`` inputs: of (input, feature) pairs whose cells equal every background
    row, so that hiding changes nothing and the value is 0 whatever the model does (at most ``equal``);
    and of inputs whose largest |f(x) - mean f(b)| is below ``near`` of the range of all these answers, so
    that there is hardly a difference to share out (at most ``still``). Defaults 0.25, 0.01 and 0.25: a
    quarter of what was asked without an answer is no side effect any more. Costs inputs + B rows.
    """

    name: ClassVar[str] = "background"
    inputs: int = 100
    equal: float = 0.25
    near: float = 0.01
    still: float = 0.25
    gate: str = "warn"

    def __post_init__(self) -> None:
        whole("inputs", self.inputs, 1)
        for name in ("equal", "near", "still"):
            number(name, getattr(self, name), 0.0)
        choice("gate", self.gate, GATES)

    def survey(self, study: Study) -> list[Finding]:
        drawn = seeds.generator(study.seed, self.name).permutation(count(study.rows))[: self.inputs]
        rows = {name: array[np.sort(drawn)] for name, array in study.rows.items()}
        return [self._equal(study, rows), self._still(study, rows)]

    def _equal(self, study: Study, rows: Rows) -> Finding:
        differs = np.zeros((count(rows), len(study.features)), dtype=bool)
        for name, array in rows.items():
            unequal = np.zeros((len(array), array[0].size), dtype=bool)
            for lent in study.background.rows[name]:
                unequal |= (array != lent).reshape(len(array), -1)
            labels = study.features.labels[name].ravel()
            inside = labels >= 0
            for k, cells in enumerate(unequal):
                differs[k, labels[inside & cells]] = True
        share = float(1 - differs.mean())
        silent = [study.features.names[k] for k in np.flatnonzero(~differs.any(axis=0))]
        sentence = (
            f"{share:.1%} of the inputs' features equal every background row and cannot be tested by hiding"
        )
        sentence += f" ({_listed(silent)} in every input)." if silent else "."
        return judge(self, MODEL, share <= self.equal, sentence, share, self.equal)

    def _still(self, study: Study, rows: Rows) -> Finding:
        model, answer = study.model, study.model.signature.answer
        own = forward(model, rows, answer, study.ledger).astype(float)
        lent = forward(model, study.background.rows, answer, study.ledger).astype(float)
        both = np.concatenate([own, lent])
        gap = np.abs(own - lent.mean(axis=0)).max(axis=1)
        share = float((gap <= self.near * np.ptp(both, axis=0).max()).mean())
        sentence = (
            f"{share:.1%} of the inputs score as the background does on average: nothing to explain there."
        )
        return judge(self, MODEL, share <= self.still, sentence, share, self.still)


@dataclass(frozen=True)
class Randomisation:
    """The explanation changes when the model's weights do.

    Leave-one-feature-out effects f(x) - mean_b f(x with feature j of b) on the output that is largest at x,
    of the model and of ``draws`` copies whose weights (floating-point tensors of two axes and more,
    coefficients, and what the leaves of trees answer) are shuffled among themselves: the mean rank
    correlation over ``inputs`` inputs and the copies, at most ``most``. Default 0.5: unrelated rankings
    scatter around 0, and an explanation that keeps half of its order shows the data more than the model
    (Adebayo et al. 2018). ``rows`` : background rows that lend values. Costs (1 + draws) x inputs x (d + 1)
    x rows.

    References: Adebayo, Gilmer, Muelly, Goodfellow, Hardt and Kim 2018, arXiv 1810.03292.
    """

    name: ClassVar[str] = "randomisation"
    inputs: int = 4
    draws: int = 3
    rows: int = 10
    most: float = 0.5
    gate: str = "warn"

    def __post_init__(self) -> None:
        for name in ("inputs", "draws", "rows"):
            whole(name, getattr(self, name), 1)
        number("most", self.most, -1.0)
        choice("gate", self.gate, GATES)

    def survey(self, study: Study) -> list[Finding]:
        redraw = getattr(study.model, "randomised", None)
        if redraw is None:
            return [skip(self, MODEL, "This model offers no copy with other weights.")]
        if len(study.features) < 3:
            return [skip(self, MODEL, "A ranking of fewer than three features says nothing.")]
        rng = seeds.generator(study.seed, self.name)
        drawn = rng.permutation(count(study.rows))[: self.inputs]
        own, columns = self._effects(study, study.model, drawn)
        same = []
        for _ in range(self.draws):
            try:
                copy = redraw(rng)
            except ModelError as error:
                return [skip(self, MODEL, f"There is no copy with other weights: {error.message}")]
            pairs = zip(own, self._effects(study, copy, drawn, columns)[0], strict=True)
            same += [rank_correlation(a, b) for a, b in pairs if np.ptp(a) > 0 and np.ptp(b) > 0]
        if not same:
            return [skip(self, MODEL, "No feature mattered, or none to the copies: rankings say nothing.")]
        mean = float(np.mean(same))
        changed = "changes" if mean <= self.most else "hardly changes"
        sentence = (
            f"The order of the features {changed} when the model's weights are shuffled: rank correlation "
            f"{mean:.2f} on average over {len(same)} comparisons."
        )
        return [judge(self, MODEL, mean <= self.most, sentence, mean, self.most)]

    def _effects(
        self, study: Study, model: Model, drawn: np.ndarray, columns: Sequence[int] = ()
    ) -> tuple[list[np.ndarray], list[int]]:
        """Float["d"] per input, what is lost without each feature, and the output's column that was read."""
        d = len(study.features)
        lent = {name: array[: self.rows] for name, array in study.background.rows.items()}
        masks = np.concatenate([np.ones((1, d), dtype=bool), leave_one_out(d)])
        found, read = [], []
        for place, k in enumerate(drawn):
            filled = Fill(Hiding(row(study.rows, int(k)), study.features.labels, lent), d)(masks)
            answers = forward(model, filled, model.signature.answer, study.ledger).astype(float)
            means = answers.reshape(len(masks), -1, answers.shape[1]).mean(axis=1)
            column = columns[place] if columns else int(means[0].argmax())
            found.append(means[0, column] - means[1:, column])
            read.append(column)
        return found, read


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:6])
    return f"{shown} and {len(names) - 6} more" if len(names) > 6 else shown
