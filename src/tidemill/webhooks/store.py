"""The tables of webhooks and of what is to be sent to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    ForeignKeyConstraint,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    delete,
    insert,
    select,
    update,
)

from tidemill.storage.db.schema import metadata
from tidemill.storage.db.types import Moment, Record
from tidemill.webhooks.records import Delivery, Outcome, Webhook

hooks = Table(
    "webhooks_hooks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(63), nullable=False),
    Column("url", Text, nullable=False),
    Column("events", Record(tuple[str, ...]), nullable=False),
    Column("description", Text, nullable=False),
    Column("status", String(12), nullable=False),
    Column("secret", Text, nullable=False),
    Column("after", BigInteger, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
)
"""`after` is the place in the journal where a webhook begins; `secret` is sealed."""
deliveries = Table(
    "webhooks_deliveries",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("hook", String(32), nullable=False),
    Column("fact", BigInteger, nullable=False),
    Column("event", String(80), nullable=False),
    Column("body", Text, nullable=False),
    Column("status", String(12), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", Moment, nullable=False),
    Column("answered", Integer),
    Column("error", Text, nullable=False),
    ForeignKeyConstraint(["hook"], ["webhooks_hooks.id"]),
    UniqueConstraint("hook", "fact"),
    Index(None, "hook", "status", "due"),
)


def read_hooks(
    connection: Connection, *where: ColumnElement[bool], limit: int | None = None, offset: int = 0
) -> list[Webhook]:
    """Return webhooks, newest first."""
    order = (hooks.c.created.desc(), hooks.c.id.desc())
    query = select(hooks).where(*where).order_by(*order).limit(limit).offset(offset)
    return [_hook(row) for row in connection.execute(query)]


def listeners(connection: Connection) -> list[tuple[Webhook, int]]:
    """Return the active webhooks, and where in the journal each begins."""
    query = select(hooks).filter_by(status="ACTIVE").order_by(hooks.c.id)
    return [(_hook(row), row.after) for row in connection.execute(query)]


def secret_of(connection: Connection, hook: str) -> str:
    """Return a webhook's secret as it is sealed."""
    return str(connection.scalar(select(hooks.c.secret).filter_by(id=hook)) or "")


def add_hook(connection: Connection, hook: Webhook, secret: str, after: int) -> None:
    """Keep a new webhook."""
    row = {name: getattr(hook, name) for name in _FIELDS} | {"secret": secret, "after": after}
    connection.execute(insert(hooks), row)


def change_hook(connection: Connection, hook: str, changes: dict[str, Any]) -> None:
    """Change some columns of a webhook."""
    connection.execute(update(hooks).filter_by(id=hook), changes)


def delete_hook(connection: Connection, hook: str) -> None:
    """Forget a webhook and what was or is to be sent to it."""
    connection.execute(delete(deliveries).filter_by(hook=hook))
    connection.execute(delete(hooks).filter_by(id=hook))


def add_deliveries(connection: Connection, new: Iterable[Delivery]) -> None:
    """Keep what is to be sent; what is known already is left as it is."""
    for delivery in new:
        known = select(deliveries.c.id).filter_by(hook=delivery.hook, fact=delivery.fact)
        if connection.scalar(known) is None:
            row = {name: getattr(delivery, name) for name in delivery.__struct_fields__}
            connection.execute(insert(deliveries), row)


def first_due(connection: Connection, now: datetime, busy: Sequence[str]) -> list[Delivery]:
    """Return the oldest message that is due for each active webhook that is not busy."""
    active = select(hooks.c.id).where(hooks.c.status == "ACTIVE", hooks.c.id.not_in(busy))
    found = []
    for hook in connection.scalars(active).all():
        mine = (deliveries.c.hook == hook, deliveries.c.status == "waiting")
        query = select(deliveries).where(*mine, deliveries.c.due <= now)
        row = connection.execute(query.order_by(deliveries.c.fact).limit(1)).first()
        if row is not None:
            found.append(Delivery(**row._mapping))
    return found


def read_deliveries(connection: Connection, hook: str, limit: int) -> list[Delivery]:
    """Return what was or is to be sent to a webhook, newest first."""
    query = select(deliveries).filter_by(hook=hook).order_by(deliveries.c.fact.desc())
    return [Delivery(**row._mapping) for row in connection.execute(query.limit(limit))]


def settle(
    connection: Connection, outcome: Outcome, status: str, due: datetime, error: str
) -> None:
    """Keep what came of sending a message."""
    changes = {
        "status": status,
        "attempts": deliveries.c.attempts + 1,
        "due": due,
        "answered": outcome.answered,
        "error": error,
    }
    connection.execute(update(deliveries).filter_by(id=outcome.id).values(changes))


def prune(connection: Connection, hook: str, keep: int) -> None:
    """Forget all but the newest messages of a webhook that have come to their end."""
    ended = (deliveries.c.hook == hook, deliveries.c.status != "waiting")
    facts = select(deliveries.c.fact).where(*ended).order_by(deliveries.c.fact.desc())
    oldest = connection.scalar(facts.offset(keep).limit(1))
    if oldest is not None:
        connection.execute(delete(deliveries).where(*ended, deliveries.c.fact <= oldest))


_FIELDS = ("id", "name", "url", "events", "description", "status", "created", "updated")


def _hook(row: Row[Any]) -> Webhook:
    values = {name: getattr(row, name) for name in _FIELDS}
    return Webhook(**values, signed=bool(row.secret))
