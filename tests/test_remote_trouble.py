"""Endpoints that hang, lie, break off or are busy: the right error, bounded effort, and no secret shown."""

from __future__ import annotations

import gzip
import json
import signal
import socket
import threading
import time

import numpy as np
import pytest
from endpoints import Endpoint, serving

import blackbox as bb
from blackbox.errors import ModelError, RequestError
from blackbox_adapters.remote import guard, line

V2 = "/v2/models/credit"
ROWS = {"x": np.arange(30, dtype=np.float32).reshape(10, 3)}
TOKEN = "hunter2-0123456789"


def total(x):
    return {"y": x.astype(np.float32).sum(axis=1, keepdims=True)}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(line, "FIRST_WAIT", 0.01)


@pytest.fixture
def endpoint():
    with serving(Endpoint(total)) as served:
        yield served


def opened(endpoint, **options):
    return bb.open_model(endpoint.url + V2, options={"timeout": 5.0, **options})


def answering(status, body, headers=None):
    """Give every POST the same answer."""

    def behave(handler, number):
        handler.reply(status, body, headers)
        return True

    return behave


def tensor(shape, data, **more):
    return json.dumps({"outputs": [{"name": "y", "shape": shape, "datatype": "FP32", "data": data, **more}]}).encode()


def test_a_connection_that_breaks_off_is_tried_again(endpoint):
    endpoint.behave = lambda handler, number: number <= 2 and (handler.hang_up() or True)
    model = opened(endpoint)
    np.testing.assert_array_equal(model.predict(ROWS)["y"], total(ROWS["x"])["y"])
    assert model.account["retries"] == 2
    assert model.account["rows"] == 30


def test_an_endpoint_that_dies_in_the_middle_of_an_explanation_is_told(endpoint):
    endpoint.behave = lambda handler, number: number > 3 and (handler.hang_up() or True)
    model = opened(endpoint, rows_per_request=2, in_flight=1, retries=2)
    with pytest.raises(ModelError, match="did not answer in 3 attempts") as told:
        bb.explain(model, [1.0, 2.0, 3.0], "occlusion")
    assert "method occlusion" in str(told.value)
    assert endpoint.posts <= 3 + 3


def test_half_a_body_is_no_answer(endpoint):
    def half(handler, number):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"outputs": [')
        handler.hang_up()
        return True

    endpoint.behave = half
    with pytest.raises(ModelError, match="did not answer in 2 attempts"):
        opened(endpoint, retries=1).predict(ROWS)
    assert endpoint.posts == 2


def test_nobody_there(endpoint):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(ModelError, match=r"did not answer in 1 attempts.*ConnectError"):
        bb.open_model(f"http://127.0.0.1:{port}{V2}", options={"retries": 0})


def test_an_endpoint_that_hangs_is_given_up_and_not_asked_again(endpoint):
    over = threading.Event()
    endpoint.behave = lambda handler, number: over.wait(10) and False
    begun = time.monotonic()
    try:
        with pytest.raises(ModelError, match=r"did not answer within 0\.3 s"):
            opened(endpoint, timeout=0.3).predict(ROWS)
    finally:
        over.set()
    assert time.monotonic() - begun < 5
    assert endpoint.posts == 1


def test_an_endpoint_that_drips_is_given_up_too(endpoint):
    def drip(handler, number):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        try:
            for _ in range(1000):
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(0.05)
        except OSError:  # the client is gone
            pass
        return True

    endpoint.behave = drip
    begun = time.monotonic()
    with pytest.raises(ModelError, match=r"did not answer within 0\.5 s"):
        opened(endpoint, timeout=0.5).predict(ROWS)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no tensor message"),
        (b"<html>Welcome to the hotel</html>", "no tensor message"),
        (b"\xff\xfe\x00", "no tensor message"),
        (b"[1, 2]", "no tensor message"),
        (b'{"outputs": 3}', "no tensor message"),
        (b'{"outputs": []}', "returned no outputs"),
        (b'{"outputs": [{"name": "y"}]}', "no tensor message"),
        (b"[" * 100_000, "no tensor message"),
        (tensor([10, 1], [1.0] * 9), "no tensor message"),
        (tensor([-10, 1], [1.0] * 10), "no tensor message"),
        (tensor([9, 1], [1.0] * 9), r"returned shape \(9, 1\) in 'y' for 10 rows"),
        (tensor([11], [1.0] * 11), r"returned shape \(11,\) in 'y' for 10 rows"),
        (tensor([10, 1], ["one"] * 10), "no tensor message"),
        (tensor([10, 1], [[1.0], [1.0, 2.0]] * 5), "no tensor message"),
        (tensor([10, 1], [1.0] * 10, datatype="COMPLEX"), "no tensor message"),
        (tensor([10, 1], [1.0] * 10, parameters={"binary_data_size": 40}), "no tensor message"),
        (tensor([10, 1], [1.0] * 10, parameters={"binary_data_size": -4}), "no tensor message"),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, bytes) else "",
)
def test_garbage_is_no_answer(endpoint, body, words):
    endpoint.behave = answering(200, body)
    with pytest.raises(ModelError, match=words):
        opened(endpoint).predict(ROWS)
    assert endpoint.posts == 1


