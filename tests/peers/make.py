"""Make the environments of the servers and clients that the slow tests talk to.

Each ``NAME.txt`` beside this file is a list of requirements that becomes the virtual environment
``.peers/NAME`` (git-ignored); paths in it are relative to the checkout. One that is already there and was
made from the same list is kept. Their versions clash with each other and with ours, so they never share one.

    python tests/peers/make.py [NAME...]
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PEERS = ROOT / ".peers"


def make(name: str) -> None:
    """Build one environment, or keep it."""
    wanted = (HERE / f"{name}.txt").read_text(encoding="utf-8")
    folder, stamp = PEERS / name, PEERS / name / "made-from.txt"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "-r", str(HERE / f"{name}.txt")]
    subprocess.run(command, cwd=ROOT, check=True)
    stamp.write_text(wanted, encoding="utf-8")


def main(names: list[str]) -> None:
    """Build the environments asked for, or all."""
    for name in names or sorted(path.stem for path in HERE.glob("*.txt")):
        print(f"environment {name}", flush=True)
        make(name)


if __name__ == "__main__":
    main(sys.argv[1:])
