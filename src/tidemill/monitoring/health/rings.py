"""Rings in which figures are kept: fine ones for an hour, coarser ones for a day and a month."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Integer, LargeBinary, Table, delete, insert
from sqlalchemy import select as selected

from tidemill.monitoring.health.records import Stretch
from tidemill.storage.db.schema import metadata


class Ring(msgspec.Struct, frozen=True):
    """Stretches of one length, of which the oldest gives its place to the newest.

    Attributes:
        seconds: The length of a stretch.
        places: How many are kept.
    """

    seconds: int
    places: int

    @property
    def reach(self) -> int:
        """How far back it tells, in seconds."""
        return self.seconds * self.places


RINGS = (Ring(10, 360), Ring(60, 1440), Ring(600, 4320))
"""10 s for an hour, a minute for a day, ten minutes for 30 days."""

health = Table(
    "monitoring_health",
    metadata,
    Column("ring", Integer, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("figures", LargeBinary, nullable=False),
)
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Stretch)


def keep(connection: Connection, stretch: Stretch, rings: Sequence[Ring] = RINGS) -> None:
    """Add a stretch's figures to every ring."""
    for ring in rings:
        since = stretch.since // ring.seconds * ring.seconds
        place = since // ring.seconds % ring.places
        key = {"ring": ring.seconds, "place": place}
        row = connection.execute(selected(health).filter_by(**key)).one_or_none()
        known = Stretch(since=since, seconds=ring.seconds)
        if row is not None:
            if row.since == since:
                known = _DECODER.decode(row.figures)
            connection.execute(delete(health).filter_by(**key))
        figures = _ENCODER.encode(known.joined(stretch))
        connection.execute(insert(health), key | {"since": since, "figures": figures})


def read(connection: Connection, ring: Ring, since: int, until: int) -> list[Stretch]:
    """Return a ring's stretches that begin in a stretch of time, by time."""
    query = selected(health.c.figures).where(
        health.c.ring == ring.seconds, health.c.since >= since, health.c.since < until
    )
    return [_DECODER.decode(c) for c in connection.scalars(query.order_by(health.c.since))]
