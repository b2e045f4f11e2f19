"""The facts that permanent deletion writes."""

from __future__ import annotations

from typing import ClassVar

from tidemill.core.events import Event


class SpaceReclaimed(Event, frozen=True, kw_only=True):
    """Stored files that nothing named any more were removed.

    Attributes:
        blobs: How many.
        bytes: Of them together.
    """

    type: ClassVar[str] = "space.reclaimed"
    blobs: int
    bytes: int
