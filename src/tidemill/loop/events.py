"""The facts that the loop writes."""

from __future__ import annotations

from typing import ClassVar

from tidemill.core.events import Event
from tidemill.loop.records import Decision


class Decided(Event, frozen=True, kw_only=True):
    """The loop decided something and is about to carry it out.

    Attributes:
        decision: The decision, still pending.
        policy: The digest of the policy section that it was made under.
    """

    type: ClassVar[str] = "loop.decided"
    decision: Decision
    policy: str


class CarriedOut(Event, frozen=True, kw_only=True):
    """A decision was carried out.

    Attributes:
        decision: Its id.
        result: What came of it, in one sentence.
    """

    type: ClassVar[str] = "loop.carried-out"
    decision: str
    result: str


class Failed(Event, frozen=True, kw_only=True):
    """A decision could not be carried out; nothing that was live has changed.

    Attributes:
        decision: Its id.
        error: What went wrong.
    """

    type: ClassVar[str] = "loop.failed"
    decision: str
    error: str
