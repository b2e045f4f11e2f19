"""The database: one writer, many readers, and no answer before a write is on disk.

SQLite in WAL mode with `synchronous=FULL`, or PostgreSQL. All writes go through one thread, which
commits up to `GROUP` of them together, each in a savepoint of its own: a failing request takes
nothing with it, and nobody is answered before COMMIT has returned. Reads run beside it on
connections that cannot write. `docs/concurrency.md` tells why.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.pool import QueuePool

from tidemill.core.errors import MissingExtra
from tidemill.storage.db.errors import BadDatabaseUrl, DatabaseBusy, DatabaseDamaged, DiskFull
from tidemill.storage.db.migration import migrate

T = TypeVar("T")
GROUP = 256
"""How many requests share one COMMIT at the most."""
WAITING = 4096
"""How many requests may wait before the next is told to come back."""

_Job = tuple[Callable[[Connection], Any], "Future[Any]"]


class Database:
    """A migrated database with its writer thread running.

    Args:
        engine: Where writes go; one connection is taken from it and kept.
        readers: Where reads come from.
    """

    def __init__(self, engine: Engine, readers: Engine) -> None:
        self._engine = engine
        self._readers = readers
        self._jobs: queue.Queue[_Job | None] = queue.Queue(maxsize=WAITING)
        self._closed = False
        self._watchers: list[Callable[[], None]] = []
        self._writer = threading.Thread(target=self._run, name="tidemill-writer", daemon=True)
        self._writer.start()

    @classmethod
    def open(cls, url: str) -> Database:
        """Open a database, bring its tables up to date, and start its writer.

        Args:
            url: `sqlite:////absolute/path.db`, or `postgresql+psycopg://…`.

        Raises:
            BadDatabaseUrl: The URL is of another kind.
            DatabaseTooNew: It was written by a newer Tidemill.
            DatabaseDamaged: It does not pass its own check after an unclean stop.
            MissingExtra: The driver for PostgreSQL is not installed.
        """
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise _bad_url(url) from error
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            engine, readers = _sqlite(Path(parsed.database))
        elif parsed.get_backend_name() == "postgresql":
            engine, readers = _postgresql(url)
        else:
            raise _bad_url(url)
        migrate(engine)
        return cls(engine, readers)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in the writer thread and return its value once it is durable.

        The whole of `work` is there afterwards, or nothing of it.

        Raises:
            DatabaseBusy: Too many writes are waiting.
            DiskFull: There is no room; nothing was written.
        """
        if threading.current_thread() is self._writer:
            raise RuntimeError("a write was asked for inside a write: hand the connection down")
        return self.submit(work).result()

    def submit(self, work: Callable[[Connection], T]) -> Future[T]:
        """Like `write`, but return at once with a future."""
        future: Future[T] = Future()
        if self._closed:
            raise DatabaseBusy("The database is closed.")
        try:
            self._jobs.put_nowait((work, future))
        except queue.Full:
            raise DatabaseBusy(
                f"{WAITING:,} writes are waiting already.", hint="Try again in a moment."
            ) from None
        return future

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that sees everything committed so far and cannot write."""
        with self._readers.connect() as connection:
            yield connection

    def watch(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, in the writer thread, after every commit. It must be quick."""
        self._watchers.append(callback)

    def close(self) -> None:
        """Finish what is waiting, then close every connection."""
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        self._writer.join()
        self._readers.dispose()
        self._engine.dispose()

    def _run(self) -> None:
        connection: Connection | None = None
        while True:
            job = self._jobs.get()
            if job is None:
                break
            batch, last = self._batch(job)
            try:
                connection = connection or self._engine.connect()
                self._commit(connection, batch)
            except BaseException as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(_translated(error))
                if connection is not None:
                    # After a failed COMMIT nothing is known of the connection: never repeat
                    # the fsync on it, open a new one.
                    connection.invalidate()
                    connection.close()
                    connection = None
            if last:
                break
        if connection is not None:
            connection.close()

    def _batch(self, first: _Job) -> tuple[list[_Job], bool]:
        """Return what is waiting, and whether the end was among it."""
        batch = [first]
        while len(batch) < GROUP:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch, False
            if job is None:
                return batch, True
            batch.append(job)
        return batch, False

    def _commit(self, connection: Connection, batch: list[_Job]) -> None:
        """Do all requests of a batch and commit once; answer only then."""
        answers: list[tuple[Future[Any], Any, BaseException | None]] = []
        with connection.begin():
            for work, future in batch:
                savepoint = connection.begin_nested()
                try:
                    value = work(connection)
                except BaseException as error:
                    if _is_fatal(error):
                        raise
                    savepoint.rollback()
                    answers.append((future, None, _translated(error)))
                else:
                    savepoint.commit()
                    answers.append((future, value, None))
        for watcher in self._watchers:
            watcher()
        for future, value, failure in answers:
            if failure is None:
                future.set_result(value)
            else:
                future.set_exception(failure)


