"""The service at work: shared passes, turns, deadlines, models that misbehave, meters, logs, start and stop."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import numpy as np
import pytest
from serving import SAMPLES, SOFTMAX, X3, serving, until

import blackbox as bb
from blackbox.errors import ModelError
from blackbox.service.clock import Clock, Late
from blackbox.service.pool import Pool

EXPLAIN = {"instances": [X3], "parameters": {"method": "occlusion"}}
APPLICANT = [62, 1, 49100, 10400, 60, 0.279, 2.9, 19.2, 3, 5, 0.274, 5480, 1870, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 38]


class Stand:
    """Stands in front of a model: counts its passes, and misbehaves as it is told."""

    def __init__(self, model, act=lambda rows, answer: answer()):
        self.model, self.act, self.passes = model, act, []

    def __getattr__(self, name):
        return getattr(self.model, name)

    def predict(self, rows):
        self.passes.append(len(next(iter(rows.values()))))
        return self.act(rows, lambda: self.model.predict(rows))


def stand(act=lambda rows, answer: answer(), name="softmax"):
    """Put a stand in front of one model of an application, before it is asked anything."""

    def change(app):
        pool = app.state.desk.shelf.models[name].pool
        pool.model = Stand(pool.model, act)

    return change


def slowly(seconds):
    def act(rows, answer):
        time.sleep(seconds)
        return answer()

    return act


def linear(batch=64):
    function = lambda x: x @ np.array([[1.0], [2.0], [3.0]], dtype=np.float32)  # noqa: E731
    return bb.open_model(function, options={"shape": (3,), "batch_size": batch})


def together(pool, count, ask):
    """Ask from several threads that all are seated before the first asks."""
    gate = threading.Barrier(count)

    def one(k):
        with pool.seat(Clock.of(20), "m") as seat:
            gate.wait()
            return ask(seat, k)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))


def test_calls_of_several_threads_become_fewer_passes_with_the_same_answers():
    stood = Stand(linear(), slowly(0.02))
    pool = Pool(stood)
    rows = [np.full((k % 3 + 1, 3), float(k), dtype=np.float32) for k in range(8)]

    def ask(seat, k):
        return [seat.predict({"input": rows[k]})["output"] for _ in range(5)], sum(seat.merged)

    answers = together(pool, 8, ask)
    for k, (found, merged) in enumerate(answers):
        for answer in found:
            np.testing.assert_allclose(answer, rows[k] @ [[1.0], [2.0], [3.0]], rtol=1e-6)
        assert merged > 0
    assert len(stood.passes) <= 20  # 40 calls
    assert max(stood.passes) <= 64
    pool.close()


def test_a_pass_never_holds_more_rows_than_one_question_may_ask():
    stood = Stand(linear(batch=10), slowly(0.01))
    pool = Pool(stood)
    together(pool, 6, lambda seat, k: seat.predict({"input": np.ones((4, 3), dtype=np.float32)}))
    assert max(stood.passes) == 8
    pool.close()


def test_one_question_alone_is_never_kept_waiting():
    pool = Pool(linear())
    with pool.seat(Clock.of(20), "m") as seat:
        begun = time.perf_counter()
        for _ in range(200):
            seat.predict({"input": np.ones((1, 3), dtype=np.float32)})
        assert not seat.merged
    assert time.perf_counter() - begun < 2
    pool.close()


def test_only_the_culprit_gets_the_error():
    def act(rows, answer):
        time.sleep(0.02)
        if (rows["input"] == 13).any():
            raise ModelError("The model failed on 13.")
        return answer()

    pool = Pool(Stand(linear(), act))

    def ask(seat, k):
        try:
            return seat.predict({"input": np.full((1, 3), 13.0 if k == 2 else k, dtype=np.float32)})["output"][0, 0]
        except ModelError as error:
            return str(error)

    assert together(pool, 4, ask) == [0.0, 6.0, "The model failed on 13.", 18.0]
    pool.close()


def test_rows_of_different_shapes_do_not_mix():
    pool = Pool(Stand(linear(), lambda rows, answer: {"output": rows["input"].sum(axis=1, keepdims=True)}))
    answers = together(pool, 4, lambda seat, k: seat.predict({"input": np.ones((2, k + 1), dtype=np.float32)}))
    assert [answer["output"].tolist() for answer in answers] == [[[k + 1.0]] * 2 for k in range(4)]
    pool.close()


def test_a_model_that_hangs_is_waited_for_until_the_deadline_only():
    release = threading.Event()

    def act(rows, answer):
        release.wait(20)
        return answer()

    pool = Pool(Stand(linear(), act))
    with pool.seat(Clock.of(0.3), "m") as seat, pytest.raises(Late, match=r"0\.3 seconds"):
        seat.predict({"input": np.ones((1, 3), dtype=np.float32)})
    release.set()
    pool.close()


def test_concurrent_explanations_share_passes_and_say_so():
    with serving(SOFTMAX, change=stand(slowly(0.02)), ceilings={"running": 6}) as client:
        stood = client.desk.shelf.models["softmax"].pool.model
        before = len(stood.passes)
        body = {"instances": [X3], "parameters": {"method": "sis"}}
        with ThreadPoolExecutor(6) as threads:
            answers = list(threads.map(lambda _: client.post("/v1/models/softmax:explain", json=body).json(), range(6)))
        records = [answer["explanations"][0] for answer in answers]
        alone = bb.explain(SOFTMAX, X3, "sis")
        assert sum(record["details"]["pooled"] for record in records) >= 2
        for record in records:
            np.testing.assert_allclose(record["values"], alone.values, rtol=1e-6)
        assert len(stood.passes) - before < 6 * alone.provenance["calls"]
        assert 'blackbox_merged_calls_total{model="softmax"}' in client.get("/metrics").text


def test_too_many_requests_are_told_to_come_back():
    with serving(SOFTMAX, change=stand(slowly(0.15)), ceilings={"running": 1, "waiting": 1}) as client:
        with ThreadPoolExecutor(6) as threads:
            got = list(threads.map(lambda _: client.post("/v1/models/softmax:explain", json=EXPLAIN), range(6)))
        statuses = sorted(one.status_code for one in got)
        assert statuses.count(200) >= 2
        assert statuses.count(429) >= 1
        assert set(statuses) == {200, 429}
        busy = next(one for one in got if one.status_code == 429)
        assert int(busy.headers["retry-after"]) >= 1
        assert "waiting" in busy.json()["error"]
        assert client.post("/v1/models/softmax:explain", json=EXPLAIN).status_code == 200
        assert "blackbox_refused_total" in client.get("/metrics").text


def test_bodies_that_drip_in_hold_few_places_and_not_for_long():
    def dripping():
        yield b'{"instances": '
        time.sleep(1.2)
        yield b"[]}"

    ceilings = {"running": 1, "waiting": 1, "seconds": 0.5}
    with serving(SOFTMAX, ceilings=ceilings) as client, ThreadPoolExecutor(5) as threads:
        asked = [threads.submit(client.post, "/v1/models/softmax:explain", content=dripping()) for _ in range(5)]
        statuses = sorted(one.result().status_code for one in asked)
        assert statuses == [429, 429, 504, 504, 504]
        assert client.post("/v1/models/softmax:explain", json=EXPLAIN).status_code == 200


def test_a_late_answer_is_a_504_and_the_next_one_is_fine():
    with serving(SOFTMAX, change=stand(slowly(0.1)), ceilings={"running": 2}) as client:
        late = EXPLAIN | {"parameters": {"method": "sis", "seconds": 0.25}}
        begun = time.monotonic()
        got = client.post("/v1/models/softmax:explain", json=late)
        assert got.status_code == 504, got.text
        assert "0.25 seconds" in got.json()["error"]
        assert time.monotonic() - begun < 2
        assert client.post("/v1/models/softmax:explain", json=EXPLAIN).status_code == 200


def test_a_model_that_hangs_leaves_the_others_alone():
    release, hangs = threading.Event(), threading.Event()

    def act(rows, answer):
        if hangs.is_set():
            release.wait(20)
        return answer()

    linear_file = SAMPLES / "toys" / "linear.onnx"
    with serving(SOFTMAX, linear_file, change=stand(act), ceilings={"running": 2}) as client:
        hangs.set()
        hasty = EXPLAIN | {"parameters": {"method": "occlusion", "seconds": 0.5}}
        with ThreadPoolExecutor(3) as threads:
            stuck = [threads.submit(client.post, "/v1/models/softmax:explain", json=hasty) for _ in range(3)]
            statuses = [one.result().status_code for one in stuck]
        assert statuses == [504] * 3
        fine = client.post("/v1/models/linear:explain", json={"instances": [[1, 2, 3, 4]]})
        assert fine.status_code == 200, fine.text
        release.set()


WRONG = {
    "raises": (lambda rows, answer: 1 / 0, "failed on"),
    "wrong rows": (lambda rows, answer: {k: a[:-1] for k, a in answer().items()}, "rows"),
    "no output": (lambda rows, answer: {"other": next(iter(answer().values()))}, "no output"),
    "nan": (lambda rows, answer: {k: a * np.nan for k, a in answer().items()}, "NaN"),
    "text": (lambda rows, answer: {k: a.astype(str) for k, a in answer().items()}, "text"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_model_that_answers_wrongly_is_a_502(case):
    act, words = WRONG[case]
    wrong = threading.Event()
    change = stand(lambda rows, answer: act(rows, answer) if wrong.is_set() else answer())
    with serving(SOFTMAX, change=change) as client:
        wrong.set()
        got = client.post("/v1/models/softmax:explain", json=EXPLAIN)
        assert got.status_code == 502, got.text
        assert words in got.json()["error"]
        wrong.clear()
        assert client.post("/v1/models/softmax:explain", json=EXPLAIN).status_code == 200


def test_it_is_ready_only_after_a_first_pass(monkeypatch):
    monkeypatch.setattr("blackbox.service.shelf.AGAIN_SECONDS", 0.05)
    works = threading.Event()

    def act(rows, answer):
        if not works.is_set():
            raise ModelError("The model is still warming up.")
        return answer()

    with serving(SOFTMAX, change=stand(act), wait=False) as client:
        assert client.get("/v2/health/live").status_code == 200
        for path in ("/v2/health/ready", "/v2/models/softmax/ready", "/v1/models/softmax"):
            got = client.get(path)
            assert (got.status_code, got.headers["retry-after"]) == (503, "2")
        assert client.post("/v1/models/softmax:explain", json=EXPLAIN).status_code == 503
        works.set()
        until(lambda: client.get("/v2/health/ready").status_code == 200)
        assert client.post("/v1/models/softmax:explain", json=EXPLAIN).status_code == 200


def test_a_model_of_open_axes_needs_a_background_to_become_ready(tmp_path):
    from test_onnx import add

    model = add(tmp_path / "open.onnx", ["n", "m"], ["n", "m"])
    with serving(model, wait=False) as client:
        until(lambda: "background" in client.desk.shelf.models["open"].why)
        assert client.get("/v2/health/ready").status_code == 503


def test_an_asker_who_goes_away_frees_the_turn():
    with serving(SOFTMAX, change=stand(slowly(0.1)), ceilings={"running": 1}) as client:
        body = {"instances": [X3] * 20, "parameters": {"method": "sis"}}
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/models/softmax:explain", json=body, timeout=0.3)
        begun = time.monotonic()
        assert client.post("/v1/models/softmax:explain", json=EXPLAIN).status_code == 200
        assert time.monotonic() - begun < 3  # the abandoned request would have taken more than 10


def test_meters_count_what_happened():
    with serving(SOFTMAX) as client:
        rows = client.post("/v1/models/softmax:explain", json=EXPLAIN).json()["explanations"][0]["rows"]
        client.get("/v1/models/nope")
        text = client.get("/metrics").text

    def meter(name):
        return float(re.search(rf"^{re.escape(name)} (\S+)$", text, flags=re.M)[1])

    assert meter('blackbox_rows_total{model="softmax"}') == rows + 1  # and the first pass
    assert meter('blackbox_explanations_total{method="occlusion",model="softmax"}') == 1
    assert meter('blackbox_requests_total{route="/v1/models/{model}",status="404"}') == 1
    assert meter('blackbox_request_seconds_count{route="/v1/models/{model}:explain"}') == 1
    assert meter('blackbox_budget_share_sum{model="softmax"}') == pytest.approx(rows / 1_000_000)
    assert meter("blackbox_running") == 0
    assert meter("blackbox_queue_seconds_count") == 1
    assert "nope" not in text


def test_two_services_have_meters_of_their_own():
    with serving(SOFTMAX) as one, serving(SOFTMAX) as two:
        one.post("/v1/models/softmax:explain", json=EXPLAIN)
        assert "blackbox_explanations_total{" not in two.get("/metrics").text


def test_logs_are_lines_of_json_without_values(capfd):
    with serving(SOFTMAX) as client:
        client.post("/v1/models/softmax:explain", json={"instances": [[0.123456, 7.654321, -1]]})
        client.post("/v1/models/softmax:explain", content=b'{"instances": [["0.123456-secret"]]}')
        client.get("/v1/models/7.654321-secret")
    lines = capfd.readouterr().err.strip().splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert {"time", "event", "request", "route", "status", "seconds"} <= set(json.loads(lines[-1]))
    assert "123456" not in "".join(lines)
    assert "654321" not in "".join(lines)


def test_a_fault_of_ours_is_a_500_without_internals(capfd, monkeypatch):
    with serving(SOFTMAX) as client:
        monkeypatch.setattr("blackbox.service.v1._told", lambda found: 1 / 0)
        got = client.post("/v1/models/softmax:explain", json=EXPLAIN)
    assert got.status_code == 500
    assert got.headers["x-request-id"] in got.json()["error"]
    assert "division" not in got.text
    faults = [json.loads(line) for line in capfd.readouterr().err.splitlines() if '"fault"' in line]
    assert faults[0]["error"] == "ZeroDivisionError"
    assert any("v1.py" in place for place in faults[0]["at"])


def started(*arguments, **environment):
    """Start the command line's server on a free port; return the process and its URL."""
    program = "import sys; from blackbox.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "serve", *map(str, arguments)], stderr=subprocess.PIPE, text=True,
        env={**os.environ, **environment},
    )  # fmt: skip
    first = json.loads(process.stderr.readline())
    until(lambda: _answers(f"{first['url']}/v2/health/ready"), 30)
    return process, first["url"]


