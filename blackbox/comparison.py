"""The record of two models side by side: shared clusters, cross-fed subsets, meetings input by input."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from blackbox.case import Case
from blackbox.clusters import Clustering
from blackbox.profile import SisProfile
from blackbox.subsets import Subset


@dataclass(frozen=True)
class Share:
    """One cluster of the pooled subsets: how many come from each model. medoid : in ``subsets``."""

    cluster: int
    a: int
    b: int
    medoid: int

    @property
    def of_a(self) -> float:
        """Share of the cluster's subsets that are model A's."""
        return self.a / (self.a + self.b)


@dataclass(frozen=True)
class CrossFeed:
    """One model's subsets shown to the other, everything else hidden.

    count : subsets shown. mean : the other model's mean score. passing : share of them that reach
    the other model's own threshold; both are NaN where nothing was shown.
    """

    count: int
    mean: float
    passing: float


@dataclass(frozen=True)
class Meeting:
    """How two models meet on one input.

    said_a, said_b : names of the outputs with the highest score. correlation : Spearman's, between
    the attributions of both for the same output. overlap : share of the top features in common.
    """

    row: int
    said_a: str
    said_b: str
    correlation: float
    overlap: float


@dataclass(frozen=True)
class Comparison:
    """Two models side by side on the same inputs.

    a, b : what each relies on. subsets : A's, then B's. clustering : of both together. shares : per
    cluster. a_to_b : A's subsets shown to B, and b_to_a the reverse. meetings : per input, the
    worst agreement first. top : features counted in an overlap. scale : that scores are on.
    """

    a: SisProfile
    b: SisProfile
    subsets: tuple[Subset, ...]
    clustering: Clustering
    shares: tuple[Share, ...]
    a_to_b: CrossFeed
    b_to_a: CrossFeed
    meetings: tuple[Meeting, ...]
    attribution: str
    top: int
    scale: str

    @property
    def agreeing(self) -> float:
        """Share of the inputs to which both models give the same answer."""
        return (
            float(np.mean([m.said_a == m.said_b for m in self.meetings])) if self.meetings else float("nan")
        )

    def mean(self, name: str) -> float:
        """Mean ``correlation`` or ``overlap`` over the inputs; NaN without any."""
        found = [getattr(meeting, name) for meeting in self.meetings]
        return float(np.mean(found)) if found else float("nan")

    def case_of(self, subset: int) -> Case:
        """Return the case that a pooled subset belongs to."""
        profile = self.a if subset < len(self.a.subsets) else self.b
        return profile.cases[self.subsets[subset].row]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the inputs as plain data, for JSON."""
        return {
            "schema": "blackbox.comparison/1",
            "scale": self.scale,
            "a": self.a.to_dict(),
            "b": self.b.to_dict(),
            "pooled": {
                "scan": [dataclasses.asdict(trial) for trial in self.clustering.scan],
                "chosen": dataclasses.asdict(self.clustering.chosen),
                "labels": list(self.clustering.labels),
                "clusters": [dataclasses.asdict(s) | {"of_a": s.of_a} for s in self.shares],
            },
            "cross_feed": {"a_to_b": _plain(self.a_to_b), "b_to_a": _plain(self.b_to_a)},
            "attribution": self.attribution,
            "top": self.top,
            "same_answer": _number(self.agreeing),
            "correlation": _number(self.mean("correlation")),
            "overlap": _number(self.mean("overlap")),
            "inputs": [dataclasses.asdict(m) | {"input": self.a.ids[m.row]} for m in self.meetings],
        }


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _plain(fed: CrossFeed) -> dict[str, Any]:
    return {"count": fed.count, "mean": _number(fed.mean), "passing": _number(fed.passing)}
