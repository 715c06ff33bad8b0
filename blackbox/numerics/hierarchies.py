"""Trees over features: nested tuples of positions, given, halved by place, or clustered by correlation."""

from __future__ import annotations

from typing import Any

import numpy as np

Tree = Any
"""A position (int), or a tuple of at least two trees."""


def leaves(tree: Tree) -> list[int]:
    """Return the positions in a tree, from left to right."""
    return [tree] if isinstance(tree, int) else [leaf for branch in tree for leaf in leaves(branch)]


def inner(tree: Tree) -> list[Tree]:
    """Return every node with branches except the root, a parent before its branches."""
    if isinstance(tree, int):
        return []
    return [node for branch in tree if not isinstance(branch, int) for node in (branch, *inner(branch))]


def pruned(tree: Tree) -> Tree:
    """Replace every node of one branch by that branch."""
    if isinstance(tree, int):
        return tree
    branches = tuple(pruned(branch) for branch in tree)
    return branches[0] if len(branches) == 1 else branches


def halved(places: np.ndarray) -> Tree:
    """Halve features by place, again and again, across the longer side: a binary tree.

    Parameters
    ----------
    places : Float[np.ndarray, "d axes"], the centre of every feature.
    """
    return _halved(places, np.arange(len(places)))


def _halved(places: np.ndarray, members: np.ndarray) -> Tree:
    if len(members) == 1:
        return int(members[0])
    axis = int(np.argmax(np.ptp(places[members], axis=0)))
    order = members[np.argsort(places[members, axis], kind="stable")]
    middle = (len(order) + 1) // 2
    return _halved(places, order[:middle]), _halved(places, order[middle:])


def correlated(rows: np.ndarray) -> Tree:
    """Cluster features by average linkage on 1 - |Pearson correlation| over some rows: a binary tree.

    Parameters
    ----------
    rows : Float[np.ndarray, "n d"]; a column that never changes correlates with none.
    """
    from scipy.cluster.hierarchy import linkage, to_tree
    from scipy.spatial.distance import squareform

    if rows.shape[1] == 1:
        return 0
    moved = rows - rows.mean(axis=0)
    sizes = np.sqrt((moved**2).sum(axis=0))
    unit = moved / np.where(sizes > 0, sizes, 1.0)
    distances = np.clip(1 - np.abs(unit.T @ unit), 0.0, 1.0)
    np.fill_diagonal(distances, 0.0)
    return _nested(to_tree(linkage(squareform(distances, checks=False), "average")))


def _nested(node: Any) -> Tree:
    return int(node.id) if node.is_leaf() else (_nested(node.left), _nested(node.right))
