"""Time, handed in. No room asks the machine what time it is; it asks the clock that it was given.

With `SimulatedClock` the whole platform runs a year of recorded data in a minute or two, and the
same data give the same decisions.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """What tells the time. `now` is for records, `monotonic` for durations."""

    def now(self) -> datetime:
        """Return the present moment, aware and in UTC."""
        ...

    def micros(self) -> int:
        """Return the present moment in microseconds since 1970, which makes no object."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start that never go back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return when `seconds` have passed on this clock."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def micros(self) -> int:
        return time.time_ns() // 1000

    # A request asks several times, and each call in between would cost as much as the answer.
    monotonic = staticmethod(time.monotonic)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class SimulatedClock:
    """A clock that moves only when it is told to.

    Example:
        >>> clock = SimulatedClock(datetime(2013, 2, 1, tzinfo=UTC))
        >>> clock.sleep(90)
        >>> clock.now().isoformat()
        '2013-02-01T00:01:30+00:00'
    """

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._now = start
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return self._now

    def micros(self) -> int:
        return micros(self._now)

    def monotonic(self) -> float:
        return (self._now - self._start).total_seconds()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._now += timedelta(seconds=max(seconds, 0.0))

    def set(self, moment: datetime) -> None:
        """Move to `moment`; a moment in the past is ignored, since time does not go back."""
        with self._lock:
            self._now = max(self._now, moment)


def micros(moment: datetime) -> int:
    """Return microseconds since 1970 in UTC.

    Example:
        >>> micros(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
        1000000
    """
    return (moment - EPOCH) // MICROSECOND


def from_micros(value: int) -> datetime:
    """Return the moment that lies `value` microseconds after 1970 in UTC.

    Example:
        >>> from_micros(1_500_000).isoformat()
        '1970-01-01T00:00:01.500000+00:00'
    """
    return EPOCH + timedelta(microseconds=value)
