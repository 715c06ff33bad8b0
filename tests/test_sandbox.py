"""The sandbox: same answers, nothing gets out, and a bad model ends in one sentence while the caller goes on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto as Kind
from onnx import helper

import blackbox as bb
from blackbox_adapters.sandbox import custody
from blackbox_adapters.sandbox.bounds import bounds
from blackbox_adapters.sandbox.frames import Channel, Garbled, new_area
from blackbox_adapters.sandbox.watchdog import resident

MODELS = Path(__file__).parents[1] / "sample_models"
CNN, LINEAR = MODELS / "digits" / "cnn.onnx", MODELS / "toys" / "linear.onnx"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is proven on Linux only")


def confined(path, **options):
    return bb.open_model(path, options={"sandbox": True, **options})


def rows_for(model, count, seed=0):
    rng = np.random.default_rng(seed)
    return {
        tensor.name: rng.normal(size=(count, *tensor.cell_shape)).astype(tensor.dtype)
        for tensor in model.signature.inputs
    }


def pid_of(model):
    return model.custody.child.watch.process.pid


def save(path, nodes, shape=("n", 1), kind=Kind.FLOAT, weights=(), out=("n", 1)):
    ends = [helper.make_tensor_value_info("x", kind, shape)], [helper.make_tensor_value_info("y", Kind.FLOAT, out)]
    graph = helper.make_graph(nodes, "g", *ends, list(weights))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))
    return path


def endless(path):
    """Turns for ever where the first row is above zero."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Identity", ["s"], ["t"])], "body",
        [value("k", Kind.INT64, []), value("c", Kind.BOOL, []), value("s", Kind.FLOAT, None)],
        [value("d", Kind.BOOL, []), value("t", Kind.FLOAT, None)],
    )  # fmt: skip
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
        helper.make_node("Constant", [], ["zero"], value_float=0.0),
        helper.make_node("Greater", ["top", "zero"], ["go"]),
        helper.make_node("Loop", ["", "go", "x"], ["y"], body=body),
    ]
    return save(path, nodes)


