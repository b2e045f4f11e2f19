"""What becomes of alerts when something is seen or time passes.

Nothing here reads a clock, a database or the network: what is known goes in, what changes comes
out. So the same facts give the same alerts, whether at once, after a crash, or a year later.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from tidemill.core.events import Event
from tidemill.monitoring.alerts.events import AlertFired, AlertRaised, AlertResolved
from tidemill.monitoring.alerts.messages import message_of
from tidemill.monitoring.alerts.records import (
    Alert,
    Condition,
    Incident,
    Message,
    Observation,
    Reading,
    Sent,
    Silence,
)
from tidemill.monitoring.alerts.rules import Rule, Rules, fingerprint, judged, outranks


class Book(msgspec.Struct, kw_only=True):
    """What is known: everything that still may change.

    Attributes:
        conditions: What holds, by fingerprint.
        alerts: Those that fire, and those that may come again, by number.
        incidents: Likewise.
        silences: Those that have not ended.
        newest_alert: The largest number given so far.
        newest_incident: The largest number given so far.
    """

    conditions: dict[str, Condition] = {}
    alerts: dict[int, Alert] = {}
    incidents: dict[int, Incident] = {}
    silences: tuple[Silence, ...] = ()
    newest_alert: int = 0
    newest_incident: int = 0


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A fact to write: what happened to an alert, and the fact that led to it."""

    alert: int
    event: Event
    cause: str | None


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """A message for one sink."""

    sink: str
    message: Message


