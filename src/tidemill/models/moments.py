"""Moments and days as the numbers that a model sees. Part of the hot path: nothing imported."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from tidemill.core.clock import micros
from tidemill.core.contract import Column
from tidemill.models.errors import InvalidInput

_EPOCH_DAY = date(1970, 1, 1).toordinal()


def to_number(column: Column, value: Any) -> float | None:
    """Return a `datetime` as microseconds and a `date` as days since 1970, in UTC.

    A moment comes as RFC 3339 text, as a `datetime` (without a zone: UTC) or as the number itself.

    Raises:
        InvalidInput: It is no moment, or no day.

    Example:
        >>> to_number(Column(name="t", type="datetime"), "1970-01-01T00:00:01Z")
        1000000.0
        >>> to_number(Column(name="d", type="date"), "1970-01-03")
        2.0
    """
    if value is None:
        return None
    if type(value) is int or type(value) is float:
        return float(value)
    try:
        if column.type == "datetime":
            moment = datetime.fromisoformat(value) if type(value) is str else value
            if isinstance(moment, datetime):
                return float(micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC)))
        else:
            day = date.fromisoformat(value) if type(value) is str else value
            if isinstance(day, date):
                return float(day.toordinal() - _EPOCH_DAY)
    except ValueError:
        pass
    raise _no_moment(column, value)


def _no_moment(column: Column, value: object) -> InvalidInput:
    example = "2013-02-01T06:30:00Z" if column.type == "datetime" else "2013-02-01"
    return InvalidInput(
        f"Column {column.name!r} holds {repr(value)[:60]}.",
        column=column.name,
        expected=f"moments such as {example}",
    )
