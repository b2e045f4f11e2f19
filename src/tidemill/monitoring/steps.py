"""Distances of the distribution functions of two samples, without merging the samples."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_STRIDE = 32


class Steps(msgspec.Struct, frozen=True):
    """A distribution function that steps up at each value of a sample.

    Attributes:
        points: The values in ascending order, at least one.
        below: How many values lie below all of these.
        rows: How many there are, those below and above included.
    """

    points: Floats
    below: int
    rows: int

    def up_to(self, values: Floats) -> Floats:
        """Return the share of values that do not exceed each."""
        return self._share(np.searchsorted(self.points, values, "right"))

    def under(self, values: Floats) -> Floats:
        """Return the share of values that lie below each."""
        return self._share(np.searchsorted(self.points, values, "left"))

    def between(self, low: Floats, high: Floats) -> Floats:
        """Return the values strictly between each low and its high one, ranges being disjoint."""
        since = np.searchsorted(self.points, low, "right")
        until = np.searchsorted(self.points, high, "left")
        many = until - since
        # Each range's places, one after the other, without going through the ranges.
        starts = np.repeat(since - np.append(0, np.cumsum(many)[:-1]), many)
        return self.points[starts + np.arange(len(starts))]

    def _share(self, many: NDArray[np.int64]) -> Floats:
        return np.asarray((many + self.below) / self.rows)


def widest_gap(one: Steps, other: Steps) -> float:
    """Return the largest difference of two distribution functions at a value of either sample.

    Between two values neither function can leave what it has at the first and just before the
    second, so that only those stretches are looked into which may hold more than was found.

    Example:
        >>> widest_gap(Steps(np.array([0.0, 1.0]), 0, 2), Steps(np.array([0.5, 3.0, 4.0]), 0, 3))
        0.6666666666666667
    """
    ends = one.points[-1:], other.points[-1:]
    marks = np.unique(np.concatenate([one.points[::_STRIDE], other.points[::_STRIDE], *ends]))
    here = one.up_to(marks), other.up_to(marks)
    then = one.under(marks[1:]), other.under(marks[1:])
    found = float(np.abs(here[0] - here[1]).max())
    most = np.maximum(then[0] - here[1][:-1], then[1] - here[0][:-1])
    wide = most > found
    for sample in (one, other):
        inside = sample.between(marks[:-1][wide], marks[1:][wide])
        found = max(found, float(np.abs(one.up_to(inside) - other.up_to(inside)).max(initial=0.0)))
    return found


def distance_moved(one: Floats, other: Floats) -> float:
    """Return the Wasserstein distance of two samples in ascending order.

    Reference: Vallender, Calculation of the Wasserstein distance between probability distributions
    on the line, Theory of Probability and its Applications 18, 1974; as the difference of the
    quantile functions.

    Example:
        >>> distance_moved(np.array([0.0, 1.0]), np.array([2.0, 3.0]))
        2.0
        >>> distance_moved(np.array([0.0, 1.0]), np.array([1.0]))
        0.5
    """
    many = len(one), len(other)
    with np.errstate(over="ignore", invalid="ignore"):
        if many[0] == many[1]:
            return float((np.abs(one - other) / many[0]).sum())
        # On the scale on which both samples' ranks are whole numbers.
        ends = [np.arange(1, many[0] + 1) * many[1], np.arange(1, many[1] + 1) * many[0]]
        until = np.sort(np.concatenate(ends), kind="stable")
        widths = np.diff(until, prepend=0) / (many[0] * many[1])
        gaps = np.abs(one[(until - 1) // many[1]] - other[(until - 1) // many[0]])
        return float(gaps @ widths)
