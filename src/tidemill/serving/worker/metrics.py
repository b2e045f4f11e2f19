"""Counters and latencies of one worker, and their text form for Prometheus."""

from __future__ import annotations

import os
import resource
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Upper limits of latency, in seconds."""
_HELP = {
    "tidemill_requests_total": "Requests answered, by endpoint, version, role and status.",
    "tidemill_rows_total": "Rows answered, by endpoint, version and role.",
    "tidemill_refused_total": "Requests refused, by endpoint and HTTP status.",
    "tidemill_log_dropped_total": "Log records lost because they could not be written.",
    "tidemill_shadow_dropped_total": "Requests not mirrored because the worker was busy.",
    "tidemill_labels_total": "Labels received.",
}
Labels = tuple[tuple[str, str], ...]


class Histogram:
    """Latencies in buckets."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds


class Metrics:
    """All that a worker counts."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, Labels], float] = {}
        self._latencies: dict[Labels, Histogram] = {}

    def count(self, name: str, labels: Labels = (), by: float = 1) -> None:
        """Raise a counter."""
        key = (name, labels)
        self._counters[key] = self._counters.get(key, 0) + by

    def observe(self, labels: Labels, seconds: float) -> None:
        """Count a request's latency."""
        histogram = self._latencies.get(labels)
        if histogram is None:
            histogram = self._latencies[labels] = Histogram()
        histogram.observe(seconds)

    def text(self, gauges: Iterable[tuple[str, str, float]] = ()) -> str:
        """Return everything in Prometheus' text format."""
        lines: list[str] = []
        for name in sorted({n for n, _ in self._counters}):
            lines += [f"# HELP {name} {_HELP.get(name, name)}", f"# TYPE {name} counter"]
            lines += [
                f"{name}{_braces(labels)} {value:g}"
                for (n, labels), value in sorted(self._counters.items())
                if n == name
            ]
        lines += self._histogram("tidemill_request_seconds", "From a request's arrival to answer.")
        # The name that boards made for KServe look for.
        lines += self._histogram("request_predict_seconds", "As KServe names it.", kserve=True)
        for name, help_, value in gauges:
            lines += [f"# HELP {name} {help_}", f"# TYPE {name} gauge", f"{name} {value:g}"]
        return "\n".join(lines) + "\n"

    def _histogram(self, name: str, help_: str, *, kserve: bool = False) -> list[str]:
        if not self._latencies:
            return []
        lines = [f"# HELP {name} {help_}", f"# TYPE {name} histogram"]
        for labels, histogram in sorted(self._merged(kserve=kserve).items()):
            total = 0
            for limit, count in zip((*BUCKETS, "+Inf"), histogram.counts, strict=True):
                total += count
                lines.append(f"{name}_bucket{_braces((*labels, ('le', str(limit))))} {total}")
            lines.append(f"{name}_sum{_braces(labels)} {histogram.sum:.6f}")
            lines.append(f"{name}_count{_braces(labels)} {total}")
        return lines

    def _merged(self, *, kserve: bool) -> dict[Labels, Histogram]:
        if not kserve:
            return self._latencies
        merged: dict[Labels, Histogram] = {}
        for labels, histogram in self._latencies.items():
            into = merged.setdefault((("model_name", dict(labels)["endpoint"]),), Histogram())
            into.counts = [a + b for a, b in zip(into.counts, histogram.counts, strict=True)]
            into.sum += histogram.sum
        return merged


def process_gauges() -> list[tuple[str, str, float]]:
    """Return this process's memory and processor time."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    used = resource.getrusage(resource.RUSAGE_SELF)
    return [
        (
            "process_resident_memory_bytes",
            "Resident memory of the worker.",
            pages * os.sysconf("SC_PAGE_SIZE"),
        ),
        (
            "process_cpu_seconds_total",
            "Processor time of the worker.",
            used.ru_utime + used.ru_stime,
        ),
    ]


def merge(texts: Iterable[str]) -> str:
    """Add up the text forms of several workers.

    Example:
        >>> print(merge(["# TYPE a counter\\na 1\\n", "# TYPE a counter\\na 2\\n"]), end="")
        # TYPE a counter
        a 3
    """
    values: dict[str, float] = {}
    comments: dict[str, list[str]] = {}
    order: list[str] = []
    for text in texts:
        for line in text.splitlines():
            if line.startswith("#"):
                name = line.split(" ", 3)[2]
                known = comments.setdefault(name, [])
                if line not in known:
                    known.append(line)
                if name not in order:
                    order.append(name)
            else:
                series, _, value = line.rpartition(" ")
                values[series] = values.get(series, 0.0) + float(value)
    return "".join(_family(name, comments[name], values) for name in order)


def _family(name: str, comments: list[str], values: dict[str, float]) -> str:
    tails = ("", "_bucket", "_sum", "_count") if "histogram" in comments[-1] else ("",)
    names = {name + tail for tail in tails}
    lines = [f"{s} {v:.15g}" for s, v in values.items() if s.partition("{")[0] in names]
    return "\n".join([*comments, *lines]) + "\n"


def _braces(labels: Labels) -> str:
    if not labels:
        return ""
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return "{" + inside + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
