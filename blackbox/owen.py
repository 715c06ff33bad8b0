"""Owen values: the credit of a hierarchy of groups, divided from the top of the tree down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import comb
from typing import Any

import numpy as np

from blackbox.errors import RequestError, unknown
from blackbox.explanation import Outcome
from blackbox.features import picture_axes
from blackbox.game import Game
from blackbox.memory import pack
from blackbox.numerics.coalitions import every_coalition
from blackbox.numerics.hierarchies import Tree, correlated, halved, inner, leaves, pruned

RULES = ("correlation", "position")
ROUND = 32
"""Nodes divided at once, so that their masks share batches; the order among them does not matter."""


def divided(
    game: Game, hierarchy: str | Sequence[Any], limit: int
) -> tuple[np.ndarray, Outcome, dict[str, Any]]:
    """Divide a game's score down a hierarchy: values Float["d t"], outcome, and details for the record."""
    tree = tree_of(game, hierarchy)
    values, asked, complete = owen(game, tree, limit)
    names, one = game.features.names, len(game.output_names) == 1
    sums = [(leaves(node), values[leaves(node)].sum(axis=0)) for node in inner(tree)]
    details = {
        "masks": asked, "residual": game.full() - game.base() - values.sum(axis=0), "estimator": "owen",
        "hierarchy": _named(tree, names),
        "groups": [
            {"members": [names[m] for m in members], "values": total[0] if one else total}
            for members, total in sums
        ],
    }  # fmt: skip
    moved = np.any(values) or np.any(game.full() != game.base())
    return values, (Outcome.EXACT if complete else Outcome.SPENT) if moved else Outcome.CONSTANT, details


def _named(tree: Tree, names: Sequence[str]) -> Any:
    return names[tree] if isinstance(tree, int) else [_named(branch, names) for branch in tree]


def tree_of(game: Game, asked: str | Sequence[Any]) -> Tree:
    """Turn a rule, or nested names or positions of features, into nested positions.

    Raises
    ------
    RequestError : an unknown rule or feature, one that is missing or named twice, or a clustering
        that the background cannot give.
    """
    if asked == "position":
        return halved(_places(game))
    if asked == "correlation":
        return correlated(_columns(game))
    if isinstance(asked, str):
        raise unknown("hierarchy (a rule, or nested lists of features):", asked, RULES)
    tree = pruned(_positions(game, asked))
    members = leaves(tree)
    if twice := sorted({game.features.names[m] for m in members if members.count(m) > 1}):
        raise RequestError(f"The hierarchy holds {twice[0]!r} more than once.")
    if missing := [name for k, name in enumerate(game.features.names) if k not in set(members)]:
        raise RequestError(
            f"The hierarchy leaves out {len(missing)} of {game.d} features, for example {missing[0]!r}: "
            "every feature belongs somewhere; one alone can stand beside the groups."
        )
    return tree


def _positions(game: Game, asked: Any) -> Tree:
    names = game.features.names
    if isinstance(asked, (list, tuple)):
        if not asked:
            raise RequestError("The hierarchy holds an empty group.")
        return tuple(_positions(game, branch) for branch in asked)
    if isinstance(asked, int) and not isinstance(asked, bool):
        if not 0 <= asked < game.d:
            raise RequestError(f"The hierarchy names feature {asked}; there are {game.d}, counted from 0.")
        return asked
    if asked not in names:
        raise unknown("feature in the hierarchy:", str(asked), names)
    return int(names.index(asked))


def _places(game: Game) -> np.ndarray:
    """Float["d axes"], the centre of every feature's cells in its input; inputs lie one after the other."""
    found, offset = np.zeros((game.d, 2)), 0.0
    for name, array in game.x.items():
        labels = game.features.labels[name]
        axes = picture_axes(array.shape) or tuple(range(min(2, array.ndim)))
        grid = np.indices(array.shape)
        for feature in np.unique(labels[labels >= 0]):
            inside = labels == feature
            centre = [grid[axis][inside].mean() for axis in axes]
            found[feature, : len(centre)] = centre
            found[feature, 0] += offset
        offset += max(array.shape, default=1)
    return found


def _columns(game: Game) -> np.ndarray:
    """Float["B d"], the mean of every feature's cells in each background row."""
    rows = game.background.rows
    if len(game.background) < 3:
        raise RequestError(
            f"A hierarchy by correlation needs at least 3 background rows; there are {len(game.background)}. "
            "Give more rows, or nested lists of features, or hierarchy position."
        )
    total, count = np.zeros((len(game.background), game.d)), np.zeros(game.d)
    for name, array in rows.items():
        if array.dtype.kind not in "fiub":
            raise RequestError(f"A hierarchy by correlation needs numbers; input {name!r} holds text.")
        labels = game.features.labels[name].ravel()
        inside = labels >= 0
        flat = array.reshape(len(array), -1)[:, inside].astype(float)
        np.add.at(total.T, labels[inside], flat.T)
        np.add.at(count, labels[inside], 1)
    return np.asarray(total / np.maximum(count, 1))


