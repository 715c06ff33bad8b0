"""Profiles of every kind of input: columns, tokens, sequences, superpixels, and runs that are killed."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import pytest
from toys import MODELS, Counted

import blackbox as bb
from blackbox.backgrounds import filled
from blackbox.features import Features, from_labels, superpixels
from blackbox.model import Identity, Limits, Signature, Tensor
from blackbox.subsets import distances

DIGITS = np.load(MODELS / "digits" / "digits.npy")


def test_columns_lie_apart_by_the_names_that_they_share():
    names = ("age", "income", "debts", "tenure")
    features = Features({"input": np.arange(4)}, names)
    rows = np.array([[9.0, 1, 0, 0], [1.0, 9, 0, 0], [3.0, 4, 0, 0], [3.0, 0, 4, 2]])
    found = bb.sis_profile(lambda x: x.sum(axis=1), rows, bb.Sis(7, max_subsets=1), features=features)
    assert found.distance == "jaccard"
    held = [{names[k] for k in subset.members} for subset in found.subsets]
    assert held == [{"age"}, {"income"}, {"age", "income"}, {"age", "debts"}]
    apart = distances("jaccard", found.subsets, found.cases)
    expected = [[1 - len(a & b) / len(a | b) for b in held] for a in held]
    np.testing.assert_allclose(apart, expected)


@dataclass(frozen=True)
class Tokens:
    """A model of token ids."""

    f: object
    signature: Signature
    limits: Limits
    identity: Identity

    def predict(self, rows):
        assert rows["ids"].dtype == np.int64
        return {"y": self.f(rows["ids"])}


def test_tokens_lie_apart_by_what_they_say_not_by_where_they_stand():
    film, very, good, hidden = 4, 8, 7, 103

    def f(ids):  # "good" is worth 1, and 2 more after "very"
        after = ((ids[:, :-1] == very) & (ids[:, 1:] == good)).sum(axis=1)
        return (ids == good).sum(axis=1) + 2.0 * after

    tokens = Signature(
        (Tensor("ids", "int64", ("batch", 5)),), (Tensor("y", "float32", ("batch", 1)),), "y", None
    )
    identity = Identity("tokens", {}, "python", "cpu")
    model = Tokens(lambda ids: f(ids)[:, None], tokens, Limits(64), identity)
    rows = np.array([[film, good, 2, 3, 5], [5, 3, film, very, good], [2, 3, 5, film, good]])
    background = filled({"ids": rows[0]}, hidden)
    found = bb.sis_profile(model, rows, bb.Sis("90%", max_subsets=1), background=background)
    assert found.distance == "jaccard"
    held = [{int(rows[s.row][k]) for k in s.members} for s in found.subsets]
    assert held == [{good}, {very, good}, {good}]
    assert found.subsets[0].members != found.subsets[2].members
    apart = distances("jaccard", found.subsets, found.cases)
    np.testing.assert_allclose(apart, [[0, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0]])


def test_sequences_lie_apart_by_the_edits_between_them():
    letters = dict(zip("ACGT", np.eye(4), strict=True))

    def rows(*words):
        return np.stack([np.stack([letters[letter] for letter in word]) for word in words]).astype(np.float32)

    def f(x):  # how much of TGA is there, wherever it stands
        planted = np.stack([letters[letter] for letter in "TGA"])
        windows = np.stack([x[:, k : k + 3] for k in range(x.shape[1] - 2)], axis=1)
        return (windows * planted).sum(axis=(2, 3)).max(axis=1)

    found = bb.sis_profile(
        f, rows("CCTGACC", "TGACCCC", "CCCTCAC"), bb.Sis(2, max_subsets=1, search="exact"),
        features=np.arange(7)[:, None], background=np.full((7, 4), 0.25, dtype=np.float32), distance="edit",
    )  # fmt: skip
    apart = distances("edit", found.subsets, found.cases)
    assert found.distance == "edit"
    told = [bb_line(subset, found.cases[subset.row]) for subset in found.subsets]
    expected = [[levenshtein(a, b) for b in told] for a in told]
    assert apart.tolist() == expected
    assert apart[0, 1] == 0  # the same letters, elsewhere in the sequence


def bb_line(subset, case):
    """Letters from the first to the last member, a dot where one between is hidden."""
    x = next(iter(case.x.values()))
    first, last = min(subset.members), max(subset.members)
    return "".join("ACGT"[int(x[k].argmax())] if k in subset.members else "." for k in range(first, last + 1))


def levenshtein(a, b):
    if not a or not b:
        return len(a) + len(b)
    return min(
        levenshtein(a[1:], b) + 1, levenshtein(a, b[1:]) + 1, levenshtein(a[1:], b[1:]) + (a[0] != b[0])
    )


def test_superpixels_of_every_input_are_profiled_by_the_pixels_that_they_cover():
    model = bb.open_model(MODELS / "digits" / "cnn.onnx", "cpu", {"threads": 1})

    def features(x):
        labels, names = superpixels(x["image"], 12)
        return from_labels(labels, x, names)

    rows, method = DIGITS[:24], bb.Sis(max_subsets=1)
    found = bb.sis_profile(model, rows, method, features=features, min_samples=2)
    assert found.distance == "energy"
    assert len({len(case.features) for case in found.cases}) > 1  # so they cannot be one array of games
    for x, case, e in zip(rows, found.cases, found.explanations, strict=True):
        alone = bb.explain(model, x, method, features=case.features)
        assert e.details["subsets"] == alone.details["subsets"]
        assert e.rows >= alone.rows  # in lockstep nothing is remembered
    a, b = found.subsets[:2]
    covers = [np.argwhere(np.isin(found.cases[s.row].features.labels["image"][0], s.members)) for s in (a, b)]
    mean = [
        [np.linalg.norm(one[:, None] - two[None], axis=2).mean() for two in covers] for one in covers
    ]
    energy = np.sqrt(2 * mean[0][1] - mean[0][0] - mean[1][1])
    assert distances("energy", found.subsets, found.cases)[0, 1] == pytest.approx(energy)


def test_what_a_resumed_profile_says_is_what_an_unbroken_one_says(tmp_path):
    f = Counted(lambda x: np.stack([x[:, 0], 3 * x[:, 1]], axis=1))
    rows = np.random.default_rng(0).uniform(0.5, 4, size=(30, 2))
    whole = bb.sis_profile(f, rows, folder=tmp_path / "o")
    told = bb.misclassified(whole, ["0"] * 30)
    again = bb.sis_profile(f, rows, folder=tmp_path / "o")  # every record is read, none is asked
    assert again.to_dict() == whole.to_dict()
    assert [m.to_dict() for m in bb.misclassified(again, ["0"] * 30)] == [m.to_dict() for m in told]
    assert told


def test_a_run_that_was_killed_before_it_asked_anything_leaves_a_folder_that_serves(tmp_path):
    (tmp_path / "o" / "records").mkdir(parents=True)
    (tmp_path / "o" / ".question.json.1234.part").write_text("{")
    found = bb.sis_profile(lambda x: x.sum(axis=1), np.ones((2, 3)), folder=tmp_path / "o")
    assert len(found.subsets) == 2
    assert not list((tmp_path / "o").glob(".*.part"))


def test_inputs_with_backgrounds_of_their_own_are_a_question_of_their_own(tmp_path):
    rows = np.random.default_rng(0).uniform(1, 2, size=(3, 4))

    def shifted(by):
        return lambda x: bb.Background({"input": by * x["input"][None]}, "scaled")

    bb.sis_profile(lambda x: x.sum(axis=1), rows, background=shifted(0.1), folder=tmp_path / "o")
    changed = rows.copy()
    with pytest.raises(bb.RequestError, match="another question"):
        bb.sis_profile(lambda x: x.sum(axis=1), changed, background=shifted(0.2), folder=tmp_path / "o")


def profile(folder):
    digits = MODELS / "digits"
    command = [
        sys.executable, "-c", "from blackbox.cli import main; main()", "sis-profile", digits / "cnn.onnx",
        "--inputs", digits / "digits.npy", "--search", "backselect", "--scale", "probability",
        "--threshold", "0.7", "--batch-size", 64, "--threads", 1, "--misclassified", digits / "digits.csv", "-o", folder,
    ]  # fmt: skip
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.slow
def test_a_profile_killed_at_random_moments_and_resumed_is_the_unbroken_one(tmp_path):
    start = time.monotonic()
    _, messages = (process := profile(tmp_path / "whole")).communicate(timeout=300)
    assert process.returncode == 0, messages
    took, rng = time.monotonic() - start, np.random.default_rng(0)
    for attempt in range(30):
        process = profile(tmp_path / "killed")
        # every attempt gets a little further, whatever the machine is busy with
        try:
            _, messages = process.communicate(timeout=took * rng.uniform(0.1, 0.6 + attempt / 10))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            continue
        assert process.returncode == 0, messages
        break
    assert attempt > 0
    assert process.returncode == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert json.loads((tmp_path / "whole" / "profile.json").read_text())["misclassified"]
