"""A desk at which alerts are made and sent, over a real journal and a real database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from tidemill.core.clock import SimulatedClock
from tidemill.core.findings import FindingKind, Severity
from tidemill.core.ids import Ids
from tidemill.core.policy import AlertPolicy
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.monitoring.alerts.delivery import Dispatcher
from tidemill.monitoring.alerts.secrets import Secrets
from tidemill.monitoring.alerts.service import Alerts
from tidemill.monitoring.alerts.sources import MonitorSource
from tidemill.monitoring.events import FindingEnded, FindingRaised, WindowJudged
from tidemill.monitoring.records import Finding
from tidemill.monitoring.service import Monitor
from tidemill.storage.db.engine import Database

collect_ignore = ["killed_alerts.py"]
ENDPOINT = Ref("endpoint", "taxis")
WEEK = timedelta(days=7)


class Desk:
    """Alerts, their delivery, and a monitor that finds what it is told to find."""

    def __init__(
        self,
        db: Database,
        journal: Journal,
        clock: SimulatedClock,
        ids: Ids,
        folder: Path,
        environment: Mapping[str, str],
    ) -> None:
        self.db, self.journal, self.clock = db, journal, clock
        self.policy = AlertPolicy()
        self.readings: list[Any] = []
        monitor = Monitor(db, journal, clock, folder / "predictions", lambda _m, _v: None)
        self.alerts = Alerts(
            db,
            journal,
            clock,
            ids,
            policy=lambda: self.policy,
            sources=(
                MonitorSource(
                    journal, lambda endpoint, since: monitor.windows(endpoint, since=since)
                ),
            ),
            gauges=(lambda: self.readings,),
        )
        self.dispatcher = Dispatcher(
            db,
            journal,
            clock,
            ids,
            policy=lambda: self.policy,
            secrets=Secrets(environment, folder),
            logs=folder / "logs",
        )

    def judge(
        self, *found: FindingKind, severity: Severity = "warning", clear: bool = True
    ) -> None:
        """Let a week pass, and judge it as the monitor does: one window fact, and its findings."""
        since = self.clock.now()
        self.clock.set(since + WEEK)
        kinds: tuple[FindingKind, ...] = ("drift", "performance", "silence")
        over = tuple(k for k in kinds if k not in found) if clear else ()
        window = WindowJudged(
            endpoint="taxis",
            version=1,
            predictions=100,
            coverage=1.0,
            findings=len(found),
            since=since,
            until=since + WEEK,
            clear=over,
        )

        def write(connection: Connection) -> None:
            append = partial(self.journal.append, connection, subject=ENDPOINT, actor="monitoring")
            fact = append(window)
            for kind in found:
                finding = Finding(
                    kind=kind,
                    severity=severity,
                    endpoint="taxis",
                    model="taxi",
                    version=1,
                    since=since,
                    until=since + WEEK,
                    message=f"{kind} in the week from {since:%d %B}",
                )
                append(FindingRaised(finding=finding), cause=fact.id)

        self.db.write(write)

    def short_of(self, about: str, *, over: bool = False) -> None:
        """Raise or end a finding that has no window."""
        now = self.clock.now()
        finding = Finding(
            kind="health",
            severity="critical",
            endpoint="taxis",
            model="taxi",
            version=1,
            since=now,
            until=now,
            message=f"The {about} is full.",
            about=about,
        )
        raised = FindingRaised(finding=finding)
        ended = FindingEnded(
            kind="health", endpoint="taxis", model="taxi", message="There is room.", about=about
        )
        self.journal.record(ended if over else raised, subject=ENDPOINT, actor="monitoring")


@pytest.fixture
def environment() -> dict[str, str]:
    """The variables that sinks find."""
    return {}


@pytest.fixture
def desk(
    db: Database,
    journal: Journal,
    clock: SimulatedClock,
    ids: Ids,
    tmp_path: Path,
    environment: dict[str, str],
) -> Desk:
    """A desk."""
    return Desk(db, journal, clock, ids, tmp_path, environment)