def _answers(url):
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def stopped(process, how=signal.SIGTERM):
    process.send_signal(how)
    try:
        process.communicate(timeout=30)
    finally:
        process.kill()
    return process.returncode


def test_a_stop_lets_requests_finish():
    process, url = started("--models", SAMPLES / "credit", "--port", "0")
    body = {"instances": [APPLICANT], "parameters": {"budget": 2500}}
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(httpx.post, f"{url}/v1/models/credit:explain", json=body, timeout=60)
        until(lambda: "blackbox_running 1.0" in httpx.get(f"{url}/metrics").text)
        assert stopped(process) == 0
        assert asked.result().status_code == 200


@pytest.mark.slow
def test_several_workers_count_together():
    process, url = started("--models", SOFTMAX, "--port", "0", "--workers", "2")

    def answered():
        status = httpx.post(f"{url}/v1/models/softmax:explain", json=EXPLAIN).status_code
        assert status in (200, 503)  # one worker may be ready before the other
        return status == 200

    for _ in range(12):  # connections of their own, so that both workers get some
        until(answered)
    text = httpx.get(f"{url}/metrics").text
    assert 'blackbox_explanations_total{method="occlusion",model="softmax"} 12.0' in text
    assert stopped(process, signal.SIGINT) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [([], 2, "nothing to serve"), (["--models", "{tmp}/nope"], 2, "nope"), (["--models", "{tmp}"], 2, "no .onnx"),
     (["--models", "{tmp}/text.onnx"], 3, "text.onnx"), (["--models", SOFTMAX, "--host", "0.0.0.0"], 2, "--token-file"),
     (["--models", SOFTMAX, "--models", SOFTMAX], 2, "Two models"), (["--model_name", "m"], 2, "belong together"),
     (["--models", SOFTMAX, "--host", "192.0.2.1", "--token-file", "{tmp}/token"], 2, "cannot be listened on"),
     (["--models", SOFTMAX, "--max-rows", "0"], 2, "rows"), (["--models", SOFTMAX, "--workers", "0"], 2, "workers")],
)  # fmt: skip
def test_a_wrong_start_is_told_in_words(tmp_path, monkeypatch, arguments, code, words):
    from click.testing import CliRunner

    from blackbox.cli import cli

    monkeypatch.delenv("BLACKBOX_BEHIND_GATEWAY", raising=False)
    (tmp_path / "text.onnx").write_text("hello")
    (tmp_path / "token").write_text("a-token-of-more-than-16")
    folder = tmp_path if arguments != ["--models", "{tmp}"] else tmp_path / "empty"
    folder.mkdir(exist_ok=True)
    typed = [str(part).replace("{tmp}", str(folder)) for part in arguments]
    result = CliRunner().invoke(cli, ["serve", *typed])
    assert result.exit_code == code, result.output
    assert words in " ".join(result.stderr.split())


