"""Whom an applicant is compared with: those who just passed, or all, selected from data by rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blackbox.backgrounds import Background
from blackbox.errors import RequestError
from blackbox.model import Model, Rows
from blackbox.numerics import links
from blackbox.score import Ledger, choose_readout, forward, output_labels

USES = ("passing", "all")


@dataclass(frozen=True)
class Population:
    """The applicants that reasons compare with.

    background : their rows, with the rule in words. found : how many the rule found. of : among how
    many. rows : forward rows that it took to know their scores.
    """

    background: Background
    found: int
    of: int
    rows: int


@dataclass(frozen=True)
class Bar:
    """Which output is the favourable one, and the score at which it passes."""

    column: int
    name: str
    passing: float


def bar_of(model: Model, row: Rows, favourable: int | str, passing: float | None) -> tuple[Bar, int]:
    """Find the favourable output by asking one row, and the passing score where the plan leaves it out.

    Parameters
    ----------
    row : one input with a leading axis of one. passing : on the raw scale; None = 0.5 for a probability of
        one class or of two.

    Returns
    -------
    the bar, and the rows asked.

    Raises
    ------
    RequestError : no such output, or a score whose passing value cannot be guessed.
    """
    ledger = Ledger()
    outputs = forward(model, row, model.signature.answer, ledger).astype(float)
    readout = choose_readout(model, outputs, favourable, "raw")
    name = output_labels(model, outputs.shape[1])[readout.indices[0]]
    if passing is None and (readout.kind != links.PROBABILITIES or outputs.shape[1] > 2):
        raise RequestError(
            "reasons: say with passing: at which score a decision turns; only for the probability of one "
            "class of two it is taken to be 0.5."
        )
    return Bar(readout.indices[0], name, 0.5 if passing is None else passing), ledger.rows


def select(
    model: Model, rows: Rows, bar: Bar, use: str, within: float, most: int, rng: np.random.Generator
) -> Population:
    """Select the rows that stand for the applicants of a comparison.

    ``passing`` : rows whose score s of the favourable output fulfils passing <= s <= passing + within, the
    applicants at or slightly above the passing score; ``all`` : every row. Of more than ``most``, so many
    are drawn.

    Raises
    ------
    RequestError : no row, or a single one, is at or slightly above the passing score.

    References
    ----------
    12 CFR part 1002, Supplement I, comment 9(b)(2)-5.
    """
    count, ledger = len(next(iter(rows.values()))), Ledger()
    chosen, rule = np.arange(count), f"all {count:,} applicants"
    if use == "passing":
        outputs = forward(model, rows, model.signature.answer, ledger).astype(float)
        scores = outputs[:, bar.column]
        chosen = np.flatnonzero((scores >= bar.passing) & (scores <= bar.passing + within))
        top = bar.passing + within
        rule = (
            f"{len(chosen):,} of {count:,} applicants whose score for {bar.name} lies at or slightly above "
            f"the passing score ({bar.passing:g} to {top:g})"
        )
        if len(chosen) < 2:
            raise RequestError(
                f"reasons.background: {len(chosen)} of {count:,} rows score {bar.passing:g} to {top:g} for "
                f"{bar.name}: it takes at least two. Widen within, or name a file with more applicants."
            )
    found = len(chosen)
    if found > most:
        chosen = np.sort(rng.choice(chosen, size=most, replace=False))
        rule += f", {most:,} of them drawn at random"
    background = Background({name: array[chosen] for name, array in rows.items()}, rule)
    return Population(background, found, count, ledger.rows)
