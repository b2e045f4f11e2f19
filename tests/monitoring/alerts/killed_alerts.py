"""A program that makes and sends alerts, to be killed at any moment and started again.

A child writes a fixed course of windows into the journal, takes them in and delivers; started
again, it goes on where the journal ends.
"""

from __future__ import annotations

import os
import random
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.monitoring.alerts.conftest import WEEK, Desk

from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids
from tidemill.core.policy import AlertPolicy, SinkPolicy
from tidemill.journal.service import Journal
from tidemill.monitoring.events import WindowJudged
from tidemill.storage.db.engine import Database

BEGIN = datetime(2013, 2, 1, tzinfo=UTC)


def course(weeks: int) -> list[list[str]]:
    """Return what is found in each week."""
    rng = random.Random(11)
    return [rng.sample(["drift", "performance"], rng.randint(0, 2)) for _ in range(weeks)]


def main(folder: Path, url: str, weeks: int) -> None:
    folder.mkdir(exist_ok=True)
    db = Database.open(f"sqlite:///{folder}/t.db")
    clock = SimulatedClock(BEGIN)
    ids = Ids(clock)
    journal = Journal(db, clock, ids)
    desk = Desk(db, journal, clock, ids, folder, {})
    desk.policy = AlertPolicy(
        cooldown=0, sinks={"hook": SinkPolicy(kind="webhook", url=url, allow_private=True)}
    )
    known = [f.read(WindowJudged) for f in journal.read(types=(WindowJudged.type,), limit=10_000)]
    done = len(known)
    clock.set(BEGIN + done * WEEK)
    for found in course(weeks)[done:]:
        desk.judge(*found)  # type: ignore[arg-type]
        desk.alerts.tick()
        desk.dispatcher.flush()
    desk.alerts.tick()
    clock.sleep(86_400)
    desk.dispatcher.flush()
    db.close()


def serve() -> None:
    """Do it once for each line of a folder, an address and a number; tell the child and its end.

    Each time is a process of its own. It is forked, so that it begins at once.
    """
    for line in sys.stdin:
        folder, url, weeks = line.split()
        child = os.fork()
        if not child:
            main(Path(folder), url, int(weeks))
            os._exit(0)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    serve()