class Machine:
    """Changes a book.

    Args:
        book: What is known; it is changed in place.
        rules: The rules that hold now.
    """

    def __init__(self, book: Book, rules: Rules) -> None:
        self.book = book
        self._rules = rules
        self.conditions: set[str] = set()
        self.alerts: set[int] = set()
        self.incidents: set[int] = set()
        self.told: list[Told] = []
        self.posts: list[Post] = []

    @property
    def changed(self) -> bool:
        """Whether there is anything to keep."""
        return bool(self.conditions or self.alerts or self.incidents)

    def see(self, seen: Observation | Reading) -> None:
        """Take in what was seen."""
        if isinstance(seen, Observation):
            self._observe(seen)
        elif math.isfinite(seen.value):
            for name, rule in self._rules.over(seen):
                here = fingerprint(name, judged(name, rule, seen, open=False))
                self._observe(judged(name, rule, seen, open=here in self.book.conditions))

    def settle(self, now: datetime) -> None:
        """Do what is due: hold long enough, be clear long enough, tell what was held back."""
        for key in sorted(self.book.conditions):
            condition = self.book.conditions[key]
            rule = self._rules.named(condition.rule, condition.seen.kind)
            if rule is None:
                self._end(condition, now, f"There is no rule {condition.rule!r} any more.", None)
            elif condition.alert is None and condition.seen.standing:
                self._fire_if_held(condition, rule, now)
            elif condition.clear is not None and _lasted(condition.clear, now, rule.resolve_after):
                self._end(condition, now, _ending(condition.seen), condition.seen.fact)
        for number in sorted(self.book.alerts):
            self._tell(number, now)

    def end(self, number: int, now: datetime, ending: str) -> None:
        """Have an alert be over, whatever was seen; it comes again when it is seen again."""
        for condition in list(self.book.conditions.values()):
            if condition.alert == number:
                self._end(condition, now, ending, None)

    def _observe(self, seen: Observation) -> None:
        if not seen.holds:
            for key in sorted(self.book.conditions):
                if _same(self.book.conditions[key].seen, seen):
                    self._clear(self.book.conditions[key], seen)
            return
        rule = self._rules.of(seen)
        if rule is None:
            return
        seen = replace(seen, severity=rule.severity or seen.severity)
        key = fingerprint(rule.name, seen)
        known = self.book.conditions.get(key)
        if known is not None and _is_older(seen, known.seen):
            return
        if known is None:
            known = Condition(fingerprint=key, rule=rule.name, seen=seen, since=seen.time)
        elif known.clear is None and _is_mere_repetition(known.seen, seen):
            return
        known = replace(known, seen=seen, clear=None)
        self._keep(known)
        if known.alert is None:
            self._fire_if_held(known, rule, seen.time)
        else:
            self._renew(known.alert, seen)

    def _clear(self, known: Condition, seen: Observation) -> None:
        rule = self._rules.named(known.rule, known.seen.kind)
        if _is_older(seen, known.seen):
            return
        since = known.clear or seen.time
        if known.alert is None or rule is None or _lasted(since, seen.time, rule.resolve_after):
            self._end(known, seen.time, seen.message or _ending(known.seen), seen.fact)
        elif known.clear is None:
            self._keep(replace(known, clear=since))

    def _fire_if_held(self, known: Condition, rule: Rule, now: datetime) -> None:
        held = now if known.seen.standing else known.seen.time
        if not _lasted(known.since, held, rule.hold):
            return
        seen = known.seen
        earlier = self._earlier(known.fingerprint, now, rule)
        alert = self._again(earlier, seen, now) if earlier else self._new(known, rule, now)
        self._put(alert)
        self._keep(replace(known, alert=alert.number))
        fired = AlertFired(
            alert=alert.number,
            incident=alert.incident,
            rule=alert.rule,
            kind=alert.kind,
            severity=alert.severity,
            message=alert.message,
            again=alert.reopened > 0,
        )
        self.told.append(Told(alert=alert.number, event=fired, cause=seen.fact))
        self._tell(alert.number, now)
        if seen.momentary:
            self._end(self.book.conditions[known.fingerprint], now, "It is told.", seen.fact)

    def _earlier(self, key: str, now: datetime, rule: Rule) -> Alert | None:
        """Return the alert that this is again, where its end is not long ago."""
        found = [a for a in self.book.alerts.values() if a.fingerprint == key]
        newest = max(found, key=lambda a: a.number, default=None)
        if newest is None or newest.resolved is None:
            return None
        return newest if now - newest.resolved <= timedelta(seconds=rule.reopen) else None

    def _again(self, earlier: Alert, seen: Observation, now: datetime) -> Alert:
        alert = replace(
            _renewed(earlier, seen),
            status="firing",
            fired=now,
            resolved=None,
            ending="",
            reopened=earlier.reopened + 1,
            acknowledged=None,
            told=(),
        )
        incident = self.book.incidents.get(alert.incident)
        return replace(alert, incident=self._join(alert, incident, now))

    def _new(self, known: Condition, rule: Rule, now: datetime) -> Alert:
        seen = known.seen
        self.book.newest_alert += 1
        alert = Alert(
            number=self.book.newest_alert,
            incident=0,
            fingerprint=known.fingerprint,
            rule=rule.name,
            kind=seen.kind,
            about=seen.about,
            subject=seen.subject,
            endpoint=seen.endpoint,
            model=seen.model,
            version=seen.version,
            severity=seen.severity,
            status="firing",
            message=seen.message,
            value=seen.value,
            limit=seen.limit,
            opened=now,
            fired=now,
            seen=seen.time,
            facts=() if seen.fact is None else (seen.fact,),
        )
        ours = [
            i
            for i in self.book.incidents.values()
            if i.subject == alert.subject and i.status == "firing"
        ]
        newest = max(ours, key=lambda i: i.number, default=None)
        return replace(alert, incident=self._join(alert, newest, now))

    def _join(self, alert: Alert, incident: Incident | None, now: datetime) -> int:
        """Make an alert a part of an incident, which is open from then on."""
        if incident is None:
            self.book.newest_incident += 1
            incident = Incident(
                number=self.book.newest_incident,
                subject=alert.subject,
                status="firing",
                severity=alert.severity,
                title=alert.message,
                opened=now,
                alerts=(),
            )
        numbers = tuple(dict.fromkeys((*incident.alerts, alert.number)))
        incident = replace(incident, alerts=numbers, status="firing", resolved=None)
        if outranks(alert.severity, incident.severity):
            incident = replace(incident, severity=alert.severity, title=alert.message)
        self.book.incidents[incident.number] = incident
        self.incidents.add(incident.number)
        return incident.number

    def _renew(self, number: int, seen: Observation) -> None:
        before = self.book.alerts[number]
        alert = _renewed(before, seen)
        self._put(alert)
        if outranks(alert.severity, before.severity):
            raised = AlertRaised(alert=number, severity=alert.severity, message=alert.message)
            self.told.append(Told(alert=number, event=raised, cause=seen.fact))
            self._join(alert, self.book.incidents.get(alert.incident), seen.time)
        self._tell(number, seen.time)

    def _end(self, known: Condition, now: datetime, ending: str, cause: str | None) -> None:
        del self.book.conditions[known.fingerprint]
        self.conditions.add(known.fingerprint)
        if known.alert is None:
            return
        alert = replace(
            self.book.alerts[known.alert], status="resolved", resolved=now, ending=ending
        )
        self._put(alert)
        resolved = AlertResolved(alert=alert.number, ending=ending)
        self.told.append(Told(alert=alert.number, event=resolved, cause=cause))
        if not known.seen.momentary:
            self._post(alert, alert.told, "resolved")
        self._close(alert.incident, now)

    def _close(self, number: int, now: datetime) -> None:
        incident = self.book.incidents[number]
        alerts = [self.book.alerts.get(n) for n in incident.alerts]
        if any(a is not None and a.status == "firing" for a in alerts):
            return
        self.book.incidents[number] = replace(incident, status="resolved", resolved=now)
        self.incidents.add(number)

    def _tell(self, number: int, now: datetime) -> None:
        """Tell of an alert that fires, where nobody was told yet and nothing holds it back."""
        alert = self.book.alerts[number]
        if alert.status != "firing" or any(s.covers(alert, now) for s in self.book.silences):
            return
        worse = bool(alert.told) and outranks(alert.severity, alert.told_severity)
        if (alert.told or alert.acknowledged is not None) and not worse:
            return
        rule = self._rules.named(alert.rule, alert.kind)
        wait = timedelta(seconds=0 if rule is None else rule.cooldown)
        if not worse and alert.told_at is not None and now < alert.told_at + wait:
            return
        sinks = self._rules.route(rule, alert.severity)
        if not sinks:
            return
        told = tuple(dict.fromkeys((*alert.told, *sinks)))
        self._put(replace(alert, told=told, told_at=now, told_severity=alert.severity))
        self._post(alert, sinks, "firing")

    def _post(self, alert: Alert, sinks: tuple[str, ...], status: Sent) -> None:
        message = message_of(alert, status, page=self._rules.page)
        self.posts += [Post(sink=sink, message=message) for sink in sinks]

    def _put(self, alert: Alert) -> None:
        self.book.alerts[alert.number] = alert
        self.alerts.add(alert.number)

    def _keep(self, condition: Condition) -> None:
        self.book.conditions[condition.fingerprint] = condition
        self.conditions.add(condition.fingerprint)


