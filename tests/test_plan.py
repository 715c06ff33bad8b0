"""The plan file: what it may say, what it may not, and what YAML makes of words."""

from __future__ import annotations

import dataclasses
import json

import pytest
from test_cli import APPLICANTS, CNN, CREDIT, LINEAR, MODELS, ROWS, run

import blackbox as bb
from blackbox.checks import CHECKS
from blackbox.errors import RequestError
from blackbox.inputs import read_table
from blackbox.inputs.condition import matching
from blackbox.plan import load_plan
from blackbox.yamls import read_yaml, write_yaml

WHOLE = {"model": f"{{path: {LINEAR}}}", "data": f"{{path: {ROWS}}}", "background": f"{{path: {ROWS}}}",
         "methods": "[occlusion]", "checks": "[]"}  # fmt: skip


@pytest.fixture
def load(tmp_path):
    def go(text=None, **top):
        lines = "".join(f"{key}: {value}\n" for key, value in {**WHOLE, **top}.items() if value is not None)
        (tmp_path / "plan.yaml").write_text(lines if text is None else text, encoding="utf-8")
        return load_plan(tmp_path / "plan.yaml")

    return go


@pytest.mark.parametrize("plan", ["credit", "digits"])
def test_the_sample_plans_are_read(plan):
    loaded = load_plan(MODELS / plan / "audit.yaml")
    assert next(iter(loaded.methods)) == "kernelshap"
    assert loaded.seed == 0


def test_the_top_level_keys_are_the_documented_ones(load):
    keys = ["model", "data", "background", "features", "targets", "methods", "checks", "probe", "reasons", "seed",
            "budget", "privacy", "outputs", "purpose"]  # fmt: skip
    assert list(type(load()).model_fields) == keys


def test_only_model_and_data_are_needed(load):
    loaded = load(f"model: {{path: {LINEAR}}}\ndata: {{path: {ROWS}}}\n")
    assert list(loaded.methods) == ["occlusion", "kernelshap", "sis"]
    assert "protected" not in loaded.checks
    for key in ("model", "data"):
        with pytest.raises(RequestError, match=f"'{key}' is missing"):
            load(**{key: None})
    with pytest.raises(RequestError, match=r"'model\.path' is missing"):
        load(model="{device: cpu}")


def test_methods_and_checks_may_be_names_or_names_with_settings(load):
    for said in ("lime", "[lime]", "{lime: {}}", "{lime: null}", "\n  lime:"):
        assert list(load(methods=said).methods) == ["lime"]
    method, scale = load(methods="{kernelshap: {budget: 64, scale: logit}}").parsed_methods()["kernelshap"]
    assert (method.budget, scale) == (64, "logit")
    assert load(checks="{stability: {least: 0.5, gate: fail}}").parsed_checks()[0].least == 0.5


def test_a_budget_may_be_one_number_however_it_is_written(load):
    for said in ("1000", "1e3", "{total: 1000}", "'1000'"):
        assert load(budget=said).budget.total == 1000
    assert load(probe="no").probe is False


def test_a_fault_of_the_yaml_is_told_with_its_line_and_nothing_of_the_machinery(load):
    with pytest.raises(RequestError, match=r"line \d+, column") as told:
        load(seed="012")
    assert "unicode string" not in str(told.value)


def test_targets_may_be_one_or_many_or_nobody(load):
    told = {"null": [None], "1": [1], "yes_sir": ["yes_sir"], "[0, b]": [0, "b"], "'1'": ["1"]}
    for said, wanted in told.items():
        assert load(targets=said).target_list() == wanted


