"""What inputs hold: kept, hashed or omitted, everywhere in a bundle."""

from __future__ import annotations

import hashlib
import json
import stat

import numpy as np
import pytest
from test_audit import files, records
from test_cli import MODELS, plan, run

import blackbox as bb
from blackbox.canonical import canonical
from blackbox.errors import RequestError
from blackbox.plan import load_plan
from blackbox.privacy import WITHHELD, Privacy, digest, feature_digest

HELD = {"x0": "4711.5", "x1": "31337.25", "x2": "-2718.75", "x3": "161803.5"}
"""Values that stand nowhere else."""


@pytest.fixture
def audited(tmp_path):
    def go(rule, name="out", **top):
        (tmp_path / "rows.csv").write_text(
            "id,x0,x1,x2,x3\n" + "".join(f"case-{k},{','.join(HELD.values())}\n" for k in (1, 2))
        )
        (tmp_path / "back.csv").write_text("x0,x1,x2,x3\n1,3,5,7\n")
        path = plan(
            tmp_path, top.pop("check", "[additivity, determinism]"), methods="[occlusion, kernelshap, lime, sis]",
            data="{path: rows.csv, id: id}", background="{path: back.csv}", privacy=rule,
            reasons="{method: occlusion}", **top,
        )  # fmt: skip
        assert run("audit", path, "-o", tmp_path / name).exit_code in (0, 1)
        return tmp_path / name

    return go


def forms(text):
    number = float(text)
    return {text, f"{number:g}", f"{number:,.4g}", f"{number:,.1f}", f"{number:.1f}"}


@pytest.mark.parametrize("rule", ["hash", "omit"])
def test_no_file_of_the_bundle_holds_what_an_input_holds(audited, rule):
    folder = audited(rule)
    for name, content in files(folder).items():
        if name == "explanations.parquet":
            import pyarrow.parquet

            content = str(pyarrow.parquet.read_table(folder / name).to_pydict())
        text = content if isinstance(content, str) else content.decode("utf-8")
        for held in HELD.values():
            for form in forms(held):
                assert form not in text, (name, form)


def test_what_is_kept_stands_in_record_and_report(audited):
    folder = audited("keep")
    case = records(folder)[0]
    assert case["input"]["values"] == [float(value) for value in HELD.values()]
    assert case["input"]["sha256"] == digest({"x": np.array([float(v) for v in HELD.values()], dtype=np.float32)})
    assert "3.134e+04" in (folder / "report.html").read_text(encoding="utf-8")


def test_a_hashed_input_can_be_checked_by_whoever_is_told_the_salt_of_its_record(audited):
    folder = audited("hash")
    path = folder.with_name("out.secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    privacy = Privacy("hash", bytes.fromhex(path.read_text().strip()))
    one, two = [record for record in records(folder) if record["kind"] == "case"]
    salt = privacy.salt("case-1")
    values = [float(value) for value in HELD.values()]
    assert one["input"]["digests"] == [feature_digest(value, salt) for value in values]
    assert one["input"]["digests"][0] == hashlib.sha256(salt + canonical(4711.5)).hexdigest()
    assert one["input"]["digests"] != two["input"]["digests"]  # equal values, other salts
    assert "secret" not in " ".join(files(folder))
    assert path.read_text().strip() not in json.dumps(one)


def test_a_secret_is_drawn_once_and_a_broken_one_is_told(audited, tmp_path):
    first = files(audited("hash"), ["run.json"])
    assert files(audited("hash"), ["run.json"]) == first
    assert files(audited("hash", "other"), ["run.json"]) != first
    (tmp_path / "out.secret").write_text("no secret\n")
    result = run("audit", tmp_path / "plan.yaml", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "out.secret" in result.stderr


def test_an_omitted_input_has_no_digest(audited):
    case = records(audited("omit"))[0]
    assert case["input"] == {"privacy": "omit"}
    assert not list(audited("omit").parent.glob("*.secret"))


def test_words_for_what_is_held_are_withheld_too(audited, tmp_path):
    (tmp_path / "words.csv").write_text("column,label\n4711.5,a small castle\nx0,house\n")
    labels = "{labels: words.csv}"
    kept = (audited("keep", features=labels) / "report.html").read_text(encoding="utf-8")
    assert "a small castle" in kept
    folder = audited("omit", "omitted", features=labels)
    for name, content in files(folder).items():
        assert b"a small castle" not in content, name
    assert WITHHELD in json.dumps(records(folder)[0]["reasons"])


def test_a_sentence_that_quotes_the_input_is_withheld_in_part():
    guard = Privacy("omit").guard("a", np.array([24000.0, 27, "renter"], dtype=object), {})
    assert guard.told("income 24,000 of a renter aged 27 is 0.27 off (24000)") == (
        f"income {WITHHELD} of a {WITHHELD} aged {WITHHELD} is 0.27 off ({WITHHELD})"
    )
    counts = Privacy("omit").guard("a", np.array([3.0], dtype=object), {})
    assert counts.told("R07 late payments (3), x = 3, of 3 features") == (
        f"R07 late payments ({WITHHELD}), x = {WITHHELD}, of 3 features"
    )
    assert Privacy("keep").guard("a", np.array([1.5], dtype=object), {}).told("it is 1.5") == "it is 1.5"


def test_pictures_are_shown_only_where_they_are_kept(tmp_path):
    sample = load_plan(MODELS / "digits" / "audit.yaml")
    for rule in ("keep", "hash", "omit"):
        update = {"privacy": rule, "methods": {"occlusion": {}}, "checks": {}, "reasons": None,
                  "data": sample.data.model_copy(update={"first": 1})}  # fmt: skip
        folder = bb.audit(sample.model_copy(update=update), tmp_path / rule, MODELS / "digits").folder
        page = (folder / "report.html").read_text(encoding="utf-8")
        assert ("data:image" in page) == (rule == "keep")


def test_an_unknown_rule_is_told(tmp_path):
    with pytest.raises(RequestError, match="privacy"):
        load_plan(plan(tmp_path, privacy="secret"))


def test_the_reasons_of_a_decision_do_not_tell_what_was_held(tmp_path):
    sample = load_plan(MODELS / "credit" / "audit.yaml")
    update = {"privacy": "omit", "methods": {"kernelshap": {"budget": 200}}, "checks": {"omission": {}},
              "data": sample.data.model_copy(update={"first": 2})}  # fmt: skip
    folder = bb.audit(sample.model_copy(update=update), tmp_path / "out", MODELS / "credit").folder
    first = (MODELS / "credit" / "applicants.csv").read_text().splitlines()[1].split(",")
    # with the space: the page cites articles such as 13(3)
    held = {f" ({value})" for value in first[1:]} | {f" ({float(value):,.0f})" for value in first[1:]}
    told = [json.dumps(record["reasons"]) for record in records(folder) if record["kind"] == "case"]
    _, _, page = (folder / "report.html").read_text(encoding="utf-8").partition("<body>")
    page, rules, _ = page.partition('<h2 id="rules">')  # behind it stand articles such as 13(3)
    assert rules
    for value in held:
        assert value not in told[0], value
        assert value not in page, value
    assert WITHHELD in told[0]
    assert WITHHELD in page
