"""Jobs: audits that outlive a request and the server, each in a folder of its own.

A job's folder holds what was asked (``order.json``, ``plan.json``, the inputs), what happened
(``events.jsonl``), what is finished (``bundle.partial``), and in the end the bundle.
"""

from __future__ import annotations

import json
import shutil
import threading
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blackbox.auditing import AuditResult
from blackbox.campaign import Campaign, open_campaign
from blackbox.errors import BlackboxError, RequestError
from blackbox.files import written, written_folder
from blackbox.opening import FILES, is_array_file
from blackbox.plan import as_plan
from blackbox.service import orders
from blackbox.service.description import Description
from blackbox.service.failures import told
from blackbox.service.orders import Order

BUNDLE = "bundle"
SERVED = "served"
"""A link in a job's folder to the folder of the model's description."""

ENDS = ("succeeded", "failed", "cancelled")
"""Kinds of a job's last event."""


@dataclass(frozen=True)
class Jobs:
    """All jobs of a service, as folders. Every method may be called from any thread, and after a kill.

    open : campaigns in progress, so that a job's shards share one session.
    """

    folder: Path
    open: dict[str, Campaign] = field(default_factory=dict, repr=False)
    guard: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def add(self, job: str, order: Order, asked: str, part: Description, folder: Path) -> None:
        """Write down what was asked, whole or not at all.

        Parameters
        ----------
        job : its name. asked : digest of the request. part, folder : the model's description as it is served,
            and what its paths are relative to.

        Raises
        ------
        RequestError : the plan does not fit, or the folder cannot be written.
        """
        place = self.folder / job
        plan = orders.planned(order, Path(orders.input_name(order)), _through(part))
        with written_folder(place) as inside:
            (inside / SERVED).symlink_to(folder.resolve(), target_is_directory=True)
            orders.write_inputs(order, inside / orders.input_name(order))
            (inside / "plan.json").write_text(json.dumps(plan.model_dump(mode="json")), encoding="utf-8")
            head = {"model": order.model, "cases": len(order.ids), "asked": asked, "created": _now()}
            (inside / "order.json").write_text(json.dumps(head), encoding="utf-8")

    def order(self, job: str) -> dict[str, Any] | None:
        """Return what was asked (model, cases, digest of the request, when); None for an unknown job."""
        try:
            found: dict[str, Any] = json.loads((self.folder / job / "order.json").read_bytes())
        except (OSError, ValueError):
            return None
        return found

    def names(self) -> list[str]:
        """Return the names of all jobs, the newest first."""
        found = [
            (order["created"], path.name)
            for path in self.folder.iterdir()
            if (order := self.order(path.name))
        ]
        return [name for _, name in sorted(found, reverse=True)]

    def shards(self, job: str) -> list[str]:
        """Plan the audit, or read how it was planned: the names of its shards."""
        return [shard.name for shard in self._campaign(job).shards]

    def play(self, job: str, name: str) -> dict[str, Any]:
        """Play one shard, unless it is finished, and note it; return its receipt."""
        campaign = self._campaign(job)
        number, shard = next((k, s) for k, s in enumerate(campaign.shards) if s.name == name)
        receipt = campaign.receipt(shard) or campaign.play(shard)
        done = {
            "shard": name,
            "finished": number + 1,
            "shards": len(campaign.shards),
            "rows": receipt["rows"],
        }
        self._note(job, number + 1, "shard", done)
        return {key: receipt[key] for key in ("shard", "records", "rows", "sha256")}

    def seal(self, job: str) -> dict[str, Any]:
        """Seal the bundle, unless it is, and pack it for the download; return its summary."""
        bundle = self.folder / job / BUNDLE
        if not (bundle / "manifest.json").is_file():
            campaign = self._campaign(job)
            for shard in campaign.missing():  # a folder that lost a finished shard loses no job
                campaign.play(shard)
            campaign.seal()
        summary = AuditResult(bundle).summary()
        summary = {
            key: summary[key] for key in ("passed", "cases", "explanations", "rows", "findings", "checks")
        }
        with written(self.folder / job / "bundle.zip") as temporary:
            _pack(bundle, temporary)
        self._release(job)
        self.end(job, "succeeded", summary)
        return summary

    def end(self, job: str, kind: str, what: Mapping[str, Any]) -> None:
        """Note how a job ended; the first end stands."""
        last = self._last(job)
        if last is None or last["event"] not in ENDS:
            self._note(job, (last["id"] if last else 0) + 1, kind, what)
        self._release(job)

    def events(self, job: str, after: int = 0) -> Iterator[dict[str, Any]]:
        """Yield what has happened since an event: ``id``, ``event``, ``data``."""
        try:
            lines = (self.folder / job / "events.jsonl").read_bytes().split(b"\n")
        except OSError:
            return
        for line in lines[:-1]:  # what follows the last newline is being written
            event = json.loads(line)
            if event["id"] > after:
                yield event

    def status(self, job: str) -> dict[str, Any]:
        """Return how far a job has come, from its own notes."""
        events = list(self.events(job))
        shards = [event["data"] for event in events if event["event"] == "shard"]
        last = events[-1] if events else None
        return {
            "finished_shards": len(shards),
            "shards": shards[-1]["shards"] if shards else None,
            "rows": sum(shard["rows"] for shard in shards),
            "last_event": last["id"] if last else 0,
            **({"state": last["event"], "result": last["data"]} if last and last["event"] in ENDS else {}),
        }

    def records(self, job: str) -> Iterator[bytes]:
        """Yield the records of everything that is finished, as lines of JSON: partial results."""
        sealed = self.folder / job / BUNDLE / "records.jsonl"
        if sealed.is_file():
            with sealed.open("rb") as file:
                yield from file
            return
        for event in list(self.events(job))[1:]:  # the first shard is about the model, not about a case
            name = event["data"].get("shard")
            path = self.folder / job / f"{BUNDLE}.partial" / "shards" / f"{name}.jsonl"
            if name is not None and path.is_file():
                yield path.read_bytes()

    def bundle(self, job: str) -> Path | None:
        """Return the packed bundle, once it is sealed."""
        path = self.folder / job / "bundle.zip"
        return path if path.is_file() else None

    def close(self) -> None:
        """Release every folder; what is finished is kept."""
        for job in list(self.open):
            self._release(job)

    def _campaign(self, job: str) -> Campaign:
        with self.guard:
            if job not in self.open:
                place = self.folder / job
                plan = as_plan(json.loads((place / "plan.json").read_bytes()))
                self.open[job] = open_campaign(plan, place, place / BUNDLE)
            return self.open[job]

    def _release(self, job: str) -> None:
        with self.guard:
            campaign = self.open.pop(job, None)
        if campaign is not None:
            campaign.close()

    def _last(self, job: str) -> dict[str, Any] | None:
        return next(iter(list(self.events(job))[-1:]), None)

    def _note(self, job: str, number: int, kind: str, what: Mapping[str, Any]) -> None:
        """Append an event; one that was noted before a kill is not noted again."""
        with self.guard:
            last, path = self._last(job), self.folder / job / "events.jsonl"
            if last is not None and (last["id"] >= number or last["event"] in ENDS):
                return
            _drop_torn(path)
            with path.open("ab") as file:
                line = {"id": number, "event": kind, "data": dict(what), "time": _now()}
                file.write(json.dumps(line).encode() + b"\n")