BAD = {
    "top key": ({"metods": "[a]"}, ["'metods'", "Did you mean 'methods'", "reasons"]),
    "model key": ({"model": "{path: a, devise: cpu}"}, ["'model.devise'", "Did you mean 'device'"]),
    "data key": ({"data": "{path: a, colums: [x]}"}, ["'data.colums'", "Did you mean 'columns'"]),
    "image key": ({"data": "{path: a, image: {sdt: [1]}}"}, ["'data.image.sdt'", "Did you mean 'std'"]),
    "features key": ({"features": "{group: {}}"}, ["'features.group'", "Did you mean 'groups'"]),
    "background key": ({"background": "{pathe: a}"}, ["'background.pathe'", "Did you mean 'path'"]),
    "reasons key": ({"reasons": "{methd: lime}"}, ["'reasons.methd'", "Did you mean 'method'"]),
    "outputs key": ({"outputs": "{foldr: a}"}, ["'outputs.foldr'", "Did you mean 'folder'"]),
    "method": ({"methods": "[kernalshap]"}, ["Did you mean 'kernelshap'"]),
    "method setting": ({"methods": "{lime: {sample: 3}}"}, ["'sample'", "Did you mean 'samples'"]),
    "method value": ({"methods": "{lime: {samples: many}}"}, ["samples", "'many'"]),
    "method scale": ({"methods": "{lime: {scale: logits}}"}, ["Did you mean 'logit'"]),
    "no method": ({"methods": "[]"}, ["methods"]),
    "check": ({"checks": "[stabilty]"}, ["Did you mean 'stability'"]),
    "check setting": ({"checks": "{stability: {lest: 1}}"}, ["'lest'", "Did you mean 'least'"]),
    "gate": ({"checks": "{stability: {gate: fial}}"}, ["'fial'", "Did you mean 'fail'"]),
    "protected nobody": ({"checks": "[protected]"}, ["protected", "names"]),
    "background use": ({"background": f"{{path: {ROWS}, use: means}}"}, ["use", "'means'", "mean"]),
    "no background row": ({"background": f"{{path: {ROWS}, most: 0}}"}, ["background.most", "1"]),
    "seed": ({"seed": "-1"}, ["seed", "-1"]),
    "budget": ({"budget": "lots"}, ["budget", "'lots'"]),
    "no rows": ({"data": f"{{path: {ROWS}, first: 0}}"}, ["data.first", "1"]),
    "model as text": ({"model": "credit.onnx"}, ["model", "'credit.onnx'"]),
    "groups as list": ({"features": "{groups: [a]}"}, ["features.groups"]),
    "reasons method": ({"reasons": "{method: kernalshap}"}, ["reasons", "kernalshap"]),
    "reasons of no method": ({"reasons": "{method: lime}"}, ["reasons", "lime", "occlusion"]),
    "no target": ({"targets": "[]"}, ["targets"]),
    "no named rows": ({"data": f"{{path: {ROWS}, rows: []}}"}, ["rows"]),
    "a word of several": ({"model": "{path: a, batch_size: prob}"}, ["a whole number or 'rule' or 'probe'"]),
    "a fraction": ({"targets": "1.5"}, ["targets", "a whole number, a text or a list"]),
    "half a grid": ({"features": "{grid: [1]}"}, ["features.grid has no value number 2"]),
    "a half budget": ({"budget": "1.5"}, ["budget.total", "a whole number"]),
    "not a truth": ({"probe": "perhaps"}, ["probe", "true or false"]),
    "mean of nothing": ({"background": "{use: mean}"}, ["mean", "path"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_plan_is_told_before_the_model_is_asked(load, case):
    changed, words = BAD[case]
    with pytest.raises(RequestError) as told:
        load(**changed)
    for word in words:
        assert word in str(told.value)


TRAPS = {
    "yes for a class": ({"targets": "yes"}, "targets"),
    "no in a list of classes": ({"targets": "[no]"}, "targets"),
    "no as a class name": ({"model": f"{{path: {LINEAR}, classes: [no, yes]}}"}, "classes"),
    "a date for a target": ({"targets": "2020-01-01"}, "targets"),
    "on for a row": ({"data": f"{{path: {ROWS}, rows: [on]}}"}, "rows"),
    "a bool for a seed": ({"seed": "true"}, "seed"),
    "a bool for a count": ({"data": f"{{path: {ROWS}, first: yes}}"}, "first"),
}


@pytest.mark.parametrize("case", TRAPS)
def test_what_yaml_turned_into_something_else_is_refused(load, case):
    changed, word = TRAPS[case]
    with pytest.raises(RequestError) as told:
        load(**changed)
    assert word in str(told.value)


@pytest.mark.parametrize("case", ["targets: {a: 1}", "model: a.onnx", "background: {path: a, use: all}",
                                  "data: {path: x, rows: [[1]]}", "targets: 2020-01-01",
                                  "model: {path: a, classes: [no, yes]}"])  # fmt: skip
def test_no_word_of_the_machinery_reaches_the_person(load, case):
    key, _, value = case.partition(": ")
    with pytest.raises(RequestError) as told:
        load(**{key: value})
    for word in ("modelpart", "tuple[", ".int ", "^(", "datetime", "instance of", ".0.int"):
        assert word not in str(told.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no plan"),
        ("- model\n- data\n", "is no plan"),
        ("just words\n", "is no plan"),
        ("model: [1\n", "no readable YAML"),
        ("model:\n\tpath: a\n", "no readable YAML"),
        ("model: !!python/object/apply:os.system [ls]\n", "no readable YAML"),
        ("model: &a {path: *a}\ndata: {path: b}\n", "model.path"),
        ("1: 2\nmodel: {path: a}\ndata: {path: b}\n", "1"),
    ],
)
def test_what_is_no_plan_is_refused(load, text, words):
    with pytest.raises(RequestError) as told:
        load(text)
    assert words in str(told.value)
    assert "\n" not in str(told.value)


def test_a_key_that_stands_twice_is_refused(load):
    with pytest.raises(RequestError, match="seed"):
        load(f"model: {{path: {LINEAR}}}\ndata: {{path: {ROWS}}}\nseed: 1\nseed: 2\n")


def test_a_message_stays_short_whatever_the_plan_holds(load):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcd", "bcde", strict=True)]
    with pytest.raises(RequestError) as told:
        load("\n".join([*lines, "model: *e", "data: {path: x}"]))
    assert len(str(told.value)) < 500


def test_a_missing_plan_is_told_with_the_nearest():
    with pytest.raises(RequestError, match=r"Did you mean 'audit\.yaml'"):
        load_plan(MODELS / "credit" / "adit.yaml")
    with pytest.raises(RequestError, match="credit"):
        load_plan(MODELS / "credit")
    with pytest.raises(RequestError, match=r"credit\.onnx"):
        load_plan(CREDIT)


def test_paths_are_relative_to_the_plan_and_may_be_absolute(tmp_path, monkeypatch):
    inside = tmp_path / "inside"
    inside.mkdir()
    for path in (LINEAR, ROWS):
        (inside / path.name).write_bytes(path.read_bytes())
    (inside / "p.yaml").write_text(f"model: {{path: linear.onnx}}\ndata: {{path: linear.csv}}\n"
                                   f"background: {{path: {ROWS}}}\nmethods: [occlusion]\n")  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run("audit", "inside/p.yaml").exit_code == 0
    assert (tmp_path / "audit-p" / "report.html").is_file()
    monkeypatch.chdir(inside)
    assert run("audit", "p.yaml", "-o", "../other").exit_code == 0
    assert (tmp_path / "other" / "report.html").is_file()


def test_the_digest_of_the_model_is_held_to(load, tmp_path):
    digest = "cac1409a8a1d7a1f8c7c308fa39763d5f1bb5cb6ccf22ded6e17dd49e43de9d2"
    with pytest.raises(RequestError, match=rf"not the model of the plan.*{digest}"):
        bb.audit(load(model=f"{{path: {LINEAR}, sha256: {digest}}}"), tmp_path / "out")


def test_a_row_is_found_by_its_name_as_on_the_command_line(load, tmp_path):
    (tmp_path / "ids.csv").write_text("id,x0,x1,x2,x3\n1,1,2,3,4\n2,5,6,7,8\n3,9,9,9,9\n")
    data = f"{{path: {tmp_path / 'ids.csv'}, id: id, rows: [2]}}"
    assert [case.id for case in bb.audit(load(data=data), tmp_path / "out").cases()] == ["2"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"targets": "aproved"}, "Did you mean 'approved'"),
        ({"targets": "7"}, "0 to 1"),
        ({"data": f"{{path: {APPLICANTS}, id: aplicant}}"}, "Did you mean 'applicant'"),
        ({"data": f"{{path: {APPLICANTS}, rows: [A-0001]}}"}, "Did you mean 'A-0"),
        ({"data": f"{{path: {APPLICANTS}, rows: [40]}}"}, "0 to 39"),
        ({"background": f"{{path: {ROWS}}}"}, "'age'"),
        ({"features": "{groups: {h: [housing_ow]}}"}, "Did you mean 'housing_own'"),
        ({"features": "{never_hidden: [agee]}"}, "Did you mean 'age'"),
        ({"features": "{grid: [2, 2]}"}, "no picture"),
        ({"features": "{labels: nope.csv}"}, "nope.csv"),
        ({"model": f"{{path: {CREDIT}, classes: nope.txt}}"}, "nope.txt"),
        ({"model": f"{{path: {CREDIT}, device: tpu}}"}, "'tpu'"),
        ({"model": f"{{path: {CREDIT}, output: probs}}"}, "Did you mean 'prob"),
        ({"checks": "{protected: {features: [sex]}}"}, "'sex'"),
    ],
)  # fmt: skip
def test_a_plan_that_does_not_fit_its_files_is_told(load, tmp_path, changed, words):
    base = {
        "model": f"{{path: {CREDIT}}}", "data": f"{{path: {APPLICANTS}, first: 1}}",
        "background": f"{{path: {MODELS / 'credit' / 'background.csv'}, most: 2}}",
    }  # fmt: skip
    with pytest.raises(RequestError) as told:
        bb.audit(load(**{**base, **changed}), tmp_path / "out", tmp_path)
    assert words in str(told.value)


