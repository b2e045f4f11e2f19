"""The journal's tables."""

from __future__ import annotations

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    insert,
    select,
    update,
)

from tidemill.core.events import Fact
from tidemill.storage.db.schema import metadata
from tidemill.storage.db.types import Moment

facts = Table(
    "journal_facts",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("id", String(32), nullable=False),
    Column("time", Moment, nullable=False),
    Column("type", String(80), nullable=False),
    Column("subject", String(600), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("cause", String(32)),
    Column("data", Text, nullable=False),
    UniqueConstraint("id"),
    Index(None, "type", "position"),
    Index(None, "subject", "position"),
)
subscriptions = Table(
    "journal_subscriptions",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("position", BigInteger, nullable=False),
)
_INSERT = insert(facts)


def add(connection: Connection, values: dict[str, object]) -> int:
    """Append a fact and return its position."""
    result = connection.execute(_INSERT, values)
    assert result.inserted_primary_key is not None
    return int(result.inserted_primary_key[0])


def newest(connection: Connection) -> int:
    """Return the position of the newest fact, 0 where there is none."""
    return connection.scalar(select(func.max(facts.c.position))) or 0


def fact(row: Row[tuple[object, ...]]) -> Fact:
    """Return a row as a record."""
    values = dict(row._mapping)
    values["data"] = msgspec.Raw(values["data"].encode())
    return Fact(**values)


def position_of(connection: Connection, name: str) -> int | None:
    """Return up to where a subscription has acknowledged."""
    query = select(subscriptions.c.position).where(subscriptions.c.name == name)
    return connection.scalar(query)


def set_position(connection: Connection, name: str, position: int) -> None:
    """Keep up to where a subscription has acknowledged; it never goes back."""
    known = position_of(connection, name)
    if known is None:
        connection.execute(insert(subscriptions), {"name": name, "position": position})
    elif position > known:
        connection.execute(
            update(subscriptions).where(subscriptions.c.name == name), {"position": position}
        )
