"""The tracking room on an empty home."""

from __future__ import annotations

import pytest

from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids
from tidemill.journal.service import Journal
from tidemill.storage.blobs.local import LocalBlobs
from tidemill.storage.db.engine import Database
from tidemill.tracking.service import Tracking


@pytest.fixture
def tracking(
    db: Database, blobs: LocalBlobs, journal: Journal, clock: SimulatedClock, ids: Ids
) -> Tracking:
    return Tracking(db, blobs, journal, clock, ids)
