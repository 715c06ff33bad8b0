"""Peak memory and time of an audit of the credit model, by number of applicants.

Run it from the top of the checkout:  python benchmarks/audit.py [ROWS ...]   (default 1000 10000)
With 100000 rows it takes about 8 minutes of one core. Each size runs in a process of its own; rows are
the sample applicants with their incomes varied.
"""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

CREDIT = Path(__file__).resolve().parent.parent / "sample_models" / "credit"

PROGRAM = """
import json, resource, sys, time
import blackbox as bb
begun = time.perf_counter()
result = bb.audit(sys.argv[1], sys.argv[2])
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"peak_mib": used.ru_maxrss / 1024, "seconds": time.perf_counter() - begun,
                  "cpu_seconds": used.ru_utime + used.ru_stime, "cases": result.manifest["cases"],
                  "bundle_mib": sum(p.stat().st_size for p in result.folder.rglob("*")) / 2**20}))
"""


def write_rows(path: Path, count: int) -> None:
    """Write so many applicants: the sample's, with their incomes varied by up to a fifth."""
    header, *sample = csv.reader((CREDIT / "applicants.csv").read_text(encoding="utf-8").splitlines())
    draws, income = random.Random(0), header.index("income")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for k in range(count):
            row = list(draws.choice(sample))
            row[0], row[income] = f"B-{k:06d}", str(round(float(row[income]) * draws.uniform(0.8, 1.2)))
            writer.writerow(row)


def write_plan(folder: Path, count: int) -> Path:
    """Write the plan and its rows: leave-one-out against ten applicants, two checks that cost no pass."""
    write_rows(folder / "rows.csv", count)
    plan = {
        "model": {"path": str(CREDIT / "credit.onnx"), "classes": ["declined", "approved"]},
        "data": {"path": "rows.csv", "id": "applicant"},
        "background": {"path": str(CREDIT / "background.csv"), "most": 10},
        "methods": {"occlusion": {}}, "checks": {"omission": {}, "outcomes": {}},
    }  # fmt: skip
    (folder / "plan.yaml").write_text(json.dumps(plan), encoding="utf-8")  # JSON is YAML
    return folder / "plan.yaml"


def measure(count: int) -> dict[str, float]:
    """Audit so many applicants in a fresh process and return its peak memory and times."""
    with tempfile.TemporaryDirectory() as name:
        plan = write_plan(Path(name), count)
        command = [sys.executable, "-c", PROGRAM, str(plan), str(Path(name) / "out")]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print one line of a Markdown table per size."""
    print("| applicants | peak memory | seconds | CPU seconds | bundle |\n|---|---|---|---|---|")
    for count in [int(text) for text in sys.argv[1:]] or [1_000, 10_000]:
        one = measure(count)
        print(
            f"| {count:,} | {one['peak_mib']:.0f} MiB | {one['seconds']:.0f} | {one['cpu_seconds']:.0f} | "
            f"{one['bundle_mib']:.0f} MiB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
