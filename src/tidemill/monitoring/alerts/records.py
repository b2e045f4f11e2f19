"""What was seen, the alerts that come of it, and what is said about them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from tidemill.core.findings import Severity

Status = Literal["firing", "resolved"]
Sent = Literal["firing", "resolved", "test"]
DeliveryStatus = Literal["waiting", "delivered", "dead"]
FIGURE = "figure"
"""The kind of whatever a rule with `metric` sees."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """Something that holds, or does so no more.

    Attributes:
        kind: A kind of finding, a happening, or `figure`.
        holds: Whether it holds.
        time: When that became known.
        subject: The reference of what it is about: `endpoint:flight-delay`, `dataset:flights`.
        about: Which of several of its kind: a column, a disk, a figure's name.
        endpoint: Where, if it is an endpoint's.
        model: Of which model, if it is one's.
        version: Of which version, if it is one's.
        until: The end of the data that told it; nothing where it is of the moment.
        severity: How much it matters.
        message: One sentence for people.
        fact: The id of the fact that told it.
        standing: Whether it holds from then on until it is said to be over; else it is known to
            hold only as far as it was seen, as with windows.
        momentary: Whether it is over as soon as it is told, and nobody is told that it is.
        value: The figure, where there is one.
        limit: What the figure is held against.
        rule: The rule that saw it, where only that one can.
    """

    kind: str
    holds: bool
    time: datetime
    subject: str
    about: str = ""
    endpoint: str = ""
    model: str = ""
    version: int | None = None
    until: datetime | None = None
    severity: Severity = "warning"
    message: str = ""
    fact: str | None = None
    standing: bool = False
    momentary: bool = False
    value: float | None = None
    limit: float | None = None
    rule: str | None = None


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A figure as it is now, for rules with `metric`.

    Attributes:
        name: Its name: `recall`, `coverage`, `drift.temp`, `system.disk`.
        value: The figure.
        time: When it became known.
        subject: The reference of what it is about.
        source: `realised` or `estimated` for quality.
        about: Which of several, where a subject has more than one of the name.
        endpoint: Where, if it is an endpoint's.
        model: Of which model, if it is one's.
        version: Of which version, if it is one's.
        until: The end of the data that told it; nothing where it is of the moment.
        fact: The id of the fact that told it.
    """

    name: str
    value: float
    time: datetime
    subject: str
    source: Literal["realised", "estimated"] = "realised"
    about: str = ""
    endpoint: str = ""
    model: str = ""
    version: int | None = None
    until: datetime | None = None
    fact: str | None = None


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """Something that holds now, whether it is an alert yet or not.

    Attributes:
        fingerprint: What it is, and whose rule saw it.
        rule: The rule's name; the kind's where none named it.
        seen: The newest observation that it holds.
        since: When it was first known to hold.
        clear: Since when it is known to hold no more, where it must be clear for a while.
        alert: The number of the alert that came of it.
    """

    fingerprint: str
    rule: str
    seen: Observation
    since: datetime
    clear: datetime | None = None
    alert: int | None = None


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody has seen an alert and takes care of it."""

    by: str
    time: datetime
    note: str = ""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person should know: one alert, from its first moment to its last.

    Attributes:
        number: How people name it.
        incident: The number of the incident that it belongs to.
        fingerprint: What it is; the same for as long as the same thing comes again.
        rule: The rule that it comes of; the kind where no rule named it.
        kind: A kind of finding, a happening, or `figure`.
        about: Which of several of its kind.
        subject: The reference of what it is about.
        endpoint: Where, if it is an endpoint's.
        model: Of which model, if it is one's.
        version: Of which version, if it is one's.
        severity: How much it matters.
        status: Whether it fires or is over.
        message: One sentence for people.
        value: The figure, where there is one.
        limit: What the figure is held against.
        opened: When it fired first.
        fired: When it fired last.
        seen: When it was last seen to hold.
        resolved: When it was over.
        ending: Why it was over, in one sentence.
        reopened: How often it came again.
        acknowledged: Who takes care of it.
        told: The sinks that were told of it since it fired last.
        told_at: When a message about it was last made.
        told_severity: The severity that was told.
        facts: The ids of the facts that it comes of: the first one, and the newest.
    """

    number: int
    incident: int
    fingerprint: str
    rule: str
    kind: str
    about: str
    subject: str
    endpoint: str
    model: str
    version: int | None
    severity: Severity
    status: Status
    message: str
    value: float | None = None
    limit: float | None = None
    opened: datetime
    fired: datetime
    seen: datetime
    resolved: datetime | None = None
    ending: str = ""
    reopened: int = 0
    acknowledged: Acknowledgement | None = None
    told: tuple[str, ...] = ()
    told_at: datetime | None = None
    told_severity: Severity | None = None
    facts: tuple[str, ...] = ()


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """The alerts of one subject that belong together because they overlap in time.

    Attributes:
        number: How people name it.
        subject: The reference of what it is about.
        status: Whether one of its alerts fires.
        severity: The largest of its alerts'.
        title: The message of the alert that matters most.
        opened: When its first alert fired.
        resolved: When its last alert was over.
        alerts: Their numbers, the first to fire first.
    """

    number: int
    subject: str
    status: Status
    severity: Severity
    title: str
    opened: datetime
    resolved: datetime | None = None
    alerts: tuple[int, ...]


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """For a while, nobody is told of certain alerts; they are kept all the same.

    Attributes:
        number: How people name it.
        until: When it ends.
        reason: Why.
        by: Who asked for it.
        made: When.
        alert: Of this alert only.
        kind: Of this kind only.
        rule: Of this rule only.
        endpoint: Of this endpoint only.
        model: Of this model only.
        severity: Of this severity only.
        ended: When it was ended before its time.
    """

    number: int
    until: datetime
    reason: str
    by: str
    made: datetime
    alert: int | None = None
    kind: str | None = None
    rule: str | None = None
    endpoint: str | None = None
    model: str | None = None
    severity: Severity | None = None
    ended: datetime | None = None

    def covers(self, alert: Alert, now: datetime) -> bool:
        """Tell whether nobody is to be told of an alert now."""
        if self.ended is not None or not self.made <= now < self.until:
            return False
        asked = (
            (self.alert, alert.number),
            (self.kind, alert.kind),
            (self.rule, alert.rule),
            (self.endpoint, alert.endpoint),
            (self.model, alert.model),
            (self.severity, alert.severity),
        )
        return all(wanted is None or wanted == has for wanted, has in asked)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What a sink is given.

    Attributes:
        id: Names the message. A message that arrives twice has the same: keep it once.
        status: `firing`, `resolved`, or `test`.
        severity: How much it matters.
        title: One line.
        text: One sentence or two.
        number: The alert's number.
        incident: The incident's number.
        fingerprint: What the alert is.
        kind: Its kind.
        rule: The rule that it comes of.
        subject: The reference of what it is about.
        endpoint: Where, if it is an endpoint's.
        model: Of which model, if it is one's.
        version: Of which version, if it is one's.
        value: The figure, where there is one.
        limit: What the figure is held against.
        opened: When it fired first.
        time: When it fired last, or was over.
        link: Where the incident can be looked at, where the policy names an address.
    """

    id: str
    status: Sent
    severity: Severity
    title: str
    text: str
    number: int
    incident: int
    fingerprint: str
    kind: str
    rule: str
    subject: str
    endpoint: str = ""
    model: str = ""
    version: int | None = None
    value: float | None = None
    limit: float | None = None
    opened: datetime
    time: datetime
    link: str = ""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A message on its way to one sink.

    Attributes:
        id: The message's id with the sink: the key by which a receiver can tell repetitions.
        sink: The sink's name in the policy.
        alert: The alert's number.
        status: `waiting`, `delivered`, or `dead` after a day of attempts.
        attempts: How often it was tried.
        made: When it was made.
        due: When it is tried next.
        ended: When it arrived, or was given up.
        error: What went wrong the last time.
        message: The message.
    """

    id: str
    sink: str
    alert: int
    status: DeliveryStatus = "waiting"
    attempts: int = 0
    made: datetime
    due: datetime
    ended: datetime | None = None
    error: str = ""
    message: Message


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a test message.

    Attributes:
        sink: The sink's name in the policy.
        kind: The sink's kind.
        arrived: Whether it was taken.
        error: What went wrong.
    """

    sink: str
    kind: str
    arrived: bool
    error: str = ""
