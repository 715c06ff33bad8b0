"""What the first-order methods share: their record, noise around the input, the homogeneity check."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from blackbox.derivatives import Derivatives
from blackbox.explanation import Explanation, Outcome
from blackbox.game import Game


def gradient_record(
    name: str, settings: dict[str, object], found: Derivatives, values: np.ndarray, errors: np.ndarray,
    details: Mapping[str, object],
) -> Explanation:  # fmt: skip
    """Write the record of a first-order method, with the interval of every value.

    Parameters
    ----------
    values, errors : Float[np.ndarray, "d"].
    """
    record = {**found.record, **details}
    written = found.space.game.explanation(name, settings, values[:, None], Outcome.DONE, record)
    return dataclasses.replace(written, lower_bounds=values - errors, upper_bounds=values + errors)


def homogeneity(game: Game) -> float:
    """Return by how much f(0) = 0 and f(2x) = 2 f(x) fail, as a share of the score's size; 2 rows."""
    moved = {name: np.where(game.features.labels[name] >= 0, array, 0) for name, array in game.x.items()}
    rows = {name: np.stack([array - moved[name], array + moved[name]]) for name, array in game.x.items()}
    zero, double = game.score(rows)[:, 0]
    full = float(game.full()[0])
    size = max(abs(full), abs(double) / 2, 1e-300)
    return float(max(abs(zero), abs(double - 2 * full)) / size)


def cell_noise(game: Game, width: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw Gaussian noise of a share of the input's range for every cell that belongs to a feature."""
    return {
        name: np.where(
            game.features.labels[name] >= 0,
            width * (float(np.ptp(array)) or 1.0) * rng.standard_normal(array.shape), 0.0,
        )
        for name, array in game.x.items()
    }  # fmt: skip
