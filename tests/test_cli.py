"""The command line as a person or a script meets it: streams, exit codes, help, speed of the door."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_onnx import zip_map

import blackbox as bb
from blackbox.cli import cli, main

MODELS = Path(__file__).parents[1] / "sample_models"
LINEAR, ROWS = MODELS / "toys" / "linear.onnx", MODELS / "toys" / "inputs" / "linear.csv"
CREDIT, APPLICANTS = MODELS / "credit" / "credit.onnx", MODELS / "credit" / "applicants.csv"
CNN, DIGITS = MODELS / "digits" / "cnn.onnx", MODELS / "digits" / "images"
VERBS = ("inspect", "explain", "init", "audit", "methods")


def run(*arguments):
    """Run a command line in this process; what is not told as one of our errors is raised."""
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.output
    return result


def shell(*arguments, **environment):
    """Run a command line in a process of its own, as the installed script does."""
    program = "import sys; from blackbox.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True, env={**os.environ, **environment}, check=False, timeout=60,
    )  # fmt: skip


def explain(*arguments):
    return run("explain", LINEAR, "--input", ROWS, *arguments)


@pytest.fixture
def door(monkeypatch):
    """Go through the installed script's own function and return its exit code."""

    def go(*arguments):
        monkeypatch.setattr(sys, "argv", ["blackbox", *map(str, arguments)])
        try:
            return main() or 0
        except SystemExit as ended:
            return ended.code or 0

    return go


def test_inspect_shows_what_a_model_takes_and_where_it_runs():
    shown = run("inspect", CREDIT, "--device", "cpu").stdout
    for word in ("applicant", "27", "probabilities", "declined", "float32", "cpu", "skl2onnx", "SHA-256"):
        assert word in shown
    facts = json.loads(run("inspect", CREDIT, "--json").stdout)
    assert facts["inputs"][0]["shape"][1] == 27
    assert facts["sha256"]["credit.onnx"] == bb.open_model(CREDIT).identity.sha256["credit.onnx"]
    assert {"opsets", "producer", "device", "runtime", "bytes", "answer"} <= set(facts)


def test_explain_prints_the_strongest_feature_first():
    result = explain("--row", "0", "--method", "occlusion", "--background", ROWS)
    lines = [line.split()[0] for line in result.stdout.splitlines() if line.strip().startswith("x")]
    assert lines[0] == "x3"
    assert sorted(lines) == ["x0", "x1", "x2", "x3"]
    assert "forward rows" in result.stdout
    assert result.stderr == ""


def test_json_on_stdout_is_pure_and_messages_go_to_stderr(tmp_path):
    result = explain("--json", "-", "--plot", tmp_path / "plot.png")
    record = json.loads(result.stdout)
    assert bb.Explanation.from_json(result.stdout).method == "kernelshap"
    assert record["provenance"]["background"]["rows"] == 3
    assert "No --background" in result.stderr
    assert "plot.png" in result.stderr
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"


def test_a_record_in_a_file_is_the_record_on_stdout(tmp_path):
    on_stdout = explain("--json", "-").stdout
    shown = explain("--json", tmp_path / "record.json")
    assert (tmp_path / "record.json").read_text(encoding="utf-8") == on_stdout
    assert "x3" in shown.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


@pytest.mark.parametrize("name", ["plot.png", "plot.svg", "plot.pdf"])
def test_a_plot_has_the_same_bytes_every_time(tmp_path, name):
    arguments = ("explain", CNN, "--input", DIGITS / "7-0577.png", "--method", "occlusion", "--plot")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        run(*arguments, tmp_path / folder / name)
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_settings_targets_and_groups_reach_the_record():
    result = run(
        "explain", CREDIT, "--input", APPLICANTS, "--id", "applicant", "--row", "A-003", "--target", "approved",
        "--target", "0", "--scale", "logit", "--method", "kernelshap", "--set", "budget=60", "--seed", "5",
        "--background", MODELS / "credit" / "background.csv", "--json", "-",
        "--group", "housing=housing_own, housing_mortgage,housing_rent",
    )  # fmt: skip
    record = json.loads(result.stdout)
    assert record["output_names"] == ["approved", "declined"]
    assert (record["settings"]["budget"], record["seed"], record["scale"]) == (60, 5, "logit")
    assert "housing" in record["feature_names"]
    assert "housing_own" not in record["feature_names"]


def test_a_class_whose_name_is_a_number_is_found_by_its_name(tmp_path):
    path = zip_map(tmp_path / "zip.onnx", [1, 2])
    (tmp_path / "rows.csv").write_text("a,b\n0,3\n1,0\n")
    arguments = ("explain", path, "--input", tmp_path / "rows.csv", "--json", "-", "--target")
    assert json.loads(run(*arguments, "1").stdout)["output_names"] == ["1"]
    assert json.loads(run(*arguments, "2").stdout)["output_names"] == ["2"]


