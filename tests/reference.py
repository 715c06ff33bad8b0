"""Slow twins: every method written once more from its paper's formula, in plain loops.

Nothing of ``blackbox.numerics`` is used here, so that an error in one of the two shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations
from math import comb, factorial

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]
"""Rows (n, d) -> scores (n,)."""


@dataclass(frozen=True)
class Question:
    """What a twin is asked: a function, an input, background rows; and, for the methods that need
    them, the masks that were drawn and the function's derivatives at the input."""

    f: Function
    x: np.ndarray
    background: np.ndarray
    masks: np.ndarray | None = None
    gradient: np.ndarray | None = None
    hessian: np.ndarray | None = None
    settings: dict[str, float] = field(default_factory=dict)

    @property
    def d(self) -> int:
        return len(self.x)


def subsets(items: Iterable[int]) -> list[tuple[int, ...]]:
    """All subsets, smallest first."""
    pool = tuple(items)
    return [chosen for size in range(len(pool) + 1) for chosen in combinations(pool, size)]


def hidden_score(q: Question, kept: Iterable[int]) -> float:
    """Mean over the background of f(x with the features outside ``kept`` replaced)."""
    keep, total = set(kept), 0.0
    for row in q.background:
        mixed = np.array(row, dtype=float)
        for i in keep:
            mixed[i] = q.x[i]
        total += float(q.f(mixed[None])[0])
    return total / len(q.background)


# occlusion


def leave_one_out(q: Question) -> np.ndarray:
    """value_i = v(N) - v(N without i)."""
    everyone = range(q.d)
    full = hidden_score(q, everyone)
    return np.array([full - hidden_score(q, set(everyone) - {i}) for i in everyone])