DESCRIPTIONS = {
    "no mapping": ("- a", "no model"),
    "unknown key": ("m: {model: {path: m.onnx}, bakground: {}}", "bakground"),
    "no model": ("m: {background: {path: b.csv}}", "model"),
    "method": ("m: {model: {path: m.onnx}, methods: [magic]}", "magic"),
    "missing file": ("m: {model: {path: nope.onnx}}", "nope.onnx"),
    "name": ("a__b: {model: {path: m.onnx}}", "a__b"),
    "background": ("m: {model: {path: m.onnx}, background: {path: nope.csv}}", "nope.csv"),
}


@pytest.mark.parametrize("case", DESCRIPTIONS)
def test_a_wrong_description_is_told(tmp_path, case):
    text, words = DESCRIPTIONS[case]
    (tmp_path / "m.onnx").write_bytes((SAMPLES / "toys" / "softmax.onnx").read_bytes())
    (tmp_path / "blackbox.yaml").write_text(text)
    with pytest.raises(bb.RequestError, match=words), serving(tmp_path):
        pass


def test_a_description_chooses_methods_settings_and_background(tmp_path):
    (tmp_path / "m.onnx").write_bytes((SAMPLES / "toys" / "softmax.onnx").read_bytes())
    (tmp_path / "b.csv").write_text("a,b,c\n1,2,3\n0,1,1\n")
    (tmp_path / "blackbox.yaml").write_text(
        "kind:\n  model: {path: m.onnx, classes: [x, y, z]}\n  background: {path: b.csv, use: mean}\n"
        "  methods: {kernelshap: {budget: 40}, occlusion: {}}\n  seed: 7\n"
    )
    with serving(tmp_path) as client:
        body = {"instances": [{"a": 1.0, "b": 0.5, "c": -1.0}], "parameters": {"target": "y"}}
        record = client.post("/v1/models/kind:explain", json=body).json()["explanations"][0]
        assert (record["settings"]["budget"], record["seed"], record["output_names"]) == (40, 7, ["y"])
        assert record["feature_names"] == ["a", "b", "c"]
        assert record["provenance"]["background"]["rule"] == "the mean of 2 rows"
        changed = client.post(
            "/v1/models/kind:explain", json=body | {"parameters": {"estimator": "kernel", "seed": 3}}
        ).json()["explanations"][0]
        assert (changed["settings"]["budget"], changed["settings"]["estimator"], changed["seed"]) == (40, "kernel", 3)
        refused = client.post("/v1/models/kind:explain", json=body | {"parameters": {"method": "lime"}})
        assert refused.status_code == 422
        assert "kernelshap, occlusion" in refused.json()["error"]


