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
from blackbox.audit import run as play
from blackbox.errors import ModelError, RequestError
from blackbox.evidence.bundle import write_bundle
from blackbox.plan import load_plan

NAN, NAN_ROWS = MODELS / "toys" / "nan.onnx", MODELS / "toys" / "inputs" / "nan.csv"


def first(name, count=1):
    """A sample plan, played on so many of its cases."""
    loaded = load_plan(MODELS / name / "audit.yaml")
    return play(loaded.model_copy(update={"data": loaded.data.model_copy(update={"first": count})}), MODELS / name)


@pytest.fixture(scope="module", params=["credit", "digits"])
def bundle(request, tmp_path_factory):
    result = first(request.param)
    return result, write_bundle(result, tmp_path_factory.mktemp("audit") / "out").parent


def read(folder, name="manifest.json"):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sample_audit_passes_and_every_method_answers(bundle):
    result, _ = bundle
    assert result.passed
    assert set(result.cases[0].explanations) == set(result.plan.methods)
    assert not result.cases[0].failures
    assert {finding.check for finding in result.findings} >= set(result.plan.checks) - {"local_fit"}


def test_the_folder_holds_records_findings_plan_page_and_manifest(bundle):
    result, folder = bundle
    names = set(files(folder))
    assert names == {"manifest.json", "findings.json", "plan.yaml", "report.html"} | {
        f"records/00001-{method}.json" for method in result.plan.methods
    }
    for method in result.plan.methods:
        record = read(folder, f"records/00001-{method}.json")
        assert record["case"] == result.cases[0].id
        back = bb.Explanation.from_json(json.dumps(record["explanation"]))
        np.testing.assert_array_equal(back.values, result.cases[0].explanations[method].values)
    assert len(read(folder, "findings.json")) == len(result.findings)


def test_the_manifest_holds_the_digest_of_every_file_read_and_written(bundle):
    result, folder = bundle
    manifest = read(folder)
    written = {name: content for name, content in files(folder).items() if name != "manifest.json"}
    assert manifest["files"] == {n: hashlib.sha256(c).hexdigest() for n, c in sorted(written.items())}
    for role, paths in result.materials.files.items():
        for path in paths:
            assert manifest["inputs"][role][path.name] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert {"model", "data", "background"} <= set(manifest["inputs"])
    assert (manifest["passed"], manifest["rows"]) == (True, result.rows)


def test_the_stored_plan_is_a_plan_with_every_default_filled_in(bundle, tmp_path):
    result, folder = bundle
    (tmp_path / "again.yaml").write_bytes((folder / "plan.yaml").read_bytes())
    assert load_plan(tmp_path / "again.yaml") == result.plan
    assert set(yaml.safe_load((folder / "plan.yaml").read_text(encoding="utf-8"))) == set(type(result.plan).model_fields)


def test_the_page_loads_nothing_and_runs_nothing(bundle):
    result, folder = bundle
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page.lower()
    loaded = re.findall(r"(?:src|href)\s*=\s*[\"']?([^\"'>]*)", page)
    assert all(address.startswith(("data:", "#")) for address in loaded)
    assert not re.search(r"https?://|url\(|@import", page)
    assert page.count("<section") == 1
    assert result.cases[0].id in page
    assert page.rstrip().endswith("</html>")


def test_two_runs_are_equal_byte_for_byte(bundle, tmp_path):
    result, folder = bundle
    again = write_bundle(first("digits" if result.materials.data.images else "credit"), tmp_path / "again").parent
    assert files(again) == files(folder)


def test_one_case_alone_gives_what_it_gave_among_others():
    two, one = first("digits", 2), first("digits", 1)
    for method, explanation in one.cases[0].explanations.items():
        np.testing.assert_allclose(explanation.values, two.cases[0].explanations[method].values, atol=1e-6)


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
    records = [read(tmp_path / "out" / "records", f"0000{k}-occlusion.json") for k in (1, 2, 3)]
    assert ["failure" in record for record in records] == [False, True, False]
    assert "returned nan" in records[1]["failure"]
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


