"""Fixtures of the pipelines' tests: a real home's parts, and a folder with a user's module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids
from tidemill.journal.service import Journal
from tidemill.pipelines.executors.process import ProcessExecutor
from tidemill.pipelines.service import Pipelines
from tidemill.storage.blobs.local import LocalBlobs
from tidemill.storage.db.engine import Database
from tidemill.tracking.service import Tracking

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture(scope="module")
def executor() -> Iterator[ProcessExecutor]:
    """One warm process for a module's tests: warming it takes seconds."""
    running = ProcessExecutor()
    yield running
    running.close()


@pytest.fixture
def tracking(
    db: Database, blobs: LocalBlobs, journal: Journal, clock: SimulatedClock, ids: Ids
) -> Tracking:
    """An empty tracking room."""
    return Tracking(db, blobs, journal, clock, ids)


@pytest.fixture
def pipelines(
    db: Database,
    blobs: LocalBlobs,
    tracking: Tracking,
    journal: Journal,
    clock: SimulatedClock,
    executor: ProcessExecutor,
    tmp_path: Path,
) -> Pipelines:
    """An empty pipelines room."""
    folders = (tmp_path / "blobs", tmp_path / "runs")
    return Pipelines(db, blobs, folders[0], tracking, journal, clock, folders[1], executor=executor)