def sliding_window(
    f: Function, picture: np.ndarray, background: np.ndarray, window: tuple[int, int], stride: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return pixel values (mean drop of the windows over a pixel; 0 where none is) and the drops.

    picture (channels, height, width); background (B, channels, height, width).
    """
    _, height, width = picture.shape
    full = np.mean([f(picture[None])[0] for _ in background])
    sums, counts = np.zeros((height, width)), np.zeros((height, width))
    drops = []
    for top in range(0, height - window[0] + 1, stride[0]):
        line = []
        for left in range(0, width - window[1] + 1, stride[1]):
            spot = (slice(None), slice(top, top + window[0]), slice(left, left + window[1]))
            scores = []
            for row in background:
                hidden = picture.copy()
                hidden[spot] = row[spot]
                scores.append(f(hidden[None])[0])
            drop = full - np.mean(scores)
            sums[spot[1:]] += drop
            counts[spot[1:]] += 1
            line.append(drop)
        drops.append(line)
    pixels = np.array([[s / c if c else 0.0 for s, c in zip(a, b, strict=True)]
                       for a, b in zip(sums, counts, strict=True)])  # fmt: skip
    return pixels, np.array(drops)


# Shapley values


def shapley_of_game(v: Callable[[frozenset[int]], float], d: int) -> np.ndarray:
    """phi_i = sum over S without i of |S|! (d-|S|-1)! / d! [v(S + i) - v(S)]."""
    phi = np.zeros(d)
    for i in range(d):
        for s in subsets(set(range(d)) - {i}):
            weight = factorial(len(s)) * factorial(d - len(s) - 1) / factorial(d)
            phi[i] += weight * (v(frozenset(s) | {i}) - v(frozenset(s)))
    return phi


def shapley(q: Question) -> np.ndarray:
    """Shapley values of the hiding game, by the subset definition."""
    known = {frozenset(s): hidden_score(q, s) for s in subsets(range(q.d))}
    return shapley_of_game(known.__getitem__, q.d)


def moderated_covariance(gains: list[list[float]]) -> tuple[np.ndarray, float]:
    """Covariance of a feature's gain in one order and its degrees of freedom, from n orders of d gains.

    Best linear estimate of every variance from its own and from the mean of all (Buehlmann 1969).
    """
    n, d = len(gains), len(gains[0])
    mean = [sum(row[i] for row in gains) / n for i in range(d)]
    own = np.zeros((d, d))
    for i in range(d):
        for j in range(d):
            own[i, j] = sum((row[i] - mean[i]) * (row[j] - mean[j]) for row in gains) / (n - 1)
    s2 = [own[i, i] for i in range(d)]
    middle = sum(s2) / d
    seen = sum((s - middle) ** 2 for s in s2) / (d - 1)
    by_chance = 2 * sum(s**2 for s in s2) / d / (n + 1)
    weight = max(0.0, seen - by_chance) / (max(0.0, seen - by_chance) + by_chance)
    found = np.zeros((d, d))
    for i in range(d):
        for j in range(d):
            alike = middle if i == j else -middle / (d - 1)
            found[i, j] = weight * own[i, j] + (1 - weight) * alike
    return found, (n - 1) / (weight + (1 - weight) / (d - 1))


def constrained_least_squares(
    masks: np.ndarray, weights: np.ndarray, values: np.ndarray, base: float, full: float
) -> np.ndarray:
    """KernelSHAP's regression through its KKT system.

    minimise sum w (v - base - z.phi)^2 subject to sum phi = full - base.
    """
    d = masks.shape[1]
    system, right = np.zeros((d + 1, d + 1)), np.zeros(d + 1)
    for mask, weight, value in zip(masks, weights, values, strict=True):
        z = mask.astype(float)
        system[:d, :d] += 2 * weight * np.outer(z, z)
        right[:d] += 2 * weight * (value - base) * z
    system[:d, d] = system[d, :d] = 1.0
    right[d] = full - base
    return np.linalg.solve(system, right)[:d]


def sampled_covariance(
    masks: np.ndarray, chances: np.ndarray, odd: np.ndarray, end: float, start: int
) -> np.ndarray:
    """Covariance of the paired regression's error, the pairs not asked as a finite population's rest.

    sum_asked (a - c)(a - c)' e^2 / (1 - leverage) + s^2 sum_others c c': a by fitting a game that is 1 at one
    pair, c by the definition of its Shapley values.
    """
    d = masks.shape[1]
    both = np.concatenate([masks, ~masks])
    weights = [kernel_weight(d, int(m.sum())) / c for m, c in zip(masks, chances, strict=True)]

    def fitted(y: np.ndarray, full: float) -> np.ndarray:
        twice = np.concatenate([weights, weights])
        return constrained_least_squares(both, twice, np.concatenate([y, -y]), -full, full)

    def exact(kept: tuple[int, ...]) -> np.ndarray:
        here, there = frozenset(kept), frozenset(range(d)) - frozenset(kept)
        return shapley_of_game(lambda s: float(s == here) - float(s == there), d)

    phi, found, scores = fitted(odd, end), np.zeros((d, d)), []
    asked = {tuple(np.flatnonzero(m).tolist()) for m in both}
    for j, mask in enumerate(masks):
        z = np.where(mask, 1.0, -1.0)
        a = fitted(np.eye(len(masks))[j], 0.0)
        scores.append((odd[j] - z @ phi / 2) ** 2 / (1 - z @ a / 2))
        away = a - exact(tuple(np.flatnonzero(mask).tolist()))
        found += np.outer(away, away) * scores[-1]
    for kept in subsets(range(d)):
        if 0 < len(kept) < d and kept not in asked and 0 in kept:
            found += np.outer(exact(kept), exact(kept)) * np.mean(scores[start:])
    return found


def kernel_weight(d: int, size: int) -> float:
    """Lundberg and Lee's kernel (d-1) / (C(d,s) s (d-s))."""
    return (d - 1) / (comb(d, size) * size * (d - size))


def enumerated_part(d: int, budget: int) -> dict[tuple[bool, ...], float]:
    """Masks that shap's KernelExplainer enumerates within a budget, and their weights.

    Weights are the kernel's, normalised over all sizes, so they sum to the mass of the sizes that
    were enumerated.
    """
    sizes = int(np.ceil((d - 1) / 2))
    paired = int(np.floor((d - 1) / 2))
    mass = [(d - 1) / (s * (d - s)) * (2 if s <= paired else 1) for s in range(1, sizes + 1)]
    total = sum(mass)
    mass = [m / total for m in mass]
    remaining, left, found = list(mass), float(budget), {}
    for s in range(1, sizes + 1):
        count = comb(d, s) * (2 if s <= paired else 1)
        if left * remaining[s - 1] / count < 1 - 1e-8:
            break
        left -= count
        if remaining[s - 1] < 1:
            share = remaining[s - 1]
            remaining = [r / (1 - share) for r in remaining]
        for kept in combinations(range(d), s):
            mask = tuple(i in kept for i in range(d))
            found[mask] = mass[s - 1] / count
            if s <= paired:
                found[tuple(not k for k in mask)] = mass[s - 1] / count
    return found


# sufficient input subsets, on raw arrays, as in the paper


Order = list[tuple[tuple[int, ...], float]]


def back_select(f: Function, x: np.ndarray, masked: np.ndarray, kept: np.ndarray) -> Order:
    """Remove, one at a time, the position whose removal leaves the highest score (ties: first).

    ``kept`` broadcasts over x; True = kept. f scores a batch of arrays of x's shape.
    """
    kept, order = kept.copy(), []
    while kept.any():
        best: tuple[tuple[int, ...], float] | None = None
        for position in map(tuple, np.argwhere(kept).tolist()):
            without = kept.copy()
            without[position] = False
            score = float(f(np.where(without, x, masked)[None])[0])
            if best is None or score > best[1]:
                best = (position, score)
        assert best is not None
        kept[best[0]] = False
        order.append(best)
    return order


def find_sis(order: Order, threshold: float) -> list[tuple[int, ...]]:
    """Walk the removals backwards until one left a score of at least the threshold."""
    subset: list[tuple[int, ...]] = []
    for position, score in order[::-1]:
        if score >= threshold:
            return subset
        subset.append(position)
    return subset


def sis_collection(
    f: Function, x: np.ndarray, masked: np.ndarray, kept: np.ndarray, threshold: float
) -> list[tuple[list[tuple[int, ...]], Order]]:
    """Disjoint subsets: find one, mask it for good, repeat while the score reaches the threshold."""
    kept, found = kept.copy(), []
    while float(f(np.where(kept, x, masked)[None])[0]) >= threshold:
        order = back_select(f, x, masked, kept)
        subset = find_sis(order, threshold)
        if not subset:
            break
        found.append((subset, order))
        for position in subset:
            kept[position] = False
    return found


def first_subset(q: Question) -> np.ndarray:
    """1 for members of the first subset at 90 % of the way from base to full, else 0."""
    (masked,) = q.background
    base, full = float(q.f(masked[None])[0]), float(q.f(q.x[None])[0])
    threshold = base + 0.9 * (full - base)
    members = np.zeros(q.d)
    if not full >= threshold > base:
        return members
    found = sis_collection(q.f, q.x, masked, np.ones(q.d, dtype=bool), threshold)
    for (position,) in found[0][0]:
        members[position] = 1
    return members


# LIME


def lime_kernel(distance: float, width: float) -> float:
    """sqrt(exp(-D^2 / w^2)), as the authors write it."""
    return float(np.sqrt(np.exp(-(distance**2) / width**2)))


def cosine_distance(a: np.ndarray, b: np.ndarray) -> float:
    """1 - a.b / (|a| |b|); 1 where one of them is zero."""
    lengths = np.sqrt(sum(v * v for v in a)) * np.sqrt(sum(v * v for v in b))
    return 1.0 if lengths == 0 else 1 - float(sum(v * w for v, w in zip(a, b, strict=True))) / lengths


def ridge(
    design: np.ndarray, weights: np.ndarray, y: np.ndarray, alpha: float
) -> tuple[np.ndarray, float, float]:
    """Coefficients, intercept and weighted R2 of scikit-learn's ridge (least squares for alpha 0)."""
    from sklearn.linear_model import LinearRegression, Ridge

    model = Ridge(alpha=alpha, solver="cholesky") if alpha else LinearRegression()
    model.fit(design, y, sample_weight=weights)
    return model.coef_, float(model.intercept_), float(model.score(design, y, sample_weight=weights))


def forward_selection(design: np.ndarray, weights: np.ndarray, y: np.ndarray, most: int) -> list[int]:
    """Add the feature with the best weighted R2 of least squares, one at a time."""
    used: list[int] = []
    for _ in range(min(most, design.shape[1])):
        best, best_r2 = -1, -np.inf
        for k in range(design.shape[1]):
            if k not in used and (r2 := ridge(design[:, [*used, k]], weights, y, 0.0)[2]) > best_r2:
                best, best_r2 = k, r2
        used.append(best)
    return used


def highest_weights(design: np.ndarray, weights: np.ndarray, y: np.ndarray, most: int) -> list[int]:
    """Largest |coefficient x input| of a ridge with penalty 0.01."""
    coefficients = ridge(design, weights, y, 0.01)[0]
    strength = [abs(c * v) for c, v in zip(coefficients, design[0], strict=True)]
    return sorted(range(len(strength)), key=lambda k: -strength[k])[:most]


def lime_fit(
    design: np.ndarray, distances: list[float], y: np.ndarray, width: float, alpha: float = 1.0
) -> tuple[np.ndarray, float, float]:
    """The final model over all features: coefficients, intercept, weighted R2."""
    weights = np.array([lime_kernel(distance, width) for distance in distances])
    return ridge(design, weights, y, alpha)


def lime_masks(q: Question) -> np.ndarray:
    """LIME on drawn masks (row 0 replaced by the input): cosine distance, width 0.25, penalty 1."""
    assert q.masks is not None
    masks = q.masks.astype(float)
    masks[0] = 1
    y = np.array([hidden_score(q, np.flatnonzero(mask)) for mask in masks])
    distances = [cosine_distance(mask, masks[0]) for mask in masks]
    return lime_fit(masks, distances, y, 0.25, q.settings.get("ridge", 1.0))[0]


# RISE


def rise_masks(q: Question) -> np.ndarray:
    """Least squares of v on the drawn masks and a constant."""
    assert q.masks is not None
    y = np.array([hidden_score(q, np.flatnonzero(mask)) for mask in q.masks])
    return ridge(q.masks.astype(float), np.ones(len(y)), y, 0.0)[0]


def rise_published(
    f: Function, picture: np.ndarray, background: np.ndarray, masks: np.ndarray, keep: float
) -> np.ndarray:
    """1/(N p) sum f(x * M + b * (1 - M)) M, pixel by pixel; picture (channels, height, width)."""
    total = np.zeros(picture.shape[1:])
    for mask in masks:
        total += f((picture * mask + background * (1 - mask))[None])[0] * mask
    return total / (len(masks) * keep)


# CASO


def caso_closed_form(g: np.ndarray, hessian: np.ndarray, lambda2: float) -> np.ndarray:
    """lambda1 = 0: stationarity gives (w I - H) D = g, w = largest eigenvalue + lambda2."""
    w = max(np.linalg.eigvals(hessian).real) + lambda2
    return np.linalg.solve(w * np.eye(len(g)) - hessian, g)


def caso_sparse(g: np.ndarray, hessian: np.ndarray, lambda1: float, lambda2: float) -> np.ndarray:
    """Coordinate ascent on g.D + 1/2 D'HD - lambda1 ||D||_1 - (w/2) ||D||^2, run to convergence."""
    w = max(np.linalg.eigvals(hessian).real) + lambda2
    a, delta = w * np.eye(len(g)) - hessian, np.zeros(len(g))
    for _ in range(10_000):
        before = delta.copy()
        for i in range(len(g)):
            z = g[i] - sum(a[i, j] * delta[j] for j in range(len(g)) if j != i)
            delta[i] = np.sign(z) * max(abs(z) - lambda1, 0) / a[i, i]
        if np.abs(delta - before).max() < 1e-14:
            break
    return delta


def caso(q: Question) -> np.ndarray:
    """Minus the solution for the loss -f, with lambda1 = 0; NaN for a constant function."""
    assert q.gradient is not None
    assert q.hessian is not None
    if not q.gradient.any() and not q.hessian.any():
        return np.full(q.d, np.nan)
    return -caso_closed_form(-q.gradient, -q.hessian, q.settings.get("lambda2", 20.0))


def cafo(q: Question) -> np.ndarray:
    """Minus soft(-gradient of f, 0) / lambda2; NaN for a constant function."""
    return saliency(q) / q.settings.get("lambda2", 20.0)


# the gradient family


def saliency(q: Question) -> np.ndarray:
    """The gradient; NaN for a constant function."""
    assert q.gradient is not None
    assert q.hessian is not None
    constant = not q.gradient.any() and not q.hessian.any()
    return np.full(q.d, np.nan) if constant else np.array(q.gradient, dtype=float)


def gradient_x_input(q: Question) -> np.ndarray:
    """x times the gradient."""
    return saliency(q) * q.x


def integrated_gradients(q: Question) -> np.ndarray:
    """(x - b) times the mean of the gradient over 500 midpoints, each gradient by float64 differences."""
    if np.isnan(saliency(q)).any():
        return saliency(q)
    way, h = q.x - q.background.mean(axis=0), 1e-5
    total = np.zeros(q.d)
    for n in range(500):
        place = q.x - way + (n + 0.5) / 500 * way
        for i in range(q.d):
            step = h * np.eye(q.d)[i]
            total[i] += float(q.f((place + step)[None])[0] - q.f((place - step)[None])[0]) / (2 * h)
    return way * total / 500


TWINS: dict[str, Callable[[Question], np.ndarray]] = {
    "occlusion": leave_one_out,
    "lime": lime_masks,
    "kernelshap": shapley,
    "rise": rise_masks,
    "sis": first_subset,
    "cafo": cafo,
    "caso": caso,
    "saliency": saliency,
    "gradient-x-input": gradient_x_input,
    "smoothgrad": saliency,  # of noise whose width goes to zero
    "integrated-gradients": integrated_gradients,
}
"""One twin per registered method: a question in, values (d,) out."""
