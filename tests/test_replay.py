"""A bundle played again: the same answers, or which case differs and by how much."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnx
import pytest
import yaml
from onnx import numpy_helper
from test_cli import MODELS, run

import blackbox as bb
from blackbox.canonical import canonical
from blackbox.comparing_decisions import changes
from blackbox.errors import EvidenceError, RequestError
from blackbox.files import sha256
from blackbox.plan import load_plan
from blackbox.replay import replay

CREDIT = MODELS / "credit"


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """Four applicants, three methods, reasons."""
    plan = load_plan(CREDIT / "audit.yaml")
    update = {"data": plan.data.model_copy(update={"first": 4}), "checks": {"additivity": {}},
              "methods": {"occlusion": {}, "sis": {}, "kernelshap": {"budget": 300}}}  # fmt: skip
    folder = tmp_path_factory.mktemp("replay") / "out"
    bb.audit(plan.model_copy(update=update), folder, CREDIT)
    return folder


@pytest.fixture
def bundle(sealed, tmp_path):
    return shutil.copytree(sealed, tmp_path / "bundle")


def rewrite(bundle, change):
    """Change records and bind them in the manifest, as a forger without a key could."""
    told = [json.loads(line) for line in (bundle / "records.jsonl").read_bytes().splitlines()]
    for record in told:
        change(record)
    (bundle / "records.jsonl").write_bytes(b"".join(canonical(record) + b"\n" for record in told))
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    manifest["files"]["records.jsonl"]["sha256"] = sha256(bundle / "records.jsonl")
    (bundle / "manifest.json").write_bytes(canonical(manifest))


def test_the_same_model_gives_the_same_answers(bundle):
    found = replay(bundle, CREDIT / "credit.onnx")
    assert found.same
    assert (found.cases, found.differing, found.tied, found.changed) == (4, 0, 0, [])
    assert found.largest < 1e-9
    shown = run("replay", bundle, "--model", CREDIT / "credit.onnx", "--sample", "2")
    assert shown.exit_code == 0
    assert "THE SAME: 2 of 4 cases" in shown.stdout


def test_a_sample_is_drawn_with_the_seed_and_costs_less(bundle):
    whole, one = (replay(bundle, CREDIT / "credit.onnx", sample=n) for n in (None, 1))
    assert one.cases == 1
    assert 0 < one.rows < whole.rows / 2


def test_recorded_rows_per_pass_are_read_not_chosen(bundle, monkeypatch):
    seen = []
    from blackbox import opening

    def noted(source, device, options):
        seen.append(options["batch_size"])
        return bb.open_model(source, device, options)

    monkeypatch.setattr(opening, "open_model", noted)
    replay(bundle, CREDIT / "credit.onnx", sample=1)
    assert seen == [json.loads((bundle / "manifest.json").read_bytes())["rows_per_run"]]


@pytest.mark.parametrize(("by", "same"), [(3e-5, True), (1e-3, False)])
def test_a_value_may_move_by_a_ten_thousandth_of_the_range(bundle, by, same):
    def move(record):
        if record["kind"] == "explanation" and record["case"] == "A-002" and record["method"] == "occlusion":
            values = record["explanation"]["values"]
            values[0] += by * float(np.ptp([*values, 0.0]))

    rewrite(bundle, move)
    found = replay(bundle, CREDIT / "credit.onnx")
    assert found.same == same
    assert found.largest == pytest.approx(by, rel=0.1)
    if not same:
        ((only),) = found.differences
        assert (only.case, only.method) == ("A-002", "occlusion")
        assert only.what.startswith("age was")
        shown = run("replay", bundle, "--model", CREDIT / "credit.onnx", "--json")
        assert shown.exit_code == 4
        assert json.loads(shown.stdout)["differences"][0]["case"] == "A-002"


@pytest.mark.parametrize("margin", ["wide", "narrow"])
def test_another_subset_is_a_difference_only_beyond_the_recorded_margin(bundle, margin):
    def other(record):
        if record["kind"] == "explanation" and record["method"] == "sis" and record["case"] == "A-001":
            details = record["explanation"]["details"]
            details["subsets"][0] = [k + 1 for k in details["subsets"][0]]
            if margin == "narrow":
                details["certificates"][0]["score"] = details["threshold"] + 1e-6

    rewrite(bundle, other)
    found = replay(bundle, CREDIT / "credit.onnx")
    assert (found.differing, found.tied) == ((1, 0) if margin == "wide" else (0, 1))
    assert found.same == (margin == "narrow")
    assert any("near tie" in line for line in found.lines()) == (margin == "narrow")


def test_swapped_reasons_are_a_difference_where_they_are_no_tie(bundle):
    def swap(record):
        if record["kind"] == "case" and record["case"] == "A-001":
            listed = record["reasons"]["supporting"]
            listed[0], listed[1] = listed[1], listed[0]

    rewrite(bundle, swap)
    found = replay(bundle, CREDIT / "credit.onnx")
    assert [(one.case, one.method) for one in found.differences] == [("A-001", "reasons")]


def test_an_answer_that_was_a_failure_then_is_named(bundle):
    def fail(record):
        if record["kind"] == "explanation" and record["case"] == "A-003" and record["method"] == "sis":
            del record["explanation"]
            record |= {"kind": "failure", "error": {"type": "ModelError", "message": "it broke"}}

    rewrite(bundle, fail)
    (only,) = replay(bundle, CREDIT / "credit.onnx").differences
    assert "gave no answer then" in only.what


def test_another_model_is_named_with_its_digest_and_the_cases_that_differ(bundle, tmp_path):
    model = onnx.load(CREDIT / "credit.onnx")
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.size > 100:
            tensor.CopyFrom(numpy_helper.from_array(array * np.float32(1.02), tensor.name))
            break
    onnx.save(model, tmp_path / "credit.onnx")
    shown = run("replay", bundle, "--model", tmp_path / "credit.onnx", "--base", CREDIT)
    assert shown.exit_code == 4
    assert "changed: the model: SHA-256" in shown.stdout
    assert "differs: case A-001" in shown.stdout
    assert "of the range" in shown.stdout


def test_other_data_or_a_broken_bundle_is_refused(bundle, tmp_path):
    rows = (CREDIT / "applicants.csv").read_text().replace("A-002", "B-002")
    (tmp_path / "applicants.csv").write_text(rows)
    with pytest.raises(RequestError, match="changed since the plan"):
        replay(bundle, CREDIT / "credit.onnx", data=tmp_path / "applicants.csv")
    with (bundle / "records.jsonl").open("ab") as file:
        file.write(b"\n")
    with pytest.raises(EvidenceError, match=r"records\.jsonl"):
        replay(bundle, CREDIT / "credit.onnx")
    assert run("replay", bundle, "--model", CREDIT / "credit.onnx").exit_code == 4
    with pytest.raises(RequestError, match="no bundle"):
        replay(tmp_path, CREDIT / "credit.onnx")


def test_a_bundle_moves_to_another_place_with_its_files(bundle, tmp_path):
    given = ("credit.onnx", "applicants.csv", "background.csv")
    for path in [CREDIT / "credit.onnx", *CREDIT.glob("*.csv")]:
        shutil.copy(path, tmp_path / (f"my-{path.name}" if path.name in given else path.name))
    found = replay(
        bundle, tmp_path / "my-credit.onnx", tmp_path / "my-applicants.csv", tmp_path / "my-background.csv", sample=1
    )
    assert found.same


@pytest.mark.parametrize("beside", ["model", "data"])
def test_files_that_lie_elsewhere_are_found_by_their_names(bundle, tmp_path, beside):
    plan = load_plan(bundle / "plan.yaml")
    assert plan.reasons.codes == "codes.csv"
    moved = {"path": "served/credit.onnx"}, {"path": "served\\applicants.csv"}
    reasons = plan.reasons.background.model_copy(update={"path": "served/population.csv"})
    plan = plan.model_copy(update={
        "model": plan.model.model_copy(update=moved[0]), "data": plan.data.model_copy(update=moved[1]),
        "background": plan.background.model_copy(update={"path": "served/background.csv"}),
        "features": plan.features.model_copy(update={"labels": "served/columns.csv"}),
        "reasons": plan.reasons.model_copy(update={"codes": "served/codes.csv", "background": reasons}),
    })  # fmt: skip
    (bundle / "plan.yaml").write_text(yaml.safe_dump(plan.model_dump(mode="json")))
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    manifest["files"]["plan.yaml"]["sha256"] = sha256(bundle / "plan.yaml")
    (bundle / "manifest.json").write_bytes(canonical(manifest))
    (tmp_path / "m").mkdir()
    (tmp_path / "d").mkdir()
    shutil.copy(CREDIT / "credit.onnx", tmp_path / "m")
    for path in CREDIT.glob("*.csv"):
        shutil.copy(path, tmp_path / ("m" if beside == "model" and path.name != "applicants.csv" else "d"))
    found = replay(bundle, tmp_path / "m" / "credit.onnx", tmp_path / "d" / "applicants.csv", sample=1)
    assert found.same
    assert found.changed == []
    codes = next(tmp_path.glob("?/codes.csv"))
    codes.write_text(codes.read_text() + "\n")
    found = replay(bundle, tmp_path / "m" / "credit.onnx", tmp_path / "d" / "applicants.csv", sample=1)
    assert found.changed == ["the codes file: it is not the audited one"]
    codes.unlink()
    with pytest.raises(RequestError, match=r"codes\.csv"):
        replay(bundle, tmp_path / "m" / "credit.onnx", tmp_path / "d" / "applicants.csv", sample=1)


def decision(**changed):
    reasons = [{"feature": name, "value": value} for name, value in (("a", 4.0), ("b", 2.0), ("c", 2.0 - 1e-5))]
    return {"adverse": True, "score": 0.2, "passing": 0.5, "footing": "SEPARABLE", "reasons": reasons, **changed}


def named(*names):
    return [{"feature": name, "value": value} for name, value in zip(names, (4.0, 2.0, 1.99999), strict=False)]


DECISIONS = {
    "the same": (decision(), []),
    "a value that moved": (decision(reasons=[{"feature": "a", "value": 4.4}, *decision()["reasons"][1:]]), [("a was 4", 0.1)]),
    "near ties change places": (decision(reasons=named("a", "c", "b")), [("the stated reasons were a, b, c", 2.5e-6)]),
    "first and last change places": (decision(reasons=named("c", "b", "a")), [("the stated reasons", 0.5)]),
    "another reason": (decision(reasons=named("a", "b", "d")), [("and are a, b, d", None)]),
    "fewer reasons": (decision(reasons=named("a")), [("and are a", None)]),
    "an abstention": (decision(reasons=[], footing="ABSTAINED"), [("and are none", None)]),
    "another footing": (decision(footing="ORDER_OPEN"), [("footing was SEPARABLE and is ORDER_OPEN", None)]),
    "another verdict": (decision(adverse=False, reasons=[]), [("adverse at one time only", 0.6)]),
    "no decision": (None, [("at one time only", None)]),
}


@pytest.mark.parametrize("name", DECISIONS)
def test_how_stated_reasons_differ(name):
    now, wanted = DECISIONS[name]
    found = [change for change in changes(decision(), now) if change.turned or change.by > 1e-4]
    assert len(found) == len(wanted)
    for change, (words, by) in zip(found, wanted, strict=True):
        assert words in change.what
        assert change.by == (by if by is None else pytest.approx(by, rel=1e-3))


def test_a_stated_reason_that_was_forged_is_found(bundle):
    def forge(record):
        if record["kind"] == "case" and record["case"] == "A-002":
            reasons = record["reasons"]["decision"]["reasons"]
            reasons[0], reasons[1] = reasons[1], reasons[0]

    rewrite(bundle, forge)
    found = replay(bundle, CREDIT / "credit.onnx")
    assert not found.same
    assert [(one.case, one.method) for one in found.differences] == [("A-002", "reasons")]