def _sqlite(path: Path) -> tuple[Engine, Engine]:
    url = f"sqlite:///{path}"
    engine = create_engine(
        url, connect_args={"check_same_thread": False, "timeout": 30.0}, pool_size=1, max_overflow=1
    )
    readers = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=8,
        max_overflow=24,
        connect_args={"check_same_thread": False, "timeout": 30.0},
    )
    for each, query_only in ((engine, False), (readers, True)):
        event.listen(each, "connect", _pragmas(query_only=query_only))
        event.listen(each, "begin", _begin(immediate=not query_only))
    _check_after_unclean_stop(path)
    return engine, readers


def _pragmas(*, query_only: bool) -> Callable[[Any, Any], None]:
    def connect(connection: Any, _record: Any) -> None:
        # The driver's own transaction handling would begin late and DEFERRED: we say BEGIN.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA temp_store=MEMORY")
        cursor.execute("PRAGMA cache_size=-16000")
        if query_only:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    return connect


def _begin(*, immediate: bool) -> Callable[[Connection], None]:
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return begin


def _check_after_unclean_stop(path: Path) -> None:
    """A WAL file that still holds frames says that the last owner did not close: look closely."""
    wal = path.with_name(path.name + "-wal")
    if not wal.exists() or wal.stat().st_size == 0:
        return
    import sqlite3

    connection = sqlite3.connect(path)
    try:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    finally:
        connection.close()
    if verdict != "ok":
        raise DatabaseDamaged(
            f"The database {path} is damaged: {verdict}.",
            hint="Restore it from a backup, or save what can be read with `sqlite3 … .recover`.",
        )


def _postgresql(url: str) -> tuple[Engine, Engine]:
    try:
        engine = create_engine(url, pool_size=1, max_overflow=1, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"PostgreSQL needs {error.name}, which is not installed.",
            hint='Install it with: pip install "tidemill[postgres]"',
        ) from error
    readers = create_engine(
        url,
        pool_size=8,
        max_overflow=24,
        pool_pre_ping=True,
        execution_options={"postgresql_readonly": True},
    )
    return engine, readers


def _bad_url(url: str) -> BadDatabaseUrl:
    return BadDatabaseUrl(
        f"{url!r} is not a database that Tidemill can open.",
        expected="sqlite:////absolute/path.db or postgresql+psycopg://user@host/name",
    )


def _is_fatal(error: BaseException) -> bool:
    """Whether the whole transaction is lost, not only the request that met the error."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, OperationalError) and "disk" in str(error.orig).lower()


def _translated(error: BaseException) -> BaseException:
    if isinstance(error, OperationalError) and "disk is full" in str(error.orig):
        full = DiskFull(
            "The disk is full: nothing of this request was written.",
            hint="Free some space, for example with `tidemill gc`, and try again.",
        )
        full.__cause__ = error
        return full
    return error
