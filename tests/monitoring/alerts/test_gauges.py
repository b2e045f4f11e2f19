"""Rules over the figures of the machine, its processes and endpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids
from tidemill.core.policy import AlertPolicy, AlertRule, HealthPolicy
from tidemill.journal.service import Journal
from tidemill.monitoring.alerts.gauges import HealthGauges
from tidemill.monitoring.alerts.service import Alerts
from tidemill.monitoring.alerts.sources import MonitorSource
from tidemill.monitoring.episodes import Episodes
from tidemill.monitoring.health.records import Gauge, Stretch
from tidemill.monitoring.health.service import HealthWatch
from tidemill.monitoring.service import Monitor
from tidemill.storage.db.engine import Database


class Machine:
    """A machine whose figures the test sets, watched by alerts."""

    def __init__(
        self, db: Database, journal: Journal, clock: SimulatedClock, ids: Ids, folder: Path
    ) -> None:
        self.clock = clock
        self.gauges: dict[str, float] = {}
        self.policy = AlertPolicy()
        health = HealthPolicy(lasting=60.0)
        self.watch = HealthWatch(
            db, clock, Episodes(db, journal), lambda: health, lambda _: ("taxi", 3)
        )
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
            gauges=(HealthGauges(self.watch, clock, lambda _: ("taxi", 3)),),
        )

    def sample(self, since: int, seconds: int) -> Stretch:
        return Stretch(
            since=since, seconds=seconds, gauges={n: Gauge.of(v) for n, v in self.gauges.items()}
        )

    def run(self, seconds: int, **gauges: float) -> list[str]:
        """Let time pass with these figures; return what fires at its end."""
        self.gauges = {name.replace("__", "/").replace("_", " "): v for name, v in gauges.items()}
        for _ in range(seconds // 10):
            self.clock.sleep(10)
            self.watch.take(self)  # type: ignore[arg-type]
            self.alerts.tick()
        return [a.message for a in self.alerts.alerts(status="firing")]


@pytest.fixture
def machine(
    db: Database, journal: Journal, clock: SimulatedClock, ids: Ids, tmp_path: Path
) -> Machine:
    return Machine(db, journal, clock, ids, tmp_path)


def test_a_limit_of_the_system_must_be_passed_long_enough_and_ends_by_itself(
    machine: Machine,
) -> None:
    rule = AlertRule(metric="system.disk.used", above=0.7, recovered=0.6, hold=120)
    machine.policy = AlertPolicy(rules={"full": rule})
    assert machine.run(120, disk__used=0.8) == []
    assert machine.run(60, disk__used=0.8) == ["system.disk.used is 0.8, above the limit of 0.7."]
    assert len(machine.run(120, disk__used=0.65)) == 1
    assert machine.run(120, disk__used=0.5) == []


def test_each_worker_is_an_alert_of_its_own_and_an_endpoint_is_named(machine: Machine) -> None:
    machine.policy = AlertPolicy(
        rules={
            "big": AlertRule(metric="system.worker.memory", above=100),
            "slow": AlertRule(metric="system.endpoint.waiting", above=5, endpoints=("taxis",)),
        }
    )
    machine.run(
        30,
        worker_0__memory=200,
        worker_1__memory=300,
        worker_2__memory=50,
        endpoint_taxis__waiting=9,
        endpoint_buses__waiting=9,
    )
    found = machine.alerts.alerts(status="firing")
    assert sorted((a.rule, a.about, a.endpoint, a.version) for a in found) == [
        ("big", "system.worker.memory/worker 0", "", None),
        ("big", "system.worker.memory/worker 1", "", None),
        ("slow", "system.endpoint.waiting", "taxis", 3),
    ]


def test_what_health_finds_is_an_alert_and_over_when_it_says_so(machine: Machine) -> None:
    assert any("processors" in said for said in machine.run(120, machine__cpu=0.99))
    alert = machine.alerts.alerts()[0]
    assert (alert.kind, alert.subject, alert.endpoint) == ("health", "machine:local", "")
    assert machine.run(180, machine__cpu=0.2) == []


def test_nothing_is_read_where_no_rule_asks(machine: Machine) -> None:
    asked = []
    machine.watch.tell = lambda **_: asked.append(1)  # type: ignore[method-assign, assignment, func-returns-value]
    machine.run(30, disk__used=0.5)
    assert asked == []
