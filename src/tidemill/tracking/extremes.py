"""Asks the database for single points of a metric: its ends, and the lowest and highest between.

The questions are texts. There are hundreds of them, all of one kind, and to compose one takes
longer than to answer it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from sqlalchemy import Connection

from tidemill.tracking.records import Metric
from tidemill.tracking.store import driver_of

_COLUMNS = "value, timestamp, step, nan"
_ORDER = "step, timestamp, value, nan"
_BACK = "step DESC, timestamp DESC, value DESC, nan DESC"
_EXTREME = {
    function: f"SELECT {function}(value), timestamp, step FROM tracking_points "  # noqa: S608
    "WHERE run_id = ? AND key = ? AND step >= ? AND step <= ? AND nan = 0"
    for function in ("min", "max")
}


class Point(NamedTuple):
    """A point as it is kept: not-a-number is a mark."""

    value: float
    timestamp: int
    step: int
    nan: bool = False

    def metric(self, key: str) -> Metric:
        value = math.nan if self.nan else self.value
        return Metric(key, value, self.timestamp, self.step)

    @property
    def place(self) -> tuple[int, int, float, bool]:
        """What points are ordered by."""
        return self.step, self.timestamp, self.value, self.nan


class Points:
    """The points of one metric of a run, between two steps where they are given.

    Args:
        connection: Where they are read.
        run_id: The run.
        key: The metric.
    """

    def __init__(self, connection: Connection, run_id: str, key: str) -> None:
        self.run_id = run_id
        self.key = key
        self._connection = connection
        self._driver = driver_of(connection)
        self._sqlite = connection.dialect.name == "sqlite"
        self._mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
        self._numbers = f"nan = {'0' if self._sqlite else 'FALSE'}"

    def execute(self, query: str, values: tuple[Any, ...]) -> Any:
        """Ask with a text in which `?` stands for a value."""
        return self._driver.execute(query.replace("?", self._mark), values)

    def first(self, first: int | None = None, last: int | None = None) -> Point | None:
        return self._one(first, last, _ORDER)

    def last(self, first: int | None = None, last: int | None = None) -> Point | None:
        return self._one(first, last, _BACK)

    def after(self, count: int, first: int | None, last: int | None = None) -> list[int]:
        """Return the steps of the two points that come after so many, as far as they are there."""
        where, values = self._between(first, last)
        query = (
            f"SELECT step FROM tracking_points WHERE {where} "  # noqa: S608
            f"ORDER BY {_ORDER} LIMIT 2 OFFSET {int(count)}"
        )
        return [step for (step,) in self.execute(query, values).fetchall()]

    def following(self, step: int | None) -> int | None:
        """Return the next step at which there is a point; without a step, the first."""
        where, values = self._between(None, None)
        if step is not None:
            where, values = f"{where} AND step > ?", (*values, step)
        query = f"SELECT MIN(step) FROM tracking_points WHERE {where}"  # noqa: S608
        found = self.execute(query, values).fetchone()[0]
        return None if found is None else int(found)

    def lowest(self, first: int, last: int) -> Point | None:
        """Return the lowest number; nothing where there is no number."""
        return self._extreme(first, last, "min", "ASC")

    def highest(self, first: int, last: int) -> Point | None:
        """Return the highest number; nothing where there is no number."""
        return self._extreme(first, last, "max", "DESC")

    def _between(self, first: int | None, last: int | None) -> tuple[str, tuple[Any, ...]]:
        where, values = "run_id = ? AND key = ?", [self.run_id, self.key]
        given = [(s, b) for s, b in ((">=", first), ("<=", last)) if b is not None]
        where += "".join(f" AND step {sign} ?" for sign, _ in given)
        return where, (*values, *(bound for _, bound in given))

    def _extreme(self, first: int, last: int, function: str, way: str) -> Point | None:
        """Return the lowest or the highest.

        SQLite gives the row of the extreme with it (https://sqlite.org/lang_select.html#bareagg),
        which takes half the time of putting them in order.
        """
        if not self._sqlite:
            return self._one(first, last, f"value {way}", f" AND {self._numbers}")
        values = (self.run_id, self.key, first, last)
        row = self._driver.execute(_EXTREME[function], values).fetchone()
        return None if row[0] is None else Point(*row)

    def _one(self, first: int | None, last: int | None, order: str, more: str = "") -> Point | None:
        where, values = self._between(first, last)
        query = (
            f"SELECT {_COLUMNS} FROM tracking_points WHERE {where}{more} "  # noqa: S608
            f"ORDER BY {order} LIMIT 1"
        )
        row = self.execute(query, values).fetchone()
        return None if row is None else Point(row[0], row[1], row[2], bool(row[3]))
