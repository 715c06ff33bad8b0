"""Opening a campaign: planned anew, or gone on with, one process at a time."""

from __future__ import annotations

import shutil
from pathlib import Path

from blackbox.campaign import journal, manifest
from blackbox.campaign.campaign import Campaign
from blackbox.campaign.lock import Lock, locked
from blackbox.campaign.places import empty, working_folder
from blackbox.campaign.secret import privacy_of
from blackbox.errors import RequestError
from blackbox.evidence.bundle import check_target
from blackbox.files import cannot_write
from blackbox.materials import gather
from blackbox.plan import Plan


def open_campaign(
    plan: Plan, base: Path, target: Path, fresh: bool = False, baseline: Path | None = None, lock: bool = True
) -> Campaign:
    """Open a campaign: plan it, or go on with what is finished.

    Parameters
    ----------
    base : what the plan's paths are relative to. target : the folder of the bundle. fresh : delete what
        is finished and plan anew. baseline : folder of an earlier audit to compare with. lock : hold the
        folder until ``close``; only workers of a process that holds it do without.

    Raises
    ------
    RequestError : the plan does not fit its files; somebody else writes the folder; or what is finished
        belongs to another plan, model, data, runtime or version.
    ModelError : the model cannot be loaded.
    """
    check_target(target)
    working = working_folder(target)
    existed, held = working.is_dir(), None
    try:
        working.mkdir(exist_ok=True)
        held = locked(working / "lock") if lock else None
        if fresh:
            empty(working)
        return _opened(plan, base, target, baseline, held)
    except BaseException as error:
        if held is not None:
            if not existed:
                shutil.rmtree(working, ignore_errors=True)
            held.release()
        if isinstance(error, OSError):
            raise cannot_write(working, error) from None
        raise


def _opened(plan: Plan, base: Path, target: Path, baseline: Path | None, held: Lock | None) -> Campaign:
    working = working_folder(target)
    path = working / "campaign.json"
    stored = manifest.read_manifest(path) if path.exists() else None
    materials = gather(plan, base, stored.rows_per_run if stored else None)
    found = manifest.planned(plan, materials, materials.positions(plan.data), baseline)
    if stored is not None and (differences := stored.differences(found)):
        raise RequestError(
            f"{working} holds a part of an audit with {' and '.join(differences)}: put that back to go on "
            "with it, or add --fresh to delete the part and start anew."
        )
    privacy_of(plan.privacy, target)
    if stored is None:
        (working / "shards").mkdir(exist_ok=True)
        manifest.write_manifest(found, path)
    if held is not None:
        journal.began(working)
    return Campaign(plan, base, target, found, materials, baseline, held)