def _renewed(alert: Alert, seen: Observation) -> Alert:
    facts = alert.facts
    if seen.fact is not None:
        facts = tuple(dict.fromkeys((*facts[:1], seen.fact)))
    return replace(
        alert,
        version=seen.version,
        severity=seen.severity,
        message=seen.message,
        value=seen.value,
        limit=seen.limit,
        seen=seen.time,
        facts=facts,
    )


def _same(known: Observation, seen: Observation) -> bool:
    """Tell whether what is said to be over is what was known to hold.

    A window says of a kind that it is over as a whole; it says nothing of what stands without
    windows.
    """
    if (known.kind, known.subject, known.rule) != (seen.kind, seen.subject, seen.rule):
        return False
    if known.standing and not seen.standing:
        return False
    return known.about == seen.about or (not seen.standing and not seen.about)


def _is_older(seen: Observation, known: Observation) -> bool:
    """Tell whether something is known from later data than what is said now."""
    return seen.until is not None and known.until is not None and seen.until < known.until


def _is_mere_repetition(known: Observation, seen: Observation) -> bool:
    """Tell whether a standing condition is only confirmed, which nobody needs to keep."""
    return known.standing and known.severity == seen.severity


def _lasted(since: datetime, now: datetime, seconds: float) -> bool:
    return now - since >= timedelta(seconds=seconds)


def _ending(seen: Observation) -> str:
    if seen.until is not None:
        return "The newest window does not show it any more."
    return "It holds no more."
