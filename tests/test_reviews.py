"""Checks after the cases: what all records say together, and what an earlier audit said."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from test_cli import plan, run

from blackbox.checks import AUDIT, CHECKS, Context, context_of
from blackbox.checks.drift import _joined, _kolmogorov_smirnov
from blackbox.errors import RequestError

NAMES = ["a", "b", "c"]


def records(values, scores=None, first=0, method="kernelshap", model="m1", names=NAMES):
    """Records of as many cases as there are rows of values."""
    for k, row in enumerate(values):
        about = {"case": f"case {k + first}", "target": "yes"}
        yield {"kind": "case", **about, "reasons": None}
        yield {"kind": "failure", **about, "method": "sis", "failure": "no"}
        told = {"values": list(row), "feature_names": names, "full_values": float((scores or range(99))[k]),
                "provenance": {"model": {"sha256": {"m.onnx": model}}}}  # fmt: skip
        yield {"kind": "explanation", **about, "method": method, "explanation": told}


def bundle(folder, lines):
    folder.mkdir(exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    (folder / "records.jsonl").write_bytes(text)
    listed = {"records.jsonl": {"sha256": hashlib.sha256(text).hexdigest(), "bytes": len(text)}}
    (folder / "manifest.json").write_text(json.dumps({"files": listed}))
    return context_of(folder)


def found(name, lines, context=None, **settings):
    findings = CHECKS[name](**settings).review(lines, context or Context())
    assert all((f.check, f.case) == (name, AUDIT) and f.sentence.endswith(".") for f in findings)
    return findings


VALUES = np.random.default_rng(0).normal(size=(12, 3)) + np.array([3.0, 0, 0])


def test_protected_share_by_hand():
    values = [[3, 1, 0], [3, 0, 0], [1, 3, 0], [2, 0, 2]]
    (finding,) = found("protected_share", records(values), features=("b",), top=1, most=0.3)
    assert (finding.status, finding.value) == ("passed", 0.25)
    (finding,) = found("protected_share", records(values), features=("b",), proxies=("c",), top=1, most=0.3)
    assert (finding.status, finding.value) == ("warned", 0.5)  # a tie at the cut counts as in
    assert "2 of 4 decisions (50.0%)" in finding.sentence
    assert found("protected_share", records(values, method="lime"), features=("b",)) == []
    with pytest.raises(RequestError, match="protected_share"):
        CHECKS["protected_share"]()


def test_the_same_records_have_not_drifted(tmp_path):
    context = bundle(tmp_path / "old", records(VALUES))
    findings = found("drift", records(VALUES), context)
    assert [(f.status, f.value) for f in findings] == [("passed", 0.0)] * 3
    digest = hashlib.sha256((tmp_path / "old" / "manifest.json").read_bytes()).hexdigest()
    assert all(f"manifest {digest} of the same model" in f.sentence for f in findings)


def test_scores_importance_and_equal_cases_drift_by_themselves(tmp_path):
    context = bundle(tmp_path / "old", records(VALUES))
    moved = found("drift", records(VALUES, [40.0 + k for k in range(12)], model="m2"), context)
    assert [(f.status, f.value) for f in moved] == [("warned", 1.0), ("passed", 0.0), ("passed", 0.0)]
    assert "of another model" in moved[0].sentence
    turned = found("drift", records(VALUES[:, ::-1]), context, gate="fail")
    assert [f.status for f in turned] == ["passed", "failed", "failed"]
    assert turned[1].value > 0.2
    other = found("drift", records(VALUES, first=50), context)
    assert [f.status for f in other] == ["passed", "passed"]  # no case is in both


def test_features_that_came_and_went_are_compared_where_both_have_them(tmp_path):
    context = bundle(tmp_path / "old", records(VALUES))
    other = found("drift", records(VALUES, names=["a", "b", "new"]), context)
    assert other[1].value == pytest.approx((np.abs(VALUES).sum(axis=0) / np.abs(VALUES).sum())[2])


def test_cases_in_another_order_are_still_matched(tmp_path):
    old = [(str(k), k) for k in range(9)]
    for new in (old, old[::-1], old[3:] + old[:3], old[::2]):
        pairs = list(_joined(iter(old), iter(new)))
        assert sorted(a for a, b in pairs) == sorted(k for _, k in new)
        assert all(a == b for a, b in pairs)


def test_kolmogorov_smirnov_by_hand():
    assert _kolmogorov_smirnov([1, 2, 3, 4], [1, 2, 3, 4]) == 0
    assert _kolmogorov_smirnov([1, 2], [5, 6]) == 1
    assert _kolmogorov_smirnov([1, 2, 3, 4], [3, 4, 5, 6]) == 0.5


def test_without_a_baseline_drift_is_skipped_and_without_records_too(tmp_path):
    assert [f.status for f in found("drift", records(VALUES))] == ["skipped"]
    context = bundle(tmp_path / "old", records(VALUES, method="lime"))
    (finding,) = found("drift", records(VALUES), context)
    assert (finding.status, "earlier audit holds no" in finding.sentence) == ("skipped", True)


def test_a_folder_that_is_no_audit_or_was_changed_is_refused(tmp_path):
    with pytest.raises(RequestError, match="no finished audit"):
        context_of(tmp_path)
    bundle(tmp_path / "old", records(VALUES))
    text = (tmp_path / "old" / "records.jsonl").read_text()
    (tmp_path / "old" / "records.jsonl").write_text(text.replace("case 3", "case 4"))
    with pytest.raises(RequestError, match="it was changed"):
        context_of(tmp_path / "old")
    assert context_of(None) == Context()


def test_the_command_compares_with_an_earlier_audit_and_binds_it(tmp_path):
    path = plan(tmp_path)
    run("audit", path, "-o", tmp_path / "old")
    again = run("audit", path, "-o", tmp_path / "new", "--baseline", tmp_path / "old")
    assert again.exit_code == 0
    findings = json.loads((tmp_path / "new" / "findings.json").read_text())["general"]
    drift = [f for f in findings if f["check"] == "drift"]
    assert [(f["status"], f["value"]) for f in drift] == [("passed", 0)] * 3
    digest = hashlib.sha256((tmp_path / "old" / "manifest.json").read_bytes()).hexdigest()
    manifest = json.loads((tmp_path / "new" / "manifest.json").read_text())
    assert manifest["inputs"]["baseline"] == {"manifest.json": digest}
    (tmp_path / "old" / "records.jsonl").write_text("")
    refused = run("audit", path, "-o", tmp_path / "newer", "--baseline", tmp_path / "old")
    assert (refused.exit_code, "it was changed" in " ".join(refused.stderr.split())) == (2, True)
    assert not (tmp_path / "newer").exists()
