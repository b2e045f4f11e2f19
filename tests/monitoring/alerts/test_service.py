"""Alerts from the journal's facts, and what people say to them."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from tidemill.core.clock import SimulatedClock
from tidemill.core.errors import Conflict, NotFound, Usage
from tidemill.core.ids import Ids
from tidemill.core.policy import AlertPolicy, AlertRule
from tidemill.core.policy.reader import read_policy
from tidemill.journal.service import Journal
from tidemill.monitoring.alerts.events import AlertFired, AlertResolved
from tidemill.monitoring.alerts.records import Reading
from tidemill.monitoring.alerts.steadiness import SteadyPolicy
from tidemill.monitoring.events import FindingRaised
from tidemill.monitoring.records import Finding
from tidemill.storage.db.engine import Database

from .conftest import ENDPOINT, WEEK, Desk

HOUR = timedelta(hours=1)
BEGIN = datetime(2013, 2, 1, tzinfo=UTC)


def test_findings_become_alerts_and_end_with_the_window_that_does_not_show_them(
    desk: Desk,
) -> None:
    desk.judge("drift", "performance")
    assert desk.alerts.tick() == 2
    assert [(a.kind, a.status) for a in desk.alerts.alerts()] == [
        ("performance", "firing"),
        ("drift", "firing"),
    ]
    desk.judge("drift")
    desk.alerts.tick()
    firing = desk.alerts.alerts(status="firing")
    assert [a.kind for a in firing] == ["drift"]
    incident, alerts = desk.alerts.incident(1)
    assert incident.status == "firing"
    assert [a.number for a in alerts] == [1, 2]
    desk.judge()
    desk.alerts.tick()
    assert desk.alerts.incident(1)[0].status == "resolved"


def test_a_window_that_cannot_be_judged_ends_nothing(desk: Desk) -> None:
    desk.judge("performance")
    desk.judge(clear=False)
    desk.alerts.tick()
    assert [a.status for a in desk.alerts.alerts()] == ["firing"]


def test_each_alert_names_the_fact_that_led_to_it(desk: Desk, journal: Journal) -> None:
    desk.judge("drift")
    desk.judge()
    desk.alerts.tick()
    fired, resolved = journal.read(types=(AlertFired.type, AlertResolved.type))
    assert fired.cause is not None
    assert journal.get(fired.cause).type == "finding.raised"
    assert resolved.cause is not None
    assert journal.get(resolved.cause).type == "window.judged"
    assert [f.id for f in desk.alerts.history(1)] == [fired.id, resolved.id]


def test_nothing_new_is_no_write_and_no_message(desk: Desk, db: Database) -> None:
    desk.judge("drift")
    desk.alerts.tick()
    commits = []
    db.watch(lambda: commits.append(1))
    for _ in range(3):
        desk.clock.sleep(600)
        assert desk.alerts.tick() == 0
    assert commits == []


def test_late_labels_that_reveal_an_old_fall_make_an_alert_that_is_over(
    desk: Desk, journal: Journal
) -> None:
    desk.judge(clear=False)
    desk.judge()
    desk.alerts.tick()
    now = desk.clock.now()
    finding = Finding(
        kind="performance",
        severity="critical",
        endpoint="taxis",
        model="taxi",
        version=1,
        since=now - 2 * WEEK,
        until=now - WEEK,
        message="recall fell",
    )
    journal.record(FindingRaised(finding=finding), subject=ENDPOINT, actor="m", cause="window")
    desk.alerts.tick()
    assert [a.status for a in desk.alerts.alerts()] == ["resolved"]
    told = [d.message.status for d in desk.dispatcher.deliveries()]
    assert told == ["resolved", "firing"]


def test_findings_without_windows_stand_until_they_are_said_to_be_over(desk: Desk) -> None:
    desk.short_of("disk")
    desk.judge()
    desk.alerts.tick()
    assert [a.about for a in desk.alerts.alerts(status="firing")] == ["disk"]
    desk.short_of("disk", over=True)
    desk.alerts.tick()
    assert [a.ending for a in desk.alerts.alerts()] == ["There is room."]


def test_figures_of_the_moment_fire_and_end_by_rules(desk: Desk, clock: SimulatedClock) -> None:
    desk.policy = AlertPolicy(rules={"full": AlertRule(metric="system.disk", above=90, hold=600)})

    def measure(value: float) -> None:
        clock.sleep(300)
        time = clock.now()
        desk.readings = [
            Reading(name="system.disk", value=value, time=time, subject="source:home", about="/")
        ]
        desk.alerts.tick()

    for value in (95, 96):
        measure(value)
    assert desk.alerts.alerts() == []
    measure(97)
    alert = desk.alerts.alert(1)
    assert (alert.status, alert.about, alert.subject) == ("firing", "system.disk//", "source:home")
    measure(50)
    assert desk.alerts.alert(1).status == "resolved"


def test_acknowledged_it_is_told_no_more_until_it_is_over(desk: Desk) -> None:
    desk.policy = AlertPolicy(cooldown=0)
    desk.judge("drift")
    desk.alerts.tick()
    taken = desk.alerts.acknowledge(1, by="user:ada", note="on it").acknowledged
    assert taken is not None
    assert (taken.by, taken.note) == ("user:ada", "on it")
    desk.judge("drift")
    assert desk.alerts.tick() == 0
    desk.judge()
    assert desk.alerts.tick() == 1
    with pytest.raises(Conflict, match="is over since"):
        desk.alerts.acknowledge(1, by="user:ada")


def test_a_silence_has_an_end_and_a_reason_and_can_be_ended(desk: Desk) -> None:
    silence = desk.alerts.silence(lasting=2 * WEEK, reason="a move", by="user:ada", kind="drift")
    desk.judge("drift")
    assert desk.alerts.tick() == 0
    assert desk.alerts.silences() == [silence]
    desk.alerts.unsilence(silence.number, by="user:ada")
    assert desk.alerts.silences() == []
    assert len(desk.alerts.silences(every=True)) == 1
    assert desk.alerts.tick() == 1
    with pytest.raises(Conflict, match="ended at"):
        desk.alerts.unsilence(silence.number, by="user:ada")


def test_mistakes_are_named(desk: Desk) -> None:
    with pytest.raises(NotFound, match="no alert 7"):
        desk.alerts.acknowledge(7, by="u")
    with pytest.raises(NotFound, match="no incident 7"):
        desk.alerts.incident(7)
    with pytest.raises(NotFound, match="no silence 7"):
        desk.alerts.unsilence(7, by="u")
    with pytest.raises(NotFound, match="no alert 7"):
        desk.alerts.silence(lasting=HOUR, reason="r", by="u", alert=7)
    with pytest.raises(Usage, match="cover every alert"):
        desk.alerts.silence(lasting=HOUR, reason="r", by="u")
    with pytest.raises(Usage, match="no alerts of kind"):
        desk.alerts.silence(lasting=HOUR, reason="r", by="u", kind="drft")
    with pytest.raises(Usage, match="no reason"):
        desk.alerts.silence(lasting=HOUR, reason=" ", by="u", kind="drift")
    for lasting in (timedelta(0), timedelta(days=4000)):
        with pytest.raises(Usage, match="would last"):
            desk.alerts.silence(lasting=lasting, reason="r", by="u", kind="drift")


def test_a_policy_that_cannot_be_read_leaves_the_rules_of_before(
    desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "tidemill.toml"
    file.write_text('[alerts.rules.r]\non = ["drift"]\nseverity = "critical"\n')
    steady = SteadyPolicy(lambda: read_policy(file.read_bytes()).alerts)
    before = steady()
    file.write_text("[alerts.rules.r\n")
    assert steady() == before
    assert steady() == before
    assert len(caplog.records) == 1


def test_the_same_facts_give_the_same_alerts_whenever_they_are_read(
    tmp_path: Path,
) -> None:
    def year(folder: Path, pace: int) -> list[object]:
        folder.mkdir()
        own = Database.open(f"sqlite:///{folder}/t.db")
        clock = SimulatedClock(BEGIN)
        ids = Ids(clock, random.Random(0))
        desk = Desk(own, Journal(own, clock, ids), clock, ids, folder, {})
        rng = random.Random(4)
        for week in range(40):
            desk.judge(*rng.sample(["drift", "performance"], rng.randint(0, 2)))  # type: ignore[arg-type]
            if week % pace == 0:
                desk.alerts.tick()
        desk.alerts.tick()
        found: list[object] = [*desk.alerts.alerts(), *desk.alerts.incidents()]
        own.close()
        return found

    at_once, late = year(tmp_path / "a", 1), year(tmp_path / "b", 13)
    assert len(at_once) > 10
    # The facts' own ids are made by the clock and by chance, and so differ.
    assert [without_facts(a) for a in at_once] == [without_facts(a) for a in late]


def without_facts(found: object) -> object:
    return msgspec.structs.replace(found, facts=()) if hasattr(found, "facts") else found  # type: ignore[type-var]
