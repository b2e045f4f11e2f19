"""Facts: what the journal holds. Each room declares its own event types by subclassing `Event`."""

from __future__ import annotations

import builtins
from datetime import datetime
from typing import Any, ClassVar, TypeVar

import msgspec

E = TypeVar("E", bound="Event")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """The data of one kind of fact. A subclass is a documented record and names its `type`.

    Attributes:
        type: Dotted, past tense: `run.finished`, `version.registered`, `drift.found`.
    """

    type: ClassVar[str]


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the journal; the fields are those of CloudEvents 1.0.

    Attributes:
        position: The order in the journal, from 1; what subscriptions count by.
        id: UUIDv7.
        time: When it happened, by the clock of whoever wrote it.
        type: The event's type.
        subject: The reference it is about, as a string.
        actor: Who did it: `user:NAME`, `loop`, `scheduler`, `monitoring`, …
        cause: The id of the fact that led to this one, if any.
        data: The event as JSON.
    """

    position: int
    id: str
    time: datetime
    type: str
    subject: str
    actor: str
    cause: str | None
    data: msgspec.Raw

    def read(self, event: builtins.type[E]) -> E:
        """Return the data as the event it was written from."""
        return msgspec.json.decode(self.data, type=event)

    def fields(self) -> dict[str, Any]:
        """Return the data as plain JSON values, for display."""
        decoded: dict[str, Any] = msgspec.json.decode(self.data)
        return decoded
