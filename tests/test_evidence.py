"""Keys, signing, verification: what holds, what does not, and that a stranger's verifier agrees."""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import independent_verifier
import pytest
import sealed
from click.testing import CliRunner

import blackbox as bb
from blackbox.canonical import canonical
from blackbox.cli import Told, cli
from blackbox.errors import EvidenceError, RequestError
from blackbox.evidence import keys, signing
from blackbox.evidence.verify import verify

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A signed bundle and its keys; tests change copies of it."""
    folder = tmp_path_factory.mktemp("made")
    keys.make(folder / "auditor")
    keys.make(folder / "stranger")
    sealed.write_bundle(folder / "bundle")
    signing.sign(folder / "bundle", folder / "auditor.pem")
    return folder


@pytest.fixture
def bundle(made, tmp_path):
    return Path(shutil.copytree(made / "bundle", tmp_path / "bundle"))


def both(folder, key):
    """What blackbox and the independent verifier say; they must agree on whether it holds."""
    try:
        ours = verify(folder, key).problems
    except EvidenceError as error:
        ours = (error.message,)
    theirs = independent_verifier.verify(folder, key.read_bytes())
    assert bool(ours) == bool(theirs), (ours, theirs)
    return ours


def run(*arguments):
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    if isinstance(result.exception, Told):
        return result.exception.exit_code, result.exception.message
    return result.exit_code, result.output


# keys ----------------------------------------------------------------------------------------------


def test_a_key_pair_is_private_and_never_overwritten(tmp_path):
    code, told = run("keygen", "-o", tmp_path / "mine")
    assert code == 0
    assert stat.S_IMODE((tmp_path / "mine.pem").stat().st_mode) == 0o600
    before = (tmp_path / "mine.pem").read_bytes(), (tmp_path / "mine.pub.pem").read_bytes()
    assert keys.key_id(keys.public_key(tmp_path / "mine.pub.pem")) in told
    code, told = run("keygen", "-o", tmp_path / "mine")
    assert (code, before) == (2, ((tmp_path / "mine.pem").read_bytes(), (tmp_path / "mine.pub.pem").read_bytes()))
    assert "never overwritten" in told
    (tmp_path / "mine.pem").unlink()
    with pytest.raises(RequestError, match=r"mine\.pub\.pem is there already"):
        keys.make(tmp_path / "mine")
    assert not (tmp_path / "mine.pem").exists()


def test_a_key_is_named_after_its_der_form(made):
    lines = (made / "auditor.pub.pem").read_text().splitlines()
    der = base64.b64decode("".join(lines[1:-1]))
    name = keys.key_id(keys.public_key(made / "auditor.pub.pem"))
    assert (len(der), independent_verifier.sha(der)) == (44, name)
    if shutil.which("openssl"):  # the command of docs/evidence-format.md
        command = f"openssl pkey -pubin -in {made / 'auditor.pub.pem'} -outform DER | sha256sum"
        told = subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout
        assert told.split()[0] == name


def test_a_full_disk_leaves_no_half_a_key(tmp_path, monkeypatch):
    def full(handle, mode):
        os.close(handle)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(RequestError, match="No space left on device"):
        keys.make(tmp_path / "mine")
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_read_is_one_sentence(made, bundle, monkeypatch):
    def unreadable(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("blackbox.evidence.verify.sha256", unreadable)
    with pytest.raises(EvidenceError, match=r"manifest\.json cannot be read: Permission denied"):
        verify(bundle, made / "auditor.pub.pem")


@pytest.mark.parametrize("text", [b"", b"garbage", b"\xff\xfe\x00", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
                                  b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])  # fmt: skip
def test_a_malformed_key_is_named(made, bundle, tmp_path, text):
    (tmp_path / "bad.pem").write_bytes(text)
    for verb, code in (("verify", 4), ("sign", 2)):
        found, told = run(verb, bundle, "--key", tmp_path / "bad.pem")
        assert found == code
        assert "bad.pem" in told
        assert len(told.splitlines()) == 1


def test_the_wrong_half_of_a_pair_is_told_apart(made, bundle):
    assert "is a private key: verify with the public one" in run("verify", bundle, "--key", made / "auditor.pem")[1]
    assert "is a public key: sign with the private one" in run("sign", bundle, "--key", made / "auditor.pub.pem")[1]
    assert run("verify", bundle, "--key", made / "nowhere.pub.pem")[0] == 2


def test_an_encrypted_or_foreign_key_says_what_to_do(made, bundle, tmp_path):
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    def write(key, encryption):
        text = key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, encryption)
        (tmp_path / "key.pem").write_bytes(text)
        return run("sign", bundle, "--key", tmp_path / "key.pem")

    code, told = write(ed25519.Ed25519PrivateKey.generate(), forms.BestAvailableEncryption(b"secret"))
    assert code == 2
    assert "openssl pkey -in" in told
    code, told = write(ec.generate_private_key(ec.SECP256R1()), forms.NoEncryption())
    assert code == 2
    assert "no Ed25519 key" in told


def test_a_private_key_that_others_can_read_is_warned_about(made, bundle):
    open_key = bundle.parent / "open.pem"
    shutil.copy(made / "auditor.pem", open_key)
    open_key.chmod(0o644)
    code, told = run("sign", bundle, "--key", open_key)
    assert code == 0
    assert "chmod 600" in told
    assert "chmod" not in run("sign", bundle, "--key", made / "auditor.pem")[1]


# what holds ----------------------------------------------------------------------------------------


def test_a_signed_bundle_holds_and_says_what_was_not_checked(made, bundle):
    found = verify(bundle, made / "auditor.pub.pem")
    assert found.holds
    assert found.result == "WARNED"
    assert both(bundle, made / "auditor.pub.pem") == ()
    assert any("--model" in said for said in found.unchecked)
    assert any("--data" in said for said in found.unchecked)
    code, told = run("verify", bundle, "--key", made / "auditor.pub.pem")
    assert code == 0
    assert told.startswith("HOLDS")
    code, told = run("verify", bundle, "--key", made / "auditor.pub.pem", "--json")
    assert json.loads(told)["holds"] is True


def test_the_statement_is_in_toto_s_and_the_libraries_read_it(made, bundle):
    from google.protobuf.json_format import ParseDict
    from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult
    from in_toto_attestation.v1.statement import Statement
    from in_toto_attestation.v1.statement_pb2 import Statement as Message
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

    envelope = Envelope.from_dict(sealed.read(bundle / "statement.dsse.json"))
    public = keys.public_key(made / "auditor.pub.pem")
    assert envelope.verify([SSlibKey.from_crypto(public, keys.key_id(public))], 1)
    told = json.loads(envelope.payload)
    Statement.copy_from_pb(ParseDict(told, Message())).validate()
    result = ParseDict(told["predicate"], TestResult(), ignore_unknown_fields=True)
    assert (list(result.passed_tests), list(result.warned_tests)) == (["additivity"], ["agreement"])
    assert [s["name"] for s in told["subject"]] == ["manifest.json", "run.json", "data/people.csv", "model/scores.onnx"]


def test_model_and_data_are_compared_when_they_are_given(made, tmp_path):
    (tmp_path / "renamed.onnx").write_bytes(b"weights")
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "a.png").write_bytes(b"a")
    (tmp_path / "people" / "b.png").write_bytes(b"b")
    digests = {path.name: independent_verifier.sha(path.read_bytes()) for path in (tmp_path / "people").iterdir()}
    model = {"scores.onnx": independent_verifier.sha(b"weights")}
    bundle = sealed.write_bundle(tmp_path / "bundle", inputs={"model": model, "data": digests, "background": {}})
    signing.sign(bundle, made / "auditor.pem")
    key = made / "auditor.pub.pem"
    found = verify(bundle, key, tmp_path / "renamed.onnx", tmp_path / "people")
    assert found.holds
    assert "the model's bytes" in found.checked
    assert not any("--model" in said or "--data" in said for said in found.unchecked)
    (tmp_path / "people" / "b.png").write_bytes(b"c")
    (tmp_path / "renamed.onnx").write_bytes(b"other")
    problems = verify(bundle, key, tmp_path / "renamed.onnx", tmp_path / "people").problems
    assert len(problems) == 2
    assert "renamed.onnx is not the model" in problems[0]
    assert "b.png is not the data" in problems[1]
    (tmp_path / "people" / "a.png").unlink()
    assert "is missing" in verify(bundle, key, data=tmp_path / "people").problems[0]
    assert run("verify", bundle, "--key", key, "--model", tmp_path / "nowhere.onnx")[0] == 2


def test_signing_again_is_for_the_same_key_only(made, bundle):
    assert signing.sign(bundle, made / "auditor.pem")
    with pytest.raises(RequestError, match="signed by another key"):
        signing.sign(bundle, made / "stranger.pem")
    assert both(bundle, made / "auditor.pub.pem") == ()


def test_a_bundle_that_does_not_hold_is_not_signed(made, tmp_path):
    bundle = sealed.write_bundle(tmp_path / "bundle")
    (bundle / "report.html").write_text("<!doctype html><title>Better</title>\n")
    code, told = run("sign", bundle, "--key", made / "auditor.pem")
    assert code == 4
    assert "report.html was changed" in told
    assert not (bundle / "statement.dsse.json").exists()


def test_a_signature_from_the_future_is_remarked(made, bundle, monkeypatch):
    from datetime import UTC, datetime, timedelta

    import blackbox.evidence.signing as module

    class Ahead:
        @staticmethod
        def now(zone):
            return datetime.now(UTC) + timedelta(days=2)

    monkeypatch.setattr(module, "datetime", Ahead)
    signing.sign(bundle, made / "auditor.pem")
    found = verify(bundle, made / "auditor.pub.pem")
    assert found.holds
    assert "in the future" in found.remarks[0]


# what does not -------------------------------------------------------------------------------------


def names(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("way", ["flip", "cut", "append", "empty", "remove"])
def test_any_change_to_any_file_is_found_by_both(made, bundle, way):
    draw = random.Random(way)
    for name in names(bundle):
        path = bundle / name
        before = path.read_bytes()
        for _ in range(3 if way == "flip" else 1):
            place, bit = draw.randrange(len(before)), 1 << draw.randrange(8)
            after = {
                "flip": before[:place] + bytes([before[place] ^ bit]) + before[place + 1 :],
                "cut": before[:-1], "append": before + b"\n", "empty": b"", "remove": None,
            }[way]  # fmt: skip
            path.unlink() if after is None else path.write_bytes(after)
            problems = both(bundle, made / "auditor.pub.pem")
            told = " ".join(problems)
            assert problems, f"{name}: {way} at {place}"
            stem = {"statement.dsse.json": "envelope", "statement.intoto.json": "statement"}.get(name, name)
            assert stem in told or name in told or "signature" in told or "key" in told, (name, told)
            path.write_bytes(before)
    assert both(bundle, made / "auditor.pub.pem") == ()


def test_extra_renamed_swapped_and_linked_files_are_named(made, bundle):
    key = made / "auditor.pub.pem"

    def told():
        return " ".join(both(bundle, key))

    (bundle / "notes.txt").write_text("hello")
    assert "notes.txt is not listed" in told()
    (bundle / "notes.txt").unlink()
    (bundle / "empty").mkdir()
    assert "empty" in told()
    (bundle / "empty").rmdir()
    report, plan = bundle / "report.html", bundle / "plan.yaml"
    report.rename(bundle / "index.html")
    assert "report.html is missing" in told()
    assert "index.html is not listed" in told()
    (bundle / "index.html").rename(report)
    text = report.read_bytes(), plan.read_bytes()
    report.write_bytes(text[1]), plan.write_bytes(text[0])
    assert "report.html was changed" in told()
    assert "plan.yaml was changed" in told()
    report.write_bytes(text[0]), plan.write_bytes(text[1])
    assert told() == ""
    for name in ("report.html", "manifest.json", "run.json", "statement.dsse.json", "figures"):
        (bundle / name).rename(bundle.parent / "aside")
        (bundle / name).symlink_to(bundle.parent / "aside")
        assert name in told()
        (bundle / name).unlink()
        (bundle.parent / "aside").rename(bundle / name)
    assert told() == ""
    os.mkfifo(bundle / "pipe")
    assert "pipe is neither a file nor a folder" in told()


def test_records_that_changed_places_or_went_are_found_though_the_manifest_was_mended(made, bundle):
    key = made / "auditor.pub.pem"
    path = bundle / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for changed in ([lines[1], lines[0], *lines[2:]], lines[:-1], [*lines, lines[-1]], []):
        path.write_bytes(b"".join(changed))
        manifest = sealed.read(bundle / "manifest.json")
        manifest["files"]["records.jsonl"] = {"sha256": independent_verifier.sha(path.read_bytes()), "bytes": path.stat().st_size}
        (bundle / "manifest.json").write_bytes(canonical(manifest))
        told = " ".join(both(bundle, key))
        assert "records.jsonl" in told
        assert "about this manifest.json" in told


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: e.update(payloadType="text/plain"), "not an in-toto statement"),
        (lambda e: e["signatures"].append(e["signatures"][0]), "one signature"),
        (lambda e: e["signatures"].clear(), "one signature"),
        (lambda e: e["signatures"][0].update(keyid="0" * 64), "signed by the key 0000"),
        (lambda e: e["signatures"][0].update(keyid=""), "signed by the key"),
        (lambda e: e["signatures"][0].update(keyid=3), "malformed"),
        (lambda e: e["signatures"][0].pop("keyid"), "malformed"),
        (lambda e: e["signatures"][0].update(cert="x"), "malformed"),
        (lambda e: e["signatures"][0].update(sig=""), "does not belong"),
        (lambda e: e["signatures"][0].update(sig="****"), "base64"),
        (lambda e: e["signatures"][0].update(sig=e["signatures"][0]["sig"].rstrip("=")), "base64"),
        (lambda e: e["signatures"][0].update(sig=e["signatures"][0]["sig"][:-3] + "B=="), "base64"),
        (lambda e: e.update(payload=e["payload"] + "\n"), "base64"),
        (lambda e: e.update(payload=base64.b64encode(b"{}").decode()), "does not belong"),
        (lambda e: e.update(more=1), "malformed"),
        (lambda e: e.pop("payload"), "malformed"),
    ],
)
def test_a_malformed_envelope_is_named(made, bundle, change, words):
    path = bundle / "statement.dsse.json"
    envelope = sealed.read(path)
    change(envelope)
    path.write_bytes(canonical(envelope))
    assert words in " ".join(both(bundle, made / "auditor.pub.pem"))


def test_an_envelope_in_another_spelling_is_refused(made, bundle):
    path = bundle / "statement.dsse.json"
    envelope = sealed.read(path)
    spellings = [json.dumps(envelope), json.dumps(envelope, indent=1), path.read_text() + "\n"]
    for text in [*spellings, path.read_text().replace("application/", "application\\/"), "[]", "null", "{}"]:
        path.write_text(text)
        assert "envelope is malformed" in " ".join(both(bundle, made / "auditor.pub.pem"))


def test_another_signer_or_none_is_told(made, bundle):
    assert "not by the given one" in " ".join(both(bundle, made / "stranger.pub.pem"))
    code, told = run("verify", bundle, "--key", made / "stranger.pub.pem")
    assert code == 4
    assert told.startswith("DOES NOT HOLD")
    for name in ("statement.dsse.json", "statement.intoto.json"):
        (bundle / name).unlink()
    assert "is not signed" in " ".join(both(bundle, made / "auditor.pub.pem"))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["predicate"].update(result="PASSED", warnedTests=[]),
        lambda s: s["predicate"]["blackbox"].update(signed_at="2026-01-05"),
        lambda s: s["predicate"].pop("blackbox"),
        lambda s: s["subject"].pop(0),
        lambda s: s["subject"][1]["digest"].update(sha256="0" * 64),
        lambda s: s.update(predicateType="https://in-toto.io/attestation/vsa/v1"),
        lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
    ],
)
def test_a_statement_that_its_signer_bent_is_found(made, bundle, change):
    from blackbox.evidence import envelope

    told = sealed.read(bundle / "statement.intoto.json")
    change(told)
    payload = canonical(told)
    (bundle / "statement.intoto.json").write_bytes(payload)
    (bundle / "statement.dsse.json").write_bytes(envelope.seal(payload, keys.private_key(made / "auditor.pem")))
    problems = verify(bundle, made / "auditor.pub.pem").problems
    assert len(problems) == 1
    assert "signed statement" in problems[0]
    assert independent_verifier.verify(bundle, (made / "auditor.pub.pem").read_bytes())


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(schema="blackbox.bundle/9"),
        lambda m: m["files"].update({"../outside.txt": m["files"]["plan.yaml"]}),
        lambda m: m["files"].update({"/etc/hosts": m["files"]["plan.yaml"]}),
        lambda m: m["files"].update({"a//b": m["files"]["plan.yaml"]}),
        lambda m: m["files"].update({"run.json": m["files"]["plan.yaml"]}),
        lambda m: m["files"].pop("records.jsonl"),
        lambda m: m["files"]["plan.yaml"].update(sha256="x"),
        lambda m: m["files"].update({"plan.yaml": "x"}),
        lambda m: m.update(files=[]),
        lambda m: m.pop("records"),
        lambda m: m.update(inputs={"model": {"a": "b"}}),
        lambda m: m.update(passed="yes"),
        lambda m: m.update(checks={"a": 1}),
    ],
)
def test_a_malformed_manifest_is_one_sentence(made, bundle, change):
    manifest = sealed.read(bundle / "manifest.json")
    change(manifest)
    (bundle / "manifest.json").write_bytes(canonical(manifest))
    code, told = run("verify", bundle, "--key", made / "auditor.pub.pem")
    assert code == 4
    assert "manifest.json is malformed" in told
    assert independent_verifier.verify(bundle, (made / "auditor.pub.pem").read_bytes())


def test_no_bundle_at_all_is_a_wrong_request(made, tmp_path):
    assert run("verify", tmp_path / "nowhere", "--key", made / "auditor.pub.pem")[0] == 2
    assert run("sign", tmp_path / "nowhere", "--key", made / "auditor.pem")[0] == 2
    code, told = run("verify", tmp_path, "--key", made / "auditor.pub.pem")
    assert code == 4
    assert "manifest.json is missing" in told


# cost ----------------------------------------------------------------------------------------------


def test_verification_imports_no_numerical_code(made):
    program = (
        "import sys, types\n"
        "package = types.ModuleType('blackbox')\n"  # the package's own front door opens the methods; this code needs none
        f"package.__path__ = [{str(ROOT / 'blackbox')!r}]\n"
        "sys.modules['blackbox'] = package\n"
        "for name in 'numpy scipy sklearn shap onnx onnxruntime pyarrow pandas pydantic matplotlib'.split():\n"
        "    sys.modules[name] = None\n"
        "from pathlib import Path\n"
        "from blackbox.evidence.verify import verify\n"
        f"print(verify(Path({str(made / 'bundle')!r}), Path({str(made / 'auditor.pub.pem')!r})).holds)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("True", "")


def test_the_verb_loads_neither_runtime_nor_arrow(made):
    program = (
        "import sys\nfrom blackbox.cli import cli\n"
        f"cli.main(['verify', {str(made / 'bundle')!r}, '--key', {str(made / 'auditor.pub.pem')!r}], standalone_mode=False)\n"
        "heavy = 'onnx onnxruntime shap sklearn scipy pandas pyarrow pydantic matplotlib PIL'.split()\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_memory_does_not_grow_with_the_number_of_records(made, tmp_path):
    import tracemalloc

    peaks = []
    for cases in (300, 3000):
        bundle = sealed.write_bundle(tmp_path / str(cases), cases)
        signing.sign(bundle, made / "auditor.pem")
        tracemalloc.start()
        assert verify(bundle, made / "auditor.pub.pem").holds
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100_000  # bytes; the records of the larger one have 4 MB


# real audits ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def audited(made, tmp_path_factory):
    """Two applicants of the credit model, audited by blackbox itself and signed."""
    folder = tmp_path_factory.mktemp("audited")
    credit = ROOT / "sample_models" / "credit"
    told = {
        "model": {"path": str(credit / "credit.onnx"), "classes": ["declined", "approved"]},
        "data": {"path": str(credit / "applicants.csv"), "id": "applicant", "first": 2},
        "background": {"path": str(credit / "background.csv"), "most": 10},
        "methods": ["occlusion"], "checks": ["determinism"], "reasons": {"method": "occlusion"},
    }  # fmt: skip
    bb.audit(told, folder=folder / "bundle")
    signing.sign(folder / "bundle", made / "auditor.pem")
    return folder / "bundle"


def test_a_real_bundle_holds_for_both_with_its_model_and_data(made, audited):
    credit = ROOT / "sample_models" / "credit"
    key = made / "auditor.pub.pem"
    found = verify(audited, key, credit / "credit.onnx", credit / "applicants.csv")
    assert (found.problems, found.result) == ((), "PASSED")
    assert both(audited, key) == ()
    assert "is not the model" in verify(audited, key, credit / "applicants.csv").problems[0]


def test_any_flipped_bit_of_a_real_bundle_is_found_by_both(made, audited, tmp_path):
    folder = Path(shutil.copytree(audited, tmp_path / "bundle"))
    draw = random.Random(3)
    for name in names(folder):
        before = (folder / name).read_bytes()
        for _ in range(2):
            place = draw.randrange(len(before))
            (folder / name).write_bytes(before[:place] + bytes([before[place] ^ (1 << draw.randrange(8))]) + before[place + 1 :])
            assert both(folder, made / "auditor.pub.pem"), f"{name} at {place}"
        (folder / name).write_bytes(before)
    assert both(folder, made / "auditor.pub.pem") == ()
