"""A whole audit: the folder it leaves, its digests, its verdict, and what a bad day does to it."""

from __future__ import annotations

import hashlib
import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from test_cli import LINEAR, MODELS, ROWS, STRONGEST, plan, run
from test_onnx import external

import blackbox as bb
from blackbox.canonical import canonical
from blackbox.errors import ModelError, RequestError
from blackbox.evidence import merkle
from blackbox.plan import as_plan, load_plan
from blackbox.records import explanation_of

NAN, NAN_ROWS = MODELS / "toys" / "nan.onnx", MODELS / "toys" / "inputs" / "nan.csv"


def first(name, folder, count=1):
    """A sample plan, played on so many of its cases."""
    loaded = load_plan(MODELS / name / "audit.yaml")
    fewer = loaded.model_copy(update={"data": loaded.data.model_copy(update={"first": count})})
    return bb.audit(fewer, folder, MODELS / name)


@pytest.fixture(scope="module", params=["credit", "digits"])
def bundle(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit") / "out"
    return first(request.param, folder), folder


@pytest.fixture(scope="module")
def sample(bundle):
    return load_plan(MODELS / ("digits" if "mlp.onnx" in bundle[0].manifest["inputs"]["model"] else "credit") / "audit.yaml")


def read(folder, name="manifest.json"):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def records(folder):
    return [json.loads(line) for line in (folder / "records.jsonl").read_bytes().splitlines()]


def files(folder, without=()):
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if name not in without}


def test_a_sample_audit_passes_and_every_method_answers(bundle, sample):
    result, _ = bundle
    assert result.passed
    (case,) = result.cases()
    assert list(case.explanations) == list(sample.methods)
    assert not case.failures
    assert {finding.check for finding in case.findings} <= set(result.checks)


def test_the_folder_holds_what_the_manifest_lists(bundle):
    _, folder = bundle
    names = set(files(folder))
    assert names >= {
        "manifest.json", "run.json", "records.jsonl", "explanations.parquet", "findings.json", "plan.yaml",
        "report.html", "junit.xml", "findings.sarif",
    }  # fmt: skip
    assert names == {"manifest.json", "run.json", *read(folder)["files"]}
    assert read(folder)["files"] == {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files(folder, ("manifest.json", "run.json")).items()
    }


def test_records_stand_in_case_order_and_are_the_leaves_of_the_tree(bundle, sample):
    result, folder = bundle
    lines = (folder / "records.jsonl").read_bytes().splitlines()
    assert all(canonical(json.loads(line)) == line for line in lines)
    told = records(folder)
    assert [record["kind"] for record in told] == ["case"] + ["explanation"] * len(sample.methods)
    assert [record.get("method") for record in told[1:]] == list(sample.methods)
    assert read(folder)["records"] == {"count": len(lines), "merkle_root": merkle.root(lines).hex()}
    (case,) = result.cases()
    for record in told[1:]:
        back = explanation_of(record)
        np.testing.assert_array_equal(back.values, case.explanations[record["method"]].values)
        assert back.provenance["model"]["source"] == Path(back.provenance["model"]["source"]).name


def test_the_manifest_names_what_was_read(bundle, sample):
    result, folder = bundle
    manifest = read(folder)
    model = "credit" if "credit.onnx" in manifest["inputs"]["model"] else "digits"
    for role in ("model", "data", "background"):
        assert manifest["inputs"][role]
        for name, digest in manifest["inputs"][role].items():
            (path,) = [p for p in (MODELS / model).rglob(name) if hashlib.sha256(p.read_bytes()).hexdigest() == digest]
            assert path.is_file()
    assert (manifest["passed"], manifest["rows"]) == (True, result.rows)
    assert read(folder, "run.json")["rows_in_shards"] == result.rows


def test_the_stored_plan_is_a_plan_with_every_default_filled_in(bundle, sample, tmp_path):
    _, folder = bundle
    (tmp_path / "again.yaml").write_bytes((folder / "plan.yaml").read_bytes())
    stored = load_plan(tmp_path / "again.yaml")
    assert {name: method for name, (method, _) in stored.parsed_methods().items()} == {
        name: method for name, (method, _) in sample.parsed_methods().items()
    }
    assert stored.parsed_checks() == sample.parsed_checks()
    raw = yaml.safe_load((folder / "plan.yaml").read_text(encoding="utf-8"))
    assert set(raw) == set(type(sample).model_fields)
    assert raw["methods"]["kernelshap"].keys() >= {"budget", "estimator", "confidence", "scale"}
    assert all(raw[role]["sha256"] for role in ("model", "data", "background"))
    assert as_plan(raw) == stored


