"""Fixtures that every room's tests share."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids


@pytest.fixture
def clock() -> SimulatedClock:
    """A clock that stands at the first of February 2013."""
    return SimulatedClock(datetime(2013, 2, 1, tzinfo=UTC))


@pytest.fixture
def ids(clock: SimulatedClock) -> Ids:
    """Ids that are the same in every run of the tests."""
    return Ids(clock, random.Random(0))
