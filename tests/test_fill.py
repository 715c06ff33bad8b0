"""Rows of sweeps are copied and flipped; they must be what the definition fills, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import blackbox as bb
from blackbox.fill import Fill, FillMany
from blackbox.inputs import conform, conform_each
from blackbox.lockstep import choose_readouts
from blackbox.model import Hiding, Signature, Tensor
from blackbox.score import choose_readout
from blackbox.searches.steps import Ask

LABELS = {
    "cells": np.arange(18).reshape(3, 2, 3),
    "over channels": np.broadcast_to(np.array([[0, 0, 1], [2, -1, 1]]), (3, 2, 3)),
    "scattered": np.array([4, 0, 0, -1, 2, 1, 3, 3, 2, 4, 4, 4, 0, 1, -1, 2, 2, 0]).reshape(3, 2, 3),
}


def case(rng, labels, count, dtype="float32"):
    """A hiding over (3, 2, 3) cells, its definition spelt out, and the number of features."""
    x, background = rng.integers(0, 9, (3, 2, 3)).astype(dtype), rng.integers(0, 9, (count, 3, 2, 3)).astype(dtype)
    d = labels.max() + 1

    def defined(masks):
        kept = np.concatenate([masks, np.ones((len(masks), 1), dtype=bool)], axis=1)[:, labels]
        return np.where(kept[:, None], x, background).reshape(-1, 3, 2, 3)

    return Fill(Hiding({"x": x}, {"x": labels}, {"x": background}), d), defined, d


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "bool", "object"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_filled_and_flipped_rows_are_the_definition(labels, count, dtype):
    rng = np.random.default_rng(0)
    fill, defined, d = case(rng, labels, count, dtype)
    masks = rng.random((7, d)) < 0.5
    assert_array_equal(fill(masks)["x"], defined(masks))
    features = rng.integers(0, d, 7)
    ask = Ask(masks[:1], np.zeros(7, dtype=int), np.zeros(7, dtype=int), features)
    room = {"x": np.empty((7 * count, 3, 2, 3), dtype)}
    fill.flip(fill(masks[:1]), masks[0], features, room)
    assert_array_equal(room["x"], defined(ask.masks))


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_rows_of_many_games_are_each_their_own(labels):
    rng = np.random.default_rng(1)
    cases = [case(rng, labels, 1) for _ in range(4)]
    d, many = cases[0][2], FillMany.of([fill for fill, _, _ in cases])
    bases, owners = rng.random((3, d)) < 0.5, np.array([0, 2, 3])
    rows = np.array([0, 0, 1, 2, 2, 2])
    ask = Ask(bases, owners[rows], rows, rng.integers(0, d, 6))
    expected = np.concatenate([cases[game][1](mask[None]) for game, mask in zip(ask.games, ask.masks, strict=True)])
    assert_array_equal(many(ask.masks, ask.games)["x"], expected)
    found = many.flipped(many(bases, owners), ask.games, rows, ask.flips)["x"]
    assert_array_equal(found, expected)


def test_some_masks_of_a_sweep_are_the_same_masks():
    rng = np.random.default_rng(2)
    given, rows = rng.random((3, 5)) < 0.5, np.array([0, 0, 1, 1, 2])
    ask = Ask(given, rows, rows, np.array([4, 1, 0, 2, 3]))
    assert (ask.masks != given[rows]).sum(axis=1).tolist() == [1] * 5
    for which in (slice(1, 4), np.array([0, 3, 4])):
        assert_array_equal(ask.some(which).masks, ask.masks[which])
        assert_array_equal(ask.some(which).games, ask.games[which])


@pytest.mark.parametrize(("side", "channels", "count"), [(6, 1, 1), (20, 1, 1), (20, 3, 2), (60, 3, 1)])
@pytest.mark.parametrize("search", ["backselect", "auto", "batched", "greedy"])
def test_many_pictures_get_what_each_gets_alone(side, channels, count, search):
    rng = np.random.default_rng(3)
    shape = (channels, side, side)
    weights = rng.normal(size=shape).astype(np.float32)
    x, background = rng.random((3, *shape), dtype=np.float32), rng.random((count, *shape), dtype=np.float32) / 4
    labels = bb.features.patches(shape, 5, 5)[0]
    model = bb.open_model(
        lambda rows: np.tanh((rows * weights).reshape(len(rows), -1) / 4).sum(axis=1), options={"shape": shape}
    )
    method = bb.Sis(search=search, max_subsets=2)
    found = bb.sis_profile(model, x, method, features=labels, background=background, eps=1.0, min_samples=1)
    for one, e in zip(x, found.explanations, strict=True):
        alone = bb.explain(model, one, method, features=labels, background=background)
        assert e.details["subsets"] == alone.details["subsets"]
        assert e.details["removal_order"] == alone.details["removal_order"]


@pytest.mark.parametrize("kind", [None, "logits", "embedding"])
@pytest.mark.parametrize("target", [None, 0, [1, 2]])
def test_readouts_of_many_inputs_are_those_of_each(kind, target):
    if kind == "embedding" and target:
        target = None
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(6, 2, 3))
    outputs = [*logits, *(np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True))]
    model = bb.open_model(lambda rows: rows, options={"shape": (3,), "kind": kind} if kind else {"shape": (3,)})
    found = choose_readouts(model, outputs, target, "raw")
    if kind == "embedding":
        assert found == [None] * 12
    else:
        assert found == [choose_readout(model, one, target, "raw") for one in outputs]


def test_many_inputs_are_cast_as_each_is_and_the_wrong_one_is_told_in_its_turn():
    signature = Signature((Tensor("x", "float32", (None, 2)),), (), "y")
    rows = np.array([[1.0, 2.0], [3.0, 4.0], [np.nan, 0.0]])
    good = list(conform_each(signature, rows[:2], 2))
    assert_array_equal([one["x"] for one in good], [conform(signature, row)["x"] for row in rows[:2]])
    assert good[0]["x"].dtype == np.float32
    each = conform_each(signature, rows, 3)
    assert next(each)["x"].tolist() == [1.0, 2.0]
    next(each)
    with pytest.raises(bb.RequestError, match="finite"):
        next(each)
