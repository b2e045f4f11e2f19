"""Counts what the control plane is asked, and how long it takes."""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import Any

from tidemill.core.clock import Clock
from tidemill.monitoring.health.records import Counts, Histogram

SUBJECT = "control plane"
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper limits of durations, in seconds."""


class Traffic:
    """An ASGI application that counts the requests of another.

    Args:
        inner: The other.
        clock: Tells durations.
    """

    def __init__(self, inner: Any, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock
        self._lock = threading.Lock()
        self._requests = self._errors = 0
        self._taken = [0] * (len(BOUNDS) + 1)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, and count it."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        began = self._clock.monotonic()
        status = 500

        async def watched(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._inner(scope, receive, watched)
        finally:
            self.count(status, self._clock.monotonic() - began)

    def counts(self) -> Counts:
        """Return what was counted so far."""
        with self._lock:
            return Counts(
                counts={
                    f"{SUBJECT}/requests": float(self._requests),
                    f"{SUBJECT}/errors": float(self._errors),
                },
                durations={f"{SUBJECT}/latency": Histogram(BOUNDS, tuple(map(float, self._taken)))},
            )

    def count(self, status: int, seconds: float) -> None:
        """Count a request that went past this application."""
        with self._lock:
            self._requests += 1
            self._errors += status >= 500
            self._taken[bisect_left(BOUNDS, seconds)] += 1
