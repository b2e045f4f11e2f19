"""The database: one writer, many readers, and no answer before a write is on disk.

SQLite in WAL mode with `synchronous=FULL`, or PostgreSQL. `docs/concurrency.md` tells why it is
built this way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from tidemill.storage.db.backend import Backend
from tidemill.storage.db.errors import BadDatabaseUrl
from tidemill.storage.db.migration import migrate
from tidemill.storage.db.writer import WAITING, Merge, Writer

T = TypeVar("T")


class Database:
    """A migrated database with its writer running.

    Args:
        backend: The kind of database, with its connections.
        waiting: How many writes may wait before the next is refused.
    """

    def __init__(self, backend: Backend, *, waiting: int = WAITING) -> None:
        self._backend = backend
        self._writer = Writer(backend, waiting=waiting)

    @classmethod
    def open(cls, url: str) -> Database:
        """Open a database, bring its tables up to date, and start its writer.

        Args:
            url: `sqlite:////absolute/path.db`, or `postgresql://…`.

        Raises:
            BadDatabaseUrl: The URL is of another kind.
            DatabaseTooNew: It was written by a newer Tidemill.
            DatabaseNotOurs: Another program keeps its tables there.
            DatabaseDamaged: It does not pass its own check after an unclean stop.
            DatabaseOwned: Another Tidemill writes to it (PostgreSQL; a home has a lock of its own).
            DatabaseUnreachable: The server does not answer, or the file cannot be opened.
            DatabaseReadOnly: It cannot be written.
            NetworkFileSystem: The file lies on a network file system.
            MissingExtra: The driver for PostgreSQL is not installed.
        """
        backend = _backend(_parsed(url))
        try:
            migrate(backend.writers)
        except DBAPIError as error:
            _dispose(backend)
            raise backend.explain(error) from error
        except BaseException:
            _dispose(backend)
            raise
        return cls(backend)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._backend.writers.dialect.name

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in the writer thread and return its value once it is durable.

        The whole of `work` is there afterwards, or nothing of it.

        Raises:
            DatabaseBusy: Too many writes are waiting.
            DiskFull: There is no room; nothing was written.
            WriteInDoubt: COMMIT failed; repeating the request is safe.
        """
        return self.submit(work).result()

    def submit(self, work: Callable[[Connection], T]) -> Future[T]:
        """Like `write`, but return at once with a future."""
        return self._writer.submit(work)

    def submit_merged(self, merge: Merge, request: object) -> Future[Any]:
        """Like `submit`, for a request that may be written together with others of its kind.

        Args:
            merge: Writes such requests; see `writer.Merge`.
            request: What it is given.
        """
        return self._writer.submit_merged(merge, request)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that sees everything committed so far and cannot write.

        What it sees stays the same for as long as it is used.
        """
        try:
            with self._backend.readers.connect() as connection:
                yield connection
        except DBAPIError as error:
            explained = self._backend.explain(error)
            if explained is error:
                raise
            raise explained from error

    def watch(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, in the writer thread, after every commit. It must be quick."""
        self._writer.watch(callback)

    def reclaim(self) -> int:
        """Give the space that deleted rows took back to the disk; return how many bytes.

        It goes in small steps between other writes, so that nobody waits for long. Only a home
        that an older Tidemill made is rewritten at once, the first time.

        Raises:
            DatabaseBusy: Another program holds the database.
            DiskFull: There is no room to rewrite it.
        """
        try:
            self._backend.make_reclaimable()
        except Exception as error:
            explained = self._backend.explain(error)
            if explained is error:
                raise
            raise explained from error
        total = 0
        while freed := self.write(self._backend.reclaim):
            total += freed
        return total

    def close(self) -> None:
        """Finish what is waiting, then close every connection. Closing twice is as once."""
        self._writer.close()
        _dispose(self._backend)


def _backend(url: URL) -> Backend:
    """Return the backend of a URL; a home on SQLite never imports the other's driver."""
    if url.get_backend_name() == "sqlite" and url.database:
        from tidemill.storage.db.sqlite import Sqlite

        return Sqlite(Path(url.database))
    if url.get_backend_name() == "postgresql":
        from tidemill.storage.db.postgresql import PostgreSql

        return PostgreSql(url)
    raise _bad(url.render_as_string())


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        raise _bad(url.partition("://")[0] + "://…" if "://" in url else url) from error


def _bad(shown: str) -> BadDatabaseUrl:
    return BadDatabaseUrl(
        f"{shown!r} is not a database that Tidemill can open.",
        expected="sqlite:////absolute/path.db or postgresql://user@host/name",
    )


def _dispose(backend: Backend) -> None:
    backend.readers.dispose()
    backend.writers.dispose()
