"""The database's promises, on SQLite."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError, OperationalError

from tidemill.core.errors import Busy, OutOfSpace, Usage
from tidemill.storage.db.engine import Database
from tidemill.storage.db.errors import (
    BadDatabaseUrl,
    DatabaseBusy,
    DatabaseDamaged,
    DatabaseUnreachable,
    DiskFull,
    NetworkFileSystem,
)
from tidemill.storage.db.sqlite import Sqlite, file_system


@pytest.fixture
def notes(db: Database) -> Database:
    """A database with a table to write to."""
    db.write(lambda c: c.execute(text("CREATE TABLE notes (id INTEGER PRIMARY KEY, words TEXT)")))
    return db


def add(words: str) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        connection.execute(text("INSERT INTO notes (words) VALUES (:w)"), {"w": words})

    return work


def count(db: Database) -> int:
    with db.read() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM notes")) or 0)


def pragma(connection: Connection, name: str) -> object:
    return connection.scalar(text(f"PRAGMA {name}"))


class TestTheWriter:
    def test_returns_what_the_work_returns(self, notes: Database) -> None:
        assert notes.write(lambda c: c.scalar(text("SELECT 41 + 1"))) == 42

    def test_syncs_every_commit(self, notes: Database) -> None:
        assert notes.write(lambda c: pragma(c, "synchronous")) == 2
        assert notes.write(lambda c: pragma(c, "journal_mode")) == "wal"
        assert notes.write(lambda c: pragma(c, "foreign_keys")) == 1

    def test_a_failing_request_takes_nothing_with_it(self, notes: Database) -> None:
        with Held(notes) as release:
            good = [notes.submit(add(f"good {n}")) for n in range(3)]
            bad = notes.submit(_add_and_fail)
            more = notes.submit(add("last"))
            release.set()
        with pytest.raises(ZeroDivisionError):
            bad.result(10)
        for future in (*good, more):
            future.result(10)
        assert count(notes) == 4

    def test_an_error_of_the_database_spoils_only_its_own_request(self, notes: Database) -> None:
        clash = text("INSERT INTO notes (id) VALUES (1)")
        notes.write(lambda c: c.execute(clash).close())
        with pytest.raises(IntegrityError):
            notes.write(lambda c: c.execute(clash))
        notes.write(add("after"))
        assert count(notes) == 2

    def test_many_requests_share_one_commit(self, notes: Database) -> None:
        commits: list[None] = []
        with Held(notes) as release:
            notes.watch(lambda: commits.append(None))
            futures = [notes.submit(add(str(n))) for n in range(300)]
            release.set()
        for future in futures:
            future.result(10)
        assert len(commits) == 1 + 2  # the one that held it, 256, and the rest
        assert count(notes) == 300

    def test_threads_may_write_at_once(self, notes: Database) -> None:
        threads = [
            threading.Thread(target=lambda: [notes.write(add("x")) for _ in range(25)])
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert count(notes) == 200

    def test_refuses_when_too_many_wait(self, tmp_path: Path) -> None:
        Database.open(f"sqlite:///{tmp_path}/small.db").close()
        db = Database(Sqlite(tmp_path / "small.db"), waiting=2)
        with Held(db) as release:
            waiting = [db.submit(lambda _: None) for _ in range(2)]
            with pytest.raises(DatabaseBusy, match="2 writes are waiting") as caught:
                db.submit(lambda _: None)
            release.set()
        assert isinstance(caught.value, Busy)
        for future in waiting:
            future.result(10)
        db.close()

    def test_a_request_that_was_cancelled_is_not_done(self, notes: Database) -> None:
        with Held(notes) as release:
            future = notes.submit(add("never"))
            assert future.cancel()
            after = notes.submit(add("after"))
            release.set()
        after.result(10)
        assert count(notes) == 1

    def test_a_write_inside_a_write_is_a_mistake_and_says_so(self, notes: Database) -> None:
        with pytest.raises(RuntimeError, match="hand the connection down"):
            notes.write(lambda _: notes.write(lambda _: None))

    def test_a_failing_watcher_fails_nobody(
        self, notes: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        notes.watch(_fail)
        notes.write(add("x"))
        notes.write(add("y"))
        assert count(notes) == 2
        assert "watcher" in caplog.text

    def test_closing_finishes_what_waits_and_refuses_the_rest(self, notes: Database) -> None:
        with Held(notes) as release:
            waiting = notes.submit(add("x"))
            closing = threading.Thread(target=notes.close)
            closing.start()
            release.set()
            closing.join()
        waiting.result(10)
        with pytest.raises(DatabaseBusy, match="closed"):
            notes.write(add("y"))
        notes.close()

    def test_moves_the_log_into_the_file_now_and_then(
        self, notes: Database, tmp_path: Path
    ) -> None:
        for _ in range(300):
            notes.write(add("x" * 100))
        assert (tmp_path / "tidemill.db-wal").stat().st_size < 300 * 3 * 4096


class TestReaders:
    def test_cannot_write(self, notes: Database) -> None:
        with notes.read() as connection, pytest.raises(OperationalError, match="readonly"):
            connection.execute(text("INSERT INTO notes (words) VALUES ('x')"))

    def test_see_one_state_while_writing_goes_on(self, notes: Database) -> None:
        notes.write(add("one"))
        query = text("SELECT count(*) FROM notes")
        with notes.read() as connection:
            assert connection.scalar(query) == 1
            notes.write(add("two"))
            assert connection.scalar(query) == 1
        assert count(notes) == 2


class TestFaults:
    def test_a_full_disk_is_told_and_survived(self, notes: Database) -> None:
        notes.write(add("before"))
        with Held(notes) as release:
            neighbour = notes.submit(add("neighbour"))
            full = notes.submit(_fill)
            release.set()
        with pytest.raises(DiskFull, match="nothing of this request was written") as caught:
            full.result(10)
        assert isinstance(caught.value, OutOfSpace)
        with pytest.raises(DiskFull):  # the transaction was lost, and with it the whole batch
            neighbour.result(10)
        assert count(notes) == 1
        notes.write(add("after"))
        assert count(notes) == 2

    def test_a_failing_commit_leaves_the_outcome_open_and_the_database_usable(
        self, tmp_path: Path
    ) -> None:
        """The kernel refuses to let the log grow, in the middle of writing it."""
        done = subprocess.run(
            [sys.executable, Path(__file__).parent / "programs/failing_disk.py", tmp_path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        assert done.stdout.splitlines() == ["WriteInDoubt", "1 before, 1 then", "2 after"]

    def test_a_program_that_holds_the_file_is_named_as_the_trouble(
        self, notes: Database, tmp_path: Path
    ) -> None:
        notes.write(lambda c: c.execute(text("PRAGMA busy_timeout=50")).close())
        other = sqlite3.connect(tmp_path / "tidemill.db")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseBusy, match="Another program has held"):
            notes.write(add("x"))
        other.rollback()
        other.close()
        notes.write(add("y"))
        assert count(notes) == 1


class TestOpening:
    def test_a_damaged_file_is_not_opened_after_an_unclean_stop(self, tmp_path: Path) -> None:
        path = tmp_path / "tidemill.db"
        Database.open(f"sqlite:///{path}").close()
        with path.open("r+b") as file:
            file.seek(4096 * 3)
            file.write(b"\xa5" * 4096 * 4)
        # A log with frames says that the last owner was killed.
        copy = tmp_path / "other.db"
        writer = sqlite3.connect(copy)
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE t (x)")
        (tmp_path / "tidemill.db-wal").write_bytes((tmp_path / "other.db-wal").read_bytes()[:32])
        writer.close()
        with pytest.raises(DatabaseDamaged, match="damaged"):
            Database.open(f"sqlite:///{path}")

    def test_a_file_that_is_no_database_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "tidemill.db"
        path.write_bytes(b"this is a letter to my aunt" * 100)
        with pytest.raises(DatabaseDamaged, match="not a database"):
            Database.open(f"sqlite:///{path}")

    def test_a_folder_that_is_missing_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(DatabaseUnreachable, match="cannot be opened"):
            Database.open(f"sqlite:///{tmp_path}/nowhere/tidemill.db")

    @pytest.mark.parametrize(
        "url", ["mysql://user:secret@host/db", "nonsense", "sqlite://", "://secret", ""]
    )
    def test_another_kind_of_url_is_refused_without_its_password(self, url: str) -> None:
        with pytest.raises(BadDatabaseUrl, match="sqlite:////absolute") as caught:
            Database.open(url)
        assert isinstance(caught.value, Usage)
        assert "secret" not in str(caught.value)

    def test_a_clean_close_leaves_one_file(self, notes: Database, tmp_path: Path) -> None:
        notes.write(add("x"))
        count(notes)
        notes.close()
        assert [p.name for p in tmp_path.iterdir()] == ["tidemill.db"]

    def test_an_up_to_date_home_needs_no_migration_library(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/tidemill.db"
        Database.open(url).close()
        program = (
            "import sys; from tidemill.storage.db.engine import Database; "
            f"Database.open({url!r}).close(); print('alembic' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
        assert done.stdout == b"False\n"

    def test_a_network_file_system_is_known_for_what_it_is(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mounts = tmp_path / "mountinfo"
        mounts.write_text(
            "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
            f"30 22 0:29 / {tmp_path}/home\\040of\\040us rw shared:7 - nfs4 server:/home rw\n"
        )
        assert file_system(tmp_path / "home of us" / "x.db", mounts) == "nfs4"
        assert file_system(tmp_path / "x.db", mounts) == "ext4"
        assert file_system(tmp_path, tmp_path / "nowhere") == ""
        monkeypatch.setattr("tidemill.storage.db.sqlite.file_system", lambda _: "nfs4")
        with pytest.raises(NetworkFileSystem, match=r"nfs4.*Move the home"):
            Database.open(f"sqlite:///{tmp_path}/tidemill.db")


class Held:
    """Holds the writer in a request, so that what comes next lands in one batch."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._release = threading.Event()
        self._first: Future[bool] | None = None

    def __enter__(self) -> threading.Event:
        started = threading.Event()

        def hold(_: Connection) -> bool:
            started.set()
            return self._release.wait(10)

        self._first = self._db.submit(hold)
        assert started.wait(10)
        return self._release

    def __exit__(self, *_: object) -> None:
        self._release.set()
        assert self._first is not None
        assert self._first.result(10)


def _fail() -> None:
    raise ZeroDivisionError


def _add_and_fail(connection: Connection) -> None:
    connection.execute(text("INSERT INTO notes (words) VALUES ('half')"))
    raise ZeroDivisionError


def _fill(connection: Connection) -> None:
    pages = pragma(connection, "page_count")
    connection.execute(text(f"PRAGMA max_page_count={pages}"))
    connection.execute(text("INSERT INTO notes (words) VALUES (:w)"), {"w": "x" * 1_000_000})


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Failing batches are logged as errors; that is what these tests provoke."""
    logger = logging.getLogger("tidemill.storage")
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(logging.NOTSET)