NUMBERS = {"012": "read as 10", "1:30": "read as 90", "0x1f": "read as 31", "1:30.5": "read as 90.5"}


@pytest.mark.parametrize("written", NUMBERS)
def test_a_number_that_yaml_reads_otherwise_is_refused(load, written):
    with pytest.raises(RequestError, match=NUMBERS[written]):
        load(targets=written)
    assert load(targets=f"'{written}'").target_list() == [written]


def test_a_digest_that_begins_like_a_number_is_a_word(load, tmp_path):
    digest = "1e8824874dda4e8a96a5a818ae3e990f" * 2
    assert load(model=f"{{path: {LINEAR}, sha256: {digest}}}").model.sha256 == digest
    with pytest.raises(RequestError, match="no readable YAML"):
        load(seed="1" * 5000)


@pytest.mark.parametrize("in_one_line", [True, False])
def test_what_is_written_is_read_as_it_was(tmp_path, in_one_line):
    told = {"words": ["1e3", "-2E5", "012", "1:30", "no", "0x1f", "1e8a", "2020-01-01", "~", ""], "numbers": [1e-3, 12, 1e300]}
    (tmp_path / "a.yaml").write_text(write_yaml(told, in_one_line), encoding="utf-8")
    assert read_yaml(tmp_path / "a.yaml") == told


