"""Thins a long metric out inside the database: to fetch 100,000 points takes longer than to look.

The steps are parted into stretches of equal length, as the pixels of a plot are, and the lowest and
the highest of each are found: from the blocks within it, and of the blocks that reach beyond its
ends and the points that are in no block, from whatever part could hold a lower or a higher one.
Where the steps lie so unevenly that most stretches would be empty, or all on one, it is left to
`sampling`, which parts by the number of points.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from sqlalchemy import Connection

from tidemill.tracking import store
from tidemill.tracking.blocks import Block, read_blocks
from tidemill.tracking.extremes import Point, Points
from tidemill.tracking.records import Metric
from tidemill.tracking.sampling import sampled

_EVEN = 0.8
"""The share of stretches that must hold something."""


class Span(NamedTuple):
    """Which points: of a run's metric, between two steps where they are given."""

    run_id: str
    key: str
    first: int | None = None
    last: int | None = None


def thinned(connection: Connection, span: Span, most: int) -> list[Metric]:
    """Return at most so many points: the first, the last, and the extremes between."""
    points = Points(connection, span.run_id, span.key)
    between = span.first, span.last
    first, last = points.first(*between), points.last(*between)
    stretches = max(1, (most - 2) // 2)
    wide = first and last and last.step - first.step >= stretches
    if first and last and wide and points.after(most, *between):
        kept = _kept(points, first.step, last.step, stretches)
        if len(kept) >= _EVEN * stretches:
            found = {first, *(point for pair in kept for point in pair), last}
            return [p.metric(span.key) for p in sorted(found, key=lambda p: p.place)]
    whole = store.read_points(connection, span.run_id, span.key, first=span.first, last=span.last)
    return sampled(whole, most)


def _kept(points: Points, first: int, last: int, stretches: int) -> list[set[Point]]:
    """Return the lowest and the highest of each stretch that holds something."""
    plot = _Plot(points, read_blocks(points, first))
    length = last - first + 1
    bounds = [first + number * length // stretches for number in range(stretches + 1)]
    found = [plot.extremes(start, end - 1) for start, end in pairwise(bounds)]
    return [pair for pair in found if pair]


class _Plot:
    """Finds extremes between steps.

    Args:
        points: The metric.
        blocks: Those of its blocks that may matter, in their order.
    """

    def __init__(self, points: Points, blocks: Sequence[Block]) -> None:
        self._points = points
        self._blocks = blocks
        self._ends = [block.last for block in blocks]

    def extremes(self, first: int, last: int) -> set[Point]:
        """Return the lowest and the highest point; the first where none is a number."""
        at, end = bisect_left(self._ends, first), bisect_left(self._ends, last)
        touched = self._blocks[at : end + 1]
        loose = max(first, self._ends[-1] + 1) if self._ends else first
        low = self._best(_lows(touched), first, last, self._points.lowest, 1)
        high = self._best(_highs(touched), first, last, self._points.highest, -1)
        if loose <= last:
            low = _better(low, self._points.lowest(loose, last), 1)
            high = _better(high, self._points.highest(loose, last), -1)
        if low is None or high is None:
            alone = self._points.first(first, last)
            return set() if alone is None else {alone}
        return {low, high}

    def _best(
        self,
        held: Iterable[tuple[Block, Point]],
        first: int,
        last: int,
        ask: Callable[[int, int], Point | None],
        sign: int,
    ) -> Point | None:
        """Return the best of the blocks; a part of one is asked for only if it could be better."""
        best: Point | None = None
        outside: list[tuple[Block, Point]] = []
        for block, point in held:
            if first <= point.step <= last:
                best = _better(best, point, sign)
            elif block.first <= last:
                outside.append((block, point))
        for block, point in outside:
            if _better(best, point, sign) is point:
                part = ask(max(first, block.first), min(last, block.last))
                best = _better(best, part, sign)
        return best


def _lows(blocks: Iterable[Block]) -> list[tuple[Block, Point]]:
    return [(block, block.low) for block in blocks if block.low is not None]


def _highs(blocks: Iterable[Block]) -> list[tuple[Block, Point]]:
    return [(block, block.high) for block in blocks if block.high is not None]


def _better(one: Point | None, other: Point | None, sign: int) -> Point | None:
    """Return the lower of two points where the sign is 1, the higher where it is -1."""
    if one is None or other is None:
        return one or other
    return other if other.value * sign < one.value * sign else one
