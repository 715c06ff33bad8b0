"""What a shard consists of: the records of its cases, or the probe of the model and the findings about it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blackbox import study
from blackbox.campaign.manifest import MODEL, Shard
from blackbox.canonical import canonical
from blackbox.examination import Examined, examine
from blackbox.records import lines
from blackbox.score import Ledger
from blackbox.watcher import Watcher

if TYPE_CHECKING:
    from blackbox.campaign.campaign import Campaign


@dataclass
class Counts:
    """A notebook of what a shard comes to. speeds : batch size -> rows per second, a clock reading."""

    records: int = 0
    explained: int = 0
    rows: int = 0
    calls: int = 0
    speeds: dict[str, float] = field(default_factory=dict)
    features: set[str] = field(default_factory=set)

    def add(self, found: Examined) -> None:
        """Note one case."""
        self.explained += len(found.explanations)
        self.rows += found.rows
        self.calls += found.calls
        self.features.add(json.dumps(found.case.features.names, ensure_ascii=False))


def lines_of(campaign: Campaign, shard: Shard, watcher: Watcher, counts: Counts) -> Iterator[bytes]:
    """Play a shard and yield its lines."""
    if shard.name == MODEL:
        yield from _survey(campaign, watcher, counts)
        return
    plan, targets = campaign.plan, campaign.plan.target_list()
    budget = plan.budget.of_case(campaign.manifest.cases * len(targets))
    for place in range(shard.first, shard.first + shard.count):
        for k, target in enumerate(targets):
            position = campaign.positions[place]
            found = examine(plan, campaign.materials, position, target, budget, watcher)
            number = place * len(targets) + k + 1
            for line in lines(found, number, campaign.privacy, campaign.materials.labels):
                counts.records += 1
                yield line
            counts.add(found)


def _survey(campaign: Campaign, watcher: Watcher, counts: Counts) -> Iterator[bytes]:
    ledger = Ledger(observer=watcher.rows)
    about = study.study_of(campaign.plan, campaign.materials, campaign.base, ledger)
    if (seen := study.probed(campaign.plan, about)) is not None:
        yield canonical({"probe": seen})
    counts.speeds = {str(size): round(rate, 1) for size, rate in study.timed(campaign.plan, about).items()}
    for finding in study.surveyed(campaign.plan, about):
        counts.records += 1
        yield canonical(dataclasses.asdict(finding))
    counts.rows, counts.calls = ledger.rows, ledger.calls
