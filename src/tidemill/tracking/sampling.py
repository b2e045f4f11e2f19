"""Thins a long metric out for a plot, without losing what a person would look for in it."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

from tidemill.tracking.records import Metric

_PER_BUCKET = 2


def sampled(points: Sequence[Metric], most: int) -> list[Metric]:
    """Return at most so many points: the first, the last, and the extremes between.

    The points are parted into stretches of equal length, and of each the lowest and the highest
    stay, in their order: the idea of M4 (Jugel et al., *M4: A Visualization-Oriented Time Series
    Data Aggregation*, VLDB 2014) with two points a stretch in place of four. Not-a-number is
    neither low nor high; a stretch of nothing else keeps its first.

    Args:
        points: In the order of their steps.
        most: How many may stay, at least 4.

    Example:
        >>> spike = [Metric("loss", 9.0 if step == 777 else 0.5, 0, step) for step in range(5000)]
        >>> thin = sampled(spike, 20)
        >>> len(thin) <= 20, 9.0 in [point.value for point in thin]
        (True, True)
        >>> (thin[0].step, thin[-1].step)
        (0, 4999)
    """
    if len(points) <= most:
        return list(points)
    stretches = max(1, (most - 2) // _PER_BUCKET)
    inner = range(1, len(points) - 1)
    kept = [0]
    for number in range(stretches):
        start = 1 + number * len(inner) // stretches
        end = 1 + (number + 1) * len(inner) // stretches
        kept += _extremes(points, start, end)
    kept.append(len(points) - 1)
    return [points[at] for at in kept]


def _extremes(points: Sequence[Metric], start: int, end: int) -> list[int]:
    numbers = [at for at in range(start, end) if not math.isnan(points[at].value)]
    if not numbers:
        return [start] if start < end else []
    low = min(numbers, key=lambda at: points[at].value)
    high = max(numbers, key=lambda at: points[at].value)
    return sorted({low, high})


class Samples:
    """The samples that were asked for last, each as long as nothing is logged to its run.

    A sample is kept under the generation of its run that was current *before* it was read, and a
    generation ends *after* a write has become visible: what is found was never behind.

    Args:
        most: How many samples to keep.
    """

    def __init__(self, most: int = 256) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[int, list[Metric]]] = OrderedDict()
        self._generations = [0] * 4096
        self._lock = threading.Lock()

    def get(self, run_id: str, what: Hashable, read: Callable[[], list[Metric]]) -> list[Metric]:
        """Return a sample, reading it where it is not known."""
        with self._lock:
            generation = self._generations[self._slot(run_id)]
            known = self._kept.get((run_id, what))
            if known is not None and known[0] == generation:
                self._kept.move_to_end((run_id, what))
                return known[1]
        found = read()
        with self._lock:
            self._kept[run_id, what] = (generation, found)
            self._kept.move_to_end((run_id, what))
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return found

    def known(self, run_id: str, what: Hashable) -> list[Metric] | None:
        """Return a sample where it is known."""
        with self._lock:
            generation, found = self._kept.get((run_id, what), (-1, None))
            return found if generation == self._generations[self._slot(run_id)] else None

    def end(self, run_id: str) -> None:
        """Say that something was logged to a run, and can be seen."""
        with self._lock:
            self._generations[self._slot(run_id)] += 1

    def _slot(self, run_id: str) -> int:
        return hash(run_id) % len(self._generations)
