"""Derivatives from forward passes: how right they are, what they cost; writes tables into the README."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import threadpoolctl
from floor import measure
from onnx import TensorProto, helper, numpy_helper
from overhead import environment

import blackbox as bb

HERE = Path(__file__).parent
STORED = HERE.parent / "tests" / "derivatives"
README = HERE / "README.md"
NAMES = ("relu", "biasfree", "gelu", "tanh", "transformer", "gated")
SHARES = (0.01, 0.1)
HEADER = (
    "| Network | Form chosen | Step | Gradient: cosine, error | Largest eigenvalue: error | Judged "
    "| CASO: cosine | Objective | Closed form alone | Bounds cover | Rows |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)
COST_HEADER = (
    "| Network | Method | Variables | Rows | Floor, ms/row (batch) | Overhead | Overhead, ms |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Return the cosine of two arrays."""
    return float(a.ravel() @ b.ravel() / (np.linalg.norm(a) * np.linalg.norm(b)))


def fidelity(name: str) -> str:
    """Compare one network's stored float64 derivatives with what float32 passes give: a table line.

    Worst cases over its six inputs. CASO is judged at lambda2 = 0.01 and 0.1 of the largest eigenvalue where
    CAFO's cosine to the optimum is at most 0.9 (where there is none, over all).
    """
    with np.load(STORED / f"{name}.npz") as stored:
        facts = {key: stored[key].astype(float) for key in stored.files}
    model = bb.open_model(STORED / f"{name}.onnx", device="cpu")
    found = [_one(model, {key: value[row] for key, value in facts.items()}) for row in range(len(facts["x"]))]
    judged = [case for one in found for case in one["cases"] if case[0] <= 0.9]
    shown = judged or [case for one in found for case in one["cases"]]
    forms = sorted({one["form"] for one in found})
    return (
        f"| {name} | {', '.join(forms)} | {np.median([one['step'] for one in found]):.0e} "
        f"| {min(one['cosine'] for one in found):.6f}, {max(one['error'] for one in found):.1e} "
        f"| {max(one['top'] for one in found):.2%} | {len(judged)} of {2 * len(found)} "
        f"| {min(case[1] for case in shown):.5f} | {min(case[2] for case in shown):.4f} "
        f"| {max(one['closed'] for one in found):.1%} "
        f"| {np.mean([one['cover'] for one in found]):.0%} | {max(one['rows'] for one in found):,} |"
    )


def _one(model: bb.Model, facts: dict[str, np.ndarray]) -> dict[str, object]:
    x, g, hessian = facts["x"], facts["g"], facts["H"]
    top = float(np.linalg.eigvalsh(hessian)[-1])
    p = np.exp(facts["z"] - np.logaddexp.reduce(facts["z"]))
    j = facts["J"].reshape(len(p), -1)
    closed = np.linalg.eigvalsh(j.T @ (np.diag(p) - np.outer(p, p)) @ j)[-1]
    cases, first = [], None
    for share in SHARES:
        lambda2, w = share * top, (1 + share) * top
        e = first = bb.explain(model, x, bb.Caso(lambda2=lambda2))
        best, delta = np.linalg.solve(w * np.eye(len(g)) - hessian, g), e.details["delta"]
        objective = [g @ d + d @ hessian @ d / 2 - w / 2 * d @ d for d in (delta, best)]
        cases.append((cosine(g, best), cosine(delta, best), objective[0] / objective[1]))
    details = first.details
    inside = np.abs(details["gradient"] - g) <= details["gradient_error"]
    unsure = first.outcome is bb.Outcome.UNRESOLVED
    return {
        "cases": cases, "form": details["hessian"] + (" (abstains)" if unsure else ""),
        "step": details["step"], "cosine": cosine(details["gradient"], g), "rows": first.rows,
        "error": np.linalg.norm(details["gradient"] - g) / np.linalg.norm(g), "cover": inside.mean(),
        "top": abs(details["largest_eigenvalue"] / top - 1), "closed": abs(closed / top - 1),
    }  # fmt: skip


