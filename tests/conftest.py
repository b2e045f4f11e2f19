"""Fixtures that every room's tests share."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.storage.blobs.local import LocalBlobs
from tidemill.storage.db.engine import Database

# Nothing in a test depends on how fast the machine is, nor on what else it does.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture
def clock() -> SimulatedClock:
    """A clock that stands at the first of February 2013."""
    return SimulatedClock(datetime(2013, 2, 1, tzinfo=UTC))


@pytest.fixture
def ids(clock: SimulatedClock) -> Ids:
    """Ids that are the same in every run of the tests."""
    return Ids(clock, random.Random(0))


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an empty, migrated database, to be copied: migrating takes a moment."""
    path = tmp_path_factory.mktemp("migrated") / "tidemill.db"
    Database.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def db(tmp_path: Path, migrated: Path) -> Iterator[Database]:
    """An empty, migrated database."""
    shutil.copyfile(migrated, tmp_path / "tidemill.db")
    database = Database.open(f"sqlite:///{tmp_path}/tidemill.db")
    yield database
    database.close()


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    """An empty blob store."""
    return LocalBlobs(tmp_path / "blobs")


@pytest.fixture
def journal(db: Database, clock: SimulatedClock, ids: Ids) -> Journal:
    """An empty journal."""
    return Journal(db, clock, ids)


@pytest.fixture
def lineage(db: Database, clock: SimulatedClock) -> Lineage:
    """An empty graph."""
    return Lineage(db, clock)