def test_pictures_take_a_grid_or_superpixels():
    for option in (("--grid", "2x4"), ("--superpixels", "6")):
        result = run("explain", CNN, "--input", DIGITS, "--row", "7-0577", *option, "--json", "-")
        record = json.loads(result.stdout)
        assert 4 <= len(record["feature_names"]) <= 20
        assert record["provenance"]["features"].split()[-1] in ("patches", "superpixels")


def test_methods_lists_the_register():
    shown = run("methods").stdout
    table = run("methods", "--markdown").stdout
    for name in bb.METHODS:
        assert name in shown
        assert f"| `{name}` |" in table


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb):
    shown = run(verb, "--help").stdout
    assert shown.startswith(f"Usage: cli {verb}")
    assert len(shown.splitlines()) > 5


def test_the_help_shows_how_to_start_line_by_line():
    shown = run("--help").stdout
    assert "\\b" not in shown
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "blackbox audit audit.yaml explain, check, report" in lines
    for verb in VERBS:
        assert verb in shown


def test_help_imports_nothing_heavy():
    program = (
        "import sys\nfrom blackbox.cli import cli\ncli.main(['--help'], standalone_mode=False)\n"
        "heavy = 'shap matplotlib sklearn scipy pandas pydantic onnxruntime onnx pyarrow PIL'.split()\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["explan", "x"], "Did you mean 'explain'?"),
        (["explain", LINEAR], "--input"),
        (["explain", LINEAR, "--input", ROWS, "--methd", "lime"], "--method"),
        (["explain", LINEAR, "--input", ROWS, "--seed", "x"], "--seed"),
        (["audit"], "PLAN"),
        (["inspect"], "MODEL"),
    ],
)
def test_a_mistyped_command_is_a_wrong_request(typed, words):
    result = run(*typed)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""


def plan(folder, check="additivity", **top):
    keys = {"model": f"{{path: {LINEAR}}}", "data": f"{{path: {ROWS}}}", "background": f"{{path: {ROWS}}}",
            "methods": "[kernelshap]", "checks": check, **top}  # fmt: skip
    path = folder / "plan.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in keys.items()))
    return path


STRONGEST = "{protected: {features: [x3], top: 1, gate: fail}}"


def test_exit_codes_tell_passed_failed_request_and_model(tmp_path, door):
    (tmp_path / "bad.onnx").write_text("no model")
    assert door("audit", plan(tmp_path), "-o", tmp_path / "out") == 0
    assert door("audit", plan(tmp_path, STRONGEST), "-o", tmp_path / "out") == 1
    assert door("audit", tmp_path / "nowhere.yaml") == 2
    assert door("inspect", tmp_path / "bad.onnx") == 3
    assert door("inspect", LINEAR) == 0
    assert door("inspct", LINEAR) == 2
    assert door("--help") == 0
    assert door("--version") == 0


def test_a_failed_gate_ends_the_installed_script_with_1(tmp_path):
    done = shell("audit", plan(tmp_path, STRONGEST), "-o", tmp_path / "out")
    assert b"NOT PASSED" in done.stdout
    assert done.returncode == 1
    assert done.stderr == b""  # no progress where stderr is no terminal


def test_ctrl_c_ends_with_130_and_one_sentence(tmp_path, door, monkeypatch, capsys):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("blackbox.campaign.opening.gather", stopped)
    assert door("audit", plan(tmp_path), "-o", tmp_path / "out") == 130
    assert capsys.readouterr().err.strip() == "Stopped. Nothing is half-written."
    assert not (tmp_path / "out").exists()


def test_an_error_is_one_paragraph_on_stderr():
    done = shell("explain", LINEAR, "--input", ROWS, "--method", "kernalshap")
    assert done.returncode == 2
    assert done.stdout == b""
    told = done.stderr.decode()
    assert told.startswith("Error: Unknown method 'kernalshap'. Did you mean 'kernelshap'?")
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_any_terminal_encoding_will_do(encoding):
    for extra in ([], ["--json", "-"]):
        done = shell("explain", LINEAR, "--input", ROWS, *extra, PYTHONIOENCODING=encoding)
        assert done.returncode == 0, done.stderr.decode()[-300:]


def test_a_reader_that_stops_early_sees_no_stack():
    program = f"{sys.executable} -c 'from blackbox.cli import main; main()'"
    command = f"{program} explain {LINEAR} --input {ROWS} --json - | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "{\n"
    assert "Traceback" not in done.stderr
