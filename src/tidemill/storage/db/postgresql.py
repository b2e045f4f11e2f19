"""PostgreSQL: the same rooms, a URL away."""

from __future__ import annotations

import os
import socket
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError

from tidemill.core.errors import MissingExtra, TidemillError
from tidemill.core.settings import without_password
from tidemill.storage.db.errors import (
    DatabaseOwned,
    DatabaseReadOnly,
    DatabaseUnreachable,
    DiskFull,
    WriteInDoubt,
)

OWNERSHIP = 0x7469_6465
"""The advisory lock that the one writer of a database holds."""
PATIENCE = "5s"
"""How long a new writer waits for the last one's session to end."""

_DISK_FULL = "53100"
_READ_ONLY = "25006"
_NOT_ALLOWED = "42501"
_SHUT_DOWN = frozenset({"57P01", "57P02", "57P03", "08000", "08003", "08006"})
_OWNER = """
    SELECT activity.application_name FROM pg_locks
    JOIN pg_stat_activity AS activity USING (pid)
    WHERE locktype = 'advisory' AND objid = %s AND granted
"""


class PostgreSql:
    """A database on a PostgreSQL server.

    The writer's session holds an advisory lock, so that a second Tidemill on another machine does
    not become a second writer. The lock goes with the session, however the process ends.

    Args:
        url: `postgresql+psycopg://…`.

    Raises:
        MissingExtra: The driver is not installed.
    """

    def __init__(self, url: URL) -> None:
        self._shown = without_password(url.render_as_string(hide_password=False))
        url = url.set(drivername="postgresql+psycopg")
        name = f"tidemill {os.getpid()} on {socket.gethostname()}"
        connect = {"application_name": name[:63], "connect_timeout": 5}
        try:
            self.writers = create_engine(url, pool_size=1, max_overflow=0, connect_args=connect)
        except ModuleNotFoundError as error:
            raise MissingExtra(
                f"PostgreSQL needs {error.name}, which is not installed.",
                hint='Install it with: pip install "tidemill[postgres]"',
            ) from error
        self.readers = create_engine(
            url, pool_size=8, max_overflow=24, pool_pre_ping=True, connect_args=connect
        )
        event.listen(self.writers, "connect", self._become_writer)
        event.listen(self.readers, "connect", _become_reader)

    def alive(self, connection: Connection) -> bool:
        if connection.invalidated:
            return False
        try:
            connection.exec_driver_sql("SELECT 1")
            connection.rollback()
        except DBAPIError:
            return False
        return True

    def loses_transaction(self, error: BaseException) -> bool:
        return isinstance(error, DBAPIError) and (_is_lost(error) or _state(error) == _DISK_FULL)

    def explain(self, error: BaseException, *, committing: bool = False) -> BaseException:
        if not isinstance(error, DBAPIError):
            return error
        explained = self._explained(error, committing)
        if explained is None:
            return error
        explained.__cause__ = error
        return explained

    def settle(self, connection: Connection) -> None:
        """The server looks after its log by itself."""

    def make_reclaimable(self) -> None:
        """The server uses freed space again by itself, so there is nothing to change."""

    def reclaim(self, connection: Connection) -> int:
        """Nothing is given back: the server vacuums when it sees fit."""
        return 0

    def _explained(self, error: DBAPIError, committing: bool) -> TidemillError | None:
        state = _state(error)
        if state == _DISK_FULL:
            return DiskFull(
                "The database server's disk is full: nothing of this request was written.",
                hint="Free some space there and try again.",
            )
        if state in {_READ_ONLY, _NOT_ALLOWED}:
            return DatabaseReadOnly(
                f"The database {self._shown} cannot be written: {_first_line(error)}.",
                expected="a role that may create and change tables, on a primary server",
            )
        if not _is_lost(error):
            return None
        if committing:
            return WriteInDoubt(
                f"The connection to {self._shown} was lost during COMMIT.",
                hint="Ask again: repeating a request is safe.",
            )
        said = _first_line(error)
        return DatabaseUnreachable(
            f"The database {self._shown} does not answer: {said}.",
            expected="a running server that accepts this user",
            hint=f"{_remedy(said)}; nothing of this request was written.",
        )

    def _become_writer(self, connection: Any, _record: Any) -> None:
        from psycopg.errors import LockNotAvailable

        with connection.cursor() as cursor:
            # A server may be set to answer before its log is on disk: not to us.
            cursor.execute("SELECT current_setting('synchronous_commit')")
            if cursor.fetchone()[0] == "off":
                cursor.execute("SET synchronous_commit TO on")
            cursor.execute(f"SET lock_timeout TO '{PATIENCE}'")
            connection.commit()
            try:
                cursor.execute("SELECT pg_advisory_lock(%s)", (OWNERSHIP,))
            except LockNotAvailable as error:
                raise self._owned(connection) from error
            cursor.execute("SET lock_timeout TO 0")
        connection.commit()

    def _owned(self, connection: Any) -> DatabaseOwned:
        connection.rollback()
        with connection.cursor() as cursor:
            cursor.execute(_OWNER, (OWNERSHIP,))
            row = cursor.fetchone()
        connection.close()
        return DatabaseOwned(
            f"The database {self._shown} is written by {row[0] if row else 'another process'}.",
            expected="one owner for a database",
            hint="Speak to it there, or stop it first.",
        )


def _become_reader(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
        )
    connection.commit()


def _is_lost(error: DBAPIError) -> bool:
    """Tell whether there is no connection, or none any more."""
    if error.connection_invalidated or _state(error) in _SHUT_DOWN:
        return True
    return isinstance(error, OperationalError) and _state(error) is None


def _state(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _remedy(said: str) -> str:
    """Return what to do about a connection that was not made; libpq tells why only in words."""
    if "password" in said:
        return "Give the password in PGPASSWORD, ~/.pgpass, or the URL of TIDEMILL_DATABASE"
    if "does not exist" in said:
        return "Make it with `createdb`, or correct the URL"
    return "Start it or correct the URL"


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0].rstrip(".")
