"""Alerts are made, kept and delivered on a real PostgreSQL as on SQLite."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.monitoring.alerts.conftest import Desk
from tests.postgresql import Server

from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids
from tidemill.journal.service import Journal
from tidemill.storage.db.engine import Database


@pytest.fixture
def desk(postgres: Server, clock: SimulatedClock, tmp_path: Path) -> Iterator[Desk]:
    db = Database.open(postgres.make("alerts"))
    ids = Ids(clock, random.Random(0))
    yield Desk(db, Journal(db, clock, ids), clock, ids, tmp_path, {})
    db.close()


def test_from_finding_to_delivery_and_back(desk: Desk) -> None:
    desk.judge("drift", "performance")
    desk.judge("drift")
    desk.alerts.tick()
    assert [a.status for a in desk.alerts.alerts()] == ["resolved", "firing"]
    assert desk.dispatcher.flush() == 3
    assert desk.dispatcher.counts() == {"delivered": 3}
    desk.alerts.acknowledge(1, by="user:ada")
    desk.alerts.silence(lasting=timedelta(days=1), reason="r", by="user:ada", alert=1)
    desk.judge()
    desk.alerts.tick()
    assert desk.alerts.incident(1)[0].status == "resolved"
    assert len(desk.alerts.history(1)) == 4
    assert desk.dispatcher.flush() == 1
