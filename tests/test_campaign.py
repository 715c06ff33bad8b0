"""A campaign: shards planned once, played in any order and process, gone on with, sealed to the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from test_audit import files, read, records
from test_cli import LINEAR, MODELS, ROWS, plan, run

import blackbox as bb
from blackbox.campaign import Campaign, open_campaign
from blackbox.campaign.journal import run_record
from blackbox.campaign.lock import locked
from blackbox.errors import EvidenceError, RequestError
from blackbox.examination import examine as real
from blackbox.plan import load_plan

RUN = ["run.json"]


@pytest.fixture
def opened(tmp_path):
    """Open a campaign on a toy plan of three cases; whatever is open is closed afterwards."""
    found: list[Campaign] = []

    def go(folder="out", **more):
        path = plan(tmp_path, "[additivity, determinism]", methods="[kernelshap, occlusion]", **more.pop("top", {}))
        campaign = open_campaign(load_plan(path), tmp_path, tmp_path / folder, **more)
        found.append(campaign)
        return campaign

    yield go
    for campaign in found:
        campaign.close()


@pytest.fixture
def whole(opened, tmp_path):
    """The bundle of an uninterrupted campaign."""
    campaign = opened("whole")
    for shard in campaign.missing():
        campaign.play(shard)
    campaign.seal()
    return files(tmp_path / "whole", RUN)


def test_shards_hold_whole_cases_in_order_with_the_model_first(opened):
    campaign = opened()
    first, *others = campaign.shards
    assert (first.name, first.count) == ("model", 0)
    assert [shard.first for shard in others] == list(np.cumsum([0, *(shard.count for shard in others)])[:-1])
    assert sum(shard.count for shard in others) == campaign.manifest.cases == 3
    assert campaign.missing() == campaign.shards


def test_played_in_any_order_and_twice_the_bundle_is_the_same(opened, whole, tmp_path):
    campaign = opened()
    for shard in reversed(campaign.shards):
        receipt = campaign.play(shard)
        again = campaign.play(shard)
        assert {**receipt, "clock": 0} == {**again, "clock": 0}
        assert json.loads(json.dumps(receipt)) == receipt
        assert campaign.receipt(shard) == again
    assert campaign.missing() == ()
    manifest = campaign.seal()
    assert manifest == read(tmp_path / "out")
    assert files(tmp_path / "out", RUN) == whole
    assert not campaign.working.exists()


def test_another_process_goes_on_and_plays_only_what_is_missing(opened, whole, tmp_path, monkeypatch):
    campaign = opened()
    campaign.play(campaign.shards[1])
    campaign.close()
    again = opened()
    assert [shard.name for shard in again.missing()] == ["model", "000002", "000003"]
    played = []
    monkeypatch.setattr(
        "blackbox.campaign.playing.examine", lambda *given: played.append(given[2]) or real(*given)
    )
    for shard in again.missing():
        again.play(shard)
    again.seal()
    assert played == [1, 2]
    assert files(tmp_path / "out", RUN) == whole
    told = read(tmp_path / "out", "run.json")
    assert (told["interruptions"], len(told["attempts"]), told["processes"]) == (1, 2, 1)
    assert told["attempts"][-1]["ended"] == told["ended"]


def test_workers_change_nothing_but_run_json(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    path = plan(tmp_path, "[additivity, stability]", methods="[kernelshap, sis]")
    for workers in ("1", "2"):
        assert run("audit", path, "-o", tmp_path / workers, "--workers", workers).exit_code == 0
    assert files(tmp_path / "1", RUN) == files(tmp_path / "2", RUN)
    assert read(tmp_path / "2", "run.json")["processes"] >= 1


def test_a_worker_that_dies_is_told_and_what_is_finished_is_kept(tmp_path, monkeypatch):
    path = plan(tmp_path)
    monkeypatch.setattr("blackbox.campaign.workers._play", _die)
    result = run("audit", path, "-o", tmp_path / "out", "--workers", "2")
    assert result.exit_code == 3
    assert "fewer --workers" in result.stderr
    assert (tmp_path / "out.partial" / "campaign.json").is_file()


def _die(name):
    os._exit(9)


def test_two_audits_on_one_folder_are_refused(opened, tmp_path):
    campaign = opened()
    with pytest.raises(RequestError, match=f"process {os.getpid()}"):
        opened()
    campaign.close()
    program = (
        "import sys\nfrom pathlib import Path\nfrom blackbox.campaign import open_campaign\n"
        "from blackbox.plan import load_plan\np = Path(sys.argv[1])\n"
        "open_campaign(load_plan(p / 'plan.yaml'), p, p / 'out')\nprint('held', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:  # fmt: skip
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RequestError, match=f"written by process {other.pid}"):
            opened()
        other.kill()
        other.wait(10)
    assert opened().missing()  # a lock dies with its holder


def test_changed_data_background_plan_or_model_is_refused_unless_fresh(opened, tmp_path):
    mine = tmp_path / "rows.csv"
    mine.write_text(ROWS.read_text())
    top = {"data": "{path: rows.csv}"}
    first = opened(top=top)
    first.play(first.shards[1])
    first.close()
    mine.write_text(ROWS.read_text() + "9,9,9,9\n")
    with pytest.raises(RequestError, match=r"another data file.*--fresh"):
        opened(top=top)
    mine.write_text(ROWS.read_text())
    with pytest.raises(RequestError, match="another plan"):
        opened(top={**top, "seed": "3"})
    with pytest.raises(RequestError, match=r"another background file|another plan"):
        opened(top={**top, "background": "{}"})
    assert len(opened(top=top).missing()) == 3


def test_fresh_starts_anew(tmp_path, opened):
    campaign = opened()
    campaign.play(campaign.shards[1])
    campaign.close()
    again = opened(top={"seed": "5"}, fresh=True)
    assert again.missing() == again.shards


def test_data_that_changes_while_the_audit_runs_is_told_before_it_is_sealed(opened, tmp_path):
    mine = tmp_path / "rows.csv"
    mine.write_text(ROWS.read_text())
    campaign = opened(top={"data": "{path: rows.csv}"})
    for shard in campaign.missing():
        campaign.play(shard)
    mine.write_text(ROWS.read_text() + "\n")
    with pytest.raises(RequestError, match="data file changed while"):
        campaign.seal()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("role", ["model", "data", "background"])
def test_a_plan_may_bind_its_files(tmp_path, role):
    where = {"model": LINEAR, "data": ROWS, "background": ROWS}[role]
    path = plan(tmp_path, **{role: f"{{path: {where}, sha256: {'0' * 64}}}"})
    result = run("audit", path, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "0" * 64 in result.stderr
    assert sorted(found.name for found in tmp_path.iterdir()) == ["plan.yaml"]


def test_a_damaged_shard_is_told_and_played_again(opened, whole, tmp_path):
    campaign = opened()
    for shard in campaign.missing():
        campaign.play(shard)
    path = campaign.working / "shards" / "000002.jsonl"
    path.write_bytes(path.read_bytes().replace(b"x0", b"x9"))
    with pytest.raises(EvidenceError, match="000002"):
        campaign.seal()
    assert [shard.name for shard in campaign.missing()] == ["000002"]
    campaign.play(campaign.missing()[0])
    campaign.seal()
    assert files(tmp_path / "out", RUN) == whole


def test_half_a_shard_counts_as_missing(opened):
    campaign = opened()
    shard = campaign.shards[1]
    campaign.play(shard)
    path = campaign.working / "shards" / "000001.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    assert shard in campaign.missing()
    with pytest.raises(RequestError, match="missing"):
        campaign.seal()


def test_a_full_disk_while_playing_keeps_what_is_finished(opened, monkeypatch, whole, tmp_path):
    campaign = opened()
    campaign.play(campaign.shards[1])

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("blackbox.files.os.fsync", full)
        with pytest.raises(RequestError, match="No space left"):
            campaign.play(campaign.shards[2])
    assert len(campaign.missing()) == 3
    assert not [path for path in (campaign.working / "shards").iterdir() if path.name.startswith(".")]
    for shard in campaign.missing():
        campaign.play(shard)
    campaign.seal()
    assert files(tmp_path / "out", RUN) == whole


def test_a_full_disk_before_the_first_shard_is_told(opened, monkeypatch, whole, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("blackbox.campaign.lock.os.write", full)
        locked(tmp_path / "lock").release()  # the number of the holder is for people only
    for place in ("journal._note", "opening.manifest.write_manifest"):
        with monkeypatch.context() as patched:
            patched.setattr(f"blackbox.campaign.{place}", full)
            with pytest.raises(RequestError, match=r"out\.partial cannot be written: No space left"):
                opened()
    campaign = opened()
    for shard in campaign.missing():
        campaign.play(shard)
    with monkeypatch.context() as patched:
        patched.setattr("blackbox.campaign.journal._note", full)
        campaign.close()  # says nothing of its end, and lets go
    again = opened()
    again.seal()
    assert files(tmp_path / "out", RUN) == whole


def test_a_clock_that_was_set_back_is_told_and_makes_no_negative_time(opened, tmp_path, monkeypatch):
    campaign = opened()
    now = {"at": 2_000_000_000.0}
    monkeypatch.setattr("blackbox.campaign.journal.time.time", lambda: now["at"])
    for shard in campaign.missing():
        campaign.play(shard)
        now["at"] -= 3600
    receipts = [campaign.receipt(shard) for shard in campaign.shards]
    told = run_record(campaign.working, receipts)
    assert told["clock_went_back_seconds"] >= 3 * 3600
    assert told["began"] <= told["ended"]
    assert all(shard["seconds"] >= 0 for shard in told["shards"])
    campaign.seal()
    assert bb.AuditResult(tmp_path / "out").passed


def test_a_broken_plan_of_a_campaign_says_what_to_delete(opened):
    campaign = opened()
    campaign.close()
    (campaign.working / "campaign.json").write_text("{")
    with pytest.raises(RequestError, match="delete the folder"):
        opened()


def test_many_cases_are_summed_up_and_the_first_and_the_failing_are_shown(tmp_path):
    rows = "".join(f"r{k},{k % 5},{k % 3},{1 if k == 30 else 9},4\n" for k in range(40))
    (tmp_path / "rows.csv").write_text("id,x0,x1,x2,x3\n" + rows)
    failing = "{protected: {features: [x2], top: 1, gate: fail}}"
    path = plan(tmp_path, failing, methods="[occlusion]", data="{path: rows.csv, id: id}", outputs="{cases: 5}")
    path.write_text(path.read_text() + "targets: null\n")
    result = run("audit", path, "-o", tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    sealed = bb.AuditResult(tmp_path / "out")
    failed = [case.id for case in sealed.cases() if case.status == "failed"]
    shown = page.count("<section")
    assert shown == 5 + min(5, len([name for name in failed if int(name[1:]) >= 5]))
    assert f"Shown are {shown} of 40 cases" in page
    assert result.exit_code == (1 if failed else 0)
    assert sum(1 for _ in sealed.cases()) == 40


def test_the_table_holds_every_value_with_the_names_in_its_schema(tmp_path):
    import pyarrow.parquet

    folder = bb.audit(plan(tmp_path, methods="[kernelshap, occlusion]"), tmp_path / "out").folder
    table = pyarrow.parquet.read_table(folder / "explanations.parquet")
    assert str(table.schema.field("values").type) == "fixed_size_list<element: double>[4]"
    assert json.loads(table.schema.metadata[b"features"]) == ["x0", "x1", "x2", "x3"]
    told = [record for record in records(folder) if record["kind"] == "explanation"]
    assert table.column("values").to_pylist() == [record["explanation"]["values"] for record in told]
    assert table.column("lower").to_pylist() == [record["explanation"]["lower_bounds"] for record in told]
    frame = bb.AuditResult(folder).to_dataframe()
    assert len(frame) == 4 * len(told)
    assert frame["feature"].tolist()[:4] == ["x0", "x1", "x2", "x3"]
    assert frame["value"].tolist()[:4] == told[0]["explanation"]["values"]


def test_findings_for_machines_say_what_the_exit_code_says(tmp_path):
    strict = "{protected: {features: [x3], top: 1, gate: fail}, omission: {gate: fail}, agreement: {least: 1.0}}"
    path = plan(tmp_path, strict, methods="[kernelshap, occlusion]")
    assert run("audit", path, "-o", tmp_path / "out").exit_code == 1
    sealed = bb.AuditResult(tmp_path / "out")
    suites = ET.parse(tmp_path / "out" / "junit.xml").getroot()
    assert int(suites.get("failures")) == sealed.count("failed") == len(suites.findall(".//failure"))
    assert int(suites.get("tests")) == len(suites.findall(".//testcase"))
    for suite in suites:
        assert int(suite.get("tests")) == len(suite.findall("testcase"))
    sarif = read(tmp_path / "out", "findings.sarif")
    (told,) = sarif["runs"]
    assert sarif["version"] == "2.1.0"
    levels = [result["level"] for result in told["results"]]
    assert levels.count("error") == sealed.count("failed")
    assert levels.count("warning") == sealed.count("warned")
    rules = told["tool"]["driver"]["rules"]
    for result in told["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "linear.onnx"
    prints = [result["partialFingerprints"]["blackboxFinding/v1"] for result in told["results"]]
    assert len(set(prints)) == len(prints)
    assert all(rule["help"]["text"] and rule["shortDescription"]["text"] for rule in rules)
    assert read(tmp_path / "out", "findings.json")["passed"] is False


def test_json_on_stdout_is_the_summary(tmp_path):
    result = run("audit", plan(tmp_path), "-o", tmp_path / "out", "--json")
    told = json.loads(result.stdout)
    assert told == json.loads(json.dumps(bb.AuditResult(tmp_path / "out").summary()))
    assert (told["passed"], told["cases"]) == (True, 3)
    assert Path(told["report"]).is_file()


def test_a_plan_may_be_a_mapping_and_a_folder_that_is_no_audit_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = {"model": {"path": str(LINEAR)}, "data": {"path": str(ROWS)}, "methods": ["occlusion"], "checks": []}
    assert bb.audit(told).folder == Path("audit-linear")
    with pytest.raises(RequestError, match=r"'metods'.*Did you mean 'methods'"):
        bb.audit({**told, "metods": []})
    with pytest.raises(RequestError, match="no sealed audit"):
        bb.AuditResult(tmp_path).passed  # noqa: B018


def test_a_dry_run_forecasts_and_writes_nothing(tmp_path):
    before = sorted(tmp_path.iterdir())
    told = json.loads(run("audit", MODELS / "credit" / "audit.yaml", "--dry-run", "--json").stdout)
    assert told["cases"] == 8
    assert told["methods"]["kernelshap"] == 1202 * 100
    assert told["seconds"] > 0
    assert told["memory_bytes"] > 2**20
    words = run("audit", MODELS / "credit" / "audit.yaml", "--dry-run", "--workers", "2").stdout
    assert "8 cases" in words
    assert "in 2 processes" in words
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("method", list(bb.METHODS))
def test_a_forecast_is_not_exceeded(method, tmp_path):
    from blackbox.forecast import forecast

    sample = load_plan(MODELS / "digits" / "audit.yaml")
    update = {"methods": {method: {}}, "checks": {"determinism": {}}, "reasons": None,
              "data": sample.data.model_copy(update={"first": 1})}  # fmt: skip
    asked = sample.model_copy(update=update)
    most = forecast(asked, MODELS / "digits")
    sealed = bb.audit(asked, tmp_path / "out", MODELS / "digits")
    (case,) = sealed.cases()
    for name, explanation in case.explanations.items():
        assert explanation.rows <= most.methods[name]
    assert sealed.rows <= most.rows
