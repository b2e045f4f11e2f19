"""Alerts: read from the journal, kept, silenced, acknowledged, and put into words for sinks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace
from sqlalchemy import Connection

from tidemill.core.clock import Clock
from tidemill.core.errors import nearest
from tidemill.core.events import Fact
from tidemill.core.findings import HAPPENINGS, KINDS, Severity
from tidemill.core.ids import Ids
from tidemill.core.policy import AlertPolicy
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.monitoring.alerts import store
from tidemill.monitoring.alerts.errors import (
    AlertNotFound,
    AlertOver,
    BadSilence,
    IncidentNotFound,
    SilenceNotFound,
    SilenceOver,
)
from tidemill.monitoring.alerts.events import AlertAcknowledged, Silenced, Unsilenced
from tidemill.monitoring.alerts.machine import Machine
from tidemill.monitoring.alerts.protocol import Gauges, Source
from tidemill.monitoring.alerts.records import (
    FIGURE,
    Acknowledgement,
    Alert,
    Delivery,
    Incident,
    Observation,
    Reading,
    Silence,
    Status,
)
from tidemill.monitoring.alerts.rules import Rules
from tidemill.storage.db.engine import Database

ACTOR = "alerts"
SUBSCRIPTION = "alerts"
BATCH = 500
LONGEST = timedelta(days=366)
"""For how long a silence may be asked."""
_LONGEST_TEXT = 1000


class Alerts:
    """What a person should know.

    Args:
        db: The database.
        journal: What happened, and where alerts are written down.
        clock: Tells the time.
        ids: Name messages.
        policy: Returns what `[alerts]` says now.
        sources: Tell what facts say.
        gauges: Tell the figures of the moment.
    """

    def __init__(
        self,
        db: Database,
        journal: Journal,
        clock: Clock,
        ids: Ids,
        *,
        policy: Callable[[], AlertPolicy],
        sources: Sequence[Source],
        gauges: Sequence[Gauges] = (),
    ) -> None:
        self._db = db
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._policy = policy
        self._gauges = gauges
        self._readers = {kind: source for source in sources for kind in source.types}
        self._subscription = journal.subscribe(SUBSCRIPTION, tuple(self._readers))
        self._lock = threading.Lock()

    def tick(self) -> int:
        """Take in what happened, and do what is due; tell how many messages were made.

        Facts that are taken in, what comes of them and how far the journal was read are one
        write: after a crash nothing is told twice, and nothing is left out.
        """
        with self._lock:
            rules = Rules(self._policy())
            made = 0
            while facts := self._subscription.pending(BATCH):
                made += self._take_in(facts, rules)
                if len(facts) < BATCH:
                    break
            return made + self._look(rules)

    def alerts(self, *, status: Status | None = None, limit: int | None = None) -> list[Alert]:
        """Return alerts, newest first."""
        with self._db.read() as connection:
            return store.read_alerts(connection, status=status, limit=limit)

    def alert(self, number: int) -> Alert:
        """Return an alert.

        Raises:
            AlertNotFound: There is none of that number.
        """
        with self._db.read() as connection:
            return _known(store.read_alert(connection, number), number)

    def history(self, number: int) -> list[Fact]:
        """Return everything that happened to an alert, oldest first.

        Raises:
            AlertNotFound: There is none of that number.
        """
        self.alert(number)
        return self._journal.read(subject=Ref("alert", str(number)))

    def incidents(
        self, *, status: Status | None = None, limit: int | None = None
    ) -> list[Incident]:
        """Return incidents, newest first."""
        with self._db.read() as connection:
            return store.read_incidents(connection, status=status, limit=limit)

    def incident(self, number: int) -> tuple[Incident, list[Alert]]:
        """Return an incident and its alerts, the first to fire first.

        Raises:
            IncidentNotFound: There is none of that number.
        """
        with self._db.read() as connection:
            found = store.read_incident(connection, number)
            if found is None:
                raise IncidentNotFound(
                    f"There is no incident {number}.",
                    hint="`tidemill monitor incidents` lists them.",
                )
            return found, store.read_alerts(connection, incident=number)[::-1]

    def acknowledge(self, number: int, *, by: str, note: str = "") -> Alert:
        """Say that somebody takes care of an alert: nobody else is told of it until it is worse.

        Raises:
            AlertNotFound: There is none of that number.
            AlertOver: It does not fire any more.
        """
        now = self._clock.now()

        def work(connection: Connection) -> Alert:
            alert = _firing(store.read_alert(connection, number), number)
            taken = Acknowledgement(by=by, time=now, note=note[:_LONGEST_TEXT])
            alert = replace(alert, acknowledged=taken)
            store.set_alert(connection, alert)
            event = AlertAcknowledged(alert=number, note=taken.note)
            self._journal.append(connection, event, subject=Ref("alert", str(number)), actor=by)
            return alert

        return self._db.write(work)

    def resolve(self, number: int, *, by: str, reason: str) -> Alert:
        """Say that an alert is over, where nothing will: its endpoint is gone, or its rule moot.

        Raises:
            AlertNotFound: There is none of that number.
            AlertOver: It does not fire any more.
        """
        now = self._clock.now()
        rules = Rules(self._policy())

        def work(connection: Connection) -> Alert:
            _firing(store.read_alert(connection, number), number)
            machine = self._machine(connection, rules, now)
            machine.end(number, now, f"{by} says that it is over: {reason[:_LONGEST_TEXT]}")
            self._keep(connection, machine)
            return machine.book.alerts[number]

        with self._lock:
            return self._db.write(work)

    def silences(self, *, every: bool = False) -> list[Silence]:
        """Return the silences that hold, newest first; or all that were ever made."""
        now = self._clock.now()
        with self._db.read() as connection:
            found = store.read_silences(connection, None if every else now)
        return found if every else [s for s in found if s.ended is None]

    def silence(
        self,
        *,
        lasting: timedelta,
        reason: str,
        by: str,
        alert: int | None = None,
        kind: str | None = None,
        rule: str | None = None,
        endpoint: str | None = None,
        model: str | None = None,
        severity: Severity | None = None,
    ) -> Silence:
        """Have nobody told of certain alerts for a while.

        What still fires when the silence ends is told then.

        Raises:
            BadSilence: It has no reason, no end, or covers everything.
            AlertNotFound: It names an alert that is not there.
        """
        asked = (alert, kind, rule, endpoint, model, severity)
        if all(value is None for value in asked):
            raise BadSilence(
                "The silence would cover every alert.",
                expected="an alert, a kind, a rule, an endpoint, a model or a severity",
            )
        kinds = (*KINDS, *HAPPENINGS, FIGURE)
        if kind is not None and kind not in kinds:
            raise BadSilence(
                f"There are no alerts of kind {kind!r}.", expected=nearest(kind, kinds)
            )
        if not reason.strip():
            raise BadSilence("The silence has no reason.", expected="a sentence that says why")
        if not timedelta(0) < lasting <= LONGEST:
            raise BadSilence(
                f"The silence would last {lasting}.", expected=f"at most {LONGEST.days} days"
            )
        now = self._clock.now()

        def work(connection: Connection) -> Silence:
            if alert is not None:
                _known(store.read_alert(connection, alert), alert)
            silence = Silence(
                number=store.next_silence(connection),
                until=now + lasting,
                reason=reason.strip()[:_LONGEST_TEXT],
                by=by,
                made=now,
                alert=alert,
                kind=kind,
                rule=rule,
                endpoint=endpoint,
                model=model,
                severity=severity,
            )
            store.set_silence(connection, silence)
            event = Silenced(
                silence=silence.number, until=silence.until, reason=silence.reason, alert=alert
            )
            self._journal.append(connection, event, subject=_subject(silence), actor=by)
            return silence

        return self._db.write(work)

    def unsilence(self, number: int, *, by: str) -> Silence:
        """End a silence before its time.

        Raises:
            SilenceNotFound: There is none of that number.
            SilenceOver: It has ended already.
        """
        now = self._clock.now()

        def work(connection: Connection) -> Silence:
            silence = store.read_silence(connection, number)
            if silence is None:
                raise SilenceNotFound(
                    f"There is no silence {number}.", hint="`tidemill alerts silences` lists them."
                )
            if silence.ended is not None or silence.until <= now:
                ended = silence.ended or silence.until
                raise SilenceOver(f"Silence {number} ended at {ended:%Y-%m-%d %H:%M}.")
            silence = replace(silence, ended=now)
            store.set_silence(connection, silence)
            event = Unsilenced(silence=number)
            self._journal.append(connection, event, subject=_subject(silence), actor=by)
            return silence

        return self._db.write(work)

    def _take_in(self, facts: Sequence[Fact], rules: Rules) -> int:
        seen = [(fact.time, self._readers[fact.type](fact)) for fact in facts]
        last = facts[-1].position

        def work(connection: Connection) -> int:
            machine = self._machine(connection, rules, facts[0].time)
            for time, told in seen:
                for one in told:
                    machine.see(one)
                machine.settle(time)
            self._subscription.advance(connection, last)
            return self._keep(connection, machine)

        return self._db.write(work)

    def _look(self, rules: Rules) -> int:
        """Look at the figures of the moment, and at the clock; write only where that changes it."""
        gauges = self._gauges if rules.watch_the_system else ()
        readings = [reading for gauge in gauges for reading in gauge()]
        now = self._clock.now()
        with self._db.read() as connection:
            machine = self._machine(connection, rules, now)
        if not _moved(machine, readings, now):
            return 0

        def work(connection: Connection) -> int:
            machine = self._machine(connection, rules, now)
            _moved(machine, readings, now)
            return self._keep(connection, machine)

        return self._db.write(work)

    def _machine(self, connection: Connection, rules: Rules, first: datetime) -> Machine:
        since = min(first, self._clock.now()) - timedelta(seconds=rules.longest_reopen)
        return Machine(store.read_book(connection, since), rules)

    def _keep(self, connection: Connection, machine: Machine) -> int:
        book = machine.book
        for key in sorted(machine.conditions):
            store.set_condition(connection, key, book.conditions.get(key))
        for number in sorted(machine.alerts):
            store.set_alert(connection, book.alerts[number])
        for number in sorted(machine.incidents):
            store.set_incident(connection, book.incidents[number])
        for told in machine.told:
            subject = Ref("alert", str(told.alert))
            self._journal.append(
                connection, told.event, subject=subject, actor=ACTOR, cause=told.cause
            )
        now = self._clock.now()
        made = []
        for post in machine.posts:
            message = replace(post.message, id=self._ids.new())
            made.append(
                Delivery(
                    id=message.id,
                    sink=post.sink,
                    alert=message.number,
                    made=now,
                    due=now,
                    message=message,
                )
            )
        store.add_deliveries(connection, made)
        return len(made)


def _moved(machine: Machine, readings: Sequence[Observation | Reading], now: datetime) -> bool:
    for reading in readings:
        machine.see(reading)
    machine.settle(now)
    return machine.changed


def _known(alert: Alert | None, number: int) -> Alert:
    if alert is None:
        raise AlertNotFound(
            f"There is no alert {number}.", hint="`tidemill alerts list --all` lists them."
        )
    return alert


def _firing(alert: Alert | None, number: int) -> Alert:
    alert = _known(alert, number)
    if alert.status != "firing":
        raise AlertOver(
            f"Alert {number} is over since {alert.resolved:%Y-%m-%d %H:%M}.",
            expected="an alert that fires",
        )
    return alert


def _subject(silence: Silence) -> Ref:
    if silence.alert is not None:
        return Ref("alert", str(silence.alert))
    return Ref("alert", f"silence-{silence.number}")