def test_one_model_folder_serves_its_background(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "m.onnx").write_bytes((SAMPLES / "toys" / "softmax.onnx").read_bytes())
    np.save(tmp_path / "inner" / "background.npy", np.ones((2, 3), dtype=np.float32))
    with serving(tmp_path) as client:
        record = client.post("/v1/models/m:explain", json=EXPLAIN).json()["explanations"][0]
        assert record["provenance"]["background"]["rows"] == 2


def test_models_of_one_name_are_not_mistaken_for_each_other(tmp_path):
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "m.onnx").write_bytes((SAMPLES / "toys" / "softmax.onnx").read_bytes())
    with pytest.raises(bb.RequestError, match="Two models are named 'm'"), serving(tmp_path):
        pass


def test_a_clock_of_a_shorter_time_keeps_the_asker():
    whole = Clock.of(10)
    nearer = whole.within(2)
    assert nearer.gone is whole.gone
    assert nearer.until == pytest.approx(whole.until - 8)
    assert whole.within(50).until == whole.until
    assert replace(whole, until=0).left == 0


def test_the_commands_of_the_readme_run():
    readme = (SAMPLES.parent / "README.md").read_text(encoding="utf-8")
    serve, *asks = re.search(r"```sh\n(blackbox serve.*?)```", readme, flags=re.S)[1].strip().splitlines()
    typed = serve.replace("--port 8080", "--port 0").removesuffix(" &").split()[2:]
    process, url = started(*[SAMPLES.parent / part if part.startswith("sample_models") else part for part in typed])
    assert len(asks) == 3
    for ask in asks:
        line = ask.replace("http://127.0.0.1:8080", url)
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
        assert "error" not in json.loads(done.stdout)
    assert {one["name"] for one in json.loads(done.stdout)["outputs"]} >= {"values", "record"}
    assert stopped(process) == 0


