"""What one worker counts: plain integers on the hot path, told under the names of `metrics`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from tidemill.models.calls import Call
from tidemill.serving.worker.metrics import (
    BUCKETS,
    STAGES,
    Distribution,
    Labels,
    Sample,
    Snapshot,
)

_LIMITS = np.array(BUCKETS)
_TIMED = 256


class Durations:
    """Durations in buckets."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds

    def observe_all(self, seconds: NDArray[np.float64]) -> None:
        """Count many, for less than a few one by one."""
        places = np.searchsorted(_LIMITS, seconds)
        for at, count in enumerate(np.bincount(places, minlength=len(self.counts)).tolist()):
            self.counts[at] += count
        self.sum += float(seconds.sum())


class Served:
    """What one version answered at one endpoint in one role. The hot path adds to it directly."""

    __slots__ = (
        "_call",
        "_timed",
        "batches",
        "decode",
        "encode",
        "errors",
        "inference",
        "ok",
        "queue",
        "request",
        "rows",
    )

    def __init__(self) -> None:
        self._call: Call | None = None
        self._timed: list[tuple[float, ...]] = []
        self.ok = self.errors = self.rows = self.batches = 0
        self.request = Durations()
        self.decode = Durations()
        self.queue = Durations()
        self.inference = Durations()
        self.encode = Durations()

    def answered(self, call: Call, arrived: float, began: float, ended: float) -> None:
        """Count an answer.

        Args:
            call: The model's; the requests of one batch share it, and come one after the other.
            arrived: When the request was whole, in seconds of the monotonic clock.
            began: When its rows were ready.
            ended: When its answer was there.
        """
        self.ok += 1
        if call is not self._call:
            self._call = call
            self.batches += 1
        # Kept as they are until there are many: to put each into its bucket costs the most.
        self._timed.append((ended - arrived, began - arrived, call.began - began, call.seconds))
        if len(self._timed) >= _TIMED:
            self._count_timed()

    def _count_timed(self) -> None:
        stages = np.array(self._timed).T
        self._timed.clear()
        for durations, seconds in zip(
            (self.request, self.decode, self.queue, self.inference), stages, strict=True
        ):
            durations.observe_all(seconds)

    def samples(self, labels: Labels) -> list[Sample]:
        """Return its counters."""
        return [
            Sample("tidemill_requests_total", (*labels, ("status", "ok")), self.ok),
            Sample("tidemill_requests_total", (*labels, ("status", "error")), self.errors),
            Sample("tidemill_rows_total", labels, self.rows),
            Sample("tidemill_batches_total", labels, self.batches),
        ]

    def distributions(self, labels: Labels) -> list[Distribution]:
        """Return its durations."""
        if self._timed:
            self._count_timed()
        stages = ((stage, getattr(self, stage)) for stage in STAGES)
        return [
            Distribution(f"tidemill_{stage}_seconds", labels, list(found.counts), found.sum)
            for stage, found in stages
        ]


class Metrics:
    """All that a worker counts."""

    def __init__(self) -> None:
        self._served: dict[tuple[str, int, str], Served] = {}
        self._counters: dict[tuple[str, Labels], float] = {}

    def served(self, endpoint: str, version: int, role: str) -> Served:
        """Return what is counted of a version in a role."""
        key = (endpoint, version, role)
        found = self._served.get(key)
        if found is None:
            found = self._served[key] = Served()
        return found

    def count(self, name: str, labels: Labels = (), by: float = 1) -> None:
        """Raise a counter that is off the hot path."""
        key = (name, labels)
        self._counters[key] = self._counters.get(key, 0) + by

    def keep(self, versions: Mapping[str, Iterable[int]]) -> None:
        """Forget what no longer stands in the route table, so that series do not pile up."""
        known = {(endpoint, number) for endpoint, all_ in versions.items() for number in all_}
        self._served = {key: s for key, s in self._served.items() if key[:2] in known}

    def snapshot(self, also: Iterable[Sample] = ()) -> Snapshot:
        """Return everything as it stands, and what others have counted."""
        samples = [Sample(name, labels, v) for (name, labels), v in self._counters.items()]
        distributions: list[Distribution] = []
        for (endpoint, version, role), served in self._served.items():
            labels = (("endpoint", endpoint), ("version", str(version)), ("role", role))
            samples += served.samples(labels)
            distributions += served.distributions(labels)
        return Snapshot([*samples, *also], distributions)