def glutton(path):
    """Makes as many numbers as the first row says, in millions."""
    nodes = [
        helper.make_node("Constant", [], ["million"], value_float=1e6),
        helper.make_node("Mul", ["x", "million"], ["many"]),
        helper.make_node("Cast", ["many"], ["whole"], to=Kind.INT64),
        helper.make_node("Constant", [], ["one"], value_ints=[-1]),
        helper.make_node("Reshape", ["whole", "one"], ["flat"]),
        helper.make_node("ReduceMax", ["flat"], ["size"], keepdims=1),
        helper.make_node("ConstantOfShape", ["size"], ["c"], value=helper.make_tensor("v", Kind.FLOAT, [1], [1.0])),
        helper.make_node("ReduceSum", ["c"], ["sum"], keepdims=1),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    return save(path, nodes)


@pytest.fixture(scope="module")
def cnn():
    return bb.open_model(CNN, "cpu", {"sandbox": True})


def test_answers_and_face_are_those_of_the_model_itself(cnn):
    plain = bb.open_model(CNN, "cpu")
    assert (cnn.signature, cnn.limits, cnn.traits) == (plain.signature, plain.limits, plain.traits)
    assert cnn.identity.sha256 == {"cnn.onnx": hashlib.sha256(CNN.read_bytes()).hexdigest()}
    facts = dict(cnn.identity.facts)
    assert facts.pop("sandbox")["process"] == "own interpreter"
    assert facts == plain.identity.facts
    for count in (1, 7, 64):
        rows = rows_for(cnn, count)
        answer = cnn.signature.answer
        np.testing.assert_array_equal(cnn.predict(rows)[answer], plain.predict(rows)[answer])


def test_what_the_record_says_is_what_the_kernel_holds(cnn):
    held, proc = cnn.identity.facts["sandbox"], Path(f"/proc/{pid_of(cnn)}")
    status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
    limits = {line[:26].strip(): line[26:].split() for line in (proc / "limits").read_text().splitlines()}
    assert status["PPid"] == str(os.getpid())
    assert (held["new_privileges"] == "none") == (status["NoNewPrivs"] == "1")
    assert held["system_calls"].startswith("filtered") == (status["Seccomp"] == "2")
    assert (held["file_size"], limits["Max file size"][:2]) == ("0 bytes", ["0", "0"])
    assert (held["core_dumps"], limits["Max core file size"][:2]) == ("none", ["0", "0"])
    assert int(limits["Max cpu time"][0]) < 10_000
    assert os.readlink(proc / "cwd").endswith("(deleted)")
    if held["network"].startswith("none"):
        devices = [line.split(":")[0].strip() for line in (proc / "net" / "dev").read_text().splitlines()[2:]]
        assert devices == ["lo"]
    json.dumps(held)


def test_a_record_says_that_the_model_was_confined(cnn):
    explanation = bb.explain(cnn, rows_for(cnn, 1)[cnn.signature.inputs[0].name][0], bb.Occlusion())
    assert explanation.provenance["model"]["sandboxed"] is True


def test_text_crosses_both_ways(tmp_path):
    encode = helper.make_node(
        "LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", keys_strings=["Grün", "", "日本"],
        values_floats=[1.0, 2.0, 3.0], default_float=-1.0,
    )  # fmt: skip
    model = confined(save(tmp_path / "text.onnx", [encode], kind=Kind.STRING))
    rows = {"x": np.array([["日本"], ["Grün"], [""], ["x"]], dtype=object)}
    assert model.predict(rows)["y"].ravel().tolist() == [3.0, 1.0, 2.0, -1.0]


def test_arrays_larger_than_a_container_s_shared_memory_cross(tmp_path):
    model = confined(save(tmp_path / "same.onnx", [helper.make_node("Neg", ["x"], ["y"])], ("n", 1024), out=("n", 1024)))
    rows = {"x": np.random.default_rng(0).random((20_000, 1024), dtype=np.float32)}  # 82 MB
    np.testing.assert_array_equal(model.predict(rows)["y"], -rows["x"])


def test_a_crash_ends_in_one_sentence_and_the_next_pass_is_answered():
    model = confined(LINEAR)
    rows = rows_for(model, 2)
    before = model.predict(rows)
    for sent, words in ((signal.SIGSEGV, "crashed (SIGSEGV)"), (signal.SIGKILL, "killed from outside"),
                        (signal.SIGXCPU, "processor time")):  # fmt: skip
        os.kill(pid_of(model), sent)
        with pytest.raises(bb.ModelError) as told:
            model.predict(rows)
        assert words in str(told.value)
        answer = model.signature.answer
        np.testing.assert_array_equal(model.predict(rows)[answer], before[answer])


def test_an_endless_pass_is_ended_at_its_deadline_and_the_next_is_answered(tmp_path):
    model = confined(endless(tmp_path / "loop.onnx"), deadline=10)
    model.custody.child.watch.bounds = bounds(None, 0.5)
    began = time.monotonic()
    with pytest.raises(bb.ModelError, match=r"did not answer within 0\.5 seconds"):
        model.predict({"x": np.ones((2, 1), np.float32)})
    assert time.monotonic() - began < 5
    assert model.predict({"x": -np.ones((2, 1), np.float32)})["y"].tolist() == [[-1.0], [-1.0]]


def test_a_pass_that_eats_memory_is_ended_and_the_next_is_answered(tmp_path):
    # the ceiling is that of both processes, and this one has run thousands of tests
    ceiling = resident(os.getpid()) + 700 * 2**20
    model = confined(glutton(tmp_path / "glutton.onnx"), memory=ceiling, deadline=60)
    assert model.predict({"x": np.ones((1, 1), np.float32)})["y"].tolist() == [[1_000_001.0]]
    with pytest.raises(bb.ModelError, match="of memory"):
        model.predict({"x": np.full((1, 1), 2000, np.float32)})  # 8 GB
    assert model.predict({"x": np.full((1, 1), 2, np.float32)})["y"].tolist() == [[2_000_002.0]]


def test_a_file_that_is_exchanged_between_two_processes_is_told(tmp_path):
    path = Path(shutil.copy(LINEAR, tmp_path / "m.onnx"))
    model = confined(path)
    rows = rows_for(model, 1)
    shutil.copy(MODELS / "toys" / "softmax.onnx", path)
    model.predict(rows)  # the session lives on the bytes that were hashed
    os.kill(pid_of(model), signal.SIGKILL)
    with pytest.raises(bb.ModelError, match="given up"):
        model.predict(rows)
    with pytest.raises(bb.ModelError, match="was changed while it was in use"):
        model.predict(rows)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"memory": "lots"}, "amount such as 2GiB"), ({"memory": "1MiB"}, "at least 256MiB"),
        ({"deadline": 0}, "deadline"), ({"sandbox": False, "memory": "2GiB"}, "leave it on"),
        ({"sandbox": False, "deadline": 3}, "leave it on"),
    ],
)  # fmt: skip
def test_bounds_that_cannot_hold_are_refused(options, words):
    with pytest.raises(bb.RequestError, match=words):
        bb.open_model(LINEAR, options=options)