def resnet(path: Path) -> None:
    """Write a ReLU network of residual blocks for 3 x 224 x 224 pictures, with drawn weights."""
    rng, nodes, weights = np.random.default_rng(0), [], []

    def conv(source: str, name: str, into: int, out: int, size: int, stride: int, act: bool = True) -> str:
        scale = np.sqrt(2 / (into * size**2))
        for part, shape, spread in (("w", (out, into, size, size), scale), ("b", (out,), 0.1)):
            array = (spread * rng.standard_normal(shape)).astype(np.float32)
            weights.append(numpy_helper.from_array(array, name + part))
        sides = {"strides": [stride] * 2, "pads": [size // 2] * 4}
        nodes.append(helper.make_node("Conv", [source, name + "w", name + "b"], [name], **sides))
        return relu(name) if act else name

    def relu(source: str) -> str:
        nodes.append(helper.make_node("Relu", [source], [source + "r"]))
        return source + "r"

    last, width = conv("x", "stem", 3, 32, 7, 4), 32
    for block, out in enumerate((32, 64, 128, 128)):
        stride = 1 if out == width else 2
        inner = conv(conv(last, f"a{block}", width, out, 3, stride), f"b{block}", out, out, 3, 1, act=False)
        side = last if stride == 1 else conv(last, f"s{block}", width, out, 1, stride, act=False)
        nodes.append(helper.make_node("Add", [inner, side], [f"sum{block}"]))
        last, width = relu(f"sum{block}"), out
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    head = (rng.standard_normal((width, 100)) / np.sqrt(width)).astype(np.float32)
    weights.append(numpy_helper.from_array(head, "head"))
    nodes.append(helper.make_node("MatMul", ["flat", "head"], ["logits"]))
    graph = helper.make_graph(
        nodes, "resnet",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 224, 224])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 100])], weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


def costs(seconds: float, quick: bool, threads: int) -> Iterator[str]:
    """Measure the overhead over the floor on a network of more than 1 ms a row: table lines."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet.onnx"
        resnet(path)
        model = bb.open_model(path, device="cpu", options={"threads": threads})
        x = np.random.default_rng(1).random((3, 224, 224))
        for name, method in (("caso", bb.Caso(lambda2=0.1, relative=True)), ("cafo", bb.Cafo())):
            e = bb.explain(model, x, method)
            found = measure(lambda asked, m=method: bb.explain(asked, x, m), model, seconds, quick)
            yield (
                f"| resnet 224 x 224 | {name} ({e.details['hessian']}) | {len(e.values)} patches "
                f"| {e.rows:,} "
                f"| {1e3 * found.floor / found.rows:.2f} ({found.batch}) | {found.over_floor:.2f} "
                f"| {1e3 * found.excess:.0f} |"
            )


def picture(path: Path) -> str:
    """Draw the README's picture: Hessian impact of the tanh network on 200 digits."""
    from blackbox.report.impact import save_impact

    table = np.loadtxt(HERE.parent / "sample_models/digits/digits.csv", delimiter=",", skiprows=1)
    found = bb.hessian_impact(STORED / "tanh.onnx", table[:200, :64].reshape(-1, 1, 8, 8))
    save_impact(found, path)
    return found.sentence


def write_between(mark: str, block: str) -> None:
    """Replace what stands between the README's markers."""
    text = README.read_text(encoding="utf-8")
    begin, end = f"<!-- {mark}:begin -->\n", f"<!-- {mark}:end -->"
    before, after = text.split(begin)[0], text.split(end)[1]
    README.write_text(f"{before}{begin}{block}\n{end}{after}", encoding="utf-8")


def main() -> None:
    """Measure, print, and write the README's tables when nothing was shortened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round; writes nothing")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=30.0)
    asked = parser.parse_args()
    tables = {"derivatives": [*HEADER], "derivative-costs": [environment(asked.threads), "", *COST_HEADER]}
    for name in NAMES:
        tables["derivatives"].append(fidelity(name))
        print(tables["derivatives"][-1], flush=True)
    with threadpoolctl.threadpool_limits(asked.threads):
        for line in costs(asked.seconds, asked.quick, asked.threads):
            tables["derivative-costs"].append(line)
            print(line, flush=True)
    if not asked.quick:
        print(picture(HERE.parent / "docs" / "impact.png"))
        for mark, block in tables.items():
            write_between(mark, "\n".join(block))


if __name__ == "__main__":
    main()
