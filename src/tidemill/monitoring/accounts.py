"""Where it is kept how versions fared, and what each of their requests was counted for.

An account is of one version of one endpoint. While there is one, rows of the endpoint carry the
number of the `take_in` that wrote them last, so that whoever counts finds what has changed since.
What requests were counted for is kept as long as their rows are, since labels may change it; then
only the sums are, and the sums of keys, which later requests may name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from tidemill.monitoring.tally import Arm, Change, Entry, Part, Place, Plan, empty
from tidemill.storage.db.schema import metadata
from tidemill.storage.db.types import Record

MOST_AT_ONCE = 5000
"""How much of an account is removed in one write."""
_PART = 500
_KEYS = 0
"""The time under which the sums of keys stand; they are of no moment."""

accounts = Table(
    "monitoring_accounts",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("endpoint", String(250), nullable=False),
    Column("number", Integer, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("plan", Record(Plan), nullable=False),
    Column("arm", Record(Arm), nullable=False),
)
counted = Table(
    "monitoring_counted",
    metadata,
    Column("account", Integer, primary_key=True, autoincrement=False),
    Column("time", BigInteger, primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("entry", Record(Entry), nullable=False),
    sqlite_with_rowid=False,
)


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account.

    Attributes:
        number: What its requests are kept under.
        seen: The number of the last `take_in` whose rows are counted.
        plan: What is counted.
        arm: How the version fared.
    """

    number: int
    seen: int
    plan: Plan
    arm: Arm


def find(connection: Connection, name: str) -> Account | None:
    """Return an account, or nothing where it has not been opened."""
    chosen = (accounts.c.number, accounts.c.seen, accounts.c.plan, accounts.c.arm)
    row = connection.execute(select(*chosen).filter_by(name=name)).one_or_none()
    if row is None:
        return None
    return Account(number=row.number, seen=row.seen, plan=row.plan, arm=row.arm)


def begin(connection: Connection, name: str, endpoint: str, plan: Plan, seen: int) -> None:
    """Open an account; what is taken in from now on is numbered."""
    last = connection.scalar(select(func.max(accounts.c.number))) or 0
    values = {"endpoint": endpoint, "number": last + 1, "plan": plan, "arm": empty(plan)}
    connection.execute(insert(accounts), {"name": name, "seen": seen, **values})


def seen_by(connection: Connection, endpoint: str) -> tuple[int, int] | None:
    """Return up to which `take_in` all accounts of an endpoint have counted, and any of them."""
    query = select(func.min(accounts.c.seen), func.max(accounts.c.seen))
    least, most = connection.execute(query.filter_by(endpoint=endpoint)).one()
    return None if least is None else (least, most)


def entries_at(connection: Connection, number: int, times: list[int]) -> dict[Place, Entry]:
    """Return what the requests of some moments were counted for."""
    found: dict[Place, Entry] = {}
    for at in range(0, len(times), _PART):
        here = (counted.c.account == number, counted.c.time.in_(times[at : at + _PART]))
        for row in connection.execute(select(counted).where(*here)):
            found[row.time, row.name] = row.entry
    return found


def keys_among(connection: Connection, number: int, keys: Iterable[str]) -> dict[str, Part]:
    """Return the sums of some keys."""
    found: dict[str, Part] = {}
    names = sorted(keys)
    for at in range(0, len(names), _PART):
        here = (counted.c.account == number, counted.c.time == _KEYS)
        mine = select(counted).where(*here, counted.c.name.in_(names[at : at + _PART]))
        found |= {row.name: row.entry.part for row in connection.execute(mine)}
    return found


def enter(connection: Connection, number: int, change: Change) -> None:
    """Write down what came of some requests."""
    entries: Mapping[Place, Entry] = change.requests | {
        (_KEYS, key): Entry(-1, 0, False, part) for key, part in change.keys.items()
    }
    if entries:
        make = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
        query = make(counted)
        keys = ("account", "time", "name")
        connection.execute(
            query.on_conflict_do_update(index_elements=keys, set_={"entry": query.excluded.entry}),
            [
                {"account": number, "time": time, "name": name, "entry": entry}
                for (time, name), entry in entries.items()
            ],
        )
    here = update(accounts).where(accounts.c.number == number)
    connection.execute(here.values(arm=change.arm))


def settle(connection: Connection, number: int, arm: Arm, seen: int, oldest: int) -> None:
    """Write down that all was counted, and let go of requests that cannot change any more.

    Args:
        connection: The transaction's.
        number: The account's.
        arm: How the version fared.
        seen: Up to which `take_in`.
        oldest: When the oldest row that is kept was answered, in microseconds since 1970.
    """
    here = update(accounts).where(accounts.c.number == number)
    connection.execute(here.values(arm=arm, seen=seen))
    fixed = (counted.c.account == number, counted.c.time > _KEYS, counted.c.time < oldest)
    connection.execute(delete(counted).where(*fixed))


def others(connection: Connection, names: Collection[str]) -> list[int]:
    """Return the numbers of all accounts but some."""
    return list(connection.scalars(select(accounts.c.number).where(accounts.c.name.not_in(names))))


def remove_some(connection: Connection, number: int) -> bool:
    """Remove a part of an account; tell whether it is gone."""
    mine = counted.c.account == number
    rest = select(counted.c.time).where(mine).order_by(counted.c.time)
    until = connection.scalar(rest.offset(MOST_AT_ONCE).limit(1))
    if until is not None:
        connection.execute(delete(counted).where(mine, counted.c.time <= until))
        return False
    connection.execute(delete(counted).where(mine))
    connection.execute(delete(accounts).where(accounts.c.number == number))
    return True
