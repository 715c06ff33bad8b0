"""Kill an audit with SIGKILL at the n-th file operation, go on with it, and compare; a program of its own.

Run by tests/test_kill.py:  python killed.py PLAN FOLDER KILLS SEED.  A child is forked per attempt, before any
model is opened, so that an attempt costs no start of the interpreter. Prints one JSON object a line.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
from pathlib import Path

import blackbox as bb
from blackbox.campaign import open_campaign  # noqa: F401  # everything is imported once, before the forks
from blackbox.evidence import bundle, table  # noqa: F401

WATCHED = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}


def attempt(plan: Path, folder: Path, last: int | None) -> tuple[int, int]:
    """Play in a child that kills itself at file operation ``last``; return its signal and the operations."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        count = 0

        def watch(event: str, arguments: tuple) -> None:
            nonlocal count
            if event not in WATCHED or str(folder) not in str(arguments[0]):
                return
            count += 1
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        bb.audit(plan, folder)
        os.write(writer, str(count).encode())
        os._exit(0)
    os.close(writer)
    told = os.read(reader, 100)
    os.close(reader)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, int(told or 0)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "run.json"
    }


def receipts(folder: Path) -> dict[str, str]:
    """Shard -> when it was begun, of those that were finished before the kill."""
    shards = folder.with_name(f"{folder.name}.partial") / "shards"
    found = [json.loads(path.read_bytes()) for path in shards.glob("[!.]*.json")]
    return {receipt["shard"]: receipt["clock"]["began"] for receipt in found}


def main(plan: Path, where: Path, kills: int, seed: int) -> None:
    _, total = attempt(plan, where / "whole", None)
    whole, draws = contents(where / "whole"), random.Random(seed)
    for k in range(kills):
        folder = where / f"out-{k}"
        last = draws.randint(total - total // 4, total) if k % 3 == 0 else draws.randint(1, total)
        if k == 1:
            last = draws.randint(1, 8)  # before anything is finished
        if k % 2:  # every other one replaces an earlier audit
            shutil.copytree(where / "whole", folder)
        ended, _ = attempt(plan, folder, last)
        before = receipts(folder)
        half = folder.exists() and contents(folder) != whole
        again, _ = attempt(plan, folder, None)
        run = json.loads((folder / "run.json").read_bytes())
        kept = {shard["shard"]: shard["began"] for shard in run["shards"]}
        told = {
            "operation": last, "of": total, "killed": ended == signal.SIGKILL, "ended": again, "half": half,
            "finished_before": len(before), "same": contents(folder) == whole,
            "nothing_twice": all(kept[name] == began for name, began in before.items()),
            "left": sorted(path.name for path in where.iterdir() if path.name.startswith(f"{folder.name}.")),
        }  # fmt: skip
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
