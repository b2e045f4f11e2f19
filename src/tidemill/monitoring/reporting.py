"""Gathers what is known of an endpoint into one report, from what the monitor keeps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from tidemill.core.policy import MonitorPolicy
from tidemill.monitoring.endpoint_report import EndpointReport
from tidemill.monitoring.estimate_history import estimate_history
from tidemill.monitoring.service import Monitor

MOST_FINDINGS = 1000


def report_endpoint(
    monitor: Monitor,
    endpoint: str,
    *,
    model: str,
    policy: MonitorPolicy,
    since: datetime | None,
    until: datetime,
    version: int | None = None,
    metrics: Sequence[str] = (),
) -> EndpointReport:
    """Gather what is known of an endpoint.

    Args:
        monitor: What watches it.
        endpoint: Which.
        model: The model that it serves.
        policy: How it is watched.
        since: Where the stretch begins; with the oldest window that is kept where left out.
        until: Where it ends, exclusive.
        version: Whose quality and drift are told; the one with the most answers if left out.
        metrics: Which metrics; all of the task's where it is empty.

    Raises:
        WindowNotFound: There is no prediction in the stretch.
    """
    known = [w for w in monitor.windows(endpoint) if w.since < until]
    begin = since or min((w.since for w in known), default=until - timedelta(seconds=policy.window))
    inside = tuple(w for w in reversed(known) if w.until > begin)
    whole = monitor.window(
        endpoint,
        model=model,
        policy=policy,
        since=begin,
        until=until,
        version=version,
        metrics=metrics,
    )
    spreads = monitor.spreads(
        endpoint,
        model=model,
        policy=policy,
        since=begin,
        until=until,
        version=whole.version,
    )
    found = monitor.findings(endpoint, limit=MOST_FINDINGS)
    return EndpointReport(
        whole=whole,
        windows=inside,
        spreads=spreads,
        findings=tuple(f for f in found if f.until > begin and f.since < until),
        estimates=estimate_history(inside),
        watched=next(iter((*metrics, *whole.realised, *whole.estimated)), None),
        performance_drop=policy.performance_drop,
        made=until,
    )