def test_errors_of_the_file_are_told_as_without_a_sandbox(tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"\x00garbage")
    for path, options in ((tmp_path / "no.onnx", {}), (LINEAR, {"output": "nope"})):
        with pytest.raises(bb.errors.BlackboxError) as plain:
            bb.open_model(path, options=options)
        with pytest.raises(type(plain.value)) as told:
            confined(path, **options)
        assert str(told.value) == str(plain.value)


@pytest.fixture(scope="module")
def intruder():
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        yield custody.start("intruder", bounds(None, 20))
    finally:
        sys.path.pop(0)


FORBIDDEN = ["write", "here", "fork", "run", "socket", "native socket", "see into the parent", "cut"]


@pytest.mark.parametrize("deed", FORBIDDEN)
def test_code_inside_cannot(intruder, tmp_path, deed):
    intruder.ask({"deed": "echo"}, ARRAYS)  # so that there is shared memory to cut
    answer, _ = intruder.ask({"deed": deed, "path": str(tmp_path / "out")})
    assert answer["told"] in ("PermissionError", "FileNotFoundError")
    assert list(tmp_path.iterdir()) == []


def test_files_outside_the_system_s_folders_cannot_be_read(intruder, tmp_path):
    (tmp_path / "secret").write_text("secret")
    answer, found = intruder.ask({"deed": "read", "path": str(tmp_path / "secret")})
    fenced = answer["held"]["files"].startswith("fenced")
    assert (answer["told"], found) == (("PermissionError", {}) if fenced else ("done", found))
    assert fenced or "not enforced" in answer["held"]["files"]


def test_tokens_of_the_environment_stay_outside(monkeypatch):
    monkeypatch.setenv("A_TOKEN", "secret")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    _, found = custody.start("intruder", bounds(None, 20)).ask({"deed": "environment"})
    assert "PATH" in found["names"]
    assert "A_TOKEN" not in found["names"]


def test_what_is_printed_inside_does_not_enter_the_talk(intruder):
    assert intruder.ask({"deed": "shout"})[0]["told"] == "done"
    assert intruder.ask({"deed": "environment"})[0]["told"] == "done"


ARRAYS = {
    "plain": np.arange(12, dtype=np.float32).reshape(3, 4),
    "empty": np.zeros((0, 5)),
    "none": np.array(7, dtype=np.int8),
    "flags": np.array([True, False]),
    "half": np.arange(4, dtype=np.float16),
    "turned": np.arange(6).reshape(2, 3).T,
    "text": np.array([["a", "ß"], ["", "日本\0"]], dtype=object),
    "no text": np.zeros((0, 2), dtype=object),
}


@pytest.mark.parametrize("shared", [True, False])
def test_every_array_comes_back_as_it_went(intruder, shared, request):
    child = intruder if shared else custody.start("intruder", bounds(None, 20), shared=False)
    _, found = child.ask({"deed": "echo"}, ARRAYS)
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)


