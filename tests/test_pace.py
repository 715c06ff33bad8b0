"""Rows per run: by rule, by a probe that is remembered, or as given; a timing never changes an answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

import blackbox as bb
from blackbox import cache
from blackbox.cli import cli
from blackbox.errors import ModelError
from blackbox.materials import gather
from blackbox.model import Limits, Tensor, fitted
from blackbox.plan import load_plan
from blackbox_adapters.onnx import pace

HERE = Path(__file__).parent
MODELS = HERE.parent / "sample_models"
LINEAR = MODELS / "toys" / "linear.onnx"
X = [1.0, 2.0, 3.0, 4.0]


@pytest.fixture(autouse=True)
def remembered(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "cache"))
    return tmp_path / "cache" / "rows-per-run"


def rehearsed(predict):
    """Rows are laid out nowhere: every pass is a call."""
    return lambda rows: lambda: predict(rows)


def probing(**options):
    return bb.open_model(LINEAR, "cpu", {"batch_size": "probe", "threads": 1, **options})


def test_the_rule_counts_the_cells_of_the_row_that_is_asked():
    model = bb.open_model(HERE / "corpus" / "graphs" / "symbolic-picture.onnx", "cpu")
    assert model.limits.rows_per_run == 4096  # nothing is known of height and width yet
    large = np.zeros((3, 224, 224), np.float32)
    assert fitted(model, {"x": large}).limits == Limits(4, chosen="by rule")
    found = bb.explain(model, large, "occlusion")
    assert found.provenance["rows_per_run"] == 4


def test_a_probe_tries_four_sizes_and_its_answer_is_remembered(remembered):
    tried = []

    def predict(rows):
        tried.append(len(rows["x"]))

    x = {"x": np.ones(4, np.float32)}
    found = pace.probed(rehearsed(predict), Limits(64), x, "cpu", {"model": "m"})
    assert sorted(set(tried)) == [4, 16, 64, 256]
    assert found.rows_per_run in (4, 16, 64, 256)
    assert found.chosen == "by probe"
    tried.clear()
    assert pace.probed(rehearsed(predict), Limits(64), x, "cpu", {"model": "m"}) == found
    assert tried == []
    assert len(list(remembered.iterdir())) == 1


@pytest.mark.parametrize("other", [{"device": "cuda:0"}, {"question": {"model": "n"}}, {"x": {"x": np.ones(5, np.float32)}}])
def test_another_model_device_or_shape_is_another_question(other):
    tried = []
    asked = {"x": {"x": np.ones(4, np.float32)}, "device": "cpu", "question": {"model": "m"}}
    for change in ({}, other):
        now = {**asked, **change}
        tried.clear()
        pace.probed(rehearsed(lambda rows: tried.append(1)), Limits(8), now["x"], now["device"], now["question"])
        assert tried


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"question": 1, "answer": {}}', "null", "\udc80"])
def test_a_damaged_memory_is_ignored_and_written_anew(remembered, damage):
    first = probing().fit({"x": np.array(X, np.float32)}).limits
    (file,) = remembered.iterdir()
    whole = json.loads(file.read_text())
    file.write_bytes(damage.encode(errors="surrogateescape"))
    again = probing().fit({"x": np.array(X, np.float32)}).limits
    assert again.chosen == first.chosen == "by probe"
    assert json.loads(file.read_text())["question"] == whole["question"]


@pytest.mark.parametrize("answer", [0, -4, True, "64", 10**9, None, 2.5])
def test_a_remembered_number_that_makes_no_sense_is_asked_anew(remembered, answer):
    probing().fit({"x": np.array(X, np.float32)})
    (file,) = remembered.iterdir()
    whole = json.loads(file.read_text())
    file.write_text(json.dumps({**whole, "answer": {"rows_per_run": answer}}))
    found = probing().fit({"x": np.array(X, np.float32)}).limits.rows_per_run
    assert json.loads(file.read_text())["answer"] == {"rows_per_run": found}


def test_what_is_remembered_decides_and_not_the_clock(remembered):
    probing().fit({"x": np.array(X, np.float32)})
    (file,) = remembered.iterdir()
    whole = json.loads(file.read_text())
    file.write_text(json.dumps({**whole, "answer": {"rows_per_run": 37}}))
    found = bb.explain(probing(), X, "kernelshap")
    assert found.provenance["rows_per_run"] == 37
    given = bb.explain(bb.open_model(LINEAR, "cpu", {"batch_size": 37, "threads": 1}), X, "kernelshap")
    assert found.to_json() == given.to_json()


def test_a_file_in_the_folders_place_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "file"))
    assert probing().fit({"x": np.array(X, np.float32)}).limits.chosen == "by probe"


def test_the_folder_is_the_users_own_or_none(monkeypatch):
    monkeypatch.setenv(cache.FOLDER, "")
    assert cache.folder() is None
    assert probing().fit({"x": np.array(X, np.float32)}).limits.chosen == "by probe"
    monkeypatch.delenv(cache.FOLDER)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.folder() == Path("/somewhere/blackbox")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    assert cache.folder() == Path.home() / ".cache" / "blackbox"


def test_a_size_that_the_model_fails_on_ends_the_search():
    def predict(rows):
        if len(rows["x"]) > 20:
            raise ModelError("no memory")

    x = {"x": np.ones(4, np.float32)}
    assert pace.probed(rehearsed(predict), Limits(64), x, "cpu", {}).rows_per_run == 16

    def never(rows):
        raise ModelError("no")

    found = pace.probed(rehearsed(never), Limits(64), x, "cpu", {"other": 1})
    assert (found.rows_per_run, found.chosen) == (64, "by rule: the model failed on the probe's rows")


def test_memory_bounds_the_sizes():
    x = {"x": np.zeros((3, 1024, 1024), np.float32)}
    assert max(pace._sizes(4, x, "cpu")) <= pace.MOST_BYTES // x["x"].nbytes + 1
    assert pace._sizes(4, x, "cuda:0") == [16]
    small = {"x": np.zeros((3, 224, 224), np.float32)}
    assert pace._sizes(4, small, "cuda:0") == [16, 64, 256]
    assert pace._sizes(4, {"x": np.zeros((16, 1024, 1024), np.float32)}, "cuda:0") == [4]
    assert pace.by_rule([Tensor("x", "float32", ("n", 3, "h", "w"))], x) == 4


def test_on_a_gpu_larger_passes_are_tried_only_while_they_pay(monkeypatch):
    rates = {16: 1.0, 64: 1.5, 256: 1.55, 1024: 9.0}
    tried = []
    monkeypatch.setattr(pace, "_rate", lambda run, size: tried.append(size) or rates[size])
    x = {"x": np.zeros((3, 64, 64), np.float32)}
    assert pace.probed(rehearsed(lambda rows: None), Limits(4), x, "cuda:0", {}).rows_per_run == 64
    assert tried == [16, 64, 256]
    tried.clear()
    assert pace._fastest(rehearsed(lambda rows: None), x, [16, 64, 256, 1024], "cpu") == 1024


def test_a_number_that_is_given_or_fixed_is_never_probed(remembered):
    assert probing(batch_size=5).fit({"x": np.array(X, np.float32)}).limits == Limits(5, chosen="given")
    fixed = bb.open_model(MODELS / "toys" / "fixed3.onnx", "cpu", {"batch_size": "probe"})
    assert fixed.fit({"x": np.array(X, np.float32)}).limits.rows_per_run == 3
    assert not remembered.exists()
    with pytest.raises(bb.RequestError, match="Did you mean 'probe'"):
        probing(batch_size="prob")


def test_text_is_probed_as_it_is():
    file = HERE / "corpus" / "exports" / "sklearn-text.onnx"
    model = bb.open_model(file, "cpu", {"batch_size": "probe", "threads": 1})
    assert bb.explain(model, ["the red car"], "occlusion").provenance["rows_per_run"] > 1


def test_the_command_line_takes_a_number_or_a_word(tmp_path):
    np.save(tmp_path / "rows.npy", np.array([X], np.float32))
    for given in ("probe", "rule", "7"):
        told = CliRunner().invoke(
            cli, ["explain", str(LINEAR), "--input", str(tmp_path / "rows.npy"), "--json", "-", "--batch-size", given]
        )
        assert told.exit_code == 0, told.output
        rows = json.loads(told.stdout)["provenance"]["rows_per_run"]
        assert rows == 7 if given == "7" else rows > 7


def test_a_plan_may_ask_for_the_probe_and_a_recorded_number_is_kept(tmp_path):
    np.save(tmp_path / "rows.npy", np.array([X], np.float32))
    plan = {"model": {"path": str(LINEAR), "batch_size": "probe"}, "data": {"path": "rows.npy"}, "methods": ["occlusion"]}
    (tmp_path / "audit.yaml").write_text(yaml.safe_dump(plan))
    read = load_plan(tmp_path / "audit.yaml")
    assert gather(read, tmp_path).model.limits.chosen == "by probe"
    assert gather(read, tmp_path, 12).model.limits == Limits(12, chosen="given")
