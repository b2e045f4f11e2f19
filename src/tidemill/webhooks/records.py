"""Webhooks, and what was sent to them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

HookStatus = Literal["ACTIVE", "DISABLED"]
DeliveryStatus = Literal["waiting", "delivered", "given-up"]


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """Where something is told, and what.

    Attributes:
        id: Names it.
        name: For people.
        url: Where it is told.
        events: What is told, such as `model_version.created`.
        description: For people.
        status: Nothing of what happens while it is disabled is told later.
        signed: Whether a secret signs what is sent.
        created: When it was made.
        updated: When it was last changed.
    """

    id: str
    name: str
    url: str
    events: tuple[str, ...]
    description: str = ""
    status: HookStatus = "ACTIVE"
    signed: bool = False
    created: datetime
    updated: datetime


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one webhook.

    Attributes:
        id: Names it; the receiver sees the same id when it is sent again.
        hook: The webhook.
        fact: The position in the journal of what is told.
        event: What is told.
        body: The message.
        status: Where it stands.
        attempts: How often it was sent.
        due: When it is sent next; when it was last sent, where it has come to its end.
        answered: The status of the last answer, where there was one.
        error: What went wrong last.
    """

    id: str
    hook: str
    fact: int
    event: str
    body: str
    status: DeliveryStatus = "waiting"
    attempts: int = 0
    due: datetime
    answered: int | None = None
    error: str = ""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What the sending process is told to send."""

    id: str
    url: str
    headers: dict[str, str]
    body: str
    allowed: str
    seconds: float = 10.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of sending a message.

    Attributes:
        id: The message.
        answered: The status of the answer; nothing where there was none.
        body: The beginning of the answer.
        error: Why there was no answer.
    """

    id: str
    answered: int | None = None
    body: str = ""
    error: str = ""

    @property
    def done(self) -> bool:
        """Whether the receiver took it."""
        return self.answered is not None and 200 <= self.answered < 300

    @property
    def hopeless(self) -> bool:
        """Whether sending it again would end the same way."""
        return self.answered is not None and self.answered < 500 and self.answered not in _AGAIN


_AGAIN = {408, 425, 429}
