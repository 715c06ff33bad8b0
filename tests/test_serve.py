"""The service as its clients meet it: both protocols, their real clients, and every wrong request."""

from __future__ import annotations

import csv
import json
import struct

import httpx
import numpy as np
import onnx
import pytest
from serving import SAMPLES, SOFTMAX, X3, serving

import blackbox as bb
from blackbox.service.settings import Settings, check_listening, read_token

CREDIT = SAMPLES / "credit"
TOKEN = "a-token-of-more-than-16"
ROWS = list(csv.DictReader((CREDIT / "applicants.csv").read_text().splitlines()))


@pytest.fixture(scope="module")
def service():
    with serving(CREDIT, SAMPLES / "digits", SOFTMAX, SAMPLES / "toys" / "nan.onnx") as client:
        yield client


def applicant(k):
    return {name: float(value) for name, value in ROWS[k].items() if name != "applicant"}


def v2(name="x", shape=(1, 3), datatype="FP32", data=X3, **more):
    return {"inputs": [{"name": name, "shape": list(shape), "datatype": datatype, "data": data}], **more}


def test_version_1_names_its_models(service):
    assert service.get("/v1/models").json() == {"models": ["credit", "cnn", "mlp", "cnn28", "softmax", "nan"]}
    assert service.get("/v1/models/credit").json() == {"name": "credit", "ready": True}


def test_version_1_predicts_what_the_model_predicts(service):
    model = bb.open_model(CREDIT / "credit.onnx")
    rows = np.array([list(applicant(k).values()) for k in range(3)], dtype=np.float32)
    wanted = model.predict({"applicant": rows})["probabilities"]
    for instances in (rows.tolist(), [applicant(k) for k in range(3)], [{"applicant": r} for r in rows.tolist()]):
        got = service.post("/v1/models/credit:predict", json={"instances": instances})
        np.testing.assert_allclose(got.json()["predictions"], wanted, rtol=1e-6)
    by_column = service.post("/v1/models/credit:predict", json={"inputs": {"applicant": rows.tolist()}})
    np.testing.assert_allclose(by_column.json()["predictions"], wanted, rtol=1e-6)


@pytest.mark.parametrize("colon", [":", "%3A"])
def test_version_1_explains_every_instance_as_the_library_does(service, colon):
    body = {"instances": [X3, [0.2, 0.1, 0.4]], "parameters": {"method": "occlusion", "target": 1}}
    got = service.post(f"/v1/models/softmax{colon}explain", json=body).json()
    assert len(got["explanations"]) == len(got["predictions"]) == 2
    for x, record in zip(body["instances"], got["explanations"], strict=True):
        wanted = bb.explain(SOFTMAX, x, "occlusion", target=1)
        read = bb.Explanation.from_json(json.dumps(record))
        np.testing.assert_allclose(read.values, wanted.values, rtol=1e-6)
        assert (read.rows, read.seed, read.method) == (wanted.rows, 0, "occlusion")
        assert record["provenance"]["model"]["source"] == "softmax"
        assert record["provenance"]["background"]["rule"] == "default: one row of zeros"


def test_features_labels_and_background_come_from_the_description(service):
    got = service.post("/v1/models/credit:explain", json={"instances": [applicant(0)], "parameters": {"budget": 60}})
    record = got.json()["explanations"][0]
    assert "purpose" in record["feature_names"]
    assert record["output_names"] == ["declined"]
    assert record["provenance"]["background"]["rows"] == 100
    assert str(SAMPLES) not in got.text


def test_a_model_with_several_inputs_takes_objects(service, tmp_path):
    from test_onnx import add

    add(tmp_path / "two.onnx", ["n", 2], ["n", 2])
    with serving(tmp_path) as client:
        names = [one["name"] for one in client.get("/v2/models/two").json()["inputs"]]
        instance = {names[0]: [1.0, 2.0], names[1]: [3.0, 4.0]}
        got = client.post("/v1/models/two:explain", json={"instances": [instance], "parameters": {"target": 0}})
        assert got.status_code == 200, got.text
        assert got.json()["explanations"][0]["values"] == [1.0, 0.0, 3.0, 0.0]
        bare = client.post("/v1/models/two:predict", json={"instances": [[1.0, 2.0]]})
        assert bare.status_code == 422
        assert "must name them" in bare.json()["error"]


