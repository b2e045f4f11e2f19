"""What is told of an incident."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from tidemill.monitoring.alerts.records import Alert, Incident, Silence

Lane = Literal["alert", "finding", "decision", "training", "rollout", "data", "people"]
Tone = Literal["bad", "warn", "good", "plain"]


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened.

    Attributes:
        time: When.
        lane: What kind of thing it is.
        title: In a few words.
        text: In a sentence.
        tone: Whether it is good news.
        fact: The id of the fact.
        cause: The id of the fact that led to it, where that is on the time line too.
        reference: What it is about.
    """

    time: datetime
    lane: Lane
    title: str
    text: str = ""
    tone: Tone = "plain"
    fact: str
    cause: str | None = None
    reference: str = ""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A figure over one window.

    Attributes:
        since: Where the window begins.
        until: Where it ends.
        value: The figure; nothing where it could not be told.
        low: The lower end of its interval.
        high: The upper end.
        expected: What was expected without labels.
        limit: What it was held against in this window.
        version: The live version.
    """

    since: datetime
    until: datetime
    value: float | None = None
    low: float | None = None
    high: float | None = None
    expected: float | None = None
    limit: float | None = None
    version: int


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """What a figure is held against in every window."""

    name: str
    value: float


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """A figure before, during and after an incident.

    Attributes:
        figure: Its name.
        points: By time.
        limits: What it is held against in every window.
        note: What the limits of single windows are.
    """

    figure: str
    points: tuple[Point, ...]
    limits: tuple[Limit, ...] = ()
    note: str = ""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is told of an incident.

    Attributes:
        incident: The incident.
        alerts: Its alerts, the first to fire first.
        silences: What holds messages about it back now.
        moments: What happened, in its order.
        plots: The figures that it is about.
        now: When this was told.
    """

    incident: Incident
    alerts: tuple[Alert, ...]
    silences: tuple[Silence, ...]
    moments: tuple[Moment, ...]
    plots: tuple[Plot, ...]
    now: datetime