@dataclass(frozen=True)
class Part:
    """A node to be divided in one context: the scores without and with it, and its weight."""

    node: Tree
    context: np.ndarray
    without: np.ndarray
    with_it: np.ndarray
    weight: float

    @property
    def gain(self) -> np.ndarray:
        """Float["t"], what the node adds in its context, by weight."""
        return np.asarray(self.weight * (self.with_it - self.without))


@dataclass
class Division:
    """What has been divided so far. asked : masks besides the empty and the full one."""

    values: np.ndarray
    waiting: list[Part]
    asked: set[bytes] = field(default_factory=set)


def owen(game: Game, tree: Tree, limit: int) -> tuple[np.ndarray, int, bool]:
    """Divide v(N) - v(empty) down a tree.

    A node with k branches in a context c gives branch i the Shapley value of the game among its
    branches, sum over S of the others |S|! (k-|S|-1)! / k! [v(c+S+i) - v(c+S)], each term divided
    further in its own context c+S. Largest |gain| first, until no node that waits fits into the
    limit; what is left of a node is split equally among its features.

    Parameters
    ----------
    limit : masks at the most, the empty and the full one not counted.

    Returns
    -------
    values : Float[np.ndarray, "d t"]. asked : masks. complete : nothing was left to divide.

    References
    ----------
    Owen 1977, doi 10.1007/978-3-642-45494-3_7; the order of division as in shap's PartitionExplainer.
    """
    empty = np.zeros(game.d, dtype=bool)
    state = Division(np.zeros((game.d, len(game.output_names))), [])
    _settle(state, Part(tree, empty, game.base(), game.full(), 1.0))
    if state.waiting and 2 ** len(tree) - 2 > limit:
        raise RequestError(
            f"The top of the hierarchy has {len(tree)} members: {2 ** len(tree) - 2:,} masks, the budget is "
            f"{limit:,}. Put members into groups, or take hierarchy correlation or position."
        )
    while state.waiting:
        chosen = _chosen(state, limit)
        if not chosen:
            break
        _divide(game, state, chosen)
    for part in state.waiting:
        members = leaves(part.node)
        state.values[members] += part.gain / len(members)
    return state.values, len(state.asked), not state.waiting


def _settle(state: Division, part: Part) -> None:
    """Credit a feature, or let a node wait."""
    if isinstance(part.node, int):
        state.values[part.node] += part.gain
    else:
        state.waiting.append(part)


def _chosen(state: Division, limit: int) -> list[Part]:
    """Take the parts of the largest gain that fit, out of those that wait."""
    state.waiting.sort(key=lambda part: -float(np.abs(part.gain).max()))
    room = limit - len(state.asked)
    chosen: list[Part] = []
    rest: list[Part] = []
    for part in state.waiting:
        cost = 2 ** len(part.node) - 2
        if len(chosen) < ROUND and cost <= room:
            room -= cost
            chosen.append(part)
        else:
            rest.append(part)
    state.waiting = rest
    return chosen


def _divide(game: Game, state: Division, chosen: Sequence[Part]) -> None:
    """Ask all contexts of some nodes in one go, and pass their gains on to their branches."""
    masks = [_contexts(part) for part in chosen]
    scores = game(np.concatenate(masks))
    keys = pack(np.concatenate([m[1:-1] for m in masks]))
    state.asked.update(keys)
    start = 0
    for part, mask in zip(chosen, masks, strict=True):
        _pass_on(state, part, mask, scores[start : start + len(mask)])
        start += len(mask)


def _contexts(part: Part) -> np.ndarray:
    """Bool["2^k d"]: the context with every subset of the node's branches, in the order of their codes."""
    member = np.zeros((len(part.node), len(part.context)), dtype=bool)
    for k, branch in enumerate(part.node):
        member[k, leaves(branch)] = True
    return np.asarray(part.context | (every_coalition(len(part.node)).astype(int) @ member.astype(int) > 0))


def _pass_on(state: Division, part: Part, masks: np.ndarray, scores: np.ndarray) -> None:
    k = len(part.node)
    present = every_coalition(k)
    sizes = present.sum(axis=1)
    for i, branch in enumerate(part.node):
        for code in np.flatnonzero(~present[:, i]):
            share = part.weight / (k * comb(k - 1, int(sizes[code])))
            _settle(state, Part(branch, masks[code], scores[code], scores[code + 2**i], share))
