"""Killed at any moment, no alert is repeated in the books, and none is lost on its way."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tidemill.core.clock import SystemClock
from tidemill.core.ids import Ids
from tidemill.journal.service import Journal
from tidemill.monitoring.alerts import store
from tidemill.storage.db.engine import Database

from .receiving import Inbox, inbox

WEEKS, KILLS = 40, 10
ROOT = Path(__file__).parents[3]


class Program:
    """Runs the program again and again."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.monitoring.alerts.killed_alerts"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._said, self._asked = self.process.stdout, self.process.stdin

    def start(self, folder: Path, box: Inbox) -> int:
        """Start it, and return its process."""
        self._asked.write(f"{folder} {box.url} {WEEKS}\n")
        self._asked.flush()
        return int(self._said.readline())

    def end(self) -> int:
        """Wait for its end, and return how that was."""
        return int(self._said.readline())

    def kill(self, folder: Path, box: Inbox, more: int) -> int:
        """Start it and kill it once so many more messages have come; tell how it ended."""
        goal = len(box.bodies) + more
        child = self.start(folder, box)
        while len(box.bodies) < goal:
            SystemClock().sleep(0.002)
        os.kill(child, signal.SIGKILL)
        return self.end()

    def close(self) -> None:
        self._asked.close()
        self._said.close()
        self.process.wait(20)


@pytest.fixture
def program() -> Iterator[Program]:
    started = Program()
    yield started
    started.close()


def books(folder: Path) -> list[object]:
    """Return what must be the same, whatever happened on the way."""
    db = Database.open(f"sqlite:///{folder}/t.db")
    try:
        journal = Journal(db, SystemClock(), Ids(SystemClock()))
        facts = [(f.type, f.fields()) for f in journal.read(limit=10_000)]
        with db.read() as connection:
            alerts = [msgspec.structs.replace(a, facts=()) for a in store.read_alerts(connection)]
            sent = [
                (d.sink, d.status, msgspec.structs.replace(d.message, id=""))
                for d in store.read_deliveries(connection)
            ]
            return [facts, alerts, store.read_incidents(connection), sent]
    finally:
        db.close()


@pytest.mark.timeout(300)
def test_killed_again_and_again_the_books_are_the_same_and_everything_arrives(
    tmp_path: Path, program: Program
) -> None:
    rng = random.Random(5)
    with inbox() as calm, inbox() as rough:
        program.start(tmp_path / "calm", calm)
        assert program.end() == 0
        for _ in range(KILLS):
            assert program.kill(tmp_path / "rough", rough, rng.randint(1, 4)) == signal.SIGKILL
        program.start(tmp_path / "rough", rough)
        assert program.end() == 0
    assert books(tmp_path / "rough") == books(tmp_path / "calm")
    once = Counter(h["webhook-id"] for h in calm.headers)
    assert set(once.values()) == {1}
    came = Counter(h["webhook-id"] for h in rough.headers)
    assert len(came) == len(once) > 25
    # A kill between sending and writing that down sends one message twice, with the same id.
    assert len(rough.bodies) - len(came) <= KILLS
    assert told_of_each(rough) == told_of_each(calm)


def told_of_each(box: Inbox) -> dict[int, list[tuple[str, str]]]:
    """Return what was said of each alert, in its order, repetitions left out."""
    seen: set[str] = set()
    told: dict[int, list[tuple[str, str]]] = {}
    for body in map(json.loads, box.bodies):
        data = body["data"]
        if data["id"] not in seen:
            seen.add(data["id"])
            told.setdefault(data["number"], []).append((body["type"], data["text"]))
    return told
