"""What the owner samples of itself and of the workers: two rooms that do not know each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Protocol

from msgspec.structs import replace

from tidemill.core.clock import SystemClock
from tidemill.home import Home
from tidemill.monitoring.health.limits import ENDPOINT
from tidemill.monitoring.health.records import Counts, Histogram
from tidemill.monitoring.health.sampling import Sampler
from tidemill.serving.supervisor import Supervisor
from tidemill.serving.worker.metrics import BUCKETS, Labels, Sample, Snapshot

SAMPLE_SECONDS = 10.0
_MB = float(1 << 20)
_SHADOW = "shadow"
_UNKNOWN = "?"
_FOR_THEIR_VALUES = frozenset({"400", "422"})
_DURATIONS = {"tidemill_request_seconds": "latency", "tidemill_queue_seconds": "queue"}


class Remembering(Protocol):
    """Who knows what workers take: the supervisor."""

    @property
    def memory_mb(self) -> float | None:
        """What a worker may take, or any."""

    @property
    def needed_mb(self) -> float:
        """What the largest needs for what it serves."""

    @property
    def outgrown(self) -> int:
        """How many were replaced because they took more."""


def sampling(home: Home, supervisor: Supervisor, plane: Callable[[], Counts]) -> Callable[[], None]:
    """Return what takes a sample of everything and keeps it.

    Args:
        home: Where it is kept.
        supervisor: Of the workers.
        plane: Tells what the control plane has counted.
    """

    def workers() -> Counts:
        return with_memory(counts_of(supervisor.counts(), supervisor.restarts), supervisor)

    # What is measured is the machine's: a simulated clock would make rates of nothing.
    sampler = Sampler(SystemClock(), owner=os.getpid(), folder=home.path, counters=(plane, workers))

    def take() -> None:
        home.health.take(sampler)

    return take


def counts_of(snapshot: Snapshot, restarts: int = 0) -> Counts:
    """Return workers' counts by the names under which they are kept."""
    counts: dict[str, float] = {"workers/restarts": float(restarts), "workers/lost": 0.0}
    gauges: dict[str, float] = {}
    for sample in snapshot.samples:
        for name in _names(sample):
            counts[name] = counts.get(name, 0.0) + sample.value
        if sample.name == "tidemill_rows_waiting":
            gauges[f"worker {dict(sample.labels).get('worker', '0')}/waiting"] = sample.value
    durations: dict[str, Histogram] = {}
    for found in snapshot.distributions:
        figure, endpoint = _DURATIONS.get(found.name), _seen(found.labels)
        if figure is None or endpoint is None:
            continue
        name = f"{ENDPOINT}{endpoint}/{figure}"
        histogram = Histogram(BUCKETS, tuple(map(float, found.counts)))
        durations[name] = durations[name] + histogram if name in durations else histogram
    return Counts(counts=counts, durations=durations, gauges=gauges)


def with_memory(found: Counts, supervisor: Remembering) -> Counts:
    """Add how the workers get along with the memory that they may take, where that is limited."""
    if supervisor.memory_mb is None:
        return found
    outgrown = float(supervisor.outgrown)
    counts = {
        "workers/restarts": found.counts["workers/restarts"] - outgrown,
        "workers/outgrown": outgrown,
    }
    gauges = {
        "workers/limit": supervisor.memory_mb * _MB,
        "workers/needed": supervisor.needed_mb * _MB,
    }
    return replace(found, counts=found.counts | counts, gauges=found.gauges | gauges)


def _names(sample: Sample) -> Iterable[str]:
    """Go through the counts that a worker's one is part of."""
    labels = dict(sample.labels)
    endpoint = _seen(sample.labels)
    if sample.name == "tidemill_log_dropped_total":
        yield "workers/lost"
    if endpoint is None:
        return
    subject = f"{ENDPOINT}{endpoint}"
    if sample.name == "tidemill_requests_total":
        yield f"{subject}/requests"
        if labels["status"] == "error":
            yield f"{subject}/errors"
    elif sample.name == "tidemill_rows_total":
        yield f"{subject}/rows"
    elif sample.name == "tidemill_labels_total":
        yield f"{subject}/labels"
    elif sample.name == "tidemill_refused_total":
        yield f"{subject}/{'refused' if labels['status'] in _FOR_THEIR_VALUES else 'turned away'}"
    elif sample.name == "tidemill_model_restarts_total":
        yield f"{subject}/restarts"
    elif sample.name == "tidemill_violations_total":
        yield f"{subject}/refused for {labels['column']} {labels['rule']}"


def _seen(labels: Labels) -> str | None:
    """Return the endpoint whose callers a count concerns; nobody waits for a shadow."""
    named = dict(labels)
    endpoint = named.get("endpoint")
    return None if endpoint == _UNKNOWN or named.get("role") == _SHADOW else endpoint
