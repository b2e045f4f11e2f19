"""The journal and its subscriptions."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import ClassVar

import pytest
from sqlalchemy import Connection

from tidemill.core.clock import SimulatedClock
from tidemill.core.events import Event
from tidemill.core.ids import Ids
from tidemill.core.references import Ref
from tidemill.journal.errors import FactNotFound
from tidemill.journal.service import Journal
from tidemill.storage.db.engine import Database


class TideTurned(Event, frozen=True, kw_only=True):
    type: ClassVar[str] = "tide.turned"
    height: float
    place: Ref | None = None


class WheelStopped(Event, frozen=True, kw_only=True):
    type: ClassVar[str] = "wheel.stopped"


MILL = Ref("endpoint", "mill")


def record(journal: Journal, height: float) -> int:
    return journal.record(TideTurned(height=height), subject=MILL, actor="moon").position


def test_gives_back_what_was_recorded(journal: Journal, clock: SimulatedClock) -> None:
    event = TideTurned(height=2.5)
    first = journal.record(event, subject=MILL, actor="moon")
    clock.sleep(60)
    second = journal.record(WheelStopped(), subject=MILL, actor="miller", cause=first.id)
    assert journal.get(first.id) == first
    assert first.read(TideTurned) == event
    assert first.time < second.time
    assert second.cause == first.id
    assert [f.position for f in journal.read()] == [1, 2]


def test_a_reference_in_an_event_is_read_as_one(journal: Journal) -> None:
    fact = journal.record(TideTurned(height=1, place=MILL), subject=MILL, actor="moon")
    assert journal.get(fact.id).read(TideTurned).place == MILL


def test_reads_by_type_subject_and_order(journal: Journal) -> None:
    for height in (1, 2, 3):
        record(journal, height)
    other = Ref("endpoint", "other")
    journal.record(WheelStopped(), subject=other, actor="miller")
    assert [f.position for f in journal.read(types=["wheel.stopped"])] == [4]
    assert [f.position for f in journal.read(subject=other)] == [4]
    assert [f.position for f in journal.read(after=1, limit=2)] == [2, 3]
    assert [f.position for f in journal.read(newest_first=True, limit=2)] == [4, 3]
    assert journal.head() == 4


def test_a_fact_of_a_failed_write_did_not_happen(journal: Journal, db: Database) -> None:
    def work(connection: Connection) -> None:
        journal.append(connection, WheelStopped(), subject=MILL, actor="miller")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        db.write(work)
    assert journal.head() == 0


def test_says_which_fact_is_not_there(journal: Journal) -> None:
    with pytest.raises(FactNotFound, match="'nothing'"):
        journal.get("nothing")


class TestSubscriptions:
    def test_shows_facts_again_until_they_are_acknowledged(self, journal: Journal) -> None:
        subscription = journal.subscribe("loop")
        record(journal, 1)
        last = record(journal, 2)
        assert len(subscription.pending()) == 2
        assert len(subscription.pending(1)) == 1
        subscription.acknowledge(last)
        assert subscription.pending() == []
        subscription.acknowledge(1)
        assert subscription.position == last

    def test_see_only_their_types(self, journal: Journal) -> None:
        subscription = journal.subscribe("miller", ["wheel.stopped"])
        record(journal, 1)
        assert subscription.pending() == []

    def test_do_not_disturb_each_other(self, journal: Journal) -> None:
        one, two = journal.subscribe("one"), journal.subscribe("two")
        one.acknowledge(record(journal, 1))
        assert len(two.pending()) == 1

    def test_survive_a_restart(self, tmp_path: Path, clock: SimulatedClock, ids: Ids) -> None:
        url = f"sqlite:///{tmp_path}/restarted.db"
        db = Database.open(url)
        journal = Journal(db, clock, ids)
        journal.subscribe("loop").acknowledge(record(journal, 1))
        after = record(journal, 2)
        db.close()
        db = Database.open(url)
        pending = Journal(db, clock, ids).subscribe("loop").pending()
        db.close()
        assert [f.position for f in pending] == [after]


class TestWaiting:
    def test_ends_when_a_fact_comes(self, journal: Journal) -> None:
        found: list[bool] = []
        waiting = threading.Thread(target=lambda: found.append(journal.wait(0, 30)))
        waiting.start()
        record(journal, 1)
        waiting.join(10)
        assert found == [True]

    def test_ends_at_once_for_what_is_there(self, journal: Journal) -> None:
        record(journal, 1)
        assert journal.wait(0, 0)

    def test_ends_with_nothing_when_time_is_up(self, journal: Journal, db: Database) -> None:
        record(journal, 1)
        timer = threading.Timer(0.02, db.write, [lambda _: None])  # a commit, and no fact
        timer.start()
        assert not journal.wait(1, 0.1)
        timer.join()
