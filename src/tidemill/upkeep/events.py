"""The facts that upkeep writes: of permanent deletion, and of the prediction log."""

from __future__ import annotations

from typing import ClassVar

from tidemill.core.events import Event
from tidemill.upkeep.records import Compaction, Departure


class SpaceReclaimed(Event, frozen=True, kw_only=True):
    """Stored files that nothing named any more were removed.

    Attributes:
        blobs: How many.
        bytes: Of them together.
    """

    type: ClassVar[str] = "space.reclaimed"
    blobs: int
    bytes: int


class LogCompacted(Event, frozen=True, kw_only=True):
    """Sealed segments of the prediction log became Parquet files."""

    type: ClassVar[str] = "log.compacted"
    compaction: Compaction


class LogDamaged(Event, frozen=True, kw_only=True):
    """Stretches of the prediction log could not be read, and were set aside.

    Attributes:
        endpoint: Whose log.
        files: Where they are kept, below the endpoint's `aside/`.
    """

    type: ClassVar[str] = "log.damaged"
    endpoint: str
    files: tuple[str, ...]


class LogExpired(Event, frozen=True, kw_only=True):
    """Old days of the prediction log went, as the policy says."""

    type: ClassVar[str] = "log.expired"
    departure: Departure


class PredictionsLost(Event, frozen=True, kw_only=True):
    """Predictions were answered that the log could not take, for example on a full disk.

    Attributes:
        endpoint: Whose.
        records: How many requests or deliveries of labels, since the last such fact.
    """

    type: ClassVar[str] = "log.lost"
    endpoint: str
    records: int
