"""Servers that are not ours, MLServer and the KServe SDK, asked by our methods; slow, as whole servers start."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import servers
from test_cli import run

import blackbox as bb
from blackbox.errors import ModelError

CREDIT = Path(__file__).parents[1] / "sample_models" / "credit"
MODEL = CREDIT / "credit.onnx"
WAYS = {
    "kserve-v2": ("kserve", "/v2/models/credit", {}),
    "kserve-v2-bytes": ("kserve", "/v2/models/credit", {"binary": "always"}),
    "kserve-v1": ("kserve", "/v1/models/credit", {}),
    "mlserver-v2": ("mlserver", "/v2/models/credit", {}),
    "mlserver-invocations": ("mlserver", "/invocations", {}),
}
METHODS = {
    "occlusion": bb.Occlusion(), "kernelshap": bb.KernelShap(budget=400), "lime": bb.Lime(samples=400),
    "sis": bb.Sis(), "saliency": bb.Saliency(unit="deviation"),
}  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kserve():
    with servers.kserve(MODEL) as url:
        yield url


@pytest.fixture(scope="module")
def mlserver(tmp_path_factory):
    with servers.mlserver(MODEL, tmp_path_factory.mktemp("mlserver")) as url:
        yield url


@pytest.fixture(scope="module")
def local():
    return bb.open_model(MODEL, device="cpu")


@pytest.fixture(scope="module")
def question():
    applicants = np.genfromtxt(CREDIT / "applicants.csv", delimiter=",", skip_header=1)[:, 1:]
    background = np.genfromtxt(CREDIT / "background.csv", delimiter=",", skip_header=1)[:, -27:]
    return applicants[2].astype(np.float32), background[:16].astype(np.float32)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("way", WAYS)
def test_values_are_those_of_the_local_file(request, local, question, way, name):
    server, path, options = WAYS[way]
    model = bb.open_model(request.getfixturevalue(server) + path, options=options)
    x, background = question
    theirs = bb.explain(model, x, METHODS[name], target=1, background=background)
    ours = bb.explain(local, x, METHODS[name], target=1, background=background)
    spread = np.ptp(ours.values) or 1.0
    np.testing.assert_allclose(theirs.values, ours.values, atol=1e-4 * spread)
    assert theirs.rows == ours.rows
    assert theirs.outcome == ours.outcome


def test_what_the_servers_say_of_themselves(kserve, mlserver):
    first, second = (bb.open_model(url + "/v2/models/credit") for url in (kserve, mlserver))
    assert first.identity.runtime == "kserve 0.21.0 over v2"
    assert second.identity.runtime == "mlserver 1.7.1 over v2"
    for model in (first, second):
        assert model.signature.inputs[0] == bb.model.Tensor("applicant", "float32", ("batch", 27))
        assert not model.dialect.binary  # KServe could, and does not say so


@pytest.mark.parametrize("server", ["kserve", "mlserver"])
def test_an_unknown_model_is_told_with_those_that_are_there(request, server):
    with pytest.raises(ModelError, match=r"Did you mean 'credit'\?"):
        bb.open_model(request.getfixturevalue(server) + "/v2/models/credti")


def test_bytes_where_a_server_cannot_read_them_are_told(mlserver):
    model = bb.open_model(mlserver + "/v2/models/credit", options={"binary": "always", "in_flight": 1})
    with pytest.raises(ModelError, match="answered 1 rows with status 4"):
        bb.explain(model, np.zeros(27), "occlusion")


def test_the_command_line_asks_a_server(mlserver):
    options = ("--input", CREDIT / "applicants.csv", "--id", "applicant", "--row", "A-003")
    result = run("explain", mlserver + "/v2/models/credit", *options, "--method", "occlusion")
    assert result.exit_code == 0, result.output
    assert "late_payments_24m" in result.stdout
    assert f"asked {mlserver}/v2/models/credit: " in result.stderr


def test_our_own_service_is_a_server_like_others(local, question):
    """It announces binary tensors, so they are used; the README asks it in this way."""
    port = servers.free_port()
    with servers.blackbox("serve", "--models", CREDIT, "--port", port, port=port, ready="/v2/health/ready") as url:
        model = bb.open_model(url + "/v2/models/credit")
        assert model.dialect.binary
        x, background = question
        theirs, ours = (bb.explain(one, x, "occlusion", target=1, background=background) for one in (model, local))
        result = run("explain", url + "/v2/models/credit", "--input", CREDIT / "applicants.csv", "--method", "occlusion")
    np.testing.assert_allclose(theirs.values, ours.values, atol=1e-5)
    assert result.exit_code == 0, result.output
