"""Wrong requests and broken models: the exit code, the words that help, and nothing half-written."""

from __future__ import annotations

import numpy as np
import pytest
from test_cli import APPLICANTS, CNN, CREDIT, DIGITS, LINEAR, MODELS, ROWS, run
from test_onnx import add, odd_graph

import blackbox as bb
from blackbox.errors import ModelError, RequestError

BACKGROUND = MODELS / "credit" / "background.csv"
NAN, NAN_ROWS = MODELS / "toys" / "nan.onnx", MODELS / "toys" / "inputs" / "nan.csv"
TOY = ["explain", LINEAR, "--input", ROWS]
CRD = ["explain", CREDIT, "--input", APPLICANTS]
NAMES = ["inspect", CREDIT, "--class-names"]
SIS = [*TOY, "--method", "sis", "--set"]
NAN_ROW = ["explain", NAN, "--input", NAN_ROWS, "--row", "2"]
PIC = ["explain", CNN, "--input", DIGITS / "7-0577.png"]

COMMANDS = {
    "missing model": (["inspect", MODELS / "toys" / "linaer.onnx"], 2, ["Did you mean 'linear.onnx'"]),
    "missing folder": (["inspect", "nowhere/m.onnx"], 2, ["nowhere", "does not exist either"]),
    "folder as model": (["inspect", MODELS / "toys"], 2, ["is a folder", "linear.onnx"]),
    "text as model": (["inspect", "{tmp}/text.onnx"], 3, ["text.onnx", "no ONNX model"]),
    "empty model": (["inspect", "{tmp}/empty.onnx"], 3, ["empty.onnx", "no ONNX model"]),
    "cut model": (["inspect", "{tmp}/cut.onnx"], 3, ["cut.onnx", "damaged"]),
    "table as model": (["inspect", ROWS], 3, ["linear.csv", ".onnx"]),
    "URL": (["inspect", "http://localhost/m"], 2, ["'/m' names no model", "/v2/models/NAME"]),
    "URL of another scheme": (["inspect", "ftp://localhost/m"], 3, ["ftp://localhost/m", "known", "http://"]),
    "device": ([*TOY, "--device", "tpu"], 2, ["'tpu'", "auto, cpu, cuda or cuda:N"]),
    "output": (["inspect", CREDIT, "--output", "labels"], 2, ["Did you mean 'label'", "probabilities"]),
    "kind": (["inspect", CREDIT, "--kind", "logit"], 2, ["Did you mean 'logits'"]),
    "batch size": (["inspect", CREDIT, "--batch-size", "0"], 2, ["batch_size", "at least 1"]),
    "class names file": ([*NAMES, "{tmp}/nope.txt"], 2, ["class names file", "nope.txt"]),
    "too few class names": ([*NAMES, "{tmp}/one.txt"], 2, ["1 class names", "2 columns"]),
    "class names of another encoding": ([*NAMES, "{tmp}/latin.txt"], 2, ["latin.txt"]),
    "missing data": (["explain", LINEAR, "--input", "{tmp}/nope.csv"], 2, ["no data file", "nope.csv"]),
    "data of a kind": (["explain", LINEAR, "--input", "{tmp}/one.txt"], 2, ["one.txt", ".csv", ".npy"]),
    "data of another model": (["explain", CREDIT, "--input", ROWS], 2, ["27 columns", "offers 4"]),
    "picture for a table": (["explain", LINEAR, "--input", DIGITS], 2, ["(4,)", "no picture"]),
    "table for a picture": (["explain", CNN, "--input", ROWS], 2, ["table does not fit", "8, 8)"]),
    "nan in data": (["explain", LINEAR, "--input", "{tmp}/nan.csv"], 2, ["'x2'", "row 1", "finite"]),
    "text in data": (["explain", LINEAR, "--input", "{tmp}/text.csv"], 2, ["'x3'", "'lots'", "row 0"]),
    "row out of range": ([*TOY, "--row", "3"], 2, ["Row 3", "0 to 2"]),
    "row below zero": ([*TOY, "--row", "-1"], 2, ["Row -1", "0 to 2"]),
    "row name": ([*CRD, "--row", "A-0O3"], 2, ["'A-0O3'", "Did you mean 'A-0"]),
    "method": ([*TOY, "--method", "lmie"], 2, ["Did you mean 'lime'", "kernelshap"]),
    "setting": ([*TOY, "--set", "budgt=3"], 2, ["'budgt'", "Did you mean 'budget'"]),
    "setting of another method": ([*TOY, "--set", "samples=3"], 2, ["method kernelshap", "budget"]),
    "setting without value": ([*TOY, "--set", "budget"], 2, ["key=value"]),
    "setting in words": ([*TOY, "--set", "budget=lots"], 2, ["budget", "'lots'"]),
    "setting below one": ([*TOY, "--set", "budget=0"], 2, ["budget", "at least 1"]),
    "setting as list": ([*TOY, "--set", "budget=[1, 2]"], 2, ["budget", "[1, 2]"]),
    "broken yaml": ([*TOY, "--set", "budget=[1"], 2, ["budget", "'[1'"]),
    "window": ([*PIC, "--method", "occlusion", "--set", "window=3x3"], 2, ["window", "'3x3'"]),
    "window too large": ([*PIC, "--method", "occlusion", "--set", "window=[9, 9]"], 2, ["(9, 9)", "8 x 8"]),
    "window on a table": ([*TOY, "--method", "occlusion", "--set", "window=[1, 1]"], 2, ["(4,)"]),
    "budget too small": ([*CRD, "--set", "budget=5"], 2, ["5 masks", "at least"]),
    "threshold in words": ([*SIS, "threshold=high"], 2, ["threshold", "'high'", "90%"]),
    "threshold over 100%": ([*SIS, "threshold=110%"], 2, ["at most 1"]),
    "target": ([*CRD, "--target", "aproved"], 2, ["'aproved'", "Did you mean 'approved'"]),
    "target out of range": ([*CRD, "--target", "2"], 2, ["2", "0 to 1"]),
    "target twice": ([*CRD, "--target", "approved", "--target", "1"], 2, ["twice"]),
    "target of odd digits": ([*CRD, "--target", "²"], 2, ["'²'"]),
    "two targets for sis": ([*CRD, "--method", "sis", "--target", "0", "--target", "1"], 2, ["one target"]),
    "scale": ([*CRD, "--scale", "probabilty"], 2, ["Did you mean 'probability'"]),
    "scale of a regression": ([*TOY, "--scale", "logit"], 2, ["'logit'", "classifier"]),
    "seed below zero": ([*TOY, "--seed", "-1"], 2, ["seed", "-1"]),
    "group without columns": ([*CRD, "--group", "home"], 2, ["NAME=COLUMN", "'home'"]),
    "group column": ([*CRD, "--group", "h=housing_ow"], 2, ["Did you mean 'housing_own'"]),
    "group on a picture": ([*PIC, "--group", "a=b"], 2, ["--group", "table"]),
    "grid on a table": ([*TOY, "--grid", "2x2"], 2, ["no picture"]),
    "grid in words": ([*PIC, "--grid", "two"], 2, ["--grid", "'two'"]),
    "grid of odd digits": ([*PIC, "--grid", "²x²"], 2, ["--grid", "²x²"]),
    "grid too fine": ([*PIC, "--grid", "9x9"], 2, ["9 x 9", "8 x 8"]),
    "grid and superpixels": ([*PIC, "--grid", "2x2", "--superpixels", "4"], 2, ["grid", "superpixels"]),
    "no superpixels": ([*PIC, "--superpixels", "0"], 2, ["superpixels", "0"]),
    "mean": ([*PIC, "--mean", "a"], 2, ["--mean", "'a'"]),
    "std of zero": ([*PIC, "--std", "0"], 2, ["std", "above zero"]),
    "range": ([*PIC, "--range", "1"], 2, ["--range", "0,1"]),
    "size": ([*PIC, "--size", "8"], 2, ["--size", "224x224"]),
    "layout": ([*PIC, "--layout", "CHW"], 2, ["NCHW"]),
    "id column": ([*CRD, "--id", "aplicant"], 2, ["Did you mean 'applicant'"]),
    "input column": ([*CRD, "--columns", "age,incme"], 2, ["Did you mean 'income'"]),
    "empty background": ([*TOY, "--background", "{tmp}/header.csv"], 2, ["header.csv", "no rows"]),
    "background columns": ([*CRD, "--background", ROWS], 2, ["linear.csv", "'age'"]),
    "background missing": ([*CRD, "--background", "{tmp}/nope.csv"], 2, ["nope.csv"]),
    "model returns nan": (NAN_ROW, 3, ["returned nan", "'y'", "nan.onnx"]),
    "plot suffix": ([*TOY, "--plot", "{tmp}/plot.gif"], 2, [".png", "plot.gif"]),
    "plot folder": ([*TOY, "--plot", "{tmp}/nope/plot.png"], 2, ["nope", "does not exist"]),
    "json folder": ([*TOY, "--json", "{tmp}/nope/a.json"], 2, ["nope", "does not exist"]),
    "json on a folder": ([*TOY, "--json", "{tmp}"], 2, ["is a folder"]),
    "init over a plan": (["init", LINEAR, "--data", ROWS, "-o", "{tmp}/one.txt"], 2, ["exists already", "--force"]),
    "init into nowhere": (["init", LINEAR, "--data", ROWS, "-o", "{tmp}/no/a.yaml"], 2, ["does not exist"]),
    "audit of a model": (["audit", LINEAR], 2, ["linear.onnx", "no"]),
    "audit of a folder": (["audit", MODELS], 2, ["sample_models"]),
}  # fmt: skip