def test_the_page_loads_nothing_and_runs_nothing(bundle):
    result, folder = bundle
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page.lower()
    loaded = re.findall(r"(?:src|href)\s*=\s*[\"']?([^\"'>]*)", page)
    assert all(address.startswith(("data:", "#")) for address in loaded)
    assert not re.search(r"https?://|url\(|@import", page)
    assert page.count("<section") == 1
    assert next(result.cases()).id in page
    assert page.rstrip().endswith("</html>")


def test_two_runs_are_equal_byte_for_byte(bundle, tmp_path):
    _, folder = bundle
    name = "digits" if "mlp.onnx" in read(folder)["inputs"]["model"] else "credit"
    first(name, tmp_path / "again")
    assert files(tmp_path / "again", ["run.json"]) == files(folder, ["run.json"])


def test_one_case_alone_gives_what_it_gave_among_others(tmp_path):
    two, one = first("digits", tmp_path / "two", 2), first("digits", tmp_path / "one", 1)
    among, alone = next(two.cases()), next(one.cases())
    for method, explanation in alone.explanations.items():
        np.testing.assert_array_equal(explanation.values, among.explanations[method].values)


def test_a_failing_gate_is_exit_1_and_a_warning_is_0(tmp_path):
    failed = run("audit", plan(tmp_path, STRONGEST), "-o", tmp_path / "out")
    assert failed.exit_code == 1
    assert "NOT PASSED" in failed.stdout
    assert read(tmp_path / "out")["passed"] is False
    assert "Not passed" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    warned = run("audit", plan(tmp_path, STRONGEST.replace("fail", "warn")), "-o", tmp_path / "out")
    assert warned.exit_code == 0
    assert read(tmp_path / "out")["findings"]["warned"] > 0


def test_a_plan_without_a_background_hides_with_zeros(tmp_path):
    path = plan(tmp_path)
    path.write_text(path.read_text().replace(f"background: {{path: {ROWS}}}\n", ""))
    assert run("audit", path, "-o", tmp_path / "out").exit_code == 0
    assert "row of zeros" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def nan_plan(folder, rows, **top):
    background = f"{{path: {NAN_ROWS}, most: 1}}" if rows else f"{{path: {NAN_ROWS}}}"
    keys = {"model": f"{{path: {NAN}}}", "data": f"{{path: {NAN_ROWS}{rows}}}", "background": background}
    return plan(folder, **{**keys, "methods": "[occlusion, kernelshap]", **top})