@pytest.mark.parametrize("length", ["0", "-1", "many", "99999"])
def test_a_wrong_length_of_the_json_part_is_no_answer(endpoint, length):
    endpoint.behave = answering(200, tensor([10, 1], [1.0] * 10), {"Inference-Header-Content-Length": length})
    with pytest.raises(ModelError, match="no tensor message"):
        opened(endpoint).predict(ROWS)


@pytest.mark.parametrize(
    "predictions", [None, 3, "text", {}, [], [1.0] * 9, [[1], [1, 2]] * 5, [{"a": 1}, {"b": 2}] * 5, {"a": [1]}]
)
@pytest.mark.parametrize("path", ["/v1/models/credit", "/invocations"])
def test_garbage_in_plain_protocols(endpoint, path, predictions):
    endpoint.behave = answering(200, json.dumps({"predictions": predictions}).encode())
    model = bb.open_model(endpoint.url + path)
    with pytest.raises(ModelError, match=r"predictions|returned"):
        model.predict({"input-0": ROWS["x"]})


@pytest.mark.parametrize("value", ["NaN", "null", "Infinity", "1e999"])
def test_numbers_that_are_none_cannot_be_explained(endpoint, value):
    text = tensor([1, 1], ["?"]).replace(b'"?"', value.encode())
    endpoint.behave = answering(200, text)
    with pytest.raises(ModelError, match="a score that is not a number"):
        bb.explain(opened(endpoint), [1.0, 2.0, 3.0])


def test_an_answer_that_is_too_large_is_not_read(endpoint):
    endpoint.behave = answering(200, b" " * 200_000)
    with pytest.raises(ModelError, match=r"sent more than 1,000 bytes \(most_bytes\)"):
        opened(endpoint, most_bytes=1000).predict(ROWS)


def test_an_answer_that_unpacks_to_too_much_is_not_read(endpoint):
    bomb = gzip.compress(b" " * 50_000_000)
    endpoint.behave = answering(200, bomb, {"Content-Encoding": "gzip"})
    with pytest.raises(ModelError, match="most_bytes"):
        opened(endpoint, most_bytes=1_000_000).predict(ROWS)


def test_what_only_claims_to_be_packed_is_told(endpoint):
    endpoint.behave = answering(200, b"not gzip", {"Content-Encoding": "gzip"})
    with pytest.raises(ModelError, match="no answer"):
        opened(endpoint).predict(ROWS)


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_endpoint_is_asked_again_when_it_says(endpoint, status):
    def busy(handler, number):
        if number > 1:
            return False
        handler.reply(status, b'{"error": "busy"}', {"Retry-After": "0.4"})
        return True

    endpoint.behave = busy
    model, begun = opened(endpoint), time.monotonic()
    model.predict(ROWS)
    assert time.monotonic() - begun >= 0.4
    assert model.account["retries"] == 1


def test_a_busy_endpoint_is_not_waited_for_without_end(endpoint):
    endpoint.behave = answering(429, b"{}", {"Retry-After": "3600"})
    with pytest.raises(ModelError, match="asks to come back in 3600 s"):
        opened(endpoint).predict(ROWS)
    assert endpoint.posts == 1


