"""A receiver, and the rooms of an empty home whose webhooks may reach it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.webhooks.receiver import Receiver, receiving

from tidemill.core.clock import SystemClock
from tidemill.core.ids import Ids
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.registry.catalogue import Catalogue
from tidemill.registry.service import Registry
from tidemill.storage.db.engine import Database
from tidemill.webhooks.child import Sender
from tidemill.webhooks.destinations import Allowed
from tidemill.webhooks.sealing import Box
from tidemill.webhooks.service import Webhooks

collect_ignore = ["receiver.py"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def sender() -> Iterator[Sender]:
    sender = Sender()
    yield sender
    sender.close()


class Rooms:
    """The rooms that webhooks hear of, by the machine's clock."""

    def __init__(self, db: Database, folder: Path, sender: Sender, hosts: str) -> None:
        clock = SystemClock()
        ids = Ids(clock)
        journal, lineage = Journal(db, clock, ids), Lineage(db, clock)
        self.registry = Registry(db, journal, lineage, clock)
        self.catalogue = Catalogue(db, journal, lineage, clock)
        box, allowed = Box(folder / "keys" / "webhooks.key"), Allowed(hosts)
        self.webhooks = Webhooks(
            db, journal, clock, ids, box, allowed, sender.submit, pauses=(0.01, 0.01)
        )


@pytest.fixture
def rooms(db: Database, tmp_path: Path, sender: Sender, receiver: Receiver) -> Rooms:
    return Rooms(db, tmp_path, sender, f"{receiver.host},hooks.example.com,localhost")
