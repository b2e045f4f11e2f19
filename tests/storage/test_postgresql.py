"""The same promises on a real PostgreSQL server."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from itertools import count
from typing import Protocol

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from tidemill.core.clock import SimulatedClock
from tidemill.core.errors import Busy, Conflict
from tidemill.core.ids import Ids
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.registry.service import Registry
from tidemill.storage.db.engine import Database
from tidemill.storage.db.errors import DatabaseOwned, DatabaseUnreachable

_NUMBERS = count(1)


class Server(Protocol):
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def make(self, database: str) -> str: ...


@pytest.fixture
def url(postgres: Server) -> str:
    return postgres.make(f"mill_{next(_NUMBERS)}")


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    database = Database.open(url)
    database.write(
        lambda c: c.execute(text("CREATE TABLE notes (id SERIAL PRIMARY KEY, words TEXT)")).close()
    )
    yield database
    database.close()


def add(connection: Connection, words: str = "x") -> None:
    connection.execute(text("INSERT INTO notes (words) VALUES (:w)"), {"w": words})


def count_of(db: Database) -> int:
    with db.read() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM notes")) or 0)


def test_migrations_and_declarations_agree(url: str, declared: MetaData) -> None:
    db = Database.open(url)
    with db.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, declared) == []
    db.close()


def test_a_failing_request_takes_nothing_with_it(db: Database) -> None:
    started, release = threading.Event(), threading.Event()

    def hold(_: Connection) -> None:
        started.set()
        release.wait(10)

    first = db.submit(hold)
    assert started.wait(10)
    clash = text("INSERT INTO notes (id) VALUES (1)")
    db_calls = [db.submit(add), db.submit(lambda c: c.execute(clash).close()), db.submit(add)]
    release.set()
    first.result(10)
    db_calls[0].result(10)
    with pytest.raises(IntegrityError):
        db_calls[1].result(10)
    db_calls[2].result(10)
    assert count_of(db) == 2


def test_readers_cannot_write_and_see_one_state(db: Database) -> None:
    db.write(add)
    query = text("SELECT count(*) FROM notes")
    with db.read() as connection:
        assert connection.scalar(query) == 1
        db.write(add)
        assert connection.scalar(query) == 1
    assert count_of(db) == 2
    with db.read() as connection, pytest.raises(DBAPIError, match="read-only"):
        add(connection)


def test_a_commit_is_on_disk_even_where_the_server_would_not_wait(url: str) -> None:
    name = make_url(url).database
    db = Database.open(url)
    db.write(
        lambda c: c.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off")).close()
    )
    db.close()
    db = Database.open(url)
    assert db.write(lambda c: c.scalar(text("SHOW synchronous_commit"))) == "on"
    db.close()


def test_a_second_writer_is_told_who_the_first_is(
    db: Database, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidemill.storage.db.postgresql.PATIENCE", "100ms")
    with pytest.raises(DatabaseOwned, match=r"written by tidemill \d+ on ") as caught:
        Database.open(url)
    assert isinstance(caught.value, Conflict)
    db.write(add)
    db.close()
    Database.open(url).close()


def test_a_server_that_goes_and_comes_back_loses_nothing(postgres: Server, db: Database) -> None:
    db.write(add)
    assert count_of(db) == 1
    postgres.stop()
    try:
        with pytest.raises(DatabaseUnreachable, match="does not answer") as caught:
            db.write(add)
        assert isinstance(caught.value, Busy)
        with pytest.raises(DatabaseUnreachable):
            count_of(db)
    finally:
        postgres.start()
    db.write(add)
    assert count_of(db) == 2


def test_a_session_that_was_ended_while_idle_is_replaced(db: Database) -> None:
    db.write(add)
    session = db.write(lambda c: c.scalar(text("SELECT pg_backend_pid()")))
    with db.read() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:p)"), {"p": session})
    db.write(add)
    assert count_of(db) == 2


def test_a_server_that_is_not_there_is_told_without_the_password() -> None:
    with pytest.raises(DatabaseUnreachable, match="does not answer") as caught:
        Database.open("postgresql://ada:secret@/mill?host=/nowhere")
    assert "secret" not in str(caught.value)


def test_the_rooms_work_there_too(db: Database, clock: SimulatedClock, ids: Ids) -> None:
    journal, lineage = Journal(db, clock, ids), Lineage(db, clock)
    registry = Registry(db, journal, lineage, clock)
    for run in ("a", "b"):
        registry.register(
            "delay",
            bundle=run,
            run_id=run,
            dataset=Ref("dataset", "flights", "3f9a"),
            task="binary",
            flavor="sklearn",
            metrics={"roc_auc": math.nan},
            actor="user:ada",
        )
    registry.set_alias("delay", "champion", 1, actor="loop", reason="first")
    registry.set_alias("delay", "champion", 2, actor="loop", reason="better")
    assert registry.version(Ref.parse("model:delay@champion")).version == 2
    assert len(lineage.upstream(Ref.parse("model:delay@2"))) == 2
    assert [f.position for f in journal.read()] == [1, 2, 3, 4]
    subscription = journal.subscribe("loop", ["alias.set"])
    assert len(subscription.pending()) == 2
    subscription.acknowledge(journal.head())
    assert subscription.pending() == []
