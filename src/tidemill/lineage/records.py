"""An edge between two references."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """Data went from one thing to another.

    Attributes:
        source: The reference it came from.
        target: The reference it went to.
        relation: How: `trained`, `produced`, `ran`, `served`, …
        time: When it was first recorded.
    """

    source: str
    target: str
    relation: str
    time: datetime
