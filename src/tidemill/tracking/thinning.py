"""Thins a long metric out inside the database: to fetch 100,000 points takes longer than to look.

The steps are parted into stretches of equal length, as the pixels of a plot are, and the database
finds the lowest and the highest of each. Where the steps lie so unevenly that most stretches would
be empty, or all on one, it is left to `sampling`, which parts by the number of points.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from sqlalchemy import Connection

from tidemill.tracking import store
from tidemill.tracking.records import Metric
from tidemill.tracking.sampling import sampled

_EVEN = 0.8
"""The share of stretches that must hold something."""
_COLUMNS = "value, timestamp, step, nan"
_ORDER = "step, timestamp, value, nan"
_BACK = "step DESC, timestamp DESC, value DESC, nan DESC"


class Span(NamedTuple):
    """Which points: of a run's metric, between two steps where they are given."""

    run_id: str
    key: str
    first: int | None = None
    last: int | None = None


def thinned(connection: Connection, span: Span, most: int) -> list[Metric]:
    """Return at most so many points: the first, the last, and the extremes between."""
    reader = _Reader(connection, span)
    ends = reader.ends()
    steps = ends[1].step - ends[0].step if ends else 0
    stretches = max(1, (most - 2) // 2)
    if ends and steps >= stretches and reader.has_more_than(most):
        kept = reader.extremes(ends[0].step, ends[1].step, stretches)
        if len(kept) >= _EVEN * stretches:
            found = {ends[0], *(point for pair in kept for point in pair), ends[1]}
            return [reader.metric(point) for point in sorted(found, key=_place)]
    points = store.read_points(connection, span.run_id, span.key, first=span.first, last=span.last)
    return sampled(points, most)


class _Point(NamedTuple):
    value: float
    timestamp: int
    step: int
    nan: bool


_Where = tuple[str, tuple[Any, ...]]


class _Reader:
    """Asks for single points, by texts: there are hundreds of questions, all of one kind."""

    def __init__(self, connection: Connection, span: Span) -> None:
        self._driver = store.driver_of(connection)
        self._span = span
        self._mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
        self._sqlite = connection.dialect.name == "sqlite"
        self._false = "0" if self._sqlite else "FALSE"

    def ends(self) -> tuple[_Point, _Point] | None:
        first, last = (self._one(self._whole, order) for order in (_ORDER, _BACK))
        return None if first is None or last is None else (first, last)

    def has_more_than(self, most: int) -> bool:
        where, values = self._whole
        query = f"SELECT 1 FROM tracking_points WHERE {where} LIMIT 1 OFFSET {int(most)}"  # noqa: S608
        return self._driver.execute(query, values).fetchone() is not None

    def extremes(self, first: int, last: int, stretches: int) -> list[list[_Point]]:
        """Return the lowest and the highest of each stretch that holds something."""
        length = last - first + 1
        found = []
        for number in range(stretches):
            start = first + number * length // stretches
            end = first + (number + 1) * length // stretches - 1
            where, values = self._between(start, end)
            numbers = f"{where} AND nan = {self._false}", values
            pair = [self._extreme(numbers, "min", "ASC"), self._extreme(numbers, "max", "DESC")]
            if pair == [None, None]:
                pair = [self._one((where, values), _ORDER)]
            kept = [point for point in pair if point is not None]
            found += [kept] if kept else []
        return found

    def metric(self, point: _Point) -> Metric:
        value = math.nan if point.nan else point.value
        return Metric(self._span.key, value, point.timestamp, point.step)

    @property
    def _whole(self) -> _Where:
        return self._between(self._span.first, self._span.last)

    def _between(self, first: int | None, last: int | None) -> _Where:
        where = [f"run_id = {self._mark}", f"key = {self._mark}"]
        values: list[Any] = [self._span.run_id, self._span.key]
        for sign, bound in ((">=", first), ("<=", last)):
            if bound is not None:
                where.append(f"step {sign} {self._mark}")
                values.append(bound)
        return " AND ".join(where), tuple(values)

    def _extreme(self, where: _Where, function: str, way: str) -> _Point | None:
        """Return the lowest or the highest point.

        SQLite gives the row of the extreme with it (https://sqlite.org/lang_select.html#bareagg),
        which takes half the time of putting them in order.
        """
        if not self._sqlite:
            return self._one(where, f"value {way}")
        query = (
            f"SELECT {function}(value), timestamp, step, nan "  # noqa: S608
            f"FROM tracking_points WHERE {where[0]}"
        )
        row = self._driver.execute(query, where[1]).fetchone()
        return None if row[0] is None else _Point(row[0], row[1], row[2], bool(row[3]))

    def _one(self, where: _Where, order: str) -> _Point | None:
        query = (
            f"SELECT {_COLUMNS} FROM tracking_points WHERE {where[0]} "  # noqa: S608
            f"ORDER BY {order} LIMIT 1"
        )
        row = self._driver.execute(query, where[1]).fetchone()
        return None if row is None else _Point(row[0], row[1], row[2], bool(row[3]))


def _place(point: _Point) -> tuple[Any, ...]:
    return point.step, point.timestamp, point.value, point.nan
