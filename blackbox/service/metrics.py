"""What the service counts, for Prometheus; no label ever comes from a request's own words."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""Folder through which several workers count together; set before they start."""

TIMES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
SHARES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 0.75, 0.9, 1.0)


@dataclass(frozen=True)
class Metrics:
    """The meters of one service, in a registry of their own."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Counter = field(init=False)
    seconds: Histogram = field(init=False)
    queued: Histogram = field(init=False)
    refused: Counter = field(init=False)
    running: Gauge = field(init=False)
    waiting: Gauge = field(init=False)
    explanations: Counter = field(init=False)
    rows: Counter = field(init=False)
    passes: Counter = field(init=False)
    merged: Counter = field(init=False)
    budget: Histogram = field(init=False)

    def __post_init__(self) -> None:
        made = {
            "requests": self._counter("requests", "Requests answered", "route", "status"),
            "seconds": self._histogram("request_seconds", "Arrival to answer", TIMES, "route"),
            "queued": self._histogram("queue_seconds", "Waited for a turn", TIMES),
            "refused": self._counter("refused", "Requests turned away because too many waited"),
            "running": self._gauge("running", "Requests being answered"),
            "waiting": self._gauge("waiting", "Requests waiting for their turn"),
            "explanations": self._counter("explanations", "Explanations made", "model", "method"),
            "rows": self._counter("rows", "Rows that went through a model", "model"),
            "passes": self._counter("passes", "Forward passes made", "model"),
            "merged": self._counter("merged_calls", "Calls that shared their pass with others", "model"),
            "budget": self._histogram(
                "budget_share", "Rows a request spent, as a share of its budget", SHARES, "model"
            ),
        }
        for name, meter in made.items():
            object.__setattr__(self, name, meter)

    def passed(self, model: str, rows: int, calls: int) -> None:
        """Count one forward pass."""
        self.rows.labels(model).inc(rows)
        self.passes.labels(model).inc()
        if calls > 1:
            self.merged.labels(model).inc(calls)

    def text(self) -> bytes:
        """Return all meters in Prometheus' text format, of all workers where there are several."""
        if SHARED not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"blackbox_{name}", f"{about}.", labels, registry=self.registry)

    def _gauge(self, name: str, about: str) -> Gauge:
        return Gauge(f"blackbox_{name}", f"{about}.", registry=self.registry, multiprocess_mode="livesum")

    def _histogram(self, name: str, about: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"blackbox_{name}", f"{about}.", labels, registry=self.registry, buckets=buckets)
