"""What is known of the machine and its processes over a stretch of time; two stretches add up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

Labels = tuple[tuple[str, str], ...]


class Gauge(msgspec.Struct, frozen=True, array_like=True):
    """A figure that goes up and down, over a stretch.

    Attributes:
        count: How often it was read.
        total: The sum of what was read.
        low: The least.
        high: The largest.
    """

    count: int
    total: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float) -> Gauge:
        """Return a figure that was read once."""
        return cls(1, value, value, value)

    @property
    def mean(self) -> float:
        """The mean of what was read."""
        return self.total / self.count

    def __add__(self, other: Gauge) -> Gauge:
        """Return the figure over both stretches."""
        return Gauge(
            self.count + other.count,
            self.total + other.total,
            min(self.low, other.low),
            max(self.high, other.high),
        )


class Histogram(msgspec.Struct, frozen=True, array_like=True):
    """Durations in buckets, over a stretch.

    Attributes:
        bounds: The upper limits of the buckets, in seconds; the last bucket has none.
        counts: How many fell into each.
    """

    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    def __add__(self, other: Histogram) -> Histogram:
        """Return the durations of both stretches; other buckets than these are let go."""
        if other.bounds != self.bounds:
            return other if sum(other.counts) else self
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        return Histogram(self.bounds, counts)

    def quantile(self, share: float) -> float | None:
        """Return the duration that a share of all does not exceed, or nothing where there is none.

        It is told within its bucket, as if durations lay evenly there; beyond the last limit only
        that limit is known.

        Example:
            >>> round(Histogram((0.1, 0.2), (8.0, 2.0, 0.0)).quantile(0.9), 3)
            0.15
            >>> Histogram((0.1,), (0.0, 0.0)).quantile(0.5) is None
            True
        """
        total = sum(self.counts)
        if total <= 0:
            return None
        wanted, seen, below = share * total, 0.0, 0.0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            if count and seen + count >= wanted:
                return below + (bound - below) * (wanted - seen) / count
            seen, below = seen + count, bound
        return self.bounds[-1]


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of a stretch of time.

    Attributes:
        since: Where it begins, in seconds since 1970.
        seconds: How long it is.
        gauges: By name.
        counts: What happened how often, by name.
        durations: By name.
    """

    since: int
    seconds: int
    gauges: dict[str, Gauge] = {}
    counts: dict[str, float] = {}
    durations: dict[str, Histogram] = {}

    def joined(self, other: Stretch) -> Stretch:
        """Return this stretch with the figures of another added."""
        gauges = dict(self.gauges)
        for name, gauge in other.gauges.items():
            gauges[name] = gauges[name] + gauge if name in gauges else gauge
        counts = dict(self.counts)
        for name, count in other.counts.items():
            counts[name] = counts.get(name, 0.0) + count
        durations = dict(self.durations)
        for name, found in other.durations.items():
            durations[name] = durations[name] + found if name in durations else found
        return Stretch(
            since=self.since,
            seconds=self.seconds,
            gauges=gauges,
            counts=counts,
            durations=durations,
        )


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody has counted since it began; it only grows.

    Attributes:
        counts: By name.
        durations: By name.
        gauges: What is so at the moment, by name.
    """

    counts: dict[str, float] = {}
    durations: dict[str, Histogram] = {}
    gauges: dict[str, float] = {}


class Point(msgspec.Struct, frozen=True, array_like=True):
    """One point of a series.

    Attributes:
        since: Where its stretch begins, in seconds since 1970.
        value: The mean over the stretch, or a rate in it; nothing where nothing is known.
        high: The largest value in the stretch, where it is not the same.
    """

    since: int
    value: float | None
    high: float | None = None


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One figure over time.

    Attributes:
        subject: Of what: `machine`, `disk`, `control plane`, `worker 0`, `steps`, `flights`.
        figure: Which: `cpu`, `memory`, `free`, `p99`, `errors`.
        unit: `share`, `bytes`, `seconds`, `per second` or `many`.
        points: By time, one a stretch.
    """

    subject: str
    figure: str
    unit: str
    points: tuple[Point, ...]

    @property
    def latest(self) -> float | None:
        """The newest value that is known."""
        return next((p.value for p in reversed(self.points) if p.value is not None), None)


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How everything fares, over a stretch of time.

    Attributes:
        since: Where it begins.
        until: Where it ends.
        seconds: The length of the stretch that one point stands for.
        series: By subject and figure.
        troubles: What is wrong at the moment, in words.
    """

    since: datetime
    until: datetime
    seconds: int
    series: tuple[Series, ...]
    troubles: tuple[str, ...] = ()


def added(stretches: Sequence[Stretch], since: int, seconds: int) -> Stretch:
    """Return several stretches as one."""
    whole = Stretch(since=since, seconds=seconds)
    for stretch in stretches:
        whole = whole.joined(stretch)
    return whole