def test_a_model_that_dies_in_its_own_process_is_replaced():
    with serving(SOFTMAX, sandbox=True) as client:
        before = client.post("/v1/models/softmax:explain", json=EXPLAIN).json()
        model = client.desk.shelf.models["softmax"].model
        facts = model.identity.facts["sandbox"]
        assert facts["process"] == "own interpreter"
        assert facts["seconds_a_call"] == 60
        os.kill(model.custody.child.watch.process.pid, signal.SIGKILL)
        answers = [client.post("/v1/models/softmax:explain", json=EXPLAIN) for _ in range(2)]
        assert answers[-1].status_code == 200
        assert answers[0].status_code in (200, 502)
        assert answers[-1].json()["explanations"][0]["values"] == before["explanations"][0]["values"]


def test_a_check_opens_asks_and_stops():
    from click.testing import CliRunner

    from blackbox.cli import cli

    result = CliRunner().invoke(cli, ["serve", "--models", str(SAMPLES / "credit"), "--check"])
    assert result.exit_code == 0
    assert "credit: ready" in result.stdout
    assert "100 rows" in result.stdout


def test_the_listening_socket_names_its_protocol():
    """Else asyncio leaves Nagle's algorithm on, and every answer over a kept connection waits 40 ms."""
    import socket

    from blackbox.service.running import listening

    with listening("127.0.0.1", 0) as sock:
        assert sock.proto == socket.IPPROTO_TCP
