"""The names under which counts are told, and what was counted at one moment.

`FAMILIES` is the one list of names. Labels are bounded: endpoints, versions and roles are those of
the route table, statuses those of HTTP, workers the places that the supervisor keeps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

BUCKETS = (
    *(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Upper limits of durations, in seconds: from one small tree to the default deadline's order."""
Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[tuple[str, str], ...]
_SERVED = ("endpoint", "version", "role")
_CHILDREN = ("worker", "endpoint", "version")


class Family(msgspec.Struct, frozen=True):
    """One metric: its name and what it means.

    Attributes:
        name: As Prometheus has it, with its base unit.
        kind: How it moves.
        sentence: What it counts.
        labels: What tells its series apart.
    """

    name: str
    kind: Kind
    sentence: str
    labels: tuple[str, ...] = ()


STAGES = ("request", "decode", "queue", "inference", "encode")
"""The parts of an answer that are timed; the first is the whole, without its encoding."""
FAMILIES = (
    Family(
        "tidemill_requests_total",
        "counter",
        "Requests that a version answered (ok) or failed to (error).",
        (*_SERVED, "status"),
    ),
    Family("tidemill_rows_total", "counter", "Rows that a version was asked about.", _SERVED),
    Family(
        "tidemill_batches_total",
        "counter",
        "Calls of a model; requests by calls is the size of a batch.",
        _SERVED,
    ),
    Family(
        "tidemill_request_seconds",
        "histogram",
        "From a request's last byte to its outcome.",
        _SERVED,
    ),
    Family(
        "tidemill_decode_seconds",
        "histogram",
        "From a request's last byte to checked rows.",
        _SERVED,
    ),
    Family("tidemill_queue_seconds", "histogram", "How long rows waited for a batch.", _SERVED),
    Family("tidemill_inference_seconds", "histogram", "How long the model took.", _SERVED),
    Family("tidemill_encode_seconds", "histogram", "From the outcome to the answer.", _SERVED),
    Family(
        "tidemill_refused_total",
        "counter",
        "Requests for predictions that were refused, by HTTP status.",
        ("endpoint", "status"),
    ),
    Family(
        "tidemill_violations_total",
        "counter",
        "Requests that were refused for their values, by the column whose rule they break.",
        ("endpoint", "column", "rule"),
    ),
    Family("tidemill_http_responses_total", "counter", "All HTTP answers, by status.", ("status",)),
    Family(
        "tidemill_shadow_dropped_total",
        "counter",
        "Requests that were not mirrored, because the worker was busy.",
        ("endpoint",),
    ),
    Family("tidemill_labels_total", "counter", "Labels that were taken.", ("endpoint",)),
    Family(
        "tidemill_log_dropped_total",
        "counter",
        "Records that the prediction log lost, because they could not be written.",
        ("endpoint",),
    ),
    Family(
        "tidemill_log_window_seconds",
        "gauge",
        "How long a record of the prediction log waits for its commit at the most.",
        ("worker",),
    ),
    Family(
        "tidemill_log_commit_seconds",
        "gauge",
        "How long the last commit of the prediction log took.",
        ("worker",),
    ),
    Family("tidemill_worker_restarts_total", "counter", "Workers that died and were replaced."),
    Family(
        "tidemill_worker_outgrown_total",
        "counter",
        "Workers that took more memory than they may and were replaced.",
    ),
    Family(
        "tidemill_repeated_total",
        "counter",
        "Requests in the hands of a worker that died, which another has answered.",
    ),
    Family(
        "tidemill_access_log_dropped_total",
        "counter",
        "Lines that the access log lost, because they could not be written.",
    ),
    Family("tidemill_spans_exported_total", "counter", "Spans that an OTLP receiver took."),
    Family(
        "tidemill_spans_dropped_total",
        "counter",
        "Spans that were lost: too many waited, or the receiver did not take them.",
    ),
    Family("tidemill_rows_waiting", "gauge", "Rows in a worker's hands.", ("worker",)),
    Family("tidemill_connections", "gauge", "Open connections.", ("worker",)),
    Family(
        "tidemill_routes_generation", "gauge", "The route table that a worker serves.", ("worker",)
    ),
    Family(
        "tidemill_endpoint_problem",
        "gauge",
        "1 where an endpoint is not as the route table says.",
        ("worker", "endpoint"),
    ),
    Family(
        "tidemill_served_info",
        "gauge",
        "1 for each version that is kept warm.",
        ("endpoint", "model", "version", "role"),
    ),
    Family(
        "tidemill_model_processes",
        "gauge",
        "Processes of a model without a twin that are alive.",
        _CHILDREN,
    ),
    Family(
        "tidemill_model_restarts_total",
        "counter",
        "Processes of a model without a twin that were replaced.",
        _CHILDREN,
    ),
    Family(
        "tidemill_model_memory_bytes",
        "gauge",
        "Memory of the processes of a model without a twin.",
        _CHILDREN,
    ),
    Family(
        "tidemill_model_rows_waiting",
        "gauge",
        "Rows that the processes of a model without a twin have before them.",
        _CHILDREN,
    ),
    Family("tidemill_build_info", "gauge", "1, with the version of Tidemill.", ("version",)),
    Family("process_cpu_seconds_total", "counter", "Processor time of a worker.", ("worker",)),
    Family("process_resident_memory_bytes", "gauge", "Resident memory of a worker.", ("worker",)),
    Family(
        "process_start_time_seconds",
        "gauge",
        "When a worker was started, in seconds since 1970.",
        ("worker",),
    ),
    Family("process_open_fds", "gauge", "Open files and connections of a worker.", ("worker",)),
)
"""What a worker tells under names of its own, and under those that every process has."""
KIND = {family.name: family.kind for family in FAMILIES}


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One counter or gauge."""

    name: str
    labels: Labels
    value: float


class Distribution(msgspec.Struct, frozen=True, array_like=True):
    """One histogram: how many fell into each bucket, the last of which has no limit."""

    name: str
    labels: Labels
    counts: list[int]
    sum: float


class Snapshot(msgspec.Struct, frozen=True):
    """What a worker had counted at one moment."""

    samples: list[Sample]
    distributions: list[Distribution]


def total(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Return several workers' counts as one: counters add up, of gauges the largest counts.

    Example:
        >>> labels = (("endpoint", "e"),)
        >>> one = Snapshot([Sample("tidemill_labels_total", labels, 2)], [])
        >>> two = Snapshot([Sample("tidemill_labels_total", labels, 3)], [])
        >>> total([one, two]).samples[0].value
        5.0
    """
    values: dict[tuple[str, Labels], float] = {}
    durations: dict[tuple[str, Labels], Distribution] = {}
    for snapshot in snapshots:
        for sample in snapshot.samples:
            key = (sample.name, sample.labels)
            before = values.get(key, 0.0)
            if KIND.get(sample.name) == "gauge":
                values[key] = max(before, sample.value)
            else:
                values[key] = before + sample.value
        for found in snapshot.distributions:
            key = (found.name, found.labels)
            known = durations.get(key)
            durations[key] = found if known is None else _added(known, found)
    return Snapshot(
        [Sample(name, labels, value) for (name, labels), value in values.items()],
        list(durations.values()),
    )


def counters_of(snapshot: Snapshot) -> Snapshot:
    """Return what stays true when its worker has ended: what it counted, and no state of it."""
    kept = [
        s
        for s in snapshot.samples
        if KIND.get(s.name) == "counter" and "worker" not in dict(s.labels)
    ]
    return Snapshot(kept, snapshot.distributions)


def _added(one: Distribution, two: Distribution) -> Distribution:
    counts = [a + b for a, b in zip(one.counts, two.counts, strict=True)]
    return Distribution(one.name, one.labels, counts, one.sum + two.sum)
