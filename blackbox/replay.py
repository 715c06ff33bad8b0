"""replay(): what a bundle records, asked again, and compared number by number."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackbox import seeds
from blackbox.comparing import Replay, compare
from blackbox.errors import EvidenceError, RequestError
from blackbox.files import sha256
from blackbox.watcher import Watcher

if TYPE_CHECKING:  # importing pydantic takes longer than the command line's help may
    from blackbox.materials import Materials
    from blackbox.plan import Plan
    from blackbox.records import Dossier


def replay(
    folder: Path, model: str | Path, data: Path | None = None, background: Path | None = None,
    base: Path | None = None, sample: int | None = None, watcher: Watcher | None = None,
) -> Replay:  # fmt: skip
    """Play the cases of a bundle again, from its stored plan and recorded rows per pass, and compare.

    Parameters
    ----------
    folder : the bundle. model, data, background : where these files are now; None = as the plan says, from
        ``base``. base : None = where one stands, the model's folder or the data's, whichever holds all that
        the plan names. What is not there is looked for, by its file name, beside these files.
        sample : so many cases, drawn with the plan's seed; None = all.

    Raises
    ------
    EvidenceError : plan or records are not what the manifest lists. RequestError : ``folder`` is no
        bundle, or data or background are not the ones of the plan. ModelError : the model cannot be loaded.
    """
    from blackbox.examination import examine
    from blackbox.materials import gather
    from blackbox.plan_files import found_nearby

    watch = watcher or Watcher()
    manifest = _manifest(folder)
    plan = _plan(folder, model, data, background)
    inside = base if base is not None else _base(plan)
    beside = [Path(str(path)).parent for path in (model, data, background) if path is not None]
    plan = found_nearby(plan, inside, [inside, *beside])
    materials = gather(plan, inside, manifest["rows_per_run"])
    found = Replay(total=manifest["cases"])
    _note_changes(found, manifest, materials)
    chosen = _chosen(manifest["cases"], sample, plan.seed)
    watch.total(len(chosen) * (len(plan.methods) + 1))
    targets = plan.target_list()
    for dossier in _dossiers(folder, chosen):
        _check_input(dossier, materials)
        target = targets[(dossier.number - 1) % len(targets)]
        again = examine(plan, materials, dossier.row, target, plan.budget.of_case(manifest["cases"]), watch)
        found.cases += 1
        found.rows += again.rows
        compare(found, dossier, again)
    return found


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
        listed = {name: found["files"][name]["sha256"] for name in ("plan.yaml", "records.jsonl")}
    except (OSError, ValueError, KeyError, TypeError):
        raise RequestError(f"{folder} is no bundle of an audit: it has no readable manifest.json.") from None
    for name, digest in listed.items():
        if not (folder / name).is_file() or sha256(folder / name) != digest:
            raise EvidenceError(
                f"{name} in {folder} is not what the manifest lists, so there is nothing to replay."
            )
    return found


def _plan(folder: Path, model: str | Path, data: Path | None, background: Path | None) -> Plan:
    """The stored plan with today's places; the model may be another, and no check is made again."""
    from blackbox.plan import load_plan

    plan = load_plan(folder / "plan.yaml")
    where = str(model) if "://" in str(model) else str(Path(str(model)).resolve())
    parts: dict[str, Any] = {
        "model": plan.model.model_copy(update={"path": where, "sha256": None}),
        "checks": {},
    }
    if data is not None:
        parts["data"] = plan.data.model_copy(update={"path": str(data.resolve())})
    if background is not None:
        parts["background"] = plan.background.model_copy(update={"path": str(background.resolve())})
    return plan.model_copy(update=parts)


def _base(plan: Plan) -> Path:
    """Return the first folder from which everything that the plan names is found; else where one stands."""
    from blackbox.plan_files import missing

    likely = (Path(), Path(plan.model.path).parent, Path(plan.data.path).parent)
    return next((folder for folder in likely if missing(plan, folder) is None), likely[0])


def _note_changes(found: Replay, manifest: Mapping[str, Any], materials: Materials) -> None:
    from blackbox import __version__

    identity = materials.model.identity
    was, now = sorted(manifest["inputs"]["model"].values()), sorted(identity.sha256.values())
    if was != now:
        found.model_changed = True
        found.changed.append(f"the model: SHA-256 {', '.join(was)} then, {', '.join(now)} now")
    found.changed += _other_files(manifest, materials)
    pairs = {
        "the runtime": (manifest["runtime"], identity.runtime),
        "the device": (manifest["device"], identity.device),
        "blackbox": (manifest["tool"], f"blackbox {__version__}"),
        "rows per pass": (manifest["rows_per_run"], materials.model.limits.rows_per_run),
    }
    found.changed += [f"{what}: {a} then, {b} now" for what, (a, b) in pairs.items() if a != b]


def _other_files(manifest: Mapping[str, Any], materials: Materials) -> list[str]:
    """Name the other inputs that are not the audited ones; of data and background the plan holds digests."""
    roles = sorted(set(manifest["inputs"]) & set(materials.digests) - {"model", "data", "background"})
    then, now = (
        {role: sorted(files[role].values()) for role in roles}
        for files in (manifest["inputs"], materials.digests)
    )
    return [f"the {role} file: it is not the audited one" for role in roles if then[role] != now[role]]


def _chosen(count: int, sample: int | None, seed: int) -> frozenset[int]:
    """Numbers of the cases to play, from 1."""
    if sample is None or sample >= count:
        return frozenset(range(1, count + 1))
    drawn = seeds.generator(seed, "replay").choice(count, size=sample, replace=False)
    return frozenset(int(number) + 1 for number in drawn)


def _dossiers(folder: Path, chosen: frozenset[int]) -> Iterator[Dossier]:
    from blackbox.records import dossiers

    with (folder / "records.jsonl").open("rb") as file:
        yield from dossiers(line for line in file if json.loads(line)["number"] in chosen)


def _check_input(dossier: Dossier, materials: Materials) -> None:
    """The digests of the data bind the file; this binds the row."""
    if not dossier.row < len(materials.data) or materials.data.ids[dossier.row] != dossier.id:
        raise RequestError(
            f"Row {dossier.row} of the data is not case {dossier.id!r} of the bundle: give the audited data "
            "with --data."
        )
