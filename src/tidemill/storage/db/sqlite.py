"""SQLite: a file in the home, in WAL mode, with `synchronous=FULL`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from tidemill.core.errors import TidemillError
from tidemill.storage.db.errors import (
    DatabaseBusy,
    DatabaseDamaged,
    DatabaseReadOnly,
    DatabaseUnreachable,
    DiskFull,
    NetworkFileSystem,
    WriteInDoubt,
)
from tidemill.storage.db.patterns import found

PATIENCE = 30.0
"""Seconds to wait for another program, such as a backup, that holds the file."""
COMMITS_PER_CHECKPOINT = 256
ROWS_PER_CHECKPOINT = 4096
PAGES_PER_STEP = 2000
"""How much unused space is given back in one write."""
WORTH_REWRITING = 0.1
"""The share of unused pages from which an old file is rewritten."""
NETWORKS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "glusterfs", "fuse.sshfs"}
)
"""File systems whose locks and shared memory SQLite's WAL mode cannot rely on."""

_INCREMENTAL = 2

# The whole transaction is lost after these, whatever the savepoint says.
_FATAL = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
    }
)


class Sqlite:
    """A database file.

    Args:
        path: The file; it is made where there is none.

    Raises:
        DatabaseDamaged: It does not pass its own check after an unclean stop.
        NetworkFileSystem: It lies on one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        _refuse_networks(path)
        _check_after_unclean_stop(path)
        connect = {"check_same_thread": False, "timeout": PATIENCE}
        url = f"sqlite:///{path}"
        self.writers = create_engine(
            url, poolclass=QueuePool, pool_size=1, max_overflow=0, connect_args=connect
        )
        self.readers = create_engine(
            url,
            poolclass=QueuePool,
            pool_size=8,
            max_overflow=24,
            pool_use_lifo=True,  # the last one back still has the pages at hand
            connect_args=connect,
        )
        event.listen(self.writers, "connect", _configure("wal_autocheckpoint=0"))
        event.listen(self.writers, "begin", _begin("BEGIN IMMEDIATE"))
        event.listen(self.readers, "connect", _configure("query_only=ON"))
        event.listen(self.readers, "begin", _begin("BEGIN"))
        self._commits = 0
        self._rows = 0

    def alive(self, connection: Connection) -> bool:
        return not connection.invalidated

    def loses_transaction(self, error: BaseException) -> bool:
        return _code(error) in _FATAL

    def explain(self, error: BaseException, *, committing: bool = False) -> BaseException:
        explained = self._explained(_code(error), error, committing)
        if explained is None:
            return error
        explained.__cause__ = error
        return explained

    def settle(self, connection: Connection) -> None:
        """Move the log into the file now and then; inside a COMMIT somebody would wait for it."""
        rows = _driver(connection).total_changes
        self._commits += 1
        if self._commits < COMMITS_PER_CHECKPOINT and 0 <= rows - self._rows < ROWS_PER_CHECKPOINT:
            return
        self._commits, self._rows = 0, rows
        _driver(connection).execute("PRAGMA wal_checkpoint(PASSIVE)").close()

    def make_reclaimable(self) -> None:
        with closing(sqlite3.connect(self._path, timeout=PATIENCE)) as connection:
            (mode,) = connection.execute("PRAGMA auto_vacuum").fetchone()
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            (unused,) = connection.execute("PRAGMA freelist_count").fetchone()
            if mode == _INCREMENTAL or unused < pages * WORTH_REWRITING:
                return
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL").close()
            connection.execute("VACUUM").close()

    def reclaim(self, connection: Connection) -> int:
        driver = _driver(connection)
        before = _unused(driver)
        driver.execute(f"PRAGMA incremental_vacuum({PAGES_PER_STEP})").fetchall()
        (size,) = driver.execute("PRAGMA page_size").fetchone()
        return int((before - _unused(driver)) * size)

    def _explained(
        self, code: int | None, error: BaseException, committing: bool
    ) -> TidemillError | None:
        said = str(getattr(error, "orig", error))
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            return _damaged(self._path, said)
        if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
            return self._disk_failed(code, said, committing)
        return self._not_available(code)

    def _disk_failed(self, code: int, said: str, committing: bool) -> TidemillError:
        if code == sqlite3.SQLITE_FULL:
            return DiskFull(
                "The disk is full: nothing of this request was written.",
                hint="Free some space on that disk and try again.",
            )
        kind = WriteInDoubt if committing else DatabaseUnreachable
        when = "while it was committed" if committing else "and nothing of this was written"
        return kind(
            f"The disk failed under the database {self._path}, {when}: {said}.",
            hint="Look at the system's log for the disk, then ask again: repeating is safe.",
        )

    def _not_available(self, code: int | None) -> TidemillError | None:
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return DatabaseBusy(
                f"Another program has held the database {self._path} for {PATIENCE:.0f} s.",
                hint="Close it, or try again when it is done.",
            )
        if code == sqlite3.SQLITE_READONLY:
            return DatabaseReadOnly(
                f"The database {self._path} cannot be written.",
                expected="a home on a disk that is mounted for writing, owned by this user",
            )
        if code == sqlite3.SQLITE_CANTOPEN:
            return DatabaseUnreachable(
                f"The database {self._path} cannot be opened.",
                expected="an existing folder in which this user may make files",
            )
        return None


def _configure(special: str) -> Callable[[Any, Any], None]:
    def connect(connection: sqlite3.Connection, _record: Any) -> None:
        # The driver's own transaction handling would begin late and DEFERRED: we say BEGIN.
        connection.isolation_level = None
        if connection.execute("PRAGMA page_count").fetchone() == (0,):
            # Of a new file only: it is so that freed space can be given back later.
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL").close()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            "cache_size=-16000",
            "journal_size_limit=67108864",
            special,
        ):
            connection.execute(f"PRAGMA {pragma}").close()
        connection.create_function("regexp", 2, found, deterministic=True)

    return connect


def _begin(statement: str) -> Callable[[Connection], None]:
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    return begin


def _check_after_unclean_stop(path: Path) -> None:
    """A log that still holds frames says that the last owner did not close: look closely."""
    log = path.with_name(path.name + "-wal")
    if not log.exists() or log.stat().st_size == 0:
        return
    try:
        with closing(sqlite3.connect(path, timeout=PATIENCE)) as connection:
            verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from error
    if verdict != "ok":
        raise _damaged(path, " ".join(verdict.split()))


def _damaged(path: Path, verdict: str) -> DatabaseDamaged:
    return DatabaseDamaged(
        f"The database {path} is damaged: {verdict}.",
        hint="Restore it from a backup, or save what can be read with `sqlite3 … .recover`.",
    )


def _refuse_networks(path: Path) -> None:
    kind = file_system(path)
    if kind in NETWORKS:
        raise NetworkFileSystem(
            f"{path} lies on a network file system ({kind}), where SQLite loses data.",
            expected="a local disk",
            hint="Move the home, or keep its database in PostgreSQL.",
        )


def file_system(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Return the kind of file system that a path lies on, or nothing where that is not known.

    Args:
        path: Need not exist yet.
        mounts: The kernel's table of mounts.
    """
    try:
        table = mounts.read_text()
    except OSError:
        return ""
    real = path.resolve()
    best, kind = -1, ""
    for line in table.splitlines():
        fields = line.split(" ")
        point = Path(fields[4].replace("\\040", " "))
        if real.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), fields[fields.index("-") + 1]
    return kind


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _unused(driver: sqlite3.Connection) -> int:
    return int(driver.execute("PRAGMA freelist_count").fetchone()[0])


def _code(error: BaseException) -> int | None:
    """Return SQLite's primary result code of an error."""
    original = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(original, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
