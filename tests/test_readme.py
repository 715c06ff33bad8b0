"""The README does what it says: every command and snippet runs, every generated table is current."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


LINES = [line for block in blocks("bash") for line in block.strip().splitlines()]
COMMANDS = [line for line in LINES if line.startswith("blackbox")]
TWO = [
    'python -m pip install -e ".[gpu]" && blackbox audit sample_models/credit/audit.yaml',
    'python -m pip install -e ".[gpu,test]" && python -m pytest',
]


def test_the_two_commands_stand_on_the_first_screen_and_in_ci():
    first_screen = "\n".join(README.splitlines()[:25])
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command in TWO:
        assert command in first_screen
        assert command in ci


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder that looks like the checkout, where commands may write."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "sample_models").symlink_to(ROOT / "sample_models", target_is_directory=True)
    return folder


def run(command, folder):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        command, shell=isinstance(command, str), cwd=folder, env=environment, capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=120,
    )  # fmt: skip


def test_the_readme_has_commands():
    assert len(COMMANDS) >= 6


def test_the_first_command_writes_its_report(checkout):  # before the others: some go on from it
    done = run("blackbox audit sample_models/credit/audit.yaml", checkout)
    assert done.returncode == 0, done.stderr
    assert "audit-credit/report.html" in done.stdout
    assert (checkout / "audit-credit" / "report.html").is_file()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_runs(command, checkout):
    done = run(command, checkout)
    assert done.returncode == 0, done.stderr
    assert done.stdout or "wrote" in done.stderr


@pytest.mark.parametrize("snippet", blocks("python"))
def test_a_snippet_of_the_readme_runs(snippet, checkout):
    done = run([sys.executable, "-c", snippet], checkout)
    assert done.returncode == 0, done.stderr


def test_generated_documents_are_current():
    done = run([sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], ROOT)
    assert done.returncode == 0, done.stderr


def test_links_of_the_readme_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target