def test_rows_that_give_nan_are_failed_records_and_the_others_are_explained(tmp_path):
    path = nan_plan(tmp_path, ", rows: [0, 2, 1]", background="{}")
    result = run("audit", path, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "occlusion gave no answer" in " ".join(result.stdout.split())
    occluded = [record for record in records(tmp_path / "out") if record.get("method") == "occlusion"]
    assert [record["kind"] for record in occluded] == ["explanation", "failure", "explanation"]
    assert occluded[1]["error"]["type"] == "ModelError"
    assert "returned nan" in occluded[1]["error"]["message"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("<section") == 3
    assert "returned nan" in page


def test_the_first_row_may_be_the_one_that_fails(tmp_path):
    path = nan_plan(tmp_path, ", rows: [2, 0]", background="{}")
    assert run("audit", path, "-o", tmp_path / "out").exit_code == 1
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_model_that_answers_nothing_is_exit_3_and_leaves_nothing(tmp_path):
    path = nan_plan(tmp_path, ", rows: [2]", background="{}")
    before = sorted(tmp_path.iterdir())
    result = run("audit", path, "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert "returned nan" in result.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_a_question_that_no_method_can_answer_is_exit_2(tmp_path):
    result = run("audit", plan(tmp_path, targets="other"), "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("budget", ["62", "{total: 62}", "{case: 20}", "{case: 20, total: 300}"])
def test_a_budget_that_ends_midway_keeps_what_was_found(tmp_path, budget):
    path = plan(tmp_path, "[determinism, fidelity, stability]", methods="[occlusion, sis]", budget=budget)
    result = run("audit", path, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "budget" in result.stdout
    told = records(tmp_path / "out")
    spent = [record["rows"] for record in told if record["kind"] == "case"]
    most = load_plan(path).budget.of_case(3)
    assert max(spent) <= most
    assert sum(spent) <= 62
    assert {record["kind"] for record in told} == {"case", "explanation"}


STOPS = ["blackbox.checks.trust.Determinism.examine", "blackbox.evidence.bundle.render",
         "blackbox.evidence.bundle._manifest", "blackbox.campaign.campaign.put_in_place"]  # fmt: skip


@pytest.mark.parametrize("place", STOPS)
def test_an_interrupted_run_is_gone_on_with_to_the_same_bytes(tmp_path, monkeypatch, place):
    def stopped(*_):
        raise KeyboardInterrupt

    path = plan(tmp_path, "[determinism]")
    assert run("audit", path, "-o", tmp_path / "whole").exit_code == 0
    with monkeypatch.context() as patched:
        patched.setattr(place, stopped)
        result = run("audit", path, "-o", tmp_path / "out")
    assert result.exit_code == 130
    assert "goes on from there" in result.stderr
    assert not (tmp_path / "out").exists()
    assert run("audit", path, "-o", tmp_path / "out").exit_code == 0
    assert files(tmp_path / "out", ["run.json"]) == files(tmp_path / "whole", ["run.json"])
    assert read(tmp_path / "out", "run.json")["interruptions"] == 1
    assert sorted(found.name for found in tmp_path.iterdir()) == ["out", "plan.yaml", "whole"]


def test_an_interruption_before_anything_is_planned_leaves_nothing(tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    path = plan(tmp_path, "[determinism]")
    monkeypatch.setattr("blackbox.campaign.opening.gather", stopped)
    assert run("audit", path, "-o", tmp_path / "out").exit_code == 130
    assert [found.name for found in tmp_path.iterdir()] == ["plan.yaml"]


@pytest.mark.parametrize("place", ["blackbox.evidence.bundle.render", "blackbox.evidence.bundle._manifest"])
def test_a_full_disk_is_told_and_leaves_the_earlier_audit(tmp_path, monkeypatch, place):
    def full(*_):
        raise OSError(28, "No space left on device")

    path = plan(tmp_path)
    run("audit", path, "-o", tmp_path / "out")
    before = files(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(place, full)
        result = run("audit", path, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "No space left" in result.stderr
    assert files(tmp_path / "out") == {name[4:]: kept for name, kept in before.items() if name.startswith("out/")}
    assert run("audit", path, "-o", tmp_path / "out").exit_code == 0
    assert sorted(found.name for found in tmp_path.iterdir()) == ["out", "plan.yaml"]


def test_an_earlier_audit_is_replaced_as_a_whole(tmp_path):
    run("audit", plan(tmp_path, methods="[occlusion, kernelshap]"), "-o", tmp_path / "out")
    run("audit", plan(tmp_path), "-o", tmp_path / "out")
    assert {record.get("method") for record in records(tmp_path / "out")} == {None, "kernelshap"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "plan.yaml"]


def test_what_somebody_else_put_there_is_never_deleted(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    for name in ("mine", "file"):
        result = run("audit", plan(tmp_path), "-o", tmp_path / name)
        assert result.exit_code == 2
        assert name in result.stderr
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine", "plan.yaml"]


def test_notes_added_to_an_earlier_audit_are_never_deleted(tmp_path):
    run("audit", plan(tmp_path), "-o", tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("seen with the risk officer")
    run("audit", plan(tmp_path), "-o", tmp_path / "out")
    assert (tmp_path / "out" / "notes.txt").read_text() == "seen with the risk officer"


def test_a_folder_that_cannot_be_written_is_told_before_the_model_is_asked(tmp_path, monkeypatch):
    def asked(*_):
        raise AssertionError("the whole audit was played first")

    (tmp_path / "file").write_text("a file")
    monkeypatch.setattr("blackbox.campaign.playing.examine", asked)
    result = run("audit", plan(tmp_path), "-o", tmp_path / "file" / "out")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr or "is a file" in result.stderr


def test_the_folder_one_stands_in_can_take_the_audit_or_refuses_it(tmp_path, monkeypatch):
    path = plan(tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    result = run("audit", path, "-o", ".")
    left = sorted(found.name for found in (tmp_path / "here").iterdir())
    assert (result.exit_code, left) == (2, []) or (result.exit_code == 0 and "manifest.json" in left)


def test_without_a_folder_the_audit_is_named_after_its_plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("audit", plan(tmp_path)).exit_code == 0
    assert (tmp_path / "audit-plan" / "report.html").is_file()
    assert run("audit", plan(tmp_path, outputs="{folder: deep/er}")).exit_code == 0
    assert (tmp_path / "deep" / "er" / "report.html").is_file()


EVIL = "<img src=x onerror=alert(1)>"


def test_everything_from_outside_is_escaped(tmp_path):
    evil = tmp_path / f"{EVIL.replace('/', '')}.csv"
    evil.write_text(f'"id{EVIL}","{EVIL}",x1,x2,x3\n"{EVIL}",1,2,3,4\n"[red]b[/red]",2,2,3,4\n')
    labels = f'{{labels: {{x3: "{EVIL}"}}, groups: {{"<b>{EVIL}": [x1, x2]}}}}'
    path = plan(tmp_path, "[omission]", data=f'{{path: "{evil.name}"}}', background=f'{{path: "{evil.name}"}}',
                features=labels, methods="[occlusion, sis, lime]", reasons="{method: occlusion}",
                model=f'{{path: {LINEAR}, classes: ["{EVIL}"]}}')  # fmt: skip
    result = run("audit", path, "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert "[red]b[/red]" in result.stdout
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "<b><img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_names_with_slashes_and_signs_make_no_odd_files(tmp_path):
    (tmp_path / "rows.csv").write_text('id,x0,x1,x2,x3\n"../../x",1,2,3,4\n"ü/\\:*?",2,2,3,4\n', encoding="utf-8")
    path = plan(tmp_path, data="{path: rows.csv, id: id}")
    assert run("audit", path, "-o", tmp_path / "out").exit_code == 0
    assert {name for name in files(tmp_path / "out") if "/" in name} == {
        "figures/overall.svg", "figures/case-000001.svg", "figures/case-000002.svg",
    }  # fmt: skip
    assert records(tmp_path / "out")[0]["case"] == "../../x"


@pytest.mark.parametrize("location", ["w.bin", "weights/w.bin"])
def test_a_model_with_external_data_is_audited_with_all_its_files(tmp_path, location):
    external(tmp_path / "m.onnx", location)
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    here = {"model": "{path: m.onnx}", "data": "{path: rows.csv}", "background": "{path: rows.csv}"}
    assert run("audit", plan(tmp_path, **here), "-o", tmp_path / "out").exit_code == 0
    assert set(read(tmp_path / "out")["inputs"]["model"]) == {"m.onnx", location}


def test_every_target_of_a_list_is_a_case_of_its_own(tmp_path):
    loaded = load_plan(MODELS / "credit" / "audit.yaml")
    update = {"targets": ("declined", 1), "methods": {"occlusion": {}}, "checks": {}, "reasons": None,
              "data": loaded.data.model_copy(update={"rows": ("A-003", 0)})}  # fmt: skip
    result = bb.audit(loaded.model_copy(update=update), tmp_path / "out", MODELS / "credit")
    assert [(case.id, case.row, case.target) for case in result.cases()] == [
        ("A-003", 2, "declined"), ("A-003", 2, "approved"), ("A-001", 0, "declined"), ("A-001", 0, "approved"),
    ]  # fmt: skip


def test_reasons_are_in_words_and_in_both_directions(tmp_path):
    case = next(first("credit", tmp_path / "out").cases())
    reasons = case.reasons
    assert reasons["target"] == case.target
    assert 0 < len(reasons["supporting"]) <= 4
    assert all(reason["value"] > 0 for reason in reasons["supporting"])
    assert all(reason["value"] < 0 for reason in reasons["opposing"])
    assert re.fullmatch(r".+ \(.+\): \+[\d.e-]+", reasons["supporting"][0]["sentence"])


def test_a_picture_audit_shows_pictures(bundle):
    _, folder = bundle
    shown = (folder / "report.html").read_text(encoding="utf-8").count("data:image/png;base64,")
    assert (shown > 4) == ("mlp.onnx" in read(folder)["inputs"]["model"])


def test_a_method_that_fails_alone_does_not_end_the_audit(tmp_path):
    path = plan(tmp_path, methods="{occlusion: {}, kernelshap: {budget: 3}}")
    result = run("audit", path, "-o", tmp_path / "out")
    assert result.exit_code == 1
    record = records(tmp_path / "out")[2]
    assert (record["method"], record["kind"]) == ("kernelshap", "failure")
    assert "3 masks cannot determine 4 features" in record["error"]["message"]


def test_the_python_door_raises_what_the_command_line_tells(tmp_path):
    with pytest.raises(ModelError, match="returned nan"):
        bb.audit(nan_plan(tmp_path, ", rows: [2]", background="{}"), tmp_path / "out")
    with pytest.raises(RequestError, match="Unknown target"):
        bb.audit(str(plan(tmp_path, targets="other")), tmp_path / "out")


def test_the_report_says_whether_the_second_order_matters(bundle):
    result, folder = bundle
    page = (folder / "report.html").read_text(encoding="utf-8")
    said = [case.explanations["caso"].details["second_order_text"] for case in result.cases()]
    assert page.count("Does the second order matter here?") == len(said)
    assert all(html.escape(words) in page for words in said)