def frame(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def entry(**changes):
    return {"arrays": [{"name": "a", "dtype": "float32", "shape": [2], "at": 0, **changes}], "area": None}


GARBLED = {
    "nothing": b"", "half a length": b"\1\2", "a giant header": (2**40).to_bytes(8, "little"),
    "no JSON": frame(b"{"), "deep JSON": frame(b"[" * 100_000), "a list": frame([]), "no arrays": frame({}),
    "arrays that are none": frame({"arrays": 3, "area": None}), "no entry": frame({"arrays": [3], "area": None}),
    "unknown dtype": frame(entry(dtype="object")), "negative shape": frame(entry(shape=[-1])),
    "shape of text": frame(entry(shape="ab")), "many axes": frame(entry(shape=[1] * 99)),
    "giant shape": frame(entry(shape=[2**40, 2**40])), "fractions": frame(entry(shape=[1.5])),
    "a true shape": frame(entry(shape=[True])), "too short": frame(entry(), b"abc"),
    "text without length": frame(entry(dtype="string")), "negative place": frame(entry(at=-8)),
    "text of another length": frame(entry(dtype="string", bytes=4), b"\1\0\0\0\1\0\0\0abcd"),
    "text of a giant length": frame(entry(dtype="string", bytes=2**50), b"\1\0\0\0\1\0\0\0abcd"),
}  # fmt: skip


@pytest.mark.parametrize("kind", GARBLED)
def test_what_is_no_frame_is_noticed(kind):
    reader, writer = os.pipe()
    os.write(writer, GARBLED[kind][:60_000])
    os.close(writer)
    try:
        with pytest.raises(Garbled):
            Channel(reader, -1, None, None, 2**20).receive()
    finally:
        os.close(reader)


@pytest.mark.parametrize("change", [{"at": 2**40}, {"shape": [2**20]}, {"dtype": "string", "bytes": 10**6}])
def test_an_array_beyond_the_shared_memory_is_noticed(change):
    area = new_area()
    area.grow(1)
    reader, writer = os.pipe()
    told = {**entry(**change), "area": area.size}
    os.write(writer, frame(told))
    os.write(writer, frame({"arrays": [], "area": 2**50}))
    os.close(writer)
    channel = Channel(reader, -1, None, area, 2**40)
    try:
        for _ in range(2):
            with pytest.raises(Garbled):
                channel.receive()
    finally:
        os.close(reader)
        os.close(area.handle)


LONG = """
import sys, numpy as np, blackbox as bb
model = bb.open_model(sys.argv[1], options={"sandbox": True})
print(model.custody.child.watch.process.pid, flush=True)
model.predict({"x": np.ones((1, 1), np.float32)})
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_its_parent(tmp_path, sent):
    command = [sys.executable, "-c", LONG, str(endless(tmp_path / "loop.onnx"))]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    pid = int(parent.stdout.readline())
    time.sleep(0.2)  # the pass has begun; were it earlier, the test would still hold
    parent.send_signal(sent)
    parent.wait(20)
    parent.stdout.close()
    until = time.monotonic() + 10
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive(pid)


def alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


PLAN = """
model: {{path: {model}{extra}}}
data: {{path: {data}, id: applicant, first: 1}}
methods: [occlusion]
"""


@pytest.mark.parametrize(("extra", "confined"), [("", True), (", sandbox: true", True), (", sandbox: false", False)])
def test_an_audit_confines_its_model_unless_the_plan_says_otherwise(tmp_path, extra, confined):
    from blackbox.materials import gather
    from blackbox.plan import as_plan
    from blackbox.yamls import read_yaml

    folder = MODELS / "credit"
    text = PLAN.format(model=folder / "credit.onnx", data=folder / "applicants.csv", extra=extra)
    (tmp_path / "plan.yaml").write_text(text)
    materials = gather(as_plan(read_yaml(tmp_path / "plan.yaml")), tmp_path)
    assert ("sandbox" in materials.model.identity.facts) == confined


def test_the_command_line_confines_on_request():
    from click.testing import CliRunner

    from blackbox.cli import cli

    result = CliRunner().invoke(cli, ["inspect", str(LINEAR), "--memory", "2GiB", "--deadline", "30", "--json"])
    held = json.loads(result.output)["sandbox"]
    assert (held["memory_bytes"], held["memory_of"], held["seconds_a_call"]) == (2**31, "both processes", 30.0)
    assert "sandbox" not in json.loads(CliRunner().invoke(cli, ["inspect", str(LINEAR), "--json"]).output)


def test_masks_are_played_inside_as_outside(monkeypatch):
    rng = np.random.default_rng(0)
    x, background = rng.random((1, 8, 8)), rng.random((5, 1, 8, 8))
    given = {"device": "cpu", "options": {"fuse": True}}
    plain = bb.open_model(CNN, **given)
    inside = bb.open_model(CNN, "cpu", {"fuse": True, "sandbox": True})
    method = bb.KernelShap(budget=200)
    wanted = bb.explain(plain, x, method, background=background)
    found = bb.explain(inside, x, method, background=background)
    np.testing.assert_array_equal(found.values, wanted.values)
    assert found.provenance["hiding"] == wanted.provenance["hiding"] == "in the graph"
    crossed = []
    ask = type(inside.custody).ask
    monkeypatch.setattr(type(inside.custody), "ask", lambda self, q, a: crossed.append((q["verb"], sum(v.nbytes for v in a.values()))) or ask(self, q, a))
    bb.explain(inside, x + 1, method, background=background)
    plays = [size for verb, size in crossed if verb == "play"]
    assert plays
    assert sum(plays) < 200 * 64 * 2  # masks travel, a byte a feature; rows would be 1280 bytes a mask


def test_a_case_is_laid_out_again_where_its_process_is_gone_or_dropped_it(monkeypatch):
    from blackbox.model import Hiding, Readout

    model = bb.open_model(LINEAR, "cpu", {"fuse": True, "sandbox": True})
    tensor, answer = model.signature.inputs[0], model.signature.answer
    width = tensor.cell_shape[0]

    def hiding(scale):
        rows = np.full((2, width), scale, np.float32)
        return Hiding({tensor.name: rows[0] + 1}, {tensor.name: np.arange(width)}, {tensor.name: rows})

    readout, masks = Readout(answer, (0,), "raw", "values"), np.eye(width, dtype=bool)
    first = model.hide(hiding(0), readout)
    assert first.how == "in the graph"
    (wanted,) = first.run([(masks, True)])
    os.kill(pid_of(model), signal.SIGKILL)
    with pytest.raises(bb.ModelError, match="given up"):
        first.run([(masks, False)])
    (other,) = model.hide(hiding(5), readout).run([(masks, True)])  # the first that the new process is sent
    assert not np.array_equal(other.scores, wanted.scores)
    (again,) = first.run([(masks, True)])
    np.testing.assert_array_equal(again.scores, wanted.scores)
    np.testing.assert_array_equal(again.apart, wanted.apart)


WITHOUT_NAMESPACES = """
import json, os, socket, sys
from blackbox_adapters.sandbox import confinement, syscalls

def tried():
    try:
        socket.socket().close()
        return "opened"
    except PermissionError as error:
        return str(error)

real = syscalls.call
syscalls.call = lambda name, *given: -1 if name == "unshare" else real(name, *given)
facts = confinement.early({"parent": os.getppid(), "deadline": 5})
hooked = tried()
late = confinement.late(facts)
sys.stdout.write(json.dumps([facts["network"], hooked, late["network"], late["system_calls"]]))
"""


def test_where_no_network_of_its_own_is_allowed_sockets_are_refused_and_the_record_says_how():
    told = subprocess.run([sys.executable, "-c", WITHOUT_NAMESPACES], capture_output=True, check=True, text=True).stdout
    early, hooked, late, calls = json.loads(told)
    assert early == "refused by Python (socket hook); native code is not held"
    assert "no business with the network" in hooked
    assert late == ("no socket can be opened (system-call filter)" if calls.startswith("filtered") else early)


def test_the_ceiling_holds_for_a_gpu_by_the_runtimes_own_setting():
    from blackbox_adapters.onnx import runtime

    assert runtime._cuda(0, runtime.Loading(b"", memory=2**30))[1]["gpu_mem_limit"] == 2**30
    assert "gpu_mem_limit" not in runtime._cuda(0, runtime.Loading(b""))[1]
