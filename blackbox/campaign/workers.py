"""All missing shards, played in this process or in several; the answers do not depend on how many."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from blackbox.campaign.campaign import Campaign
from blackbox.campaign.manifest import Shard
from blackbox.campaign.opening import open_campaign
from blackbox.errors import BlackboxError, ModelError
from blackbox.plan import Plan, as_plan
from blackbox.watcher import Watcher


def play_missing(campaign: Campaign, workers: int = 1, watcher: Watcher | None = None) -> int:
    """Play every missing shard and return how many that were.

    Parameters
    ----------
    workers : processes, each with its own session of the model; 1 = this one.

    Raises
    ------
    BlackboxError : a folder that cannot be written, or a worker that died; what is finished is kept.
    """
    watch, missing = watcher or Watcher(), campaign.missing()
    steps = len(campaign.plan.target_list()) * (len(campaign.plan.methods) + 1)
    watch.total(steps * sum(shard.count for shard in missing))
    if workers <= 1 or len(missing) < 2:
        for shard in missing:
            campaign.play(shard, watch)
        return len(missing)
    _in_processes(campaign, missing, min(workers, len(missing)), watch, steps)
    return len(missing)


def _in_processes(
    campaign: Campaign, missing: tuple[Shard, ...], workers: int, watch: Watcher, steps: int
) -> None:
    from multiprocessing import get_context

    given = (campaign.plan.model_dump(mode="json"), campaign.base, campaign.target, campaign.baseline)
    # spawned, not forked: a fork would share the threads and locks of the runtime
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin, given)
    try:
        waiting = {pool.submit(_play, shard.name): shard for shard in missing}
        for done in as_completed(waiting):
            receipt, shard = done.result(), waiting[done]
            watch.rows(receipt["rows"])
            for _ in range(steps * shard.count):
                watch.step(f"{campaign.materials.data.ids[campaign.positions[shard.first]]} and on")
    except BrokenProcessPool:
        raise ModelError(
            "A worker process ended without a word (out of memory, perhaps). What is finished is kept: run "
            "the same command again, with fewer --workers."
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_OPEN: list[Campaign] = []
"""The campaign of a worker process; nothing else is global, and only in a process of our own."""


def _begin(plan: Mapping[str, Any], base: Path, target: Path, baseline: Path | None) -> None:
    """Open the campaign once per worker; end with the process that started it, however that ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is for the parent to handle
    threading.Thread(target=_follow_parent, daemon=True).start()
    _OPEN.append(open_campaign(_plan(plan), base, target, baseline=baseline, lock=False))


def _plan(told: Mapping[str, Any]) -> Plan:
    return as_plan(told)


def _follow_parent() -> None:
    from multiprocessing import connection, parent_process

    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _play(name: str) -> dict[str, Any]:
    (campaign,) = _OPEN
    shard = next(shard for shard in campaign.shards if shard.name == name)
    try:
        return campaign.play(shard)
    except BlackboxError as error:
        raise type(error)(str(error)) from None  # a context does not travel between processes
