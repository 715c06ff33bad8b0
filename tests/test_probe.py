"""What is looked at before anything is explained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import blackbox as bb
from blackbox.cli import cli
from blackbox.probe import cost, probe, sample_rows, speeds, timing_cost
from blackbox.score import Ledger

MODELS = Path(__file__).parent.parent / "sample_models"


def look(f, d=3, n=40, dtype=np.float32):
    model = bb.open_model(f, options={"shape": (d,), "batch_size": 64})
    return probe(model, {"input": np.random.default_rng(0).normal(size=(n, d)).astype(dtype)})


def test_an_honest_function_repeats_alone_and_among_others():
    seen = look(lambda x: x @ np.array([1.0, 2.0, 3.0]))
    assert (seen.repeat, seen.alone, seen.kind) == (0, 0, "values")
    assert seen.still == 0
    assert seen.homogeneous is True


def test_a_function_that_draws_is_caught():
    rng = np.random.default_rng(1)
    assert look(lambda x: x.sum(axis=1) + rng.random(len(x))).repeat > 0.01


def test_a_function_that_looks_at_its_neighbours_is_caught():
    seen = look(lambda x: x.sum(axis=1) - x.mean())
    assert seen.repeat == 0
    assert seen.alone > 0.01


def test_a_staircase_is_still_and_a_bias_is_not_homogeneous():
    assert look(lambda x: np.floor(x).sum(axis=1)).still > 0.9
    assert look(lambda x: x.sum(axis=1) + 1).homogeneous is False


def test_rounding_shows_as_noise_of_about_its_size():
    weights = np.random.default_rng(3).normal(size=(64, 1)).astype(np.float32)
    rounded = look(lambda x: x @ weights, d=64).noise
    assert 1e-9 < rounded < 1e-6  # float32: 6e-8 of each of 64 summands
    coarse = look(lambda x: (x @ weights).astype(np.float16), d=64).noise
    assert coarse is None or coarse > 10 * rounded
    scattered = np.random.default_rng(4)
    assert 1e-4 < look(lambda x: x.sum(axis=1) + 1e-3 * scattered.normal(size=len(x))).noise < 1e-2


def test_a_staircase_has_no_noise_and_text_is_not_asked():
    assert look(lambda x: np.floor(x).sum(axis=1)).noise == 0
    forest = bb.open_model(MODELS / "breast_cancer" / "forest.onnx", "cpu")
    assert probe(forest, sample_rows(forest, 5, np.random.default_rng(0))).noise == 0


def test_another_device_is_compared_with_this_one():
    def model(shift):
        return bb.open_model(lambda x: x.sum(axis=1) * (1 + shift), options={"shape": (3,), "batch_size": 64})

    rows = {"input": np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)}
    seen = probe(model(0), rows, model(1e-3)).elsewhere
    assert seen[0] == pytest.approx(1e-3, rel=1e-3)
    assert seen[1] == "cpu"
    assert probe(model(0), rows).elsewhere is None


def test_decision_values_and_bfloat16_are_told():
    corpus = Path(__file__).parent / "corpus"
    for file, kind in (("exports/sklearn-decisions", "decision values"), ("graphs/bfloat16", "probabilities")):
        model = bb.open_model(corpus / f"{file}.onnx", "cpu")
        assert probe(model, sample_rows(model, 5, np.random.default_rng(0))).kind == kind


def test_the_kinds_are_told_apart():
    def p(x):
        e = np.exp(x)
        return e / e.sum(axis=1, keepdims=True)

    assert look(p).kind == "probabilities"
    assert look(lambda x: 3 * x).kind == "logits"


@pytest.mark.parametrize("n", [1, 3, 40])
def test_every_row_is_counted_and_foretold(n):
    counted = [0]

    def f(x):
        counted[0] += len(x)
        return x.sum(axis=1)

    assert look(f, n=n).rows == counted[0] == cost(summing(f), n)
    ledger = Ledger()
    speeds(summing(f), {"input": np.ones((n, 3), np.float32)}, ledger, 16)
    assert ledger.rows == timing_cost(summing(f), 16) == 33 + 36 + 64


def summing(f):
    return bb.open_model(f, options={"shape": (3,), "batch_size": 64})


def test_speeds_go_up_to_the_models_own_limit_and_keep_a_fixed_batch():
    rows = {"input": np.ones((2, 3), np.float32)}
    assert list(speeds(summing(lambda x: x.sum(axis=1)), rows, Ledger())) == [1, 4, 16, 64]
    assert list(speeds(summing(lambda x: x.sum(axis=1)), rows, Ledger(), 20)) == [1, 4, 16, 20]
    fixed = bb.open_model(MODELS / "toys" / "fixed3.onnx")
    assert list(speeds(fixed, sample_rows(fixed, 5, np.random.default_rng(0)), Ledger())) == [3]


def test_rows_that_cannot_be_drawn_must_be_given():
    from blackbox.model import Tensor

    class Whole:
        signature = type("S", (), {"inputs": (Tensor("ids", "int64", ("n", 4)),)})

    with pytest.raises(bb.RequestError, match="--data"):
        sample_rows(Whole(), 4, np.random.default_rng(0))


def test_the_command_shows_it_and_writes_it_as_json():
    forest = MODELS / "breast_cancer"
    told = CliRunner().invoke(cli, ["inspect", str(forest / "forest.onnx"), "--data", str(forest / "patients.csv")])
    assert told.exit_code == 0
    assert "rows per second" in told.stdout
    assert "noise of rounding" in told.stdout
    assert "by rule" in told.stdout
    assert "derivatives say nothing" in " ".join(told.stdout.split())
    record = json.loads(
        CliRunner().invoke(cli, ["inspect", str(forest / "forest.onnx"), "--probe", "--json"]).stdout
    )
    assert record["probe"]["kind"] == "probabilities"
    assert record["probe"]["alone"] == pytest.approx(0, abs=1e-6)
