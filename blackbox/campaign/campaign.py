"""The campaign itself: which shards are missing, playing one, and sealing all of them as a bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from blackbox.campaign import journal, playing
from blackbox.campaign.lock import Lock
from blackbox.campaign.manifest import Manifest, Shard
from blackbox.campaign.places import empty, working_folder
from blackbox.campaign.secret import privacy_of
from blackbox.errors import BlackboxError, EvidenceError, RequestError
from blackbox.evidence.bundle import Sealing, write_bundle
from blackbox.files import put_in_place, sha256, written
from blackbox.materials import Materials
from blackbox.plan import Plan
from blackbox.privacy import Privacy
from blackbox.watcher import Watcher


@dataclass(frozen=True)
class Campaign:
    """An audit as shards: each is played on its own, once, in any order and in any process.

    plan, base : the plan, and the folder that its paths are relative to. target : the bundle's folder.
    What is finished lies in ``working``, beside the target, until ``seal`` makes the bundle of it. Every
    call may be the last: a process that is killed loses the shard it was playing and nothing else.
    """

    plan: Plan
    base: Path
    target: Path
    manifest: Manifest
    materials: Materials
    baseline: Path | None = None
    lock: Lock | None = field(default=None, repr=False)

    @property
    def working(self) -> Path:
        """The folder of what is finished."""
        return working_folder(self.target)

    @property
    def shards(self) -> tuple[Shard, ...]:
        """All shards, in the order of the cases; the first is about the model."""
        return self.manifest.shards

    @cached_property
    def positions(self) -> list[int]:
        """Row numbers of the cases, in order."""
        return self.materials.positions(self.plan.data)

    @cached_property
    def privacy(self) -> Privacy:
        """The plan's rule with this campaign's secret."""
        return privacy_of(self.plan.privacy, self.target)

    def missing(self) -> tuple[Shard, ...]:
        """Return the shards that have not been played, or whose result is damaged."""
        return tuple(shard for shard in self.shards if self.receipt(shard) is None)

    def receipt(self, shard: Shard) -> dict[str, Any] | None:
        """Return what was noted when a shard was finished; None while it is missing."""
        try:
            found: dict[str, Any] = json.loads(self._path(shard, "json").read_bytes())
            whole = self._path(shard, "jsonl").stat().st_size == found["bytes"]
        except (OSError, ValueError, KeyError):
            return None
        return found if whole and found["shard"] == shard.name else None

    def play(self, shard: Shard, watcher: Watcher | None = None) -> dict[str, Any]:
        """Play one shard, write its records and return its receipt, a small plain JSON object.

        Playing a finished shard again gives the same records. A method that cannot answer is a record.

        Raises
        ------
        RequestError : the folder cannot be written, for example because the disk is full.
        """
        watch, counts = journal.Watch(), playing.Counts()
        path = self._path(shard, "jsonl")
        with written(path) as temporary, temporary.open("wb") as file:
            for line in playing.lines_of(self, shard, watcher or Watcher(), counts):
                file.write(line + b"\n")
        receipt = {
            "schema": "blackbox.receipt/1", "shard": shard.name, "cases": shard.count,
            "records": counts.records, "explained": counts.explained, "rows": counts.rows,
            "calls": counts.calls, "features": sorted(counts.features),
            "bytes": path.stat().st_size, "sha256": sha256(path),
            "clock": watch.read() | ({"rows_per_second": counts.speeds} if counts.speeds else {}),
        }  # fmt: skip
        with written(self._path(shard, "json")) as temporary:
            temporary.write_text(json.dumps(receipt), encoding="utf-8")
        return receipt

    def seal(self) -> dict[str, Any]:
        """Write the bundle from the finished shards, put it in its place and remove what it was made of.

        Returns
        -------
        the content of its manifest.json

        Raises
        ------
        RequestError : a shard is missing, the folder cannot be written, or an input changed meanwhile.
        EvidenceError : a finished shard is not what was written; the next run plays it again.
        """
        if missing := self.missing():
            raise RequestError(f"{len(missing)} of {len(self.shards)} shards are missing: play them first.")
        self._check_inputs()
        receipts = [self.receipt(shard) or {} for shard in self.shards]
        inside = self.working / "bundle"
        shutil.rmtree(inside, ignore_errors=True)
        try:
            inside.mkdir()
            sealed = write_bundle(inside, self._sealing(receipts))
            run = journal.run_record(self.working, receipts)
            (inside / "run.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
        except BlackboxError:
            if not any(receipt["explained"] for receipt in receipts):
                self.discard()  # there is nothing to go on with: the question was wrong, or the model is
            raise
        except OSError as error:
            raise RequestError(f"{self.target} cannot be written: {error.strerror or error}.") from None
        put_in_place(inside, self.target, self.working / "replaced")
        self.discard()
        return sealed

    def discard(self) -> None:
        """Delete everything that is finished and not sealed, and release the folder."""
        empty(self.working)
        shutil.rmtree(self.working, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Release the folder and keep what is finished."""
        if self.lock is not None and self.lock.handle is not None:
            journal.ended(self.working)
            self.lock.release()

    def records(self, shard: Shard) -> Iterator[bytes]:
        """Yield the records of one finished shard."""
        with self._path(shard, "jsonl").open("rb") as file:
            for line in file:
                yield line.rstrip(b"\n")

    def _path(self, shard: Shard, suffix: str) -> Path:
        return self.working / "shards" / f"{shard.name}.{suffix}"

    def _check_inputs(self) -> None:
        now = self.materials.read_again()
        changed = [role for role, found in now.items() if found != self.manifest.inputs[role]]
        if changed:
            raise RequestError(
                f"The {changed[0]} file changed while the audit ran: put it back and start again, or "
                "start anew with --fresh."
            )

    def _sealing(self, receipts: list[dict[str, Any]]) -> Sealing:
        about = [json.loads(line) for line in self.records(self.shards[0])]
        seen = [line["probe"] for line in about if "probe" in line]
        return Sealing(
            self.plan, self.manifest.plan, self.materials, self.manifest.inputs, self.manifest.tool,
            self.manifest.runtime, self.manifest.device, self.manifest.rows_per_run, self._whole,
            [line for line in about if "probe" not in line], seen[0] if seen else None,
            sum(receipt["rows"] for receipt in receipts),
            sorted({names for receipt in receipts for names in receipt["features"]})[:2], self.baseline,
        )  # fmt: skip

    def _whole(self) -> Iterator[bytes]:
        """All records in order; a shard that is not what was written is forgotten."""
        for shard in self.shards[1:]:
            receipt = self.receipt(shard)
            if receipt is None or sha256(self._path(shard, "jsonl")) != receipt["sha256"]:
                self._path(shard, "json").unlink(missing_ok=True)
                raise EvidenceError(
                    f"The finished shard {shard.name} is not what was written: run the same command "
                    "again, it plays that shard anew."
                )
            yield from self.records(shard)
