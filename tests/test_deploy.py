"""What is shipped for containers and clusters: the files hold what they promise, and KServe's flags work."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

import httpx
import numpy as np
import pytest
import servers
import yaml

import blackbox as bb
from blackbox.cli.serve import serve

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "docs" / "deploy"
CREDIT = ROOT / "sample_models" / "credit"
KSERVE_ADDS = ("--model_name", "credit", "--predictor_host", "credit-predictor.default", "--http_port", "8080")


def manifest():
    return yaml.safe_load((DEPLOY / "inferenceservice.yaml").read_text(encoding="utf-8"))


def container():
    (one,) = manifest()["spec"]["explainer"]["containers"]
    return one


def test_the_manifest_is_an_inference_service_with_a_predictor_and_an_explainer():
    found = manifest()
    assert (found["apiVersion"], found["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert set(found["spec"]) == {"predictor", "explainer"}
    assert found["spec"]["predictor"]["model"]["protocolVersion"] == "v2"
    assert container()["name"] == "kserve-container"  # KServe's controller looks for this name
    assert {"name": "BLACKBOX_BEHIND_GATEWAY", "value": "1"} in container()["env"]


def test_the_pod_has_no_rights_that_it_does_not_need():
    rights = container()["securityContext"]
    assert rights["runAsNonRoot"]
    assert rights["readOnlyRootFilesystem"]
    assert not rights["allowPrivilegeEscalation"]
    assert rights["capabilities"] == {"drop": ["ALL"]}
    assert rights["seccompProfile"] == {"type": "RuntimeDefault"}
    writable = [m["mountPath"] for m in container()["volumeMounts"] if not m.get("readOnly")]
    assert writable == ["/tmp"]
    volumes = {volume["name"] for volume in manifest()["spec"]["explainer"]["volumes"]}
    assert {mount["name"] for mount in container()["volumeMounts"]} == volumes
    assert {"cpu", "memory"} <= set(container()["resources"]["limits"])


def test_the_command_line_takes_the_manifests_arguments_and_kserves_own():
    context = serve.make_context("serve", [*container()["args"], *KSERVE_ADDS, "--workers", "2"])
    assert context.params["model_name"] == "credit"
    assert context.params["predictor_protocol"] == "v2"
    assert context.params["port"] == container()["ports"][0]["containerPort"] == 8080
    assert context.params["workers"] == 2
    assert str(context.params["background"]).startswith("/background/")


def test_the_probes_ask_what_the_service_answers():
    paths = [container()[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe")]
    assert paths == ["/v2/health/ready", "/v2/health/live"]
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "blackbox" / "service").glob("*.py"))
    assert all(path.removeprefix("/v2") in source for path in paths)


def test_the_network_policy_is_about_the_manifests_explainer():
    policy = yaml.safe_load((DEPLOY / "networkpolicy.yaml").read_text(encoding="utf-8"))
    labels = policy["spec"]["podSelector"]["matchLabels"]
    assert labels["serving.kserve.io/inferenceservice"] == manifest()["metadata"]["name"]
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert all(rule.get("from") for rule in policy["spec"]["ingress"])


def containerfile():
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]


def test_the_image_is_built_of_what_is_there_and_does_not_run_as_root():
    steps = containerfile()
    last = [word for word, _ in steps[::-1]].index("FROM")
    final = dict(steps[-last - 1 :])
    user, _, group = final["USER"].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert json.loads(final["ENTRYPOINT"]) == ["blackbox", "serve"]
    copied = [rest.split()[:-1] for word, rest in steps if word == "COPY" and not rest.startswith("--from")]
    assert all((ROOT / source).exists() for sources in copied for source in sources)
    (installed,) = [rest for word, rest in steps if word == "RUN"]
    extras = re.search(r'"\.\[(.*)\]"', installed)[1].split(",")
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert all(re.search(rf"^{extra} = \[", declared, re.M) for extra in extras)


def test_the_image_holds_everything_that_the_package_is_built_from():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = {package.split("/")[0] for package in packages}
    needed |= {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    copied = " ".join(rest for word, rest in containerfile() if word == "COPY")
    assert needed <= set(shlex.split(copied))


@pytest.fixture(scope="module")
def predictor():
    with servers.kserve(CREDIT / "credit.onnx") as url:
        yield url.removeprefix("http://")


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--predictor_protocol", "v2"], ["--workers", "2"]], ids=["v1", "v2", "workers"])
def test_kserves_flags_alone_make_an_explainer(predictor, more, tmp_path):
    """As the pod is started: no home, the gateway's variable, nothing but KServe's own flags."""
    port = servers.free_port()
    flags = ["--model_name", "credit", "--predictor_host", predictor, "--http_port", str(port)]
    table = np.genfromtxt(CREDIT / "applicants.csv", delimiter=",", skip_header=1)[:, 1:].astype(np.float32)
    asked = {"instances": table[:2].tolist(), "parameters": {"method": "occlusion", "target": 1}}
    local = bb.open_model(CREDIT / "credit.onnx", device="cpu")
    environment = {"BLACKBOX_BEHIND_GATEWAY": "1", "HOME": "/nonexistent", "MPLCONFIGDIR": str(tmp_path)}
    with servers.blackbox("serve", *flags, *more, port=port, ready="/v2/health/ready", **environment) as url:
        own = next(iter(httpx.get(url + "/v1/models").json()["models"]))
        answer = httpx.post(f"{url}/v1/models/credit:explain", json=asked, timeout=60)
    assert own == "credit"
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert len(found["explanations"]) == 2
    for row, record, prediction in zip(table, found["explanations"], found["predictions"], strict=False):
        ours = bb.explain(local, row, "occlusion", target=1)
        np.testing.assert_allclose(record["values"], ours.values, atol=1e-5)
        assert prediction == pytest.approx(local.predict({"applicant": row[None]})["probabilities"][0], abs=1e-5)