@pytest.mark.parametrize("budget", [20, 40])
def test_a_budget_that_ends_midway_keeps_what_was_found(tmp_path, budget):
    path = plan(tmp_path, "[determinism, fidelity, stability]", methods="[occlusion, sis]", budget=budget)
    result = run("audit", path, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "budget" in result.stdout
    assert read(tmp_path / "out")["rows"] <= budget


STOPS = ["blackbox.checks.trust.Determinism.examine", "blackbox.evidence.bundle.render",
         "blackbox.evidence.bundle._manifest", "blackbox.files._swap", "blackbox.audit.gather"]  # fmt: skip


@pytest.mark.parametrize("place", STOPS)
def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch, place):
    def stopped(*_):
        raise KeyboardInterrupt

    path = plan(tmp_path, "[determinism]")
    before = sorted(tmp_path.iterdir())
    with monkeypatch.context() as patched:
        patched.setattr(place, stopped)
        assert run("audit", path, "-o", tmp_path / "out").exit_code == 1
    assert sorted(tmp_path.iterdir()) == before


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
    assert files(tmp_path) == before


def test_an_earlier_audit_is_replaced_as_a_whole(tmp_path):
    run("audit", plan(tmp_path, methods="[occlusion, kernelshap]"), "-o", tmp_path / "out")
    run("audit", plan(tmp_path), "-o", tmp_path / "out")
    assert sorted(files(tmp_path / "out")) == sorted(
        ["findings.json", "manifest.json", "plan.yaml", "report.html",
         *(f"records/0000{k}-kernelshap.json" for k in (1, 2, 3))]
    )  # fmt: skip
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
    monkeypatch.setattr("blackbox.audit.run", asked)
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
    assert sorted(found.name for found in (tmp_path / "out" / "records").iterdir()) == [
        "00001-kernelshap.json", "00002-kernelshap.json",
    ]  # fmt: skip
    assert read(tmp_path / "out" / "records", "00001-kernelshap.json")["case"] == "../../x"


@pytest.mark.parametrize("location", ["w.bin", "weights/w.bin"])
def test_a_model_with_external_data_is_audited_with_all_its_files(tmp_path, location):
    external(tmp_path / "m.onnx", location)
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    here = {"model": "{path: m.onnx}", "data": "{path: rows.csv}", "background": "{path: rows.csv}"}
    assert run("audit", plan(tmp_path, **here), "-o", tmp_path / "out").exit_code == 0
    assert set(read(tmp_path / "out")["inputs"]["model"]) == {"m.onnx", location}


def test_every_target_of_a_list_is_a_case_of_its_own():
    loaded = load_plan(MODELS / "credit" / "audit.yaml")
    update = {"targets": ("declined", 1), "methods": {"occlusion": {}}, "checks": {},
              "data": loaded.data.model_copy(update={"rows": ("A-003", 0)})}  # fmt: skip
    result = play(loaded.model_copy(update=update), MODELS / "credit")
    assert [(case.id, case.row, case.target) for case in result.cases] == [
        ("A-003", 2, "declined"), ("A-003", 2, "approved"), ("A-001", 0, "declined"), ("A-001", 0, "approved"),
    ]  # fmt: skip


def test_reasons_are_in_words_and_in_both_directions():
    case = first("credit").cases[0]
    reasons = case.reasons
    assert reasons.target == case.target
    assert 0 < len(reasons.supporting) <= 4
    assert all(reason.value > 0 for reason in reasons.supporting)
    assert all(reason.value < 0 for reason in reasons.opposing)
    assert re.fullmatch(r".+ \(.+\): \+[\d.e-]+", reasons.supporting[0].sentence)


def test_a_picture_audit_shows_pictures(bundle):
    result, folder = bundle
    shown = (folder / "report.html").read_text(encoding="utf-8").count("data:image/png;base64,")
    assert (shown > 4) == result.materials.data.images


def test_a_method_that_fails_alone_does_not_end_the_audit(tmp_path):
    path = plan(tmp_path, methods="{occlusion: {}, kernelshap: {budget: 3}}")
    result = run("audit", path, "-o", tmp_path / "out")
    assert result.exit_code == 1
    record = read(tmp_path / "out" / "records", "00001-kernelshap.json")
    assert "3 masks cannot determine 4 features" in record["failure"]


def test_the_python_door_raises_what_the_command_line_tells(tmp_path):
    with pytest.raises(ModelError, match="returned nan"):
        play(load_plan(nan_plan(tmp_path, ", rows: [2]", background="{}")), tmp_path)
    with pytest.raises(RequestError, match="Unknown target"):
        play(load_plan(plan(tmp_path, targets="other")), Path())


def test_the_report_says_whether_the_second_order_matters(bundle):
    result, folder = bundle
    page = (folder / "report.html").read_text(encoding="utf-8")
    said = [case.explanations["caso"].details["second_order_text"] for case in result.cases]
    assert page.count("Does the second order matter here?") == len(said)
    assert all(html.escape(words) in page for words in said)
