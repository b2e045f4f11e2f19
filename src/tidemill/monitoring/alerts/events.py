"""The facts that alerting writes."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from tidemill.core.events import Event
from tidemill.core.findings import Severity


class AlertFired(Event, frozen=True, kw_only=True):
    """Something became an alert, or did so again.

    Attributes:
        alert: Its number.
        incident: The number of its incident.
        rule: The rule that it comes of.
        kind: Its kind.
        severity: How much it matters.
        message: What it is, in one sentence.
        again: Whether it was over before, and came again.
    """

    type: ClassVar[str] = "alert.fired"
    alert: int
    incident: int
    rule: str
    kind: str
    severity: Severity
    message: str
    again: bool


class AlertRaised(Event, frozen=True, kw_only=True):
    """An alert that fires matters more than before.

    Attributes:
        alert: Its number.
        severity: How much it matters now.
        message: What it is, in one sentence.
    """

    type: ClassVar[str] = "alert.raised"
    alert: int
    severity: Severity
    message: str


class AlertResolved(Event, frozen=True, kw_only=True):
    """An alert is over.

    Attributes:
        alert: Its number.
        ending: Why, in one sentence.
    """

    type: ClassVar[str] = "alert.resolved"
    alert: int
    ending: str


class AlertAcknowledged(Event, frozen=True, kw_only=True):
    """Somebody takes care of an alert.

    Attributes:
        alert: Its number.
        note: What they said.
    """

    type: ClassVar[str] = "alert.acknowledged"
    alert: int
    note: str


class Silenced(Event, frozen=True, kw_only=True):
    """For a while nobody is told of certain alerts.

    Attributes:
        silence: Its number.
        until: When it ends.
        reason: Why.
        alert: Of this alert only.
    """

    type: ClassVar[str] = "alerts.silenced"
    silence: int
    until: datetime
    reason: str
    alert: int | None = None


class Unsilenced(Event, frozen=True, kw_only=True):
    """A silence was ended before its time.

    Attributes:
        silence: Its number.
    """

    type: ClassVar[str] = "alerts.unsilenced"
    silence: int


class DeliveryGivenUp(Event, frozen=True, kw_only=True):
    """A message could not be delivered for so long that it is tried no more.

    Attributes:
        delivery: Its id.
        alert: The alert's number.
        sink: The sink's name.
        error: What went wrong the last time.
    """

    type: ClassVar[str] = "alert.delivery-given-up"
    delivery: str
    alert: int
    sink: str
    error: str
