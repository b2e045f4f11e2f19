"""Opens the database that a home keeps its records in: the one it remembers, or the one named.

A home remembers the URL of its database, never the password. A database remembers its home, so that
two homes cannot share one by mistake: each would name files that only the other has.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
from sqlalchemy import insert, select

from tidemill.core.settings import SQLITE, without_password
from tidemill.storage.db.engine import Database
from tidemill.storage.homes.errors import DatabaseOfAnotherHome, RecordsElsewhere, RecordsGone
from tidemill.storage.homes.records import FORMAT, HomeRecord, write_record
from tidemill.storage.homes.store import identity

FILE = "tidemill.db"
_MOVING = (
    "To move, `tidemill export` this home, name the database for a new home, and `tidemill import` "
    "there."
)


def open_database(
    home: Path, record: HomeRecord, named: str | None, new_id: Callable[[], str]
) -> tuple[Database, HomeRecord]:
    """Open a home's database, and remember which it is.

    Args:
        home: The folder.
        record: What it says of itself.
        named: The URL that somebody named, `sqlite` for a file in the home, or nothing.
        new_id: Makes the name that a database will know this home by.

    Raises:
        RecordsElsewhere: The home keeps its records in another one.
        DatabaseOfAnotherHome: It holds another home's.
        RecordsGone: It held this home's, and holds none any more.
        StorageError: It cannot be opened; `Database.open` tells how.
    """
    _check_file(home, record, named)
    url = named or record.database or SQLITE
    if url == SQLITE:
        return Database.open(f"sqlite:///{home / FILE}"), record
    database = Database.open(url)
    try:
        return database, _claim(database, home, record, without_password(url), new_id)
    except BaseException:
        database.close()
        raise


def _check_file(home: Path, record: HomeRecord, named: str | None) -> None:
    """Refuse to go from a file to a server, or back, as if the records came along."""
    if named is None:
        return
    if named == SQLITE and record.database is not None:
        raise _elsewhere(home, record.database, "a file of SQLite was asked for")
    if named != SQLITE and record.database is None and (home / FILE).exists():
        said = f"the database {without_password(named)} was named"
        raise _elsewhere(home, f"the file {home / FILE}", said)


def _claim(
    database: Database, home: Path, record: HomeRecord, shown: str, new_id: Callable[[], str]
) -> HomeRecord:
    with database.read() as connection:
        owner = connection.scalar(select(identity.c.id))
    if owner is not None and owner != record.id:
        raise DatabaseOfAnotherHome(
            f"The database {shown} holds the records of another home than {home}.",
            expected="an empty database, or this home's own",
            hint="Make one with `createdb`, or name the home that it belongs to with --home.",
        )
    if owner is None and record.database not in {None, shown}:
        raise _elsewhere(home, str(record.database), f"{shown} was named, which has none")
    if owner is None and record.claimed:
        raise _gone(home, shown)
    kept = msgspec.structs.replace(record, format=FORMAT, database=shown, id=record.id or new_id())
    if owner is None:
        # First here, then there: a home that knows its name can claim again after a crash.
        write_record(home, kept)
        database.write(lambda c: c.execute(insert(identity).values(id=kept.id)).close())
    kept = msgspec.structs.replace(kept, claimed=True)
    if kept != record:
        write_record(home, kept)
    return kept


def _gone(home: Path, shown: str) -> RecordsGone:
    return RecordsGone(
        f"The database {shown} holds none of the records that the home {home} kept there: it was "
        "emptied, or made anew.",
        expected="the database as the home left it",
        hint="Bring it back from a backup with `pg_restore`; or begin anew in another folder, with "
        "--home.",
    )


def _elsewhere(home: Path, kept: str, said: str) -> RecordsElsewhere:
    return RecordsElsewhere(
        f"The home {home} keeps its records in {kept}, and {said}.",
        expected="the database that the home has, or no database named",
        hint=_MOVING,
    )
