"""Models behind a URL: the three protocols, what they declare, how rows travel, and what is known of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from endpoints import HEAD, Endpoint, serving

import blackbox as bb
from blackbox.errors import ModelError, RequestError

CREDIT = Path(__file__).parents[1] / "sample_models" / "credit"
WEIGHTS = np.array([[1.0, -1.0], [2.0, 0.5], [3.0, 0.0]], dtype=np.float32)
X = [1.0, 2.0, 3.0]
PATHS = ("/v2/models/credit", "/v1/models/credit", "/invocations")


def linear(x):
    return {"y": x.reshape(len(x), -1).astype(np.float32) @ WEIGHTS}


def values(source, x, **question):
    return bb.explain(source, x, **question).values.round(6).tolist()


@pytest.fixture
def endpoint():
    with serving(Endpoint(linear, outputs=(("y", "FP32", [-1, 2]),))) as served:
        yield served


@pytest.fixture(scope="module")
def local():
    return bb.open_model(CREDIT / "credit.onnx", device="cpu")


@pytest.fixture(scope="module")
def credit(local):
    """The sample credit model behind an endpoint."""
    answer = Endpoint(
        lambda x: {"probabilities": local.predict({"applicant": x.astype(np.float32)})["probabilities"]},
        [("applicant", "FP32", [-1, 27])], [("probabilities", "FP32", [-1, 2])],
    )  # fmt: skip
    with serving(answer) as served:
        yield served


@pytest.fixture(scope="module")
def question():
    table = np.genfromtxt(CREDIT / "applicants.csv", delimiter=",", skip_header=1)[:, 1:]
    background = np.genfromtxt(CREDIT / "background.csv", delimiter=",", skip_header=1)
    return table[2].astype(np.float32), background[:4, -27:].astype(np.float32)


@pytest.mark.parametrize("method", ["occlusion", bb.KernelShap(budget=200), bb.Lime(samples=200), bb.Sis()])
@pytest.mark.parametrize("path", PATHS)
def test_every_protocol_explains_as_the_file_does(credit, local, question, method, path):
    x, background = question
    ours = bb.explain(credit.url + path, x, method, target=1, background=background)
    theirs = bb.explain(local, x, method, target=1, background=background)
    np.testing.assert_allclose(ours.values, theirs.values, atol=1e-5)
    assert ours.rows == theirs.rows


@pytest.mark.parametrize("binary", ["always", "never"])
def test_bytes_and_json_carry_the_same_numbers(credit, local, question, binary):
    rows = np.random.default_rng(0).normal(size=(300, 27)).astype(np.float32)
    model = bb.open_model(credit.url + PATHS[0], options={"binary": binary})
    found = model.predict({"applicant": rows})["probabilities"]
    np.testing.assert_array_equal(found, local.predict({"applicant": rows})["probabilities"])


def test_bytes_are_used_where_the_server_announces_them(endpoint):
    assert not bb.open_model(endpoint.url + PATHS[0]).dialect.binary
    endpoint.extensions = ["binary_tensor_data"]
    model = bb.open_model(endpoint.url + PATHS[0])
    bb.explain(model, X, target=0)
    assert model.dialect.binary
    sent = endpoint.headers[-1]
    assert int(sent[HEAD]) < len(endpoint.bodies[-1])
    assert json.loads(endpoint.bodies[-1][: int(sent[HEAD])])["parameters"] == {"binary_data_output": True}
    assert not bb.open_model(endpoint.url + PATHS[0], options={"binary": "never"}).dialect.binary


def test_half_precision_travels_as_bytes_or_not_at_all(endpoint):
    endpoint.inputs = [("x", "FP16", [-1, 3])]
    model = bb.open_model(endpoint.url + PATHS[0])
    assert model.dialect.binary
    assert values(model, X, target=0) == [1, 4, 9]
    with pytest.raises(RequestError, match="FP16"):
        bb.open_model(endpoint.url + PATHS[0], options={"binary": "never"})


def test_every_request_says_that_it_is_json(endpoint):
    for path in PATHS:
        bb.explain(endpoint.url + path, X, target=0)
    types = {h["Content-Type"] for h in endpoint.headers if "Content-Length" in h}
    assert types == {"application/json"}


@pytest.mark.parametrize("shape", [lambda n: (n,), lambda n: (n, 1)])
def test_one_column_is_one_column_however_it_comes_back(endpoint, shape):
    endpoint.answer = lambda x: {"y": x.astype(np.float32).sum(axis=1).reshape(shape(len(x)))}
    endpoint.outputs = [("y", "FP32", [-1])]
    assert values(endpoint.url + PATHS[0], X) == [1, 2, 3]


def test_outputs_are_told_apart_by_name_not_by_order(endpoint):
    endpoint.outputs = [("label", "INT64", [-1]), ("y", "FP32", [-1, 2])]
    endpoint.answer = lambda x: linear(x) | {"label": np.zeros(len(x), dtype=np.int64)}
    assert values(endpoint.url + PATHS[0], X, target=0) == [1, 4, 9]
    wanted = json.loads(endpoint.bodies[-1])["outputs"]
    assert wanted == [{"name": "y"}]


def test_a_single_output_may_have_another_name_than_declared(endpoint):
    endpoint.outputs = [("output-0", "FP32", [-1, 2])]
    assert values(endpoint.url + PATHS[0], X, target=0) == [1, 4, 9]


def test_several_outputs_under_wrong_names_are_told(endpoint):
    endpoint.outputs = [("a", "FP32", [-1, 2])]
    endpoint.answer = lambda x: linear(x) | {"label": np.zeros(len(x), dtype=np.int64)}
    with pytest.raises(ModelError, match="returned no output 'a', only y, label"):
        bb.explain(endpoint.url + PATHS[0], X, target=0)


def test_predictions_may_be_mappings(endpoint):
    endpoint.answer = lambda x: {"label": np.zeros(len(x), dtype=np.int64)} | linear(x)
    assert values(endpoint.url + "/invocations", X, target=0) == [1, 4, 9]
    named = bb.open_model(endpoint.url + "/invocations", options={"output": "label"})
    assert values(named, X) == [0, 0, 0]


def test_text_labels_are_received_and_left_alone(endpoint):
    endpoint.answer = lambda x: {"label": np.array(["no"] * len(x))} | linear(x)
    assert values(endpoint.url + "/invocations", X, target=1) == [-1, 1, 0]


def test_columns_make_a_data_frame_for_mlflow(endpoint):
    model = bb.open_model(endpoint.url + "/invocations", options={"columns": ("a", "b", "c")})
    bb.explain(model, X, target=0)
    assert json.loads(endpoint.bodies[-1])["dataframe_split"]["columns"] == ["a", "b", "c"]


def test_the_last_part_of_the_path_may_be_the_verb(endpoint):
    for path in ("/v2/models/credit/infer", "/v1/models/credit:predict", "/v1/models/credit%3Apredict"):
        assert values(endpoint.url + path, X, target=0) == [1, 4, 9]


def test_rows_are_cut_into_requests_and_come_back_in_order(endpoint):
    model = bb.open_model(endpoint.url + PATHS[0], options={"rows_per_request": 7, "in_flight": 3})
    assert model.limits.rows_per_run == 21
    rows = np.arange(150, dtype=np.float32).reshape(50, 3)
    np.testing.assert_allclose(model.predict({"x": rows})["y"], rows @ WEIGHTS, rtol=1e-6)
    assert sorted(endpoint.batches) == [6] * 6 + [7] * 2
    assert model.account["rows"] == 50


def test_several_requests_are_under_way_at_once_and_no_more_than_asked(endpoint):
    import threading

    together = threading.Barrier(3, timeout=5)

    def meet(handler, number):
        together.wait()  # passes only while three requests are under way
        return False

    endpoint.behave = meet
    model = bb.open_model(endpoint.url + PATHS[0], options={"rows_per_request": 1, "in_flight": 3})
    model.predict({"x": np.zeros((9, 3), dtype=np.float32)})
    assert endpoint.busiest == 3


def test_tritons_limit_is_read_from_its_configuration(endpoint):
    endpoint.extensions, endpoint.config = ["model_configuration"], {"max_batch_size": 8}
    assert bb.open_model(endpoint.url + PATHS[0]).identity.facts["rows_per_request"] == 8


def test_a_declared_batch_is_filled_up(endpoint):
    endpoint.inputs = [("x", "FP32", [4, 3])]
    model = bb.open_model(endpoint.url + PATHS[0])
    assert model.limits == bb.model.Limits(4, 4)
    assert values(model, X, target=0) == [1, 4, 9]
    assert set(endpoint.batches) == {4}
    free = bb.open_model(endpoint.url + PATHS[0], options={"rows_per_request": 2})
    assert free.limits.fixed_batch is None


def test_a_declaration_without_the_axis_of_rows_is_understood(endpoint):
    endpoint.inputs = [("x", "FP32", [3])]
    assert bb.open_model(endpoint.url + PATHS[0]).signature.inputs[0].shape == ("batch", 3)


def test_an_input_that_is_not_declared_is_described_by_options(endpoint):
    endpoint.inputs, endpoint.outputs = [], []
    model = bb.open_model(endpoint.url + PATHS[0], options={"input": "x", "shape": [3], "dtype": "float64"})
    assert model.signature.inputs[0] == bb.model.Tensor("x", "float64", ("batch", 3))
    assert values(model, X, target=1) == [-1, 1, 0]
    assert json.loads(endpoint.bodies[-1])["inputs"][0]["datatype"] == "FP64"


def test_what_is_known_and_what_is_not(endpoint):
    identity = bb.open_model(endpoint.url + PATHS[0]).identity
    assert identity.source == endpoint.url + PATHS[0]
    assert identity.runtime == "fake 1.0 over v2"
    assert identity.device == "remote"
    assert identity.sha256 == {}
    assert identity.facts["digest"].startswith("unknown")
    assert len(identity.facts["metadata_sha256"]) == 64
    endpoint.outputs = [("y", "FP32", [-1, 3])]
    assert bb.open_model(endpoint.url + PATHS[0]).identity.facts != identity.facts


@pytest.mark.parametrize("path", PATHS[:2])
def test_an_unknown_model_is_told_with_the_nearest_one(endpoint, path):
    with pytest.raises(ModelError, match=r"Did you mean 'credit'\? It serves credit\."):
        bb.open_model(endpoint.url + path.replace("credit", "credti"))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("http://127.0.0.1:9/", "must look like http://HOST:PORT/v2/models/NAME"),
        ("http://127.0.0.1:9/v3/models/credit", "names no model"),
        ("http://127.0.0.1:9/v2/models/%2e%2e", "names no model"),
        ("http:///v2/models/credit", "names no host"),
        ("http://a b/v2/models/credit", "names no host"),
        ("http://host:port/v2/models/credit", "no URL"),
        ("http://user:hunter2@127.0.0.1:9/v2/models/credit", "token_env"),
        ("http://127.0.0.1:9/v2/models/credit?key=hunter2", "after \\? or #"),
        ("http://127.0.0.1:9/v2/models/credit#hunter2", "after \\? or #"),
    ],
)
def test_a_url_that_names_no_model_or_too_much_is_refused(source, words):
    with pytest.raises(RequestError, match=words) as told:
        bb.open_model(source)
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threads": 2}, "Unknown setting of a model behind a URL: 'threads'"),
        ({"bnary": "auto"}, "Did you mean 'binary'"),
        ({"binary": "yes"}, "Unknown value for binary"),
        ({"protocol": "v3"}, "Unknown value for protocol"),
        ({"protocol": "v1"}, "names no model"),
        ({"in_flight": 0}, "in_flight must be a whole number of at least 1"),
        ({"timeout": 0}, "timeout must be a number above 0"),
        ({"rate": -1}, "rate must be a number above 0"),
        ({"kind": "probs"}, "Did you mean 'probabilities'"),
        ({"token_env": "A", "token_file": "B"}, "not by both"),
        ({"output": "z"}, "Unknown output 'z'"),
    ],
)
def test_wrong_options_are_told(endpoint, options, words):
    with pytest.raises(RequestError) as told:
        bb.open_model(endpoint.url + PATHS[0], options=options)
    assert words in str(told.value)


def test_no_device_can_be_chosen(endpoint):
    with pytest.raises(RequestError, match="runs where its server runs"):
        bb.open_model(endpoint.url + PATHS[0], device="cpu")