def failed(error: BlackboxError) -> dict[str, Any]:
    """Return what a failed job tells."""
    return {"error": told(error)}


def _drop_torn(path: Path) -> None:
    """Cut off a line that a kill left unfinished."""
    if path.exists() and not (content := path.read_bytes()).endswith(b"\n") and content:
        path.write_bytes(content[: content.rfind(b"\n") + 1])


def _through(part: Description) -> Description:
    """Write the description's paths as seen from the job's folder, so that evidence does not tell where the
    service keeps its models. What is absolute there stays so.
    """

    def seen(path: str) -> str:
        return str(Path(SERVED) / path)

    model, labels = part.model, part.features.labels
    classes, held = model.classes, model.constants
    named = {name: seen(str(model.options[name])) for name in FILES if model.options.get(name)}
    model = model.model_copy(
        update={
            "path": seen(model.path),
            "classes": seen(classes) if isinstance(classes, str) else classes,
            "constants": held | {name: seen(str(at)) for name, at in held.items() if is_array_file(at)},
            "options": model.options | named,
        }
    )
    features = part.features.model_copy(update={"labels": seen(labels)} if isinstance(labels, str) else {})
    where = part.background.path
    background = part.background.model_copy(update={"path": where if where is None else seen(where)})
    return part.model_copy(update={"model": model, "background": background, "features": features})


def _pack(folder: Path, path: Path) -> None:
    """Zip a bundle: its files in order of their names, without clocks."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in sorted(folder.rglob("*")):
            if one.is_file():
                inside = zipfile.ZipInfo(one.relative_to(folder).as_posix())
                inside.compress_type = zipfile.ZIP_DEFLATED
                with one.open("rb") as source, archive.open(inside, "w") as sink:
                    shutil.copyfileobj(source, sink)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def checked(name: str) -> str:
    """Return a job's name if it is one.

    Raises
    ------
    RequestError : it is not 32 hexadecimal digits, and so no job's.
    """
    if len(name) != 32 or not all(c in "0123456789abcdef" for c in name):
        raise RequestError("A job's name has 32 hexadecimal digits.")
    return name
