"""Counts what comes, hour by hour, and says when predictions or labels have stopped coming."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

import msgspec
import numpy as np
from sqlalchemy import BigInteger, Column, Connection, Integer, String, Table, delete, func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from tidemill.core.clock import from_micros, micros
from tidemill.monitoring.records import Finding
from tidemill.monitoring.rhythm import HOUR, HOURS_A_MONTH, KEPT, Rhythm, learn
from tidemill.storage.db.schema import metadata

What = Literal["predictions", "labels"]
WHATS: tuple[What, ...] = ("predictions", "labels")
GRACE = 1
"""How many hours later than usual something may come: clocks change, and deliveries are late."""
_MICROS = 1_000_000

hours = Table(
    "monitoring_hours",
    metadata,
    Column("endpoint", String(250), primary_key=True),
    Column("what", String(20), primary_key=True),
    Column("hour", Integer, primary_key=True),
    Column("came", Integer, nullable=False),
    Column("newest", BigInteger, nullable=False),
)


class Hour(msgspec.Struct, frozen=True):
    """What came in one hour.

    Attributes:
        hour: Its number since 1970.
        came: How many.
        newest: When the newest came, in microseconds since 1970.
    """

    hour: int
    came: int
    newest: int


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of what came.

    Attributes:
        rhythm: How it usually comes; nothing where too little is known.
        newest: When the newest came, in microseconds since 1970.
    """

    rhythm: Rhythm | None
    newest: int


def by_hour(moments: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[Hour]:
    """Return moments, in microseconds since 1970, counted by hour.

    Example:
        >>> by_hour(np.array([0, 5, 3_600_000_000]))
        [Hour(hour=0, came=2, newest=5), Hour(hour=1, came=1, newest=3600000000)]
    """
    ordered = np.sort(moments)
    known, first, many = np.unique(
        ordered // (HOUR * _MICROS), return_index=True, return_counts=True
    )
    last = first + many - 1
    return [
        Hour(int(h), int(c), int(ordered[at])) for h, c, at in zip(known, many, last, strict=True)
    ]


def keep(connection: Connection, endpoint: str, what: What, found: list[Hour]) -> None:
    """Add what came to what is known of its hours, and forget what is long ago."""
    make = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    for hour in found:
        query = make(hours).values(
            endpoint=endpoint, what=what, hour=hour.hour, came=hour.came, newest=hour.newest
        )
        more = {
            "came": hours.c.came + query.excluded.came,
            "newest": func.max(hours.c.newest, query.excluded.newest)
            if connection.dialect.name == "sqlite"
            else func.greatest(hours.c.newest, query.excluded.newest),
        }
        keys = ("endpoint", "what", "hour")
        connection.execute(query.on_conflict_do_update(index_elements=keys, set_=more))
    if found:
        here = (hours.c.endpoint == endpoint, hours.c.what == what)
        last = connection.scalar(select(func.max(hours.c.hour)).where(*here))
        connection.execute(delete(hours).where(*here, hours.c.hour < (last or 0) - 2 * KEPT))


def heard(connection: Connection, endpoint: str, what: What, now: datetime) -> Heard | None:
    """Return what is known of what came up to a moment, or nothing where nothing has come."""
    here = (hours.c.endpoint == endpoint, hours.c.what == what)
    present = micros(now) // (HOUR * _MICROS)
    newest = connection.scalar(
        select(func.max(hours.c.newest)).where(*here, hours.c.hour <= present)
    )
    if newest is None:
        return None
    last = newest // (HOUR * _MICROS)
    query = select(hours.c.hour, hours.c.came).where(
        *here, hours.c.hour >= last - KEPT, hours.c.hour < last
    )
    rows = connection.execute(query.order_by(hours.c.hour)).all()
    if not rows:
        return Heard(rhythm=None, newest=newest)
    # The hour of the newest is not over, or the last before a silence: it is not learned from.
    counts = np.zeros(last - rows[0].hour)
    for row in rows:
        counts[row.hour - rows[0].hour] = row.came
    return Heard(rhythm=learn(rows[0].hour, counts), newest=newest)


def rhythmic(connection: Connection, endpoint: str, now: datetime) -> frozenset[str]:
    """Return of what the rhythm is known."""
    known = {what: heard(connection, endpoint, what, now) for what in WHATS}
    return frozenset(w for w, h in known.items() if h is not None and h.rhythm is not None)


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """Predictions or labels that have stopped coming.

    Attributes:
        what: Which of them.
        since: When the last one came.
        expected: How many usually come in that time.
        chance: The chance that none does, where all is as usual.
    """

    what: What
    since: datetime
    expected: float
    chance: float


def silence(what: What, known: Heard, now: datetime, level: float) -> Silence | None:
    """Return that something has stopped coming, or nothing where that cannot be said.

    Whole hours without anything count, and the last of these is left out.

    Args:
        what: Predictions or labels.
        known: What is known of their coming.
        now: The present.
        level: The chance of a false alarm that is accepted for one gap.

    Example:
        >>> from datetime import UTC
        >>> usual = Rhythm(24, np.full(24, 60.0), 1e6)
        >>> last = datetime(2013, 3, 4, 10, 30, tzinfo=UTC)
        >>> known = Heard(rhythm=usual, newest=micros(last))
        >>> silence("predictions", known, last + timedelta(minutes=80), 1e-4) is None
        True
        >>> silence("predictions", known, last + timedelta(minutes=150), 1e-4).expected
        60.0
    """
    if known.rhythm is None:
        return None
    since = (known.newest // (HOUR * _MICROS) + 1) * float(HOUR)
    until = (micros(now) // (HOUR * _MICROS) - GRACE) * float(HOUR)
    chance = known.rhythm.chance(since, until)
    if until <= since or chance >= level:
        return None
    return Silence(
        what=what,
        since=from_micros(known.newest),
        expected=known.rhythm.expected(since, until),
        chance=chance,
    )


def finding_of(
    found: Silence, *, endpoint: str, model: str, version: int, now: datetime, level: float
) -> Finding:
    """Return a silence as a finding that stands until something comes."""
    gone = now - found.since
    many = max(round(found.expected), 1)
    return Finding(
        kind="silence",
        severity="critical" if found.what == "predictions" else "warning",
        endpoint=endpoint,
        model=model,
        version=version,
        since=found.since,
        until=now,
        message=(
            f"No {found.what.removesuffix('s')} has come since {found.since:%Y-%m-%d %H:%M} UTC: "
            f"{_hours(gone)}, in which {many:,} usually come."
        ),
        numbers={
            "expected": round(found.expected, 2),
            "chance": found.chance,
            "false_alarms_per_30_days": level * HOURS_A_MONTH,
        },
        about=found.what,
    )


def _hours(gone: timedelta) -> str:
    many = int(gone.total_seconds() // HOUR)
    return f"{many} hours" if many < 72 else f"{many // 24} days"


def spoken(found: list[Silence]) -> Iterator[Silence]:
    """Go through silences that are worth saying: without predictions, labels are not missed."""
    gone = {s.what for s in found}
    for one in found:
        if one.what == "predictions" or "predictions" not in gone:
            yield one
