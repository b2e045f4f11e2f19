"""The one writer: a thread that commits what is waiting together.

It takes up to `GROUP` requests, runs each in a savepoint of its own, commits once, and only then
answers. A failing request takes nothing with it; a failing COMMIT fails the whole batch. Requests
of one kind that follow each other may be written as one (`Merge`): what is asked for most often
then costs a fraction of a statement.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, RootTransaction

from tidemill.storage.db.backend import Backend
from tidemill.storage.db.errors import DatabaseBusy

T = TypeVar("T")
GROUP = 256
"""How many requests share one COMMIT at the most."""
WAITING = 4096
"""How many requests may wait before the next is told to come back."""

_MARK, _KEEP, _UNDO = "SAVEPOINT request", "RELEASE request", "ROLLBACK TO request"

_log = logging.getLogger(__name__)


Merge = Callable[[Connection, Sequence[Any]], Sequence[Any]]
"""Writes requests of one kind together; returns a value for each, or the error that it met."""


class _Job(NamedTuple):
    work: Callable[[Connection], Any] | None
    merge: Merge | None
    request: Any
    future: Future[Any]


class _Outcome(NamedTuple):
    future: Future[Any]
    value: Any
    failure: BaseException | None


class _BatchLost(Exception):
    """The transaction is gone, and every request of the batch with it."""

    def __init__(self, cause: BaseException, *, committing: bool) -> None:
        super().__init__(cause)
        self.cause = cause
        self.committing = committing


class Writer:
    """Runs every write of a database, in one thread.

    Args:
        backend: The kind of database.
        waiting: How many requests may wait.
    """

    def __init__(self, backend: Backend, *, waiting: int = WAITING) -> None:
        self._backend = backend
        self._waiting = waiting
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._door = threading.Lock()
        self._closed = False
        self._ending = False
        self._connection: Connection | None = None
        self._watchers: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._run, name="tidemill-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Connection], T]) -> Future[T]:
        """Queue a request.

        Raises:
            DatabaseBusy: Too many are waiting, or the writer is closed.
        """
        return self._put(_Job(work, None, None, Future()))

    def submit_merged(self, merge: Merge, request: object) -> Future[Any]:
        """Queue a request that may be written together with others of its kind.

        Args:
            merge: Writes them. It is called again, with one request at a time, where it raises.
            request: What it is given.

        Raises:
            DatabaseBusy: Too many are waiting, or the writer is closed.
        """
        return self._put(_Job(None, merge, request, Future()))

    def _put(self, job: _Job) -> Future[Any]:
        if threading.current_thread() is self._thread:
            raise RuntimeError("a write was asked for inside a write: hand the connection down")
        with self._door:
            if self._closed:
                raise DatabaseBusy("The database is closed.", hint="Open the home again.")
            if self._jobs.qsize() >= self._waiting:
                raise DatabaseBusy(
                    f"{self._waiting:,} writes are waiting already.", hint="Try again in a moment."
                )
            self._jobs.put(job)
        return job.future

    def watch(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, in this thread, after every commit. It must be quick."""
        self._watchers.append(callback)

    def close(self) -> None:
        """Finish what is waiting and give the connection back."""
        with self._door:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next():
            self._serve(batch)
        if self._connection is not None:
            self._connection.close()

    def _next(self) -> list[_Job]:
        """Wait for requests and return those that are there; none means that the end has come."""
        batch: list[_Job] = []
        while not self._ending and len(batch) < GROUP:
            try:
                job = self._jobs.get(block=not batch)
            except queue.Empty:
                break
            if job is None:
                self._ending = True
            elif job.future.set_running_or_notify_cancel():
                batch.append(job)
        return batch

    def _serve(self, batch: list[_Job]) -> None:
        try:
            connection = self._connected()
            outcomes = self._at_once(connection, batch) or self._commit(connection, batch)
        except _BatchLost as lost:
            self._give_up_connection()
            self._fail(batch, lost.cause, committing=lost.committing)
        except BaseException as error:  # no connection could be opened
            self._give_up_connection()
            self._fail(batch, error, committing=False)
        else:
            _answer(outcomes)
            self._after_commit()

    def _connected(self) -> Connection:
        """Return the connection; one that was lost while idle is replaced before it matters."""
        if self._connection is not None and not self._backend.alive(self._connection):
            self._give_up_connection()
        if self._connection is None:
            self._connection = self._backend.writers.connect()
        return self._connection

    def _at_once(self, connection: Connection, batch: list[_Job]) -> list[_Outcome] | None:
        """Write requests of one kind without savepoints; nothing where they must go one by one."""
        merge = batch[0].merge
        if merge is None or any(job.merge is not merge for job in batch):
            return None
        with _transaction(connection) as transaction:
            try:
                answers = merge(connection, [job.request for job in batch])
            except BaseException as error:
                if self._backend.loses_transaction(error):
                    raise
                transaction.rollback()
                return None
        return _outcomes(batch, answers)

    def _commit(self, connection: Connection, batch: list[_Job]) -> list[_Outcome]:
        with _transaction(connection):
            return [outcome for jobs in _kinds(batch) for outcome in self._write(connection, jobs)]

    def _write(self, connection: Connection, jobs: list[_Job]) -> list[_Outcome]:
        """Write requests of one kind: together, or, if that fails, one by one."""
        merge = jobs[0].merge
        if merge is None:
            return [self._attempt(connection, job) for job in jobs]
        try:
            return self._together(connection, merge, jobs)
        except BaseException as error:
            if self._backend.loses_transaction(error):
                raise
            connection.exec_driver_sql(_UNDO)
            failure = self._backend.explain(error)
        if len(jobs) == 1:
            return [_Outcome(jobs[0].future, None, failure)]
        return [outcome for job in jobs for outcome in self._write(connection, [job])]

    def _together(self, connection: Connection, merge: Merge, jobs: list[_Job]) -> list[_Outcome]:
        connection.exec_driver_sql(_MARK)
        answers = merge(connection, [job.request for job in jobs])
        connection.exec_driver_sql(_KEEP)
        return _outcomes(jobs, answers)

    def _attempt(self, connection: Connection, job: _Job) -> _Outcome:
        assert job.work is not None
        connection.exec_driver_sql(_MARK)
        try:
            value = job.work(connection)
        except BaseException as error:
            if self._backend.loses_transaction(error):
                raise
            connection.exec_driver_sql(_UNDO)
            return _Outcome(job.future, None, self._backend.explain(error))
        connection.exec_driver_sql(_KEEP)
        return _Outcome(job.future, value, None)

    def _after_commit(self) -> None:
        for watcher in self._watchers:
            try:
                watcher()
            except Exception:
                _log.exception("a watcher of commits failed")
        try:
            if self._connection is not None:
                self._backend.settle(self._connection)
        except Exception:
            _log.exception("the database could not be settled between batches")
            self._give_up_connection()

    def _give_up_connection(self) -> None:
        """Never use a connection again after it failed: a repeated fsync would report success."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    def _fail(self, batch: list[_Job], error: BaseException, *, committing: bool) -> None:
        _log.error("a batch of %d writes failed: %s", len(batch), error)
        for job in batch:
            job.future.set_exception(self._backend.explain(error, committing=committing))


@contextmanager
def _transaction(connection: Connection) -> Iterator[RootTransaction]:
    """Begin, and commit what was not rolled back; whatever fails takes the batch with it."""
    committing = False
    try:
        transaction = connection.begin()
        yield transaction
        if transaction.is_active:
            committing = True
            transaction.commit()
    except BaseException as error:
        raise _BatchLost(error, committing=committing) from error


def _kinds(batch: list[_Job]) -> Iterator[list[_Job]]:
    """Part a batch where one kind of request follows another; their order stays."""
    for _, jobs in groupby(batch, key=lambda job: job.merge):
        yield list(jobs)


def _outcomes(jobs: list[_Job], answers: Sequence[Any]) -> list[_Outcome]:
    return [
        _Outcome(job.future, None, answer)
        if isinstance(answer, BaseException)
        else _Outcome(job.future, answer, None)
        for job, answer in zip(jobs, answers, strict=True)
    ]


def _answer(outcomes: list[_Outcome]) -> None:
    for outcome in outcomes:
        if outcome.failure is None:
            outcome.future.set_result(outcome.value)
        else:
            outcome.future.set_exception(outcome.failure)
