"""Hyper-parameters of the odd kernel by gradient: a share per feature, the strength and the noise."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from blackbox.numerics.estimators.odd_kernel import SPREAD, Product, Spread
from blackbox.numerics.estimators.symmetric import inverse_of

Moving = tuple[float, np.ndarray]
"""A value and its gradient."""

LOOSE, LOOSER = 0.5, 1.0
"""Prior deviation of log theta_i around its shape (0.3 to 1.0 chose alike on eight games); without one."""
LIMITS = ((np.log(0.1), np.log(30.0)), (0.0, 3.0), (np.log(20.0), np.log(1e4)), (np.log(1e-8), 0.0))
"""Of log strength, exponent, log linear, log noise. The linear part stays nearly free (20): shrunk by
feature towards what the same scores found, it overfits where features outnumber the judging pairs
(error 1.3 times as high on cnn196). Beyond the others the kernel no longer changes, or overflows."""
BEGIN = (0.0, 0.7, 1.4)
"""Exponents tried first: the criterion may have a minimum near each."""
LEAST = 0.02
"""Of the mean |phi|: the least a feature counts as."""
STEPS = (4, 3, 7)
"""Iterations: four parameters alone, twice, then with a share per feature; twice as many changed little."""


@dataclass(frozen=True)
class Search:
    """A criterion of hyper-parameters x = (log S, e, log linear, log noise, eta), and its gradient.

    theta = S softmax(e shape + loose eta). With Q = (K + noise)^-1, alpha = Q h and the scale of h maximised
    out, minus the leave-one-out log predictive density of the m pairs that judge, r_j their shares:

    L = m/2 log sum_j r_j alpha_j^2 / Q_jj - 1/2 sum_j log Q_jj + |eta|^2 / 2

    and where none judges (every share 0), minus the log marginal likelihood of all n:

    L = n/2 log (h' alpha / n) - 1/2 log |Q| + |eta|^2 / 2.

    References
    ----------
    Rasmussen and Williams 2006, sections 5.4.1 and 5.4.2; Sundararajan and Keerthi 2001,
    doi 10.1162/08997660151134343.
    """

    z: np.ndarray
    y: np.ndarray
    share: np.ndarray
    shape: np.ndarray
    loose: float = LOOSE

    def spread(self, x: np.ndarray) -> tuple[Spread, float]:
        """Return the kernel and the noise that x stands for."""
        strength, _, linear, noise = np.exp(x[:4])
        return Spread(strength * self._parts(x), float(linear)), float(noise)

    def _parts(self, x: np.ndarray) -> np.ndarray:
        logs = x[1] * self.shape + (self.loose * x[4:] if len(x) > 4 else 0.0)
        parts = np.exp(logs - logs.max())
        return np.asarray(parts / parts.sum())

    def __call__(self, x: np.ndarray) -> Moving:
        """Evaluate at Float["4"] (eta = 0) or Float["4+d"]."""
        kernel, noise = self.spread(x)
        gram, slope, stretch = _moving(kernel, self.z)
        inverse = inverse_of(gram, noise)
        value, g = (self._judged if self.share.any() else self._evidence)(inverse)
        if not np.isfinite(value):
            return 1e100, np.zeros_like(x)
        by_theta = np.einsum("ni,ni->i", self.z, (g * slope) @ self.z) + (g * stretch).sum()
        dot = (self.z.T @ g * self.z.T).sum() / self.z.shape[1]
        weighed = kernel.theta * by_theta
        # through the softmax: a part that grows takes from all others
        inner = weighed - kernel.theta / kernel.theta.sum() * weighed.sum()
        gradient = np.zeros_like(x)
        gradient[:4] = weighed.sum(), inner @ self.shape, kernel.linear * dot, noise * (np.trace(g) - g[0, 0])
        gradient[4:] = self.loose * inner[: len(x) - 4] + x[4:]
        return value + float(x[4:] @ x[4:]) / 2, gradient

    def _judged(self, inverse: np.ndarray) -> Moving:
        """The criterion, and its derivative with respect to every entry of K + noise."""
        q, alpha = np.diag(inverse), inverse @ self.y
        rows = np.flatnonzero(self.share)
        count = len(rows)
        scale = self.share @ (alpha**2 / q)
        if not np.isfinite(scale) or scale <= 0 or (q <= 0).any():
            return np.inf, inverse
        judge = self.share * count
        value = count / 2 * np.log(scale) - 0.5 * judge @ np.log(q)
        towards = inverse @ (judge * alpha / q / scale)
        own = -(judge * (alpha**2 / q / scale + 1) / q) / 2
        g = -np.outer(towards, alpha)
        return float(value), (g + g.T) / 2 - (inverse[:, rows] * own[rows]) @ inverse[rows]

    def _evidence(self, inverse: np.ndarray) -> Moving:
        """Minus the log marginal likelihood, and its derivative likewise."""
        alpha, n = inverse @ self.y, len(self.y)
        fit = self.y @ alpha
        if not np.isfinite(fit) or fit <= 0:
            return np.inf, inverse
        sign, logs = np.linalg.slogdet(inverse)
        value = n / 2 * np.log(fit / n) - logs / 2 if sign > 0 else np.inf
        return float(value), (inverse - n / fit * np.outer(alpha, alpha)) / 2


def _moving(kernel: Spread, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K, dK / d(sum theta z z') and dK / d(sum theta) of a spread of strengths, with one exponential."""
    total = kernel.theta.sum()
    power = np.exp(SPREAD[0] * ((z * kernel.theta) @ z.T - total))
    gram = kernel.linear / z.shape[1] * (z @ z.T)
    slope, stretch = np.zeros_like(gram), np.zeros_like(gram)
    for times in SPREAD:
        gone = np.exp(-2 * times * total)
        share = 1 / (1 - gone) / len(SPREAD)
        back = gone / power
        sinh = power - back
        sinh *= share
        gram += sinh
        back += power
        back *= times * share
        slope += back
        sinh *= times * (1 + gone) / (1 - gone)
        stretch -= sinh
        if times < SPREAD[-1]:
            power = np.square(np.square(power))  # the next strength is four times this one
    return gram, slope, stretch


def refined(
    z: np.ndarray, y: np.ndarray, share: np.ndarray, phi: np.ndarray, start: tuple[float, float, float]
) -> tuple[Spread, float]:
    """Descend from an even kernel to one shaped by feature; return it and its noise.

    Parameters
    ----------
    phi : Float["d"], what the even kernel finds. start : its strength, linear and noise.
    """
    strength, linear, noise = start
    search = Search(z, y, share, shape_of(phi))
    starts = [np.array([np.log(strength), e, np.log(max(linear, 1e-3)), np.log(noise)]) for e in BEGIN]
    x = min(starts, key=lambda at: search(at)[0])
    for steps in STEPS[:-1]:
        x = _descended(search, x, steps)
        kernel, noise = search.spread(x)
        alpha = inverse_of(kernel.gram(z, z), noise) @ y
        # the middle of the spread: a shape needs no more, and this takes a third of the time
        phi = Product(kernel.theta, kernel.linear).shapley(z).T @ alpha
        if not np.isfinite(phi).all() or not phi.any():
            return kernel, noise
        search = dataclasses.replace(search, shape=shape_of(phi))
    return search.spread(_descended(search, np.concatenate([x, np.zeros(len(phi))]), STEPS[-1]))


def by_evidence(z: np.ndarray, y: np.ndarray) -> tuple[Spread, float]:
    """Return the kernel of greatest marginal likelihood, and its noise: where hardly a pair was drawn."""
    d = z.shape[1]
    search = Search(z, y, np.zeros(len(z)), np.zeros(d), LOOSER)
    x = np.concatenate([np.log([2.0, 1.0, 1.0, 1e-3]), np.zeros(d)])
    return search.spread(_descended(search, x, sum(STEPS), -7.0))


def shape_of(phi: np.ndarray) -> np.ndarray:
    """Centred logarithms of |phi|; a feature without an effect of its own may still interact."""
    size = np.abs(phi)
    logs = np.log(np.maximum(size / size.mean(), LEAST))
    return np.asarray(logs - logs.mean())


def _descended(search: Search, x: np.ndarray, steps: int, lowest: float = LIMITS[2][0]) -> np.ndarray:
    from scipy.optimize import minimize

    bounds = [*LIMITS, *[(-4.0, 4.0)] * (len(x) - 4)]
    bounds[2] = lowest, LIMITS[2][1]
    x = np.clip(x, *np.array(bounds).T)
    options = {"maxiter": steps}
    return np.asarray(minimize(search, x, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x)