def test_version_2_describes_server_and_models(service):
    assert service.get("/v2").json()["extensions"] == ["binary_tensor_data", "blackbox_explain"]
    assert service.get("/v2/health/live").json() == {"live": True}
    assert service.get("/v2/health/ready").json() == {"ready": True}
    described = service.get("/v2/models/credit/versions/1").json()
    assert described["inputs"] == [{"name": "applicant", "datatype": "FP32", "shape": [-1, 27]}]
    assert described["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}]
    assert "credit__integrated-gradients" in service.get("/v2/models").json()["models"]
    virtual = service.get("/v2/models/credit__kernelshap").json()
    assert [one["name"] for one in virtual["outputs"]] == ["values", "lower", "upper", "base", "full", "record"]
    assert service.get("/v2/models/credit__kernelshap/ready").json()["ready"] is True


@pytest.mark.parametrize("kind", ["application/json", "application/octet-stream", "text/plain", None])
def test_version_2_reads_json_whatever_it_is_called(service, kind):
    headers = {"Content-Type": kind} if kind else {}
    got = service.post("/v2/models/softmax/infer", content=json.dumps(v2(id="a-7")), headers=headers).json()
    wanted = bb.open_model(SOFTMAX).predict({"x": np.array([X3], dtype=np.float32)})
    assert got["id"] == "a-7"
    assert got["outputs"][0]["shape"] == [1, 3]
    np.testing.assert_allclose(got["outputs"][0]["data"], next(iter(wanted.values()))[0], rtol=1e-6)


def test_nested_data_equals_flat_data(service):
    flat = service.post("/v2/models/softmax/infer", json=v2(shape=(2, 3), data=X3 + X3)).json()
    nested = service.post("/v2/models/softmax/infer", json=v2(shape=(2, 3), data=[X3, X3])).json()
    assert flat == nested


def test_version_2_explains_as_tensors(service):
    body = v2(shape=(2, 3), data=[X3, X3], parameters={"method": "kernelshap", "target": "[0, 2]", "budget": 32})
    for address in ("softmax/explain", "softmax__kernelshap/infer", "softmax__kernelshap/versions/1/infer"):
        got = service.post(f"/v2/models/{address}", json=body)
        assert got.status_code == 200, got.text
        outputs = {one["name"]: one for one in got.json()["outputs"]}
        wanted = bb.explain(SOFTMAX, X3, bb.KernelShap(budget=32), target=[0, 2])
        assert outputs["values"]["shape"] == [2, 3, 2]
        values = np.reshape(outputs["values"]["data"], (2, 3, 2))
        np.testing.assert_allclose(values, [wanted.values] * 2, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(np.reshape(outputs["base"]["data"], (2, 2))[0], wanted.base_values, rtol=1e-6)
        gap = values[0].sum(axis=0) + outputs["base"]["data"][:2] - np.array(outputs["full"]["data"][:2])
        np.testing.assert_allclose(gap, 0, atol=1e-6)
        assert bb.Explanation.from_json(outputs["record"]["data"][1]).method == "kernelshap"


def test_what_a_method_does_not_report_is_null(service):
    got = service.post("/v2/models/softmax__occlusion/infer", json=v2(outputs=[{"name": "lower"}])).json()
    assert got["outputs"] == [{"name": "lower", "shape": [1, 3], "datatype": "FP32", "data": [None] * 3}]


def test_the_triton_client_needs_nothing_new(service):
    from tritonclient import http

    client = http.InferenceServerClient(f"127.0.0.1:{service.base_url.port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("credit__kernelshap")
    assert client.get_server_metadata()["name"] == "blackbox"
    assert client.get_model_metadata("credit")["inputs"][0]["shape"] == [-1, 27]
    rows = np.array([list(applicant(k).values()) for k in range(2)], dtype=np.float32)
    for binary in (True, False):
        given = http.InferInput("applicant", list(rows.shape), "FP32")
        given.set_data_from_numpy(rows, binary_data=binary)
        wanted = [http.InferRequestedOutput(name, binary_data=binary) for name in ("values", "upper", "record")]
        got = client.infer(
            "credit__kernelshap", [given], outputs=wanted, request_id="r1", parameters={"budget": 60, "target": 1}
        )
        record = json.loads(got.as_numpy("record")[0])
        assert got.as_numpy("values").shape == (2, 18)
        np.testing.assert_allclose(got.as_numpy("values")[0], record["values"], rtol=1e-5)
        assert (got.as_numpy("upper") >= got.as_numpy("values")).all()
        everything = client.infer("credit", [given])
        np.testing.assert_allclose(everything.as_numpy("probabilities").sum(axis=1), 1, rtol=1e-6)
    with pytest.raises(Exception, match="no model"):
        client.get_model_metadata("credid")
    client.close()


def bad(path="softmax/infer", status=422, words=(), **how):
    return pytest.param(path, status, words, how)


def deep(levels):
    return b'{"inputs":' + b"[" * levels + b"]" * levels + b"}"


BAD = {
    "unknown model": bad("nope/infer", 404, ["no model 'nope'"], json=v2()),
    "misspelt model": bad("sofmax/infer", 404, ["Did you mean 'softmax'"], json=v2()),
    "unknown method": bad("softmax__magic/infer", 404, ["no method 'magic'"], json=v2()),
    "unknown version": bad("softmax/versions/2/infer", 404, ["no version '2'"], json=v2()),
    "misspelt method": bad("softmax/explain", 422, ["Did you mean 'sis'"], json=v2(parameters={"method": "siss"})),
    "method of another": bad("softmax__sis/infer", 422, ["explains by sis"], json=v2(parameters={"method": "lime"})),
    "method no name": bad("softmax/explain", 422, ["method"], json=v2(parameters={"method": {"a": 1}})),
    "setting": bad("softmax/explain", 422, ["Did you mean 'budget'"], json=v2(parameters={"budgt": 3})),
    "setting value": bad("softmax/explain", 422, ["budget", "'lots'"], json=v2(parameters={"budget": "lots"})),
    "target": bad("softmax/explain", 422, ["Unknown target"], json=v2(parameters={"target": "x"})),
    "target beyond": bad("softmax/explain", 422, ["0 to 2"], json=v2(parameters={"target": 3})),
    "text of nan": bad("softmax/explain", 422, ["window"], json=v2(parameters={"method": "occlusion", "window": "[NaN]"})),
    "target true": bad("softmax/explain", 422, ["target"], json=v2(parameters={"target": True})),
    "scale": bad("softmax/explain", 422, ["scale"], json=v2(parameters={"scale": "row"})),
    "seed": bad("softmax/explain", 422, ["seed"], json=v2(parameters={"seed": -1})),
    "budget over the limit": bad("softmax/explain", 422, ["allows 1,000,000"], json=v2(parameters={"budget": 10**9})),
    "rows over the limit": bad("softmax/explain", 422, ["allows 1,000,000"], json=v2(parameters={"most_rows": 10**9})),
    "seconds over the limit": bad("softmax/explain", 422, ["allows 60"], json=v2(parameters={"seconds": 61})),
    "rows spent": bad("softmax/explain", 422, ["row budget of 3"], json=v2(parameters={"most_rows": 3})),
    "parameters no object": bad(status=422, words=["parameters"], json=v2(parameters=[1])),
    "columns": bad(words=["needs 3 columns"], json=v2(shape=(1, 2), data=[1, 2])),
    "no batch axis": bad(words=["shape"], json=v2(shape=(3,))),
    "no rows": bad(words=["at least one"], json=v2(shape=(0, 3), data=[])),
    "shape and data": bad(words=["3 values for shape [2, 3]"], json=v2(shape=(2, 3))),
    "negative shape": bad(words=["whole numbers"], json=v2(shape=(-1, 3))),
    "shape of true": bad(words=["whole numbers"], json=v2(shape=(True, 3))),
    "input name": bad(words=["Unknown model input 'y'"], json=v2(name="y")),
    "input twice": bad(words=["twice"], json={"inputs": v2()["inputs"] * 2}),
    "datatype": bad(words=["datatype"], json=v2(datatype="FLOAT")),
    "datatype object": bad(words=["datatype"], json=v2(datatype={})),
    "other datatype": bad(words=["is FP32", "FP64"], json=v2(datatype="FP64")),
    "half in json": bad(words=["binary"], json=v2(datatype="FP16")),
    "text for numbers": bad(words=["'lots'"], json=v2(data=[1, 2, "lots"])),
    "null": bad(words=["finite"], json=v2(data=[1, 2, None])),
    "too large for float32": bad(words=["cannot hold"], json=v2(data=[1, 2, 1e300])),
    "endless number": bad(words=["finite"], content=json.dumps(v2()).replace("0.5", "1e999")),
    "endless integer": bad(words=["numbers"], content=json.dumps(v2()).replace("0.5", "9" * 400)),
    "ragged": bad(words=["equal length"], json=v2(shape=(2, 3), data=[X3, [1, 2]])),
    "output": bad(words=["Unknown output"], json=v2(outputs=[{"name": "nope"}])),
    "outputs": bad(words=["outputs"], json=v2(outputs=[3])),
    "id": bad(words=["id"], json=v2(id=7)),
    "no inputs": bad(words=["inputs"], json={}),
    "tensor no object": bad(words=["object"], json={"inputs": [1]}),
    "nan": bad(status=400, words=["NaN"], content=json.dumps(v2()).replace("0.5", "NaN")),
    "infinity": bad(status=400, words=["Infinity"], content=json.dumps(v2()).replace("0.5", "-Infinity")),
    "no json": bad(status=400, words=["no JSON"], content=b"\x00\x01"),
    "half a body": bad(status=400, words=["no JSON"], content=json.dumps(v2())[:30]),
    "empty": bad(status=400, words=["no JSON"], content=b""),
    "latin text": bad(status=400, words=["UTF-8"], content=b'{"a": "\xe9"}'),
    "half a pair": bad(status=400, words=["UTF-8"], content=b'{"id": "\\ud800"}'),
    "list": bad(status=400, words=["object"], content=b"[]"),
    "deep": bad(status=400, words=["32 levels"], content=deep(200)),
    "bottomless": bad(status=400, words=["32 levels"], content=deep(100_000)),
    "oversized": bad(status=413, words=["33,554,432 bytes"], content=b" " * (32 * 2**20 + 1)),
    "chunked": bad(status=413, words=["33,554,432 bytes"], content=(b" " * 2**20 for _ in range(34))),
    "compressed": bad(status=400, words=["Content-Encoding"], content=b"x", headers={"Content-Encoding": "gzip"}),
    "too many values": bad(status=413, words=["8,000,000"], json=v2(shape=(10**9, 3), data=[])),
    "too many inputs": bad("softmax/explain", 413, ["256"], json=v2(shape=(300, 3), data=X3 * 300)),
    "model returns nan": bad("nan/infer", 502, ["returned nan"], json=v2(shape=(1, 2), data=[0.75, 1.0])),
}  # fmt: skip


@pytest.mark.parametrize(("path", "status", "words", "how"), list(BAD.values()), ids=list(BAD))
def test_a_bad_request_is_told_with_its_status(service, path, status, words, how):
    got = service.post(f"/v2/models/{path}", **how)
    assert got.status_code == status, got.text
    assert list(got.json()) == ["error"]
    told = got.json()["error"]
    for word in words:
        assert word in told
    assert len(told) < 1000
    assert str(SAMPLES) not in told
    assert service.post("/v2/models/softmax/infer", json=v2()).status_code == 200


V1_BAD = {
    "no instances": ({}, ["instances"]),
    "no list": ({"instances": 3}, ["instances"]),
    "none": ({"instances": []}, ["instances"]),
    "ragged": ({"instances": [X3, [1.0]]}, ["equal length"]),
    "missing column": ({"instances": [{"a": 1}]}, ["Unknown name in instance 0"]),
    "mixed": ({"instances": [{"x": X3}, X3]}, ["Instance 1"]),
    "text": ({"instances": [["a", "b", "c"]]}, ["'a'"]),
    "number": ({"instances": [1.0]}, ["shape"]),
    "parameters": ({"instances": [X3], "parameters": 3}, ["parameters"]),
}


@pytest.mark.parametrize("case", V1_BAD)
def test_a_bad_version_1_request_is_told(service, case):
    body, words = V1_BAD[case]
    got = service.post("/v1/models/softmax:explain", json=body)
    assert got.status_code == 422, got.text
    for word in words:
        assert word in got.json()["error"]


def packed(head, *tails, size=None):
    text = json.dumps(head).encode()
    return text + b"".join(tails), {"Inference-Header-Content-Length": str(len(text) if size is None else size)}


BINARY = {
    "fits": (12, X3, None, 200),
    "too short": (8, X3[:2], None, 400),
    "too long": (12, [*X3, 1.0], None, 400),
    "size beyond": (400, X3, None, 400),
    "size negative": (-1, X3, None, 400),
    "size text": ("12", X3, None, 400),
    "header beyond": (12, X3, 10**6, 400),
    "header text": (12, X3, "ten", 400),
    "header zero": (12, X3, 0, 400),
    "nan": (12, [1.0, float("nan"), 0.0], None, 422),
}


@pytest.mark.parametrize("case", BINARY)
def test_binary_sizes_must_add_up(service, case):
    size, values, header, status = BINARY[case]
    head = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": size}}]}
    body, headers = packed(head, np.array(values, dtype="<f4").tobytes(), size=header)
    got = service.post("/v2/models/softmax/infer", content=body, headers=headers)
    assert got.status_code == status, got.text


def test_binary_answers_carry_the_length_of_their_json(service):
    got = service.post("/v2/models/softmax__occlusion/infer", json=v2(parameters={"binary_data_output": True}))
    head = json.loads(got.content[: int(got.headers["Inference-Header-Content-Length"])])
    sizes = [one["parameters"]["binary_data_size"] for one in head["outputs"]]
    tail = got.content[int(got.headers["Inference-Header-Content-Length"]) :]
    assert sum(sizes) == len(tail)
    (length,) = struct.unpack("<I", tail[-sizes[-1] :][:4])
    assert length == sizes[-1] - 4
    assert json.loads(tail[-length:])["method"] == "occlusion"


def test_text_tensors_travel_both_ways(tmp_path):
    from blackbox.service import tensors
    from blackbox.service.settings import Ceilings

    texts = np.array([["a", "ü"], ["", "long " * 50]], dtype=object)
    raw = tensors._pack(texts.ravel().tolist())
    head = {"inputs": [{"name": "t", "shape": [2, 2], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}]}
    body, headers = packed(head, raw)
    read = tensors.decode(body, headers[tensors.HEADER], Ceilings())
    assert (read.tensors["t"] == texts).all()
    for cut in (raw[:-1], raw + b"\0", b"\xff\xff\xff\xff"):
        head["inputs"][0]["parameters"]["binary_data_size"] = len(cut)
        body, headers = packed(head, cut)
        with pytest.raises(bb.RequestError):
            tensors.decode(body, headers[tensors.HEADER], Ceilings())


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64", "uint64", "float16", "float64"])
def test_every_datatype_travels_in_binary(dtype):
    from blackbox.service import tensors
    from blackbox.service.settings import Ceilings

    array = np.array([[0, 1], [1, 0]], dtype=dtype)
    made = tensors.encode("m", {"t": array}, tensors.Asked({}, binary=True))
    head = json.loads(made.body[: made.json_size])
    asked = json.dumps({"inputs": head["outputs"]}).encode()
    read = tensors.decode(asked + made.body[made.json_size :], str(len(asked)), Ceilings())
    assert read.tensors["t"].dtype == array.dtype
    assert (read.tensors["t"] == array).all()


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [("GET", "/nope", 404), ("GET", "/v1/models/softmax:explain", 404), ("DELETE", "/v1/models", 405),
     ("PUT", "/v2/models/softmax/infer", 405), ("OPTIONS", "/v2", 405), ("GET", "/v1/models/nope", 404),
     ("GET", "/v2/models/softmax/versions/9/ready", 404), ("GET", "/v2/models/..%2f..%2fetc%2fpasswd", 404)],
)  # fmt: skip
def test_every_refusal_has_one_form(service, verb, path, status):
    got = service.request(verb, path)
    assert got.status_code == status, got.text
    assert list(got.json()) == ["error"]


def test_no_other_site_may_ask(service):
    assert service.get("/v1/models", headers={"Origin": "http://evil.example"}).status_code == 403
    for name in ("evil.example", "[::1", "127.0.0.1.evil.example", ""):
        assert service.get("/v1/models", headers={"Host": name}).status_code in (400, 403)
    for origin in ("null", "http://[::1", "http://127.0.0.1:1", ""):
        assert service.get("/v1/models", headers={"Origin": origin}).status_code == 403
    answer = service.get("/v1/models", headers={"Origin": str(service.base_url).rstrip("/")})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_answers_carry_their_safety(service):
    headers = service.get("/v1/models").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert len(headers["x-request-id"]) == 12
    assert "server" not in headers


def test_a_token_is_asked_for_and_compared(tmp_path):
    (tmp_path / "token").write_text(TOKEN + "\n")
    with serving(SOFTMAX, token=read_token(tmp_path / "token")) as client:
        assert client.get("/v2/health/live").status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": "Basic !!"}):
            refused = client.get("/v1/models", headers=headers)
            assert (refused.status_code, list(refused.json())) == (401, ["error"])
            assert refused.headers["www-authenticate"].startswith("Basic")
        assert client.get("/v1/models", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert client.get("/v1/models", auth=httpx.BasicAuth("anyone", TOKEN)).status_code == 200


@pytest.mark.parametrize(
    ("host", "token", "environment", "fine"),
    [("127.0.0.1", None, {}, True), ("::1", None, {}, True), ("0.0.0.0", None, {}, False),
     ("10.0.0.3", None, {"BLACKBOX_BEHIND_GATEWAY": "0"}, False), ("0.0.0.0", TOKEN, {}, True),
     ("0.0.0.0", None, {"BLACKBOX_BEHIND_GATEWAY": "1"}, True)],
)  # fmt: skip
def test_open_addresses_need_a_token_or_a_gateway(host, token, environment, fine):
    if fine:
        check_listening(host, token, environment)
        return
    with pytest.raises(bb.RequestError, match="--token-file"):
        check_listening(host, token, environment)


@pytest.mark.parametrize("text", ["short", "", "two words of some length", "ü" * 20])
def test_a_weak_token_is_refused(tmp_path, text):
    (tmp_path / "token").write_text(text, encoding="utf-8")
    with pytest.raises(bb.RequestError):
        read_token(tmp_path / "token")
    with pytest.raises(bb.RequestError):
        read_token(tmp_path / "missing")


def test_the_token_is_not_shown():
    assert TOKEN not in repr(Settings(models=("m",), token=TOKEN))


def test_text_is_explained_in_both_versions(tmp_path):
    from test_onnx import words
    from tritonclient import http

    with serving(words(tmp_path / "colours.onnx")) as client:
        instance = {"instances": [["red", "blue"]], "parameters": {"method": "occlusion", "target": 1}}
        record = client.post("/v1/models/colours:explain", json=instance).json()["explanations"][0]
        assert (record["values"], record["data"]) == ([0, 2], ["red", "blue"])
        described = client.get("/v2/models/colours").json()["inputs"]
        assert described == [{"name": "x", "datatype": "BYTES", "shape": [-1, 2]}]
        triton = http.InferenceServerClient(f"127.0.0.1:{client.base_url.port}")
        for binary in (True, False):
            given = http.InferInput("x", [1, 2], "BYTES")
            given.set_data_from_numpy(np.array([["red", "blue"]], dtype=object), binary_data=binary)
            found = triton.infer("colours__occlusion", [given], parameters={"target": 1})
            assert found.as_numpy("values").tolist() == [[0, 2]]
            assert triton.infer("colours", [given]).as_numpy("y").tolist() == [[1, 2]]
        triton.close()
        wrong = client.post("/v2/models/colours/infer", json=v2(shape=(1, 2), datatype="BYTES", data=["red", 3]))
        assert wrong.status_code == 422
        assert "text" in wrong.json()["error"]


def test_half_precision_travels_in_binary_only(tmp_path):
    from test_onnx import cast

    with serving(cast(tmp_path / "half.onnx", onnx.TensorProto.FLOAT16)) as client:
        names = client.get("/v2/models/half").json()
        assert names["outputs"][0]["datatype"] in ("FP16", "FP32")
        array = np.array([[1.0, 0.5]], dtype="<f2" if names["inputs"][0]["datatype"] == "FP16" else "<f4")
        tensor = {"name": names["inputs"][0]["name"], "shape": [1, 2], "datatype": names["inputs"][0]["datatype"]}
        asked = {"inputs": [{**tensor, "parameters": {"binary_data_size": array.nbytes}}]}
        body, headers = packed(asked | {"parameters": {"binary_data_output": True}}, array.tobytes())
        assert client.post("/v2/models/half/infer", content=body, headers=headers).status_code == 200
        explained = client.post("/v2/models/half__occlusion/infer", content=body, headers=headers)
        assert explained.status_code == 200, explained.text


def test_the_examples_of_the_description_work(service):
    description = service.get("/openapi.json").json()
    worked = 0
    for path, verbs in description["paths"].items():
        if "post" not in verbs or "{model}" not in path:
            continue
        schema = verbs["post"]["requestBody"]["content"]["application/json"]["schema"]
        for example in schema["examples"]:
            got = service.post(path.replace("{model}", "softmax").replace("{version}", "1"), json=example)
            assert got.status_code == 200, (path, got.text)
            worked += 1
    assert worked == 5
    assert all(verbs[verb].get("summary") for verbs in description["paths"].values() for verb in verbs)
