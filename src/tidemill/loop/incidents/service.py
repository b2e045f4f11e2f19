"""Tells of incidents."""

from __future__ import annotations

from collections.abc import Callable

from tidemill.core.clock import Clock
from tidemill.core.policy import MonitorPolicy, Policy
from tidemill.journal.service import Journal
from tidemill.loop.incidents.plots import plots, shown
from tidemill.loop.incidents.records import Account, Plot
from tidemill.loop.incidents.timeline import timeline
from tidemill.monitoring.alerts.records import Alert, Incident
from tidemill.monitoring.alerts.service import Alerts
from tidemill.monitoring.service import Monitor


class Incidents:
    """What happened around alerts.

    Args:
        alerts: The alerts.
        monitor: Has the windows' reports.
        journal: What happened.
        clock: Tells the time.
        policy: Returns what the policy says now.
    """

    def __init__(
        self,
        alerts: Alerts,
        monitor: Monitor,
        journal: Journal,
        clock: Clock,
        policy: Callable[[], Policy],
    ) -> None:
        self._alerts = alerts
        self._monitor = monitor
        self._journal = journal
        self._clock = clock
        self._policy = policy

    def account(self, number: int) -> Account:
        """Tell of an incident.

        Raises:
            IncidentNotFound: There is none of that number.
        """
        incident, alerts = self._alerts.incident(number)
        now = self._clock.now()
        silences = [
            s for s in self._alerts.silences() if any(s.covers(alert, now) for alert in alerts)
        ]
        return Account(
            incident=incident,
            alerts=tuple(alerts),
            silences=tuple(silences),
            moments=tuple(timeline(self._journal, incident, alerts)),
            plots=tuple(self._plots(incident, alerts)),
            now=now,
        )

    def _plots(self, incident: Incident, alerts: list[Alert]) -> list[Plot]:
        endpoint = next((a.endpoint for a in alerts if a.endpoint), "")
        if not endpoint:
            return []
        policy = self._policy()
        model = next((a.model for a in alerts if a.model), endpoint)
        section = policy.models.get(model)
        watched = MonitorPolicy() if section is None else section.monitor
        end = incident.resolved or self._clock.now()
        reports = shown(self._monitor.windows(endpoint), incident.opened, end)
        return plots(alerts, reports, watched, policy.alerts.rules)
