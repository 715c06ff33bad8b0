"""How well a variance is known: degrees of freedom of sums of dependent or heavy-tailed squares."""

from __future__ import annotations

import numpy as np


def of_dependent(precision: np.ndarray) -> float:
    """Return the degrees of freedom of a mean of m squared standardised leave-one-out residuals.

    They are r_j = alpha_j / Q_jj^(1/2), and under the model alpha has covariance s Q, so r has s C with
    C_jk = Q_jk / (Q_jj Q_kk)^(1/2). Their mean square has expectation s and variance 2 s^2 sum C_jk^2 / m^2:
    that of s times a chi-square over its freedom m^2 / sum_jk C_jk^2, which is m only where no residual
    repeats what another has said.

    Parameters
    ----------
    precision : Float["m m"], the rows and columns of Q that judge.

    References
    ----------
    Satterthwaite 1946, doi 10.2307/3002019; Rasmussen and Williams 2006, equation 5.12.
    """
    root = np.sqrt(np.diag(precision))
    correlation = precision / root / root[:, None]
    return float(len(root) ** 2 / (correlation**2).sum())


def of_heavy(freedom: float, residuals: np.ndarray) -> np.ndarray:
    """Take the residuals' excess kurtosis k off a freedom nu: 2 / (2 / nu + max(k, 0) / m), as Float["t"].

    A mean of m independent squares has variance s^2 (2 + k) / m; what k adds is added here to the 2 / nu of
    dependent normal ones. Light tails are not believed: m residuals cannot show heavier ones than m.

    Parameters
    ----------
    residuals : Float["m t"], of expectation 0.

    References
    ----------
    Box 1953, doi 10.1093/biomet/40.3-4.318.
    """
    square, fourth = (residuals**2).mean(axis=0), (residuals**4).mean(axis=0)
    known = square > 0
    kurtosis = np.where(known, fourth / np.where(known, square**2, 1.0), 3.0)
    heavier = np.maximum(kurtosis - 3, 0.0)
    return np.asarray(np.maximum(1.0, 2 / (2 / freedom + heavier / len(residuals))))
