"""What people are told, and what they say to that."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import msgspec

from tidemill.core.events import Fact
from tidemill.core.findings import Severity
from tidemill.core.policy.durations import duration
from tidemill.loop.incidents.records import Account
from tidemill.monitoring.alerts.errors import BadSilence
from tidemill.monitoring.alerts.prometheus import prometheus_rules
from tidemill.monitoring.alerts.records import (
    Alert,
    Delivery,
    DeliveryStatus,
    Incident,
    Silence,
    Status,
    Trial,
)
from tidemill.server.operations.subject import USER, Limit, Subject, changes

Number = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_LONGEST = 100 * 366 * 24 * 3600.0


class Telling(Subject):
    """What people are told, and what they say to that."""

    def alerts(self, status: Status | None = None, limit: Limit = 100) -> list[Alert]:
        """Alerts, newest first."""
        return self._home.alerts.alerts(status=status, limit=limit)

    def alert(self, number: Number) -> Alert:
        """One alert."""
        return self._home.alerts.alert(number)

    def alert_history(self, number: Number) -> list[Fact]:
        """Everything that happened to an alert, oldest first."""
        return self._home.alerts.history(number)

    def incidents(self, status: Status | None = None, limit: Limit = 100) -> list[Incident]:
        """Incidents, newest first."""
        return self._home.alerts.incidents(status=status, limit=limit)

    def incident(self, number: Number) -> Account:
        """What happened around an incident: alerts, causes, what was done, and how it ended."""
        return self._home.incidents.account(number)

    def silences(self, every: bool = False) -> list[Silence]:
        """What holds messages back now; or all that ever did."""
        return self._home.alerts.silences(every=every)

    def alert_deliveries(
        self,
        status: DeliveryStatus | None = None,
        alert: Number | None = None,
        limit: Limit = 100,
    ) -> list[Delivery]:
        """Messages and whether they arrived, newest first."""
        return self._home.dispatcher.deliveries(status=status, alert=alert, limit=limit)

    def prometheus_rules(self) -> str:
        """The policy's rules as a Prometheus rules file."""
        return prometheus_rules(self._home.policy.alerts)

    @changes
    def acknowledge(self, number: Number, note: str = "") -> Alert:
        """Say that somebody takes care of an alert."""
        return self._home.alerts.acknowledge(number, by=USER, note=note)

    @changes
    def resolve(self, number: Number, reason: str) -> Alert:
        """Say that an alert is over, where nothing will."""
        return self._home.alerts.resolve(number, by=USER, reason=reason)

    @changes
    def silence(
        self,
        lasting: str,
        reason: str,
        alert: Number | None = None,
        kind: str | None = None,
        rule: str | None = None,
        endpoint: str | None = None,
        model: str | None = None,
        severity: Severity | None = None,
    ) -> Silence:
        """Have nobody told of certain alerts for a while."""
        seconds = duration(lasting)
        if seconds is None or seconds > _LONGEST:
            raise BadSilence(
                f"{lasting!r} is no length of time.",
                expected="a number and a unit, such as 2h or 3d",
            )
        return self._home.alerts.silence(
            lasting=timedelta(seconds=seconds),
            reason=reason,
            by=USER,
            alert=alert,
            kind=kind,
            rule=rule,
            endpoint=endpoint,
            model=model,
            severity=severity,
        )

    @changes
    def unsilence(self, number: Number) -> Silence:
        """End a silence before its time."""
        return self._home.alerts.unsilence(number, by=USER)

    @changes
    def test_sinks(self, sinks: tuple[str, ...] = ()) -> list[Trial]:
        """Send a test message to sinks, all of them where none is named."""
        return self._home.dispatcher.test(sinks)

    @changes
    def redeliver(self, id: str) -> Delivery:
        """Try a message again that was given up."""
        return self._home.dispatcher.again(id)
