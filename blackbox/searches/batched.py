"""Backward search in large steps: many features at once, then single ones, for pictures."""

from __future__ import annotations

import numpy as np

from blackbox.searches.backselect import back_select, find_sis
from blackbox.searches.steps import Found, Search, Stack, prefixes, sweep

LAST = 32
"""From here on single steps: BackSelect inside the last 32 costs 528 candidates."""

SHARE = 0.175
"""Of the features per round. On 28 x 28 pictures subsets are 2 to 3 % larger than BackSelect's for 1.1 to
1.4 % of its published candidates, at a share of 0.1 1 % larger for 1.9 to 2.3 % (benchmarks/README.md)."""

WIDE, BLOCKS = 1024, 512
"""More than WIDE features are first searched in BLOCKS blocks of neighbours, then in finer ones."""


def by_batches(kept: np.ndarray, threshold: float, share: float, last: int = LAST) -> Search[Found]:
    """Give up the least missed share of the features per round, then BackSelect among the last.

    The black-box form of Batched Gradient SIS (Carter et al. 2021, arXiv 2003.08907): a sweep of
    leave-one-out candidates stands in for the gradient. A round that would fall below the threshold
    is halved until it does not, so what survives always suffices.

    Parameters
    ----------
    kept : Bool[np.ndarray, "d"], which reaches the threshold. share : of the features per round.

    Returns
    -------
    The stack holds rounds in their order of removal, with the score after the whole round. About
    n / share + last (last + 1) / 2 candidates for n features up to WIDE.
    """
    kept, stack = kept.copy(), Stack()
    blocks = _blocks(np.flatnonzero(kept))
    while True:
        single = all(len(block) == 1 for block in blocks)
        if len(blocks) <= (last if single else BLOCKS // 4):
            if single:
                break
            blocks = [half for block in blocks for half in np.array_split(block, min(4, len(block)))]
            continue
        gone, score = yield from _round(kept, blocks, threshold, share)
        if not gone.any():
            if single:
                return Found([int(i) for i in np.flatnonzero(kept)], stack)
            blocks = [half for block in blocks for half in np.array_split(block, min(2, len(block)))]
            continue
        stack += _removed(kept, [block for block, out in zip(blocks, gone, strict=True) if out], score)
        blocks = [block for block, out in zip(blocks, gone, strict=True) if not out]
    inner = yield from back_select(kept)
    return Found(find_sis(inner, threshold), stack + inner)


def _blocks(features: np.ndarray) -> list[np.ndarray]:
    return np.array_split(features, BLOCKS) if len(features) > WIDE else list(features[:, None])


def _round(
    kept: np.ndarray, blocks: list[np.ndarray], threshold: float, share: float
) -> Search[tuple[np.ndarray, float]]:
    """Ask which blocks are least missed; return those that can go together, and the score without them."""
    flat = np.array([block[0] for block in blocks]) if all(len(b) == 1 for b in blocks) else blocks
    scores = yield from sweep(kept, flat)
    order = np.argsort(-scores, kind="stable")
    most = max(1, int(np.ceil(share * len(blocks))))
    counts = [most >> halved for halved in range(most.bit_length())]
    ordered = np.concatenate([blocks[k] for k in order])
    ends = np.cumsum([len(blocks[k]) for k in order])
    left = []
    for masks in prefixes(kept, ordered, [int(ends[count - 1]) for count in counts]):
        left.append((yield masks))  # noqa: PERF401  a comprehension cannot yield
    together = np.concatenate(left)
    gone = np.zeros(len(blocks), dtype=bool)
    passing = together >= threshold
    if not passing.any():
        return gone, float("nan")
    first = int(np.argmax(passing))
    gone[order[: counts[first]]] = True
    return gone, float(together[first])


def _removed(kept: np.ndarray, blocks: list[np.ndarray], score: float) -> Stack:
    out = np.concatenate(blocks)
    kept[out] = False
    return [(int(feature), score) for feature in out]
