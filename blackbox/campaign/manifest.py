"""What a campaign was planned on: digests of everything it reads, and its shards with theirs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blackbox.canonical import canonical
from blackbox.checks import context_of
from blackbox.errors import RequestError
from blackbox.files import written
from blackbox.materials import Materials
from blackbox.plan import Plan
from blackbox.privacy import digest

SCHEMA = "blackbox.campaign/1"
MOST_CASES = 32
LEAST_SHARDS = 64
"""Shards of at most 32 cases; of fewer where there would be less than 64 shards, so that little is lost to an
interruption and every worker has something to do."""

MODEL = "model"
"""The shard of the checks that are about the model and the data, played before the cases."""


@dataclass(frozen=True)
class Shard:
    """Whole cases that are played in one go: the ``first`` one, counted from 0, and how many.

    sha256 : over their names and inputs.
    """

    name: str
    first: int
    count: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The plan of a campaign.

    plan : the effective plan. inputs : role -> file name -> SHA-256. runtime, device : what the model ran
    on. rows_per_run : how many rows a forward pass has, chosen once. cases : how many.
    """

    schema: str
    tool: str
    plan: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, str]]
    runtime: str
    device: str
    rows_per_run: int
    cases: int
    shards: tuple[Shard, ...]

    def differences(self, other: Manifest) -> list[str]:
        """Say in words where another planning of the same folder differs."""
        roles = sorted({*self.inputs, *other.inputs})
        files = [f"another {role} file" for role in roles if self.inputs.get(role) != other.inputs.get(role)]
        if files:
            return files
        mine, theirs = canonical(dataclasses.asdict(self)), canonical(dataclasses.asdict(other))
        told, found = json.loads(mine), json.loads(theirs)
        return [word for name, word in WORDS.items() if told[name] != found[name]]


WORDS = {
    "plan": "another plan", "tool": "another version of blackbox", "runtime": "another runtime",
    "device": "another device", "rows_per_run": "other rows per pass", "shards": "other cases",
}  # fmt: skip


def planned(
    plan: Plan, materials: Materials, positions: Sequence[int], baseline: Path | None = None
) -> Manifest:
    """Plan a campaign: cut the cases into shards and note the digests of all that is read."""
    from blackbox import __version__

    identity = materials.model.identity
    inputs = materials.digests | _baseline(baseline)
    return Manifest(
        SCHEMA, f"blackbox {__version__}", plan.effective(inputs), inputs,
        identity.runtime, identity.device, materials.model.limits.rows_per_run, len(positions),
        _shards(materials, positions),
    )  # fmt: skip


def _baseline(folder: Path | None) -> dict[str, dict[str, str]]:
    """The earlier audit is bound by its manifest, which binds everything else in it."""
    context = context_of(folder)
    return {"baseline": {"manifest.json": context.digest}} if context.baseline else {}


def _shards(materials: Materials, positions: Sequence[int]) -> tuple[Shard, ...]:
    size = min(MOST_CASES, max(1, len(positions) // LEAST_SHARDS))
    cuts = range(0, len(positions), size)
    shards = [Shard(MODEL, 0, 0, hashlib.sha256(b"").hexdigest())]
    for number, first in enumerate(cuts, start=1):
        inside = positions[first : first + size]
        shards.append(Shard(f"{number:06d}", first, len(inside), inputs_digest(materials, inside)))
    return tuple(shards)


def inputs_digest(materials: Materials, positions: Sequence[int]) -> str:
    """Return SHA-256 over the names, row numbers and inputs of some cases."""
    found = hashlib.sha256()
    for position in positions:
        found.update(f"{materials.data.ids[position]}\0{position}\0".encode("utf-8", "replace"))
        found.update(digest(materials.data.row(position)).encode())
    return found.hexdigest()


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write a campaign's plan, whole or not at all."""
    with written(path) as temporary:
        temporary.write_bytes(canonical(dataclasses.asdict(manifest)))


def read_manifest(path: Path) -> Manifest:
    """Read a campaign's plan.

    Raises
    ------
    RequestError : it is no such file.
    """
    try:
        told = json.loads(path.read_bytes())
        if told["schema"] != SCHEMA:
            raise ValueError(told["schema"])
        shards = tuple(Shard(**shard) for shard in told.pop("shards"))
        return Manifest(**told, shards=shards)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(
            f"{path} is no plan of a campaign ({error!r}): delete the folder {path.parent} and start anew."
        ) from None
