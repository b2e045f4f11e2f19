"""What the monitor knows and found."""

from __future__ import annotations

from datetime import datetime, timedelta

from tidemill.core.policy import MonitorPolicy
from tidemill.core.policy.durations import duration
from tidemill.monitoring.endpoint_report import EndpointReport
from tidemill.monitoring.health.records import Health
from tidemill.monitoring.records import EstimateHistory, Finding, WindowReport
from tidemill.server.operations.errors import BadArgument
from tidemill.server.operations.moments import moment_of
from tidemill.server.operations.subject import Limit, Subject


class Watching(Subject):
    """What the monitor knows and found."""

    def windows(self, endpoint: str, limit: Limit = 12) -> list[WindowReport]:
        """Windows' reports, newest first."""
        self._home.deployments.get(endpoint)
        return self._home.monitor.windows(endpoint, limit=limit)

    def window(
        self, endpoint: str, since: str, until: str, version: int | None = None
    ) -> WindowReport:
        """What is known of any stretch of an endpoint's predictions."""
        model, policy, metrics = self._watched(endpoint)
        begin, end = moment_of("since", since), moment_of("until", until)
        _check_stretch(begin, end)
        return self._home.monitor.window(
            endpoint,
            model=model,
            policy=policy,
            since=begin,
            until=end,
            version=version,
            metrics=metrics,
        )

    def report(
        self,
        endpoint: str,
        since: str | None = None,
        until: str | None = None,
        version: int | None = None,
    ) -> EndpointReport:
        """All that is known of an endpoint over a stretch of time, or since it is watched."""
        from tidemill.monitoring.reporting import report_endpoint

        model, policy, metrics = self._watched(endpoint)
        begin = None if since is None else moment_of("since", since)
        end = self._home.clock.now() if until is None else moment_of("until", until)
        _check_stretch(begin, end)
        return report_endpoint(
            self._home.monitor,
            endpoint,
            model=model,
            policy=policy,
            since=begin,
            until=end,
            version=version,
            metrics=metrics,
        )

    def estimates(self, endpoint: str) -> EstimateHistory:
        """How near the estimates of quality came to what the labels told."""
        self._home.deployments.get(endpoint)
        return self._home.monitor.estimates(endpoint)

    def findings(self, endpoint: str | None = None, limit: Limit = 50) -> list[Finding]:
        """What the monitor found, newest first."""
        return self._home.monitor.findings(endpoint, limit=limit)

    def health(self, since: str | None = None, until: str | None = None) -> Health:
        """How the machine, its processes and the endpoints fare; the last hour if nothing is said.

        `since` may be a moment or how long ago: `6h`, `3d`.
        """
        begin = None if since is None else self._begin(since)
        return self._home.health.tell(begin, None if until is None else moment_of("until", until))

    def _watched(self, endpoint: str) -> tuple[str, MonitorPolicy, tuple[str, ...]]:
        """Return the model behind an endpoint, how it is watched, and by which metrics."""
        model = self._home.deployments.get(endpoint).champion.model
        policy = self._home.policy.models.get(model)
        return (
            (model, MonitorPolicy(), ())
            if policy is None
            else (model, policy.watching, policy.metrics)
        )

    def _begin(self, since: str) -> datetime:
        ago = duration(since)
        if ago is None:
            return moment_of("since", since)
        return self._home.clock.now() - timedelta(seconds=ago)


def _check_stretch(since: datetime | None, until: datetime) -> None:
    if since is not None and since >= until:
        raise BadArgument(
            f"The stretch from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} is empty.",
            expected="since before until",
        )