def test_an_exponent_without_a_point_is_a_number(load):
    assert load(checks="{additivity: {tolerance: 1e-3}}").parsed_checks()[0].tolerance == 0.001
    with pytest.raises(RequestError, match="targets"):
        load(targets="1e3")
    with pytest.raises(RequestError, match="rows"):
        load(data=f"{{path: {ROWS}, rows: [1e0]}}")


def test_the_schema_takes_what_is_a_plan_and_refuses_what_is_none(load):
    import yaml
    from jsonschema import Draft202012Validator

    from blackbox.schema import plan_schema

    schema = json.loads(run("plan", "schema").stdout)
    assert schema == plan_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for name in ("credit", "digits"):
        sample = yaml.safe_load((MODELS / name / "audit.yaml").read_text(encoding="utf-8"))
        validator.validate(sample)
    for changed in (
        {"metods": ["lime"]}, {"methods": {"lime": {"sample": 3}}}, {"methods": ["lyme"]}, {"seed": "x"},
        {"checks": {"stability": {"least": "much"}}}, {"privacy": "keep it"}, {"budget": {"row": 3}},
    ):  # fmt: skip
        assert not validator.is_valid(sample | changed), changed


@pytest.mark.parametrize("register", ["methods", "checks"])
def test_the_schema_knows_every_setting(register):
    from blackbox.schema import plan_schema

    known = plan_schema()["properties"][register]["anyOf"][0]["properties"]
    classes = bb.METHODS if register == "methods" else CHECKS
    assert set(known) == set(classes)
    for name, cls in classes.items():
        assert set(known[name]["properties"]) - {"scale"} == {field.name for field in dataclasses.fields(cls)}


def test_plan_check_does_not_open_the_model(tmp_path, load, monkeypatch):
    load()
    monkeypatch.setattr("blackbox.opening.open_model", None)
    assert "is a plan" in run("plan", "check", tmp_path / "plan.yaml").stdout
    load(data="{path: nowhere.csv}")
    result = run("plan", "check", tmp_path / "plan.yaml")
    assert result.exit_code == 2
    assert "nowhere.csv" in result.stderr