@pytest.mark.parametrize("status", [500, 502, 504, 404, 401, 403])
def test_other_failures_are_told_and_not_asked_again(endpoint, status):
    endpoint.behave = answering(status, b'{"error": "the reason"}')
    with pytest.raises(ModelError, match=f"status {status}: 'the reason'"):
        opened(endpoint).predict(ROWS)
    assert endpoint.posts == 1


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_limit_on_rows_is_learnt_from_refusals(endpoint, status):
    def at_most_three(handler, number):
        rows = json.loads(handler.body)["inputs"][0]["shape"][0]
        if rows <= 3:
            return False
        handler.reply(status, b'{"error": "batch too large"}')
        return True

    endpoint.behave = at_most_three
    model = opened(endpoint, in_flight=1)
    before = model.limits
    np.testing.assert_array_equal(model.predict(ROWS)["y"], total(ROWS["x"])["y"])
    assert model.identity.facts["rows_per_request"] == 3
    refused = endpoint.posts - len(endpoint.batches)
    model.predict(ROWS)
    assert endpoint.posts - len(endpoint.batches) == refused  # nothing more is refused
    assert model.limits == before


def test_a_request_that_is_wrong_itself_is_told_after_few_attempts(endpoint):
    endpoint.behave = answering(400, b'{"error": "unexpected input x"}')
    with pytest.raises(ModelError, match="1 rows with status 400: 'unexpected input x'"):
        opened(endpoint, in_flight=1).predict(ROWS)
    assert endpoint.posts == 4  # 10, 5, 2, 1 rows
    assert opened(endpoint).identity.facts["rows_per_request"] > 1


def test_a_redirect_on_the_same_host_is_followed(endpoint):
    def moved(handler, number):
        if handler.path.startswith("/moved"):
            handler.path = handler.path.removeprefix("/moved")
            return False
        handler.reply(307, b"", {"Location": f"/moved{handler.path}"})
        return True

    endpoint.behave = moved
    assert opened(endpoint).predict(ROWS)["y"].shape == (10, 1)


def test_a_redirect_to_another_host_is_not_followed_and_takes_no_token_there(endpoint, monkeypatch):
    monkeypatch.setenv("MODEL_TOKEN", TOKEN)
    with serving(Endpoint(total)) as other:
        model = opened(endpoint, token_env="MODEL_TOKEN")
        endpoint.behave = answering(307, b"", {"Location": f"{other.url}{V2}/infer"})
        with pytest.raises(ModelError, match=r"redirects to another place, http://127\.0\.0\.1"):
            model.predict(ROWS)
        assert other.posts == 0
        assert not other.headers


def test_a_circle_of_redirects_ends(endpoint):
    endpoint.behave = lambda handler, number: handler.reply(307, b"", {"Location": handler.path}) or True
    with pytest.raises(ModelError, match="circle"):
        opened(endpoint).predict(ROWS)
    assert endpoint.posts == line.MOST_REDIRECTS + 1


def test_the_model_may_not_change_while_it_is_asked(endpoint):
    def aged(handler, number):
        text = json.loads(tensor([10, 1], [1.0] * 10)) | {"model_version": "3" if number < 3 else "4"}
        handler.reply(200, json.dumps(text).encode())
        return True

    endpoint.behave = aged
    model = opened(endpoint)
    model.predict(ROWS)
    model.predict(ROWS)
    with pytest.raises(ModelError, match="version 4 of the model after version 3"):
        model.predict(ROWS)


def test_requests_are_spaced_where_a_rate_is_set(endpoint):
    model = opened(endpoint, rate=20.0, rows_per_request=1)
    begun = time.monotonic()
    model.predict(ROWS)
    assert time.monotonic() - begun >= 9 / 20


def test_a_budget_of_rows_is_a_hard_stop(endpoint):
    from blackbox.score import Ledger

    case = bb.api.case(opened(endpoint), [1.0, 2.0, 3.0], ledger=Ledger(most=5))
    with pytest.raises(RequestError, match="row budget of 5 is spent"):
        case.explain(bb.KernelShap(), None, None, 0)
    assert sum(endpoint.batches) <= 5


