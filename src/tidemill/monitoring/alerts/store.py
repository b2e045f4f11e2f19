"""The tables of alerts: what is known of them, and the messages on their way."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec.structs import replace
from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    String,
    Table,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from tidemill.monitoring.alerts.machine import Book
from tidemill.monitoring.alerts.records import (
    Alert,
    Condition,
    Delivery,
    DeliveryStatus,
    Incident,
    Silence,
    Status,
)
from tidemill.storage.db.schema import metadata
from tidemill.storage.db.types import Moment, Record

conditions = Table(
    "alerts_conditions",
    metadata,
    Column("fingerprint", String(16), primary_key=True),
    Column("condition", Record(Condition), nullable=False),
)
alerts = Table(
    "alerts_alerts",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("incident", Integer, nullable=False),
    Column("status", String(10), nullable=False),
    Column("resolved", Moment),
    Column("alert", Record(Alert), nullable=False),
    Index(None, "status", "resolved"),
    Index(None, "incident"),
)
incidents = Table(
    "alerts_incidents",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("status", String(10), nullable=False),
    Column("resolved", Moment),
    Column("incident", Record(Incident), nullable=False),
    Index(None, "status", "resolved"),
)
silences = Table(
    "alerts_silences",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("until", Moment, nullable=False),
    Column("silence", Record(Silence), nullable=False),
    Index(None, "until"),
)
outbox = Table(
    "alerts_outbox",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("sink", String(100), nullable=False),
    Column("alert", Integer, nullable=False),
    Column("status", String(10), nullable=False),
    Column("due", Moment, nullable=False),
    Column("ended", Moment),
    Column("delivery", Record(Delivery), nullable=False),
    Index(None, "status", "sink", "due"),
    Index(None, "alert"),
)


def read_book(connection: Connection, since: datetime) -> Book:
    """Return everything that still may change.

    Args:
        connection: To the database.
        since: What was over before cannot come again.
    """
    met = connection.scalars(select(conditions.c.condition)).all()
    lately = connection.scalars(select(alerts.c.alert).where(_lately(alerts, since))).all()
    ours = connection.scalars(select(incidents.c.incident).where(_lately(incidents, since))).all()
    return Book(
        conditions={c.fingerprint: c for c in met},
        alerts={a.number: a for a in lately},
        incidents={i.number: i for i in ours},
        silences=tuple(read_silences(connection, since)),
        newest_alert=connection.scalar(select(func.max(alerts.c.number))) or 0,
        newest_incident=connection.scalar(select(func.max(incidents.c.number))) or 0,
    )


def set_condition(connection: Connection, fingerprint: str, condition: Condition | None) -> None:
    """Keep what holds, or that it does no more."""
    connection.execute(delete(conditions).filter_by(fingerprint=fingerprint))
    if condition is not None:
        row = {"fingerprint": fingerprint, "condition": condition}
        connection.execute(insert(conditions), row)


def set_alert(connection: Connection, alert: Alert) -> None:
    """Keep an alert in place of what was known of it."""
    connection.execute(delete(alerts).filter_by(number=alert.number))
    row = {
        "number": alert.number,
        "incident": alert.incident,
        "status": alert.status,
        "resolved": alert.resolved,
    }
    connection.execute(insert(alerts), row | {"alert": alert})


def set_incident(connection: Connection, incident: Incident) -> None:
    """Keep an incident in place of what was known of it."""
    connection.execute(delete(incidents).filter_by(number=incident.number))
    row = {
        "number": incident.number,
        "status": incident.status,
        "resolved": incident.resolved,
    }
    connection.execute(insert(incidents), row | {"incident": incident})


def set_silence(connection: Connection, silence: Silence) -> None:
    """Keep a silence in place of what was known of it."""
    connection.execute(delete(silences).filter_by(number=silence.number))
    row = {"number": silence.number, "until": silence.until, "silence": silence}
    connection.execute(insert(silences), row)


def next_silence(connection: Connection) -> int:
    """Return the number of the next silence."""
    return (connection.scalar(select(func.max(silences.c.number))) or 0) + 1


def read_alert(connection: Connection, number: int) -> Alert | None:
    """Return an alert, or nothing."""
    return connection.scalar(select(alerts.c.alert).filter_by(number=number))


def read_alerts(
    connection: Connection,
    *,
    status: Status | None = None,
    incident: int | None = None,
    limit: int | None = None,
) -> list[Alert]:
    """Return alerts, newest first."""
    query = select(alerts.c.alert)
    if status is not None:
        query = query.where(alerts.c.status == status)
    if incident is not None:
        query = query.where(alerts.c.incident == incident)
    return list(connection.scalars(query.order_by(alerts.c.number.desc()).limit(limit)))


def read_incident(connection: Connection, number: int) -> Incident | None:
    """Return an incident, or nothing."""
    return connection.scalar(select(incidents.c.incident).filter_by(number=number))


def read_incidents(
    connection: Connection, *, status: Status | None = None, limit: int | None = None
) -> list[Incident]:
    """Return incidents, newest first."""
    query = select(incidents.c.incident)
    if status is not None:
        query = query.where(incidents.c.status == status)
    return list(connection.scalars(query.order_by(incidents.c.number.desc()).limit(limit)))


def read_silence(connection: Connection, number: int) -> Silence | None:
    """Return a silence, or nothing."""
    return connection.scalar(select(silences.c.silence).filter_by(number=number))


def read_silences(connection: Connection, since: datetime | None = None) -> list[Silence]:
    """Return silences, newest first: all of them, or those that had not run out at a moment."""
    query = select(silences.c.silence).order_by(silences.c.number.desc())
    if since is not None:
        query = query.where(silences.c.until > since)
    return list(connection.scalars(query))


def add_deliveries(connection: Connection, made: Iterable[Delivery]) -> None:
    """Put messages into the outbox."""
    rows = [_row(d) for d in made]
    if rows:
        connection.execute(insert(outbox), rows)


def set_delivery(connection: Connection, delivery: Delivery) -> None:
    """Keep how a delivery stands."""
    connection.execute(update(outbox).where(outbox.c.id == delivery.id), _row(delivery))


def read_delivery(connection: Connection, identifier: str) -> Delivery | None:
    """Return a delivery, or nothing."""
    return connection.scalar(select(outbox.c.delivery).filter_by(id=identifier))


def read_deliveries(
    connection: Connection,
    *,
    status: DeliveryStatus | None = None,
    alert: int | None = None,
    limit: int | None = None,
) -> list[Delivery]:
    """Return deliveries, newest first."""
    query = select(outbox.c.delivery)
    if status is not None:
        query = query.where(outbox.c.status == status)
    if alert is not None:
        query = query.where(outbox.c.alert == alert)
    return list(connection.scalars(query.order_by(outbox.c.id.desc()).limit(limit)))


def count_deliveries(connection: Connection) -> dict[str, int]:
    """Return how many deliveries there are of each status."""
    query = select(outbox.c.status, func.count().label("many")).group_by(outbox.c.status)
    return {row.status: row.many for row in connection.execute(query)}


def due_deliveries(connection: Connection, now: datetime, limit: int) -> list[Delivery]:
    """Return what is to be tried now, oldest first; nothing overtakes what the sink must hear."""
    earlier = outbox.alias()
    before = select(earlier.c.id).where(
        earlier.c.status == "waiting",
        earlier.c.due > now,
        earlier.c.sink == outbox.c.sink,
        earlier.c.alert == outbox.c.alert,
        earlier.c.id < outbox.c.id,
    )
    query = (
        select(outbox.c.delivery)
        .where(outbox.c.status == "waiting", outbox.c.due <= now, ~exists(before))
        .order_by(outbox.c.id)
        .limit(limit)
    )
    return list(connection.scalars(query))


def hold_sink(connection: Connection, sink: str, until: datetime) -> None:
    """Have everything that waits for a sink wait until a moment at least."""
    waiting = (outbox.c.sink == sink, outbox.c.status == "waiting", outbox.c.due < until)
    for found in connection.scalars(select(outbox.c.delivery).where(*waiting)).all():
        set_delivery(connection, replace(found, due=until))


def forget_delivered(connection: Connection, before: datetime) -> None:
    """Remove deliveries that arrived long ago."""
    gone = and_(outbox.c.status == "delivered", outbox.c.ended < before)
    connection.execute(delete(outbox).where(gone))


def _lately(table: Table, since: datetime) -> Any:
    return or_(table.c.status == "firing", table.c.resolved >= since)


def _row(delivery: Delivery) -> dict[str, object]:
    return {
        "id": delivery.id,
        "sink": delivery.sink,
        "alert": delivery.alert,
        "status": delivery.status,
        "due": delivery.due,
        "ended": delivery.ended,
        "delivery": delivery,
    }