CONDITIONS = {
    "x0 < 3": [0, 1], "x0 >= 3": [2], "x0 == 1": [0], "not x0 == 1": [1, 2], "1 < x0 <= 3": [1, 2],
    "region == 'north'": [0, 2], "region in ['south', 'west']": [1], "region not in ['south']": [0, 2],
    "x0 > x1": [2], "(x0 < 3 and region == 'south') or x1 == 0.5": [1, 2], "`the id` == 'b'": [1], "x1 > -1": [0, 1, 2],
    "id2 == '007'": [0],
}  # fmt: skip


@pytest.fixture
def table(tmp_path):
    (tmp_path / "t.csv").write_text("the id,region,x0,x1,id2\na,north,1,2,007\nb,south,2,2,08\nc,north,3,0.5,x\n")
    return read_table(tmp_path / "t.csv")


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_chooses_rows(table, condition):
    assert list(matching(table, condition)) == CONDITIONS[condition]


@pytest.mark.parametrize(
    "condition",
    ["", "x0", "x0 < ", "__import__('os').system('ls')", "x0.real > 1", "x0[0] > 1", "(lambda: 1)() > x0", "x0 + 1 > 2",
     "1 < 2", "x0 < True", "x0 in x1", "x0 < [1]", "'a' == 'a'", "x0 = 1", "x0 == f'{x1}'", "x0 < 1j", "x0 is 1",
     "[x for x in y]", "x0 < 1; x1", "(" * 500 + "x0 < 1" + ")" * 500, "x0 < 1 or " * 400 + "x1 < 1"],
)  # fmt: skip
def test_what_is_no_condition_is_refused_when_the_plan_is_read(load, condition):
    with pytest.raises(RequestError, match=r"condition|characters"):
        load(data=f"{{path: {ROWS}, where: {json.dumps(condition)}}}")


@pytest.mark.parametrize(
    ("condition", "words"),
    [("x9 > 1", "Did you mean"), ("region < 3", "'north'"), ("x0 > 99", "No row"), ("id2 > 1", "'x'")],
)
def test_a_condition_that_does_not_fit_the_table_is_told(table, condition, words):
    with pytest.raises(RequestError, match=words):
        matching(table, condition)


def test_a_plan_asks_about_the_rows_that_fulfil_its_condition(load, tmp_path):
    (tmp_path / "ids.csv").write_text("id,kind,x0,x1,x2,x3\na,u,1,2,3,4\nb,v,5,6,7,8\nc,u,9,9,9,9\nd,u,1,1,1,1\n")
    path = tmp_path / "ids.csv"
    chosen = load(data=f"{{path: {path}, id: id, where: \"kind == 'u'\", first: 2}}")
    assert [case.id for case in bb.audit(chosen, tmp_path / "out").cases()] == ["a", "c"]
    named = load(data=f"{{path: {path}, id: id, where: \"kind == 'u'\", rows: [d, b]}}")
    assert [(case.id, case.row) for case in bb.audit(named, tmp_path / "named").cases()] == [("d", 3)]
    arrays = f"{{path: {MODELS / 'digits' / 'digits.npy'}, where: 'a > 1'}}"
    unnamed = load(model=f"{{path: {CNN}}}", data=arrays, background="{}")
    with pytest.raises(RequestError, match="named columns"):
        bb.audit(unnamed, tmp_path / "no")


@pytest.mark.parametrize(
    ("line", "told"),
    [("device: gpu", "model.device cannot be 'gpu': it must be auto, cpu, cuda or cuda:N."),
     ("sha256: abc", "model.sha256 cannot be 'abc': it must be a SHA-256, 64 hexadecimal digits.")],
)  # fmt: skip
def test_a_device_and_a_digest_have_a_form(tmp_path, line, told):
    text = (MODELS / "credit" / "audit.yaml").read_text(encoding="utf-8")
    (tmp_path / "p.yaml").write_text(text.replace("model:\n", f"model:\n  {line}\n", 1), encoding="utf-8")
    with pytest.raises(bb.RequestError) as caught:
        load_plan(tmp_path / "p.yaml")
    assert told in str(caught.value)
