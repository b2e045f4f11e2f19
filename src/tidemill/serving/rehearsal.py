"""What a candidate needs to answer real requests: time, memory, and how long it takes to start.

Candidate and champion are asked the same requests in turns, so that whatever else the machine does
befalls both alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np

from tidemill.core.clock import Clock
from tidemill.models.runtime.opening import Surroundings
from tidemill.serving.recorded import Recorded
from tidemill.serving.sandbox import Limits, Sandbox

_WARM = 20
LEAST_CALLS = 300
"""So many requests are timed at least; where fewer were recorded, they are asked again."""


class Footprint(msgspec.Struct, frozen=True, kw_only=True):
    """What a version needs.

    Attributes:
        startup_s: Until it answered, from nothing, in seconds.
        memory_mb: The most resident memory, in megabytes.
        latency_p50_ms: How long half of the requests take at most, in milliseconds.
        latency_p99_ms: How long 99 of 100 take at most.
        requests: How many were timed.
        refused: How many of them it refused.
        failed: How many it failed at.
        refusal: Why, of the first that was not answered.
    """

    startup_s: float
    memory_mb: float
    latency_p50_ms: float
    latency_p99_ms: float
    requests: int
    refused: int = 0
    failed: int = 0
    refusal: str = ""


def rehearse(
    bundles: Sequence[Path],
    requests: Sequence[Recorded],
    *,
    clock: Clock,
    surroundings: Surroundings | None = None,
    limits: Limits | None = None,
) -> list[Footprint]:
    """Measure versions side by side on the same requests, each in a sandbox of its own.

    Args:
        bundles: Their unpacked bundles.
        requests: What they are asked.
        clock: Tells durations.
        surroundings: What models without a twin are run with.
        limits: What each may use.

    Raises:
        SandboxFailed: One cannot be loaded, or takes too much.
    """
    with ExitStack() as stack:
        sandboxes = [
            stack.enter_context(
                Sandbox(bundle, clock=clock, surroundings=surroundings, limits=limits)
            )
            for bundle in bundles
        ]
        runs = [_Run(sandbox) for sandbox in sandboxes]
        for at in range(_WARM):
            for run in runs:
                run.sandbox.ask(requests[at % len(requests)])
        for at in range(max(LEAST_CALLS, len(requests))):
            for run in runs:
                run.ask(requests[at % len(requests)])
        return [run.footprint() for run in runs]


class _Run:
    """One version's rehearsal."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._seconds: list[float] = []
        self._statuses: list[int] = []
        self._refusal = ""

    def ask(self, request: Recorded) -> None:
        reply = self.sandbox.ask(request)
        self._statuses.append(reply.status)
        self._refusal = self._refusal or reply.message
        if reply.status == 200:
            self._seconds.append(reply.seconds)

    def footprint(self) -> Footprint:
        p50, p99 = np.quantile(self._seconds or [0.0], [0.5, 0.99]) * 1000
        return Footprint(
            startup_s=self.sandbox.startup_seconds,
            memory_mb=self.sandbox.memory_mb,
            latency_p50_ms=float(p50),
            latency_p99_ms=float(p99),
            requests=len(self._statuses),
            refused=sum(400 <= s < 500 for s in self._statuses),
            failed=sum(s >= 500 for s in self._statuses),
            refusal=self._refusal,
        )