@pytest.fixture
def mess(tmp_path):
    files = {
        "text.onnx": b"hello\n", "empty.onnx": b"", "cut.onnx": CREDIT.read_bytes()[:3000], "one.txt": b"yes\n",
        "latin.txt": b"d\xe9clin\xe9\napprouv\xe9\n", "header.csv": b"x0,x1,x2,x3\n",
        "nan.csv": b"x0,x1,x2,x3\n1,2,3,4\n1,2,nan,4\n",
        "text.csv": b"x0,x1,x2,x3\n1,2,3,lots\n",
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize("case", COMMANDS)
def test_a_bad_command_line_is_told_in_words(mess, case):
    typed, code, words = COMMANDS[case]
    before = {path: path.stat().st_mtime_ns for path in mess.rglob("*")}
    result = run(*(str(part).replace("{tmp}", str(mess)) for part in typed))
    told = " ".join(result.stderr.split())
    for word in words:
        assert word in told
    assert result.exit_code == code
    assert "Error: " in told
    assert len(told) < 1000
    assert result.stdout == ""
    assert {path: path.stat().st_mtime_ns for path in mess.rglob("*")} == before


def test_class_names_from_a_windows_editor_are_read(tmp_path):
    (tmp_path / "names.txt").write_bytes("\ufeffbad\r\n gut \r\n\r\n".encode())
    result = run(*CRD, "--class-names", tmp_path / "names.txt", "--target", "bad", "--target", "gut")
    assert result.exit_code == 0, result.stderr


def test_a_table_for_inputs_of_several_columns_is_told(tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    result = run("explain", add(tmp_path / "two.onnx", ["n", 2], ["n", 2]), "--input", tmp_path / "rows.csv")
    assert result.exit_code == 2
    assert "npz" in result.stderr


def test_a_model_without_inputs_is_told(tmp_path):
    result = run("explain", odd_graph(tmp_path, "no inputs"), "--input", ROWS)
    assert result.exit_code == 3
    assert "no inputs" in result.stderr


def total(x):
    return x.sum(axis=1)


CALLS = {
    "method": ({"method": "kernalshap"}, ["Did you mean 'kernelshap'"]),
    "method class": ({"method": bb.KernelShap}, ["KernelShap()"]),
    "method of nothing": ({"method": None}, ["None"]),
    "target": ({"target": "outptu"}, ["Did you mean 'output'"]),
    "target number": ({"target": 1}, ["0 to 0"]),
    "target below zero": ({"target": -1}, ["-1"]),
    "target bool": ({"target": True}, ["True"]),
    "no target": ({"target": []}, ["empty"]),
    "target mapping": ({"target": {"a": 1}}, ["target"]),
    "scale": ({"scale": "row"}, ["Did you mean 'raw'"]),
    "scale number": ({"scale": 3}, ["'3'"]),
    "seed": ({"seed": 1.5}, ["1.5"]),
    "seed below zero": ({"seed": -1}, ["-1"]),
    "features": ({"features": [0, 1, 2]}, ["(3,)", "(2,)"]),
    "ragged features": ({"features": [[0], [1, 2]]}, ["labels"]),
    "background": ({"background": [[1, 2, 3]]}, ["same columns"]),
    "empty background": ({"background": np.zeros((0, 2))}, ["empty"]),
    "input": ({"x": [1.0, np.nan]}, ["nan", "position 1"]),
    "infinite input": ({"x": [np.inf, 1.0]}, ["inf", "finite"]),
    "input rank": ({"x": [[1.0, 2.0]]}, ["batch axis"]),
    "ragged input": ({"x": [[1.0], [1.0, 2.0]]}, ["'input'"]),
    "input name": ({"x": {"inpt": [1.0, 2.0]}}, ["Did you mean 'input'"]),
    "budget": ({"x": [1.0, 2.0], "method": "occlusion", "background": "rows.csv"}, ["background"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CALLS)
def test_a_bad_call_is_told_in_words(case):
    changed, words = CALLS[case]
    model = bb.open_model(total, options={"shape": (2,)})
    with pytest.raises(RequestError) as told:
        bb.explain(model, **{"x": [1.0, 2.0], **changed})
    for word in words:
        assert word in str(told.value)


def test_a_ragged_input_of_a_bare_function_is_told():
    with pytest.raises(RequestError):
        bb.explain(total, [[1.0], [1.0, 2.0]])


@pytest.mark.parametrize(
    ("method", "settings", "word"),
    [(bb.KernelShap, {"budget": 0}, "budget"), (bb.KernelShap, {"budget": True}, "budget"),
     (bb.Sis, {"threshold": "lots"}, "threshold"), (bb.Sis, {"max_subsets": 0}, "max_subsets"),
     (bb.Fraction, {"value": 2}, "at most 1"), (bb.Fraction, {"value": 0}, "fraction"),
     (bb.Lime, {"selection": "lasso"}, "lasso_path"), (bb.Lime, {"ridge": -1}, "ridge"),
     (bb.Lime, {"samples": 1.5}, "samples"), (bb.Occlusion, {"stride": (1, 1)}, "window"),
     (bb.Caso, {"lambda1": float("nan")}, "lambda1"), (bb.Caso, {"unit": "meter"}, "unit")],
)  # fmt: skip
def test_a_wrong_settings_object_cannot_be_made(method, settings, word):
    with pytest.raises(RequestError, match=word):
        method(**settings)


def test_an_error_names_model_method_and_shapes_once():
    with pytest.raises(ModelError) as told:
        bb.explain(bb.open_model(NAN), [0.75, 1.0], method="occlusion")
    assert str(told.value).count("method occlusion") == 1
    assert "input x (2,), 2 features" in str(told.value)
    assert isinstance(told.value, bb.BlackboxError)
    assert told.value.__cause__ is None
