"""How far a deterministic function's values scatter by rounding alone: ECnoise."""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import numpy as np

FOUND, TOO_CLOSE, TOO_FAR = "found", "too close", "too far"


@dataclass(frozen=True)
class Noise:
    """sigma : Float[np.ndarray, "c"], NaN where none was found; verdict : of most outputs."""

    sigma: np.ndarray
    verdict: str


def ecnoise(values: np.ndarray) -> Noise:
    """Estimate the noise of each column from values at equal spacing along a line.

    With the difference table T_k of a column, sigma_k = sqrt(gamma_k mean(T_k^2)), gamma_k =
    (k!)^2 / (2k)!. The first k counts for which sigma_k, sigma_k+1, sigma_k+2 agree within a factor
    of 4 and T_k changes its sign. Good to about a factor of 4.

    Parameters
    ----------
    values : Float[np.ndarray, "m c"], m of at least 5; 9 serve deterministic code.

    Returns
    -------
    Noise; ``too far`` where the values spread by more than a tenth of their size or no order
    settles, ``too close`` where at least half of the first differences are zero.

    References
    ----------
    More and Wild 2011, doi 10.1137/100786125.

    Examples
    --------
    >>> wobble = 1 + 1e-3 * (-1.0) ** np.arange(9)
    >>> bool(abs(ecnoise(wobble[:, None]).sigma[0] - np.sqrt(2) * 1e-3) < 1e-12)
    True
    """
    found = [_column(column) for column in values.T]
    verdicts = [verdict for _, verdict in found]
    return Noise(np.array([sigma for sigma, _ in found]), max(verdicts, key=verdicts.count))


def _column(values: np.ndarray) -> tuple[float, str]:
    size = float(np.abs(values).max())
    if size > 0 and np.ptp(values) > 0.1 * size:
        return np.nan, TOO_FAR
    table, sigmas, signs = values, [], []
    for k in range(1, len(values) - 1):
        table = np.diff(table)
        if k == 1 and 2 * np.count_nonzero(table == 0) >= len(table):
            return np.nan, TOO_CLOSE
        gamma = factorial(k) ** 2 / factorial(2 * k)
        sigmas.append(float(np.sqrt(gamma * np.mean(table**2))))
        signs.append(bool(table.min() < 0 < table.max()))
    for k in range(len(sigmas) - 2):
        near = sigmas[k : k + 3]
        if max(near) <= 4 * min(near) and signs[k]:
            return sigmas[k], FOUND
    return np.nan, TOO_FAR
