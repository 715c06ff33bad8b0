"""Which features are kept: boolean masks, their counts and their Shapley weights."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from math import comb

import numpy as np

from blackbox.numerics.least_squares import is_regular


def every_coalition(d: int, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Return all 2^d masks, or those from ``start`` to ``stop``, as Bool[np.ndarray, "n d"].

    The first one is empty, the last one full.
    """
    codes = np.arange(start, 2**d if stop is None else min(stop, 2**d), dtype=np.int64)
    return ((codes[:, None] >> np.arange(d)) & 1).astype(bool)


def leave_one_out(d: int) -> np.ndarray:
    """Return the d masks that hide one feature each, as Bool[np.ndarray, "d d"]."""
    return ~np.eye(d, dtype=bool)


def of_size(d: int, size: int) -> np.ndarray:
    """Return all masks that keep exactly ``size`` features, in lexicographic order."""
    masks = np.zeros((comb(d, size), d), dtype=bool)
    for row, kept in enumerate(combinations(range(d), size)):
        masks[row, list(kept)] = True
    return masks


def exact_shapley(masks: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sum the parts of the Shapley values that some coalitions contribute; all of them give the values.

    phi_i = sum_S v(S) (p_{s-1} [i in S] - p_s [i not in S]),  p_k = 1 / (d C(d-1, k)),
    which is the definition (Shapley 1953) with the differences gathered per coalition.

    Parameters
    ----------
    masks : Bool[np.ndarray, "n d"], every coalition in one of the calls.
    values : Float[np.ndarray, "n t"].

    Returns
    -------
    Float[np.ndarray, "d t"]
    """
    d = masks.shape[1]
    share = np.array([1 / (d * comb(d - 1, k)) for k in range(d)])
    sizes = masks.sum(axis=1)
    joins = np.where(sizes > 0, share[np.maximum(sizes - 1, 0)], 0.0)[:, None] * values
    stays = np.where(sizes < d, share[np.minimum(sizes, d - 1)], 0.0)[:, None] * values
    return np.asarray(masks.T.astype(float) @ joins - (~masks).T.astype(float) @ stays)


def kernel_design(d: int, budget: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Choose masks and weights as SHAP's KernelExplainer does.

    Sizes 1, 2, ... are enumerated together with their complements while the budget left, times
    the size's share of the kernel mass left, covers them; the rest of the budget draws sizes by
    their mass and uniform subsets, each with its complement. A repeated draw raises the weight of
    its mask instead of costing another pass, and drawn weights share the kernel mass left over. Should
    a small budget's draw leave some feature undetermined, size 1 is enumerated after all.

    Parameters
    ----------
    d : number of features, at least 2.
    budget : masks to return at the most, the empty and the full one not counted.

    Returns
    -------
    masks : Bool[np.ndarray, "n d"], distinct, n <= budget.
    weights : Float[np.ndarray, "n"], summing to one.

    References
    ----------
    Lundberg and Lee 2017, arXiv 1705.07874.
    """
    mass, paired = _mass_by_size(d)
    complete = _complete_sizes(d, budget, mass, paired)
    masks, weights = _design(d, budget, complete, mass, paired, rng)
    if complete == 0 and budget >= 2 * d and not _determined(masks):
        return _design(d, budget, 1, mass, paired, rng)
    return masks, weights


def _mass_by_size(d: int) -> tuple[np.ndarray, np.ndarray]:
    """Kernel mass of sizes 1..ceil((d-1)/2), each with its complement's, and which have one."""
    sizes = np.arange(1, d // 2 + 1)
    paired = sizes * 2 != d
    mass = (d - 1) / (sizes * (d - sizes)) * np.where(paired, 2.0, 1.0)
    return mass / mass.sum(), paired


def _design(
    d: int, budget: int, complete: int, mass: np.ndarray, paired: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Enumerate the first sizes and draw the rest of the budget."""
    masks, weights = _enumerated(d, complete, mass, paired)
    left = budget - len(masks)
    if complete < len(mass) and left > 0:
        drawn, counts = _drawn(d, left, complete, mass, paired, rng)
        masks = np.concatenate([masks, drawn])
        weights = np.concatenate([weights, counts * mass[complete:].sum() / counts.sum()])
    return masks, weights / weights.sum()


def _determined(masks: np.ndarray) -> bool:
    """The masks tell every feature's share of an additive game whose sum is known."""
    differences = masks[:, :-1].astype(np.float32) - masks[:, -1:]
    # counts below 2^24 are exact in float32
    return is_regular((differences.T @ differences).astype(float))


def _complete_sizes(d: int, budget: int, mass: np.ndarray, paired: np.ndarray) -> int:
    """Return how many sizes are enumerated."""
    rest, left = mass.copy(), budget
    for index in range(len(mass)):
        count = comb(d, index + 1) * (2 if paired[index] else 1)
        # 1e-8: the allocation rule's own allowance for rounding, so that "exactly enough" counts
        if left * rest[index] / count < 1 - 1e-8:
            return index
        left -= count
        if rest[index] < 1:
            rest = rest / (1 - rest[index])
    return len(mass)


def _enumerated(d: int, complete: int, mass: np.ndarray, paired: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    masks, weights = [np.zeros((0, d), dtype=bool)], [np.zeros(0)]
    for index in range(complete):
        kept = of_size(d, index + 1)
        both = np.concatenate([kept, ~kept]) if paired[index] else kept
        masks.append(both)
        weights.append(np.full(len(both), mass[index] / len(both)))
    return np.concatenate(masks), np.concatenate(weights)


def _drawn(
    d: int, left: int, complete: int, mass: np.ndarray, paired: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Draw distinct masks until the budget is met or four draws a mask have been made."""
    chance = mass[complete:] / np.where(paired[complete:], 2.0, 1.0)
    sizes = rng.choice(np.arange(complete + 1, len(mass) + 1), size=4 * left, p=chance / chance.sum())
    counts: dict[bytes, int] = {}
    for first, second, size in _subsets(d, sizes, rng):
        counts[first] = counts.get(first, 0) + 1
        if 2 * size != d and (second in counts or len(counts) < left):
            counts[second] = counts.get(second, 0) + 1
        if len(counts) >= left:
            break
    packed = np.frombuffer(b"".join(counts), dtype=np.uint8).reshape(len(counts), -1)
    masks = np.unpackbits(packed, axis=1, count=d).astype(bool)
    return masks, np.fromiter(counts.values(), dtype=float)


def _subsets(d: int, sizes: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield one uniform subset per size and its complement, packed, drawn in blocks to bound memory."""
    for start in range(0, len(sizes), 256):
        block = sizes[start : start + 256]
        numbers = rng.random((len(block), d))
        # the smallest numbers are in: NumPy sorts numbers in a tenth of the time of their places
        masks = numbers <= np.sort(numbers, axis=1)[np.arange(len(block)), block - 1][:, None]
        yield from zip(_packed(masks), _packed(~masks), block.tolist(), strict=True)


def _packed(masks: np.ndarray) -> list[bytes]:
    rows = np.packbits(masks, axis=1)
    return rows.view(f"V{rows.shape[1]}").ravel().tolist()
