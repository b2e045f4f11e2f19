"""What doors ask of the plane, and what they are told: the words that both sides share."""

from __future__ import annotations

from typing import Protocol

import msgspec

from tidemill.serving.worker.http import Response
from tidemill.serving.worker.rows import Rows
from tidemill.serving.worker.trace import Trace
from tidemill.serving.worker.version import Outcome, Version


class Content(Protocol):
    """What a request holds, in the words of its door."""

    def rows(self, version: Version) -> Rows:
        """Return the rows for the version that answers; versions may take different columns.

        Raises:
            InvalidInput: They do not fit what it takes.
        """
        ...

    def render(self, answer: Answer) -> Response:
        """Return the response."""
        ...


class Ask(msgspec.Struct, frozen=True, eq=False):
    """One request for predictions, from whichever door.

    Attributes:
        endpoint: Its name.
        content: What it holds.
        version: The version asked for, where one is.
        key: What the split goes by; a random one where it is left out.
        request_id: The caller's name for the request.
        time: Of the prediction, in microseconds since 1970.
        arrived: When the request was whole, in seconds of the monotonic clock.
        deadline: When the caller gives up, in seconds of the monotonic clock.
        trace: The trace that the request belongs to, where there is one.
        recorded: Its part of that trace, where it is recorded.
    """

    endpoint: str
    content: Content
    version: str | None
    key: str | None
    request_id: str
    time: int
    arrived: float
    deadline: float
    trace: str
    recorded: Trace | None


class Answer(msgspec.Struct, frozen=True):
    """What the doors render.

    Attributes:
        version: The version that answered.
        outcome: What it said.
        ids: The predictions' ids, one a row, with commas between.
        count: How many rows.
    """

    version: Version
    outcome: Outcome
    ids: str
    count: int
