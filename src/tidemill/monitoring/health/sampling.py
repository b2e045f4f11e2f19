"""Reads everything at one moment, and tells what happened since the moment before."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tidemill.core.clock import Clock
from tidemill.monitoring.health import processes
from tidemill.monitoring.health.records import Counts, Gauge, Histogram, Stretch

Counters = Callable[[], Counts]


class Sampler:
    """Takes samples.

    Args:
        clock: Tells how much time has passed.
        owner: The process whose family is looked at.
        folder: Whose disk is looked at.
        counters: Each tells what was counted so far; one that fails is passed over.
        proc: Where the kernel says how processes fare.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        owner: int,
        folder: Path,
        counters: tuple[Counters, ...] = (),
        proc: Path = Path("/proc"),
    ) -> None:
        self._clock = clock
        self._owner = owner
        self._folder = folder
        self._counters = counters
        self._proc = proc
        self._moment: float | None = None
        self._machine = 0.0
        self._used: dict[tuple[int, int], float] = {}
        self._before: list[Counts | None] = [None] * len(counters)

    def sample(self, since: int, seconds: int) -> Stretch:
        """Return the figures of the stretch that ends now.

        What is a rate is left out at the first time, when nothing is known of before.
        """
        now = self._clock.monotonic()
        passed = None if self._moment is None else now - self._moment
        gauges = {**self._machine_gauges(passed), **self._process_gauges(passed), **self._disk()}
        counts: dict[str, float] = {}
        durations: dict[str, Histogram] = {}
        for at, counter in enumerate(self._counters):
            found = counter()
            before, self._before[at] = self._before[at], found
            gauges |= found.gauges
            if before is not None:
                counts |= _grown(before.counts, found.counts)
                durations |= _grown_durations(before.durations, found.durations)
        self._moment = now
        return Stretch(
            since=since,
            seconds=seconds,
            gauges={name: Gauge.of(value) for name, value in gauges.items()},
            counts=counts,
            durations=durations,
        )

    def _machine_gauges(self, passed: float | None) -> dict[str, float]:
        found = processes.machine(self._proc)
        used, self._machine = found.cpu - self._machine, found.cpu
        gauges = {
            "machine/memory": 1 - found.available / max(found.memory, 1),
            "machine/load": found.load / found.processors,
        }
        if passed:
            gauges["machine/cpu"] = min(max(used / passed / found.processors, 0.0), 1.0)
        return gauges

    def _process_gauges(self, passed: float | None) -> dict[str, float]:
        family = processes.family(self._owner, self._proc)
        named = processes.subjects(family, self._owner)
        gauges: dict[str, float] = {}

        def add(name: str, value: float) -> None:
            gauges[name] = gauges.get(name, 0.0) + value

        used: dict[tuple[int, int], float] = {}
        for one in family:
            subject = named[one.pid]
            key = (one.pid, one.born)
            used[key] = one.cpu
            add(f"{subject}/memory", float(one.memory))
            add(f"{subject}/processes", 1.0)
            if passed:
                # What is new since the last time has used all of its time since then.
                add(f"{subject}/cpu", max(one.cpu - self._used.get(key, 0.0), 0.0) / passed)
        self._used = used
        return gauges

    def _disk(self) -> dict[str, float]:
        usage = shutil.disk_usage(self._folder)
        return {"disk/free": float(usage.free), "disk/used": 1 - usage.free / max(usage.total, 1)}


def _grown(before: dict[str, float], now: dict[str, float]) -> dict[str, float]:
    """Return by how much counts grew; one that fell has begun anew."""
    return {
        name: value - before.get(name, 0.0) if value >= before.get(name, 0.0) else value
        for name, value in now.items()
    }


def _grown_durations(
    before: dict[str, Histogram], now: dict[str, Histogram]
) -> dict[str, Histogram]:
    found = {}
    for name, histogram in now.items():
        known = before.get(name)
        counts = histogram.counts
        if known is not None and known.bounds == histogram.bounds:
            less = [c - k for c, k in zip(counts, known.counts, strict=True)]
            counts = counts if min(less) < 0 else tuple(less)
        if sum(counts):
            found[name] = Histogram(histogram.bounds, counts)
    return found