def secrets_in(text):
    return TOKEN in text or TOKEN[:8] in text


@pytest.mark.parametrize("how", ["token_env", "token_file"])
def test_a_token_is_sent_and_nowhere_shown(endpoint, how, tmp_path, monkeypatch):
    monkeypatch.setenv("MODEL_TOKEN", TOKEN)
    (tmp_path / "token").write_text(TOKEN + "\n", encoding="utf-8")
    where = "MODEL_TOKEN" if how == "token_env" else str(tmp_path / "token")
    model = opened(endpoint, **{how: where})
    record = bb.explain(model, [1.0, 2.0, 3.0]).to_json()
    assert {h.get("Authorization") for h in endpoint.headers} == {f"Bearer {TOKEN}"}
    assert not secrets_in(record + repr(model) + repr(model.identity))
    endpoint.behave = answering(403, json.dumps({"error": f"token {TOKEN} is not known"}).encode())
    with pytest.raises(ModelError) as told:
        model.predict(ROWS)
    assert not secrets_in(str(told.value))
    assert "***" in str(told.value)


def test_a_token_may_have_a_header_of_its_own(endpoint, monkeypatch):
    monkeypatch.setenv("MODEL_TOKEN", TOKEN)
    opened(endpoint, token_env="MODEL_TOKEN", token_header="X-Api-Key")
    assert endpoint.headers[-1]["X-Api-Key"] == TOKEN


def test_a_token_that_is_missing_is_told(endpoint, tmp_path, monkeypatch):
    monkeypatch.delenv("MODEL_TOKEN", raising=False)
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    for options, words in [
        ({"token_env": "MODEL_TOKEN"}, "environment variable MODEL_TOKEN holds no token"),
        ({"token_file": str(tmp_path / "nothing")}, "There is no token file"),
        ({"token_file": str(tmp_path / "empty")}, "holds no token"),
    ]:
        with pytest.raises(RequestError, match=words):
            opened(endpoint, **options)


def test_an_endpoint_that_wants_a_token_says_so(endpoint):
    endpoint.get = lambda path: (401, {"error": "who are you"})
    with pytest.raises(ModelError, match="wants a token"):
        opened(endpoint)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.5.5", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "[::1]", "[fe80::1]", "[fd00::1]", "[::ffff:10.0.0.1]", "[64:ff9b::a00:1]",
        "[2002:a00:1::]", "2130706433", "localhost",
    ],
)  # fmt: skip
def test_private_places_are_refused_for_third_parties(host):
    with pytest.raises(RequestError, match="private or local"):
        bb.open_model(f"http://{host}:9{V2}", options={"public_only": True})


def test_a_name_is_resolved_once_and_every_address_counts(endpoint, monkeypatch):
    asked, port = [], int(endpoint.url.rpartition(":")[2])

    def resolve(addresses):
        def lookup(host, port, **_):
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

        stub = {"getaddrinfo": staticmethod(lookup), "SOCK_STREAM": socket.SOCK_STREAM}
        monkeypatch.setattr(guard, "socket", type("Resolver", (), stub))

    resolve(["93.184.216.34", "10.0.0.1"])
    with pytest.raises(RequestError, match="private or local"):
        bb.open_model(f"http://models.example:{port}{V2}", options={"public_only": True})
    # the loopback stands in for a public address; the name itself is never looked up again
    monkeypatch.setattr(guard, "_is_public", lambda address: True)
    resolve(["127.0.0.1"])
    asked.clear()
    model = bb.open_model(f"http://models.example:{port}{V2}", options={"public_only": True})
    assert model.predict(ROWS)["y"].shape == (10, 1)
    assert asked == ["models.example"]
    assert {h["Host"] for h in endpoint.headers} == {f"models.example:{port}"}


def test_ctrl_c_is_heard_while_an_endpoint_hangs(endpoint):
    over = threading.Event()
    endpoint.behave = lambda handler, number: over.wait(10) and False
    model = opened(endpoint, timeout=20.0, rows_per_request=2)
    stop = threading.Timer(0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    stop.start()
    begun = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            model.predict(ROWS)
    finally:
        over.set()
        stop.join()
    assert time.monotonic() - begun < 5
