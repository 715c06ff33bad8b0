"""Audits as jobs: what is refused, what survives, and what a kill costs."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import httpx
import pytest
from serving import SAMPLES, SOFTMAX, X3, serving, until

from blackbox.errors import RequestError
from blackbox.service import jobs as jobs_module
from blackbox.service.description import describe
from blackbox.service.jobs import Jobs
from blackbox.service.orders import Order, digest
from blackbox.service.settings import Settings

CREDIT = SAMPLES / "credit"
with (CREDIT / "applicants.csv").open() as file:
    TABLE = list(csv.DictReader(file))
PLAN = {"methods": ["occlusion"], "checks": ["determinism"]}


def applicants(count):
    rows = [TABLE[k % len(TABLE)] for k in range(count)]
    return [{name: float(value) for name, value in row.items() if name != "applicant"} for row in rows]


def order(count=3, **plan):
    import numpy as np

    rows = np.array([list(one.values()) for one in applicants(count)], dtype=np.float32)
    return Order("credit", PLAN | plan, tuple(f"p{k}" for k in range(count)), {"applicant": rows}, tuple(applicants(1)[0]))


@pytest.fixture
def written(tmp_path):
    """A job that was written down and not begun."""
    jobs = Jobs(tmp_path / "jobs")
    jobs.folder.mkdir()
    part, folder = describe(str(CREDIT))["credit"]
    jobs.add("a" * 32, order(), "digest", part, folder)
    return jobs


def test_a_job_is_played_shard_by_shard_and_sealed(written):
    job = "a" * 32
    names = written.shards(job)
    receipts = [written.play(job, name) for name in names]
    assert [set(receipt) for receipt in receipts] == [{"shard", "records", "rows", "sha256"}] * len(names)
    partial = b"".join(written.records(job))
    assert written.bundle(job) is None
    result = written.seal(job)
    assert result["cases"] == 3
    assert b"".join(written.records(job)) == partial
    with zipfile.ZipFile(written.bundle(job)) as archive:
        assert {"manifest.json", "records.jsonl", "report.html"} <= set(archive.namelist())
        told = b"".join(archive.read(name) for name in archive.namelist() if name != "explanations.parquet")
    assert CREDIT.name.encode() + b"/" not in told  # not even a way there from the job's own folder
    assert [event["event"] for event in written.events(job)] == ["shard"] * len(names) + ["succeeded"]
    assert written.status(job)["state"] == "succeeded"


def test_what_a_kill_repeats_is_noted_once(written):
    job = "a" * 32
    first = written.shards(job)[0]
    again = [written.play(job, first) for _ in range(3)]
    assert again[0] == again[1] == again[2]
    written.close()  # the process is gone; another one goes on
    other = Jobs(written.folder)
    assert other.play(job, first) == again[0]
    assert [event["id"] for event in other.events(job)] == [1]
    assert [event["id"] for event in other.events(job, after=1)] == []
    other.close()


def test_a_torn_note_is_cut_off_and_an_end_stands(written):
    job = "a" * 32
    written.play(job, written.shards(job)[0])
    with (written.folder / job / "events.jsonl").open("ab") as file:
        file.write(b'{"id": 2, "ev')
    assert [event["id"] for event in written.events(job)] == [1]
    written.end(job, "cancelled", {})
    written.end(job, "failed", {"error": "too late"})
    assert [event["event"] for event in written.events(job)] == ["shard", "cancelled"]


def test_inputs_are_read_back_bit_by_bit(written, tmp_path):
    import numpy as np

    from blackbox.inputs import DataSpec, read_dataset
    from blackbox.model import open_model
    from blackbox.service.orders import write_inputs

    given = order(40)
    write_inputs(given, tmp_path / "inputs.csv")
    signature = open_model(CREDIT / "credit.onnx").signature
    read = read_dataset(tmp_path / "inputs.csv", signature, DataSpec(given.columns, "case"))
    assert np.array_equal(read.rows["applicant"], given.rows["applicant"])
    assert read.ids == given.ids


def test_one_key_cannot_stand_for_two_requests():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_jobs_need_one_process():
    with pytest.raises(RequestError, match="--workers 1"):
        Settings(("x",), jobs="jobs", workers=2)
    with pytest.raises(RequestError, match="needs --jobs"):
        Settings(("x",), jobs_database="postgresql://x")


def test_a_service_without_jobs_says_how_to_get_them():
    with serving(SOFTMAX) as client:
        for answer in (client.get("/v1/audits"), client.post("/v1/audits", json={})):
            assert answer.status_code == 404
            assert "--jobs" in answer.json()["error"]
        assert "--jobs FOLDER" in client.get("/jobs").text


@pytest.mark.parametrize("name", ["..", "A" * 32, "a" * 31, "a" * 33, "/etc"])
def test_no_other_name_is_a_jobs(name):
    with pytest.raises(RequestError):
        jobs_module.checked(name)


# a real server


@contextlib.contextmanager
def server(folder, *more):
    """Yield (client, process) of ``blackbox serve --jobs``; SIGKILL at the end unless it has ended."""
    command = [sys.executable, "-c", "from blackbox.cli import main; main()", "serve", "--models", CREDIT, "--models", SOFTMAX, "--port", "0",
               "--no-sandbox", "--jobs", folder, *more]  # fmt: skip
    log = Path(f"{folder}.{time.monotonic_ns()}.log")
    with log.open("wb") as file:
        process = subprocess.Popen([*map(str, command)], stderr=file)
    try:
        until(lambda: b'"listening"' in log.read_bytes() or process.poll() is not None, 60)
        lines = log.read_text(encoding="utf-8").splitlines()
        url = next((json.loads(line)["url"] for line in lines if '"listening"' in line), None)
        assert url, lines
        with httpx.Client(base_url=url, timeout=60) as client:
            until(lambda: ready(client), 60)
            yield client, process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(20)


def ready(client):
    try:
        return client.get("/v2/health/ready").status_code == 200
    except httpx.HTTPError:
        return False


def asked(client, count, key=None, **plan):
    body = {"model": "credit", "instances": applicants(count), "plan": PLAN | plan}
    answer = client.post("/v1/audits", json=body, headers={"Idempotency-Key": key} if key else {})
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == answer.json()["url"]
    return answer.json()


def ended(client, job, seconds=120):
    until(lambda: client.get(job["url"]).json()["state"] in ("succeeded", "failed", "cancelled"), seconds)
    return client.get(job["url"]).json()


def unpacked(client, job):
    with zipfile.ZipFile(io.BytesIO(client.get(job["bundle"]).content)) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != "run.json"}


def followed(client, job, after=None):
    """All events of a job until it ends."""
    found, headers = [], {} if after is None else {"Last-Event-ID": str(after)}
    with client.stream("GET", job["events"], headers=headers) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("id: "):
                found.append([int(line[4:])])
            elif line.startswith("event: "):
                found[-1].append(line[7:])
            elif line.startswith("data: "):
                found[-1].append(json.loads(line[6:]))
    return found


@pytest.mark.slow
def test_an_audit_is_asked_for_followed_and_fetched(tmp_path):
    with server(tmp_path / "jobs") as (client, process):
        job = asked(client, 4, "first")
        assert asked(client, 4, "first")["job"] == job["job"]
        other = client.post("/v1/audits", json={"model": "credit", "instances": applicants(3)}, headers={"Idempotency-Key": "first"})
        assert other.status_code == 422
        events = followed(client, job)
        assert [event[0] for event in events] == list(range(1, len(events) + 1))
        assert events[-1][1] == "succeeded"
        assert followed(client, job, after=events[-3][0]) == events[-2:]
        done = ended(client, job)
        assert done["finished_shards"] == done["shards"] == len(events) - 1
        assert done["result"]["cases"] == 4
        files = unpacked(client, done)
        assert client.get(job["records"]).content == files["records.jsonl"]
        assert [one["job"] for one in client.get("/v1/audits").json()["audits"]] == [job["job"]]
        assert "Download the bundle" in client.get("/jobs").text
        bad = {
            "unknown model": ({"model": "credti", "instances": [X3]}, 404),
            "no instances": ({"model": "softmax"}, 422),
            "unknown key": ({"model": "softmax", "instances": [X3], "paln": {}}, 422),
            "key of a file": ({"model": "softmax", "instances": [X3], "plan": {"reasons": {"codes": "/etc/passwd"}}}, 422),
            "path": ({"model": "softmax", "instances": [X3], "plan": {"data": {"path": "/etc/passwd"}}}, 422),
            "unknown method": ({"model": "softmax", "instances": [X3], "plan": {"methods": ["shapley"]}}, 422),
            "ids": ({"model": "softmax", "instances": [X3], "ids": ["a", "b"]}, 422),
            "ids twice": ({"model": "softmax", "instances": [X3, X3], "ids": ["a", "a"]}, 422),
            "not a list": ([], 400),
        }
        for name, (body, status) in bad.items():
            answer = client.post("/v1/audits", json=body)
            assert (answer.status_code, list(answer.json())) == (status, ["error"]), (name, answer.text)
        for path in ("0" * 32, "..%2f..", "x"):
            assert client.get(f"/v1/audits/{path}").status_code == 404
        softmax = client.post("/v1/audits", json={"model": "softmax", "instances": [X3], "plan": PLAN}).json()
        assert ended(client, softmax)["state"] == "succeeded"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.slow
def test_an_audit_is_stopped_and_what_is_finished_stays(tmp_path):
    with server(tmp_path / "jobs") as (client, _):
        job = asked(client, 200)
        until(lambda: client.get(job["url"]).json()["finished_shards"] > 2, 60)
        assert client.delete(job["url"]).status_code == 202
        done = ended(client, job)
        assert done["state"] == "cancelled"
        assert done["bundle"] is None
        lines = client.get(job["records"]).content.splitlines()
        assert len(lines) > 3
        assert all(json.loads(line)["kind"] for line in lines)
        time.sleep(1)
        assert client.get(job["url"]).json()["finished_shards"] == done["finished_shards"]
        assert client.get(job["url"] + "/bundle").status_code == 404


def killed_and_gone_on_with(tmp_path, *more):
    """Kill the server twice in mid-job; the bundle must be the one of a job that ran through."""
    with server(tmp_path / "whole", *more[1:]) as (client, process):
        whole = unpacked(client, ended(client, asked(client, 24)))
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    job, finished = None, 0
    for _ in range(2):
        with server(tmp_path / "jobs", *more[:1]) as (client, process):
            job = job or asked(client, 24, "once")
            until(lambda: client.get(job["url"]).json()["finished_shards"] > finished + 3, 90)  # noqa: B023
            finished = client.get(job["url"]).json()["finished_shards"]
            process.kill()
            process.wait(20)
    with server(tmp_path / "jobs", *more[:1]) as (client, _):
        again = asked(client, 24, "once")
        assert again["job"] == job["job"]
        assert again["finished_shards"] >= finished
        done = ended(client, job)
        assert done["state"] == "succeeded", done
        events = followed(client, job)
        assert [event[0] for event in events] == list(range(1, len(events) + 1))  # none lost, none twice
        found = unpacked(client, done)
    assert found["records.jsonl"] == whole["records.jsonl"]
    assert json.loads(found["manifest.json"])["records"] == json.loads(whole["manifest.json"])["records"]


@pytest.mark.slow
def test_a_killed_server_goes_on_with_its_jobs(tmp_path):
    killed_and_gone_on_with(tmp_path)


@contextlib.contextmanager
def postgres():
    """Yield the URL of a PostgreSQL server of our own, from the system's packages."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    assert programs, "PostgreSQL is missing: run  tests/peers/system.sh"
    # not below pytest's own folder, which no other user may enter
    folder = Path(tempfile.mkdtemp(prefix="blackbox-postgres-"))
    who = pwd.getpwnam("postgres") if os.getuid() == 0 else None  # it does not run as root
    if who is not None:
        os.chown(folder, who.pw_uid, who.pw_gid)
    prefix = ["runuser", "-u", "postgres", "--"] if who is not None else []

    def run(*command):
        subprocess.run([*prefix, *map(str, command)], check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=120)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run(programs[-1] / "initdb", "-D", folder / "data", "-A", "trust", "-U", "blackbox")
    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
    run(programs[-1] / "pg_ctl", "-D", folder / "data", "-o", options, "-l", folder / "log", "-w", "start")
    try:
        yield f"postgresql://blackbox@127.0.0.1:{port}/"
    finally:
        run(programs[-1] / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_killed_server_goes_on_with_its_jobs_on_postgres(tmp_path):
    with postgres() as url:
        # the job that runs through has a file of its own, the killed one is in PostgreSQL
        killed_and_gone_on_with(tmp_path, f"--jobs-database={url}blackbox_jobs")


@pytest.mark.slow
def test_a_database_that_is_not_there_is_told(tmp_path):
    command = [sys.executable, "-c", "from blackbox.cli import main; main()", "serve", "--models", SOFTMAX, "--port", "0", "--jobs", tmp_path,
               "--jobs-database", "postgresql://nobody:secret@127.0.0.1:1/x", "--no-sandbox"]  # fmt: skip
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "secret" not in done.stderr + done.stdout
