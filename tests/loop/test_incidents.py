"""An incident's time line, by the causes that facts name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tidemill.core.clock import SimulatedClock
from tidemill.core.events import Event, Fact
from tidemill.core.ids import Ids
from tidemill.core.policy import AlertPolicy, AlertRule, Policy
from tidemill.core.references import Ref
from tidemill.datasets.events import DataAppended, DataRefused
from tidemill.journal.service import Journal
from tidemill.loop.alerting import LoopSource
from tidemill.loop.events import CarriedOut, Decided, Failed
from tidemill.loop.incidents.records import Account
from tidemill.loop.incidents.service import Incidents
from tidemill.loop.incidents.words import TYPES
from tidemill.loop.records import Decision, DecisionKind
from tidemill.monitoring import store
from tidemill.monitoring.alerts.service import Alerts
from tidemill.monitoring.alerts.sources import MonitorSource
from tidemill.monitoring.events import FindingRaised, WindowJudged
from tidemill.monitoring.records import ColumnDrift, Finding, WindowReport
from tidemill.monitoring.service import Monitor
from tidemill.pipelines.events import GateJudged
from tidemill.pipelines.records import GateReport, RuleReport
from tidemill.serving.events import Deployed, RolloutJudged, RolloutMoved
from tidemill.storage.db.engine import Database

ENDPOINT, MODEL, ROLLOUT = Ref("endpoint", "taxis"), Ref("model", "taxi"), Ref("rollout", "r1")
WEEK = timedelta(days=7)


class Story:
    """Writes what happens, and tells of it."""

    def __init__(self, db: Database, clock: SimulatedClock, ids: Ids, folder: Any) -> None:
        self.db, self.clock, self.ids = db, clock, ids
        self.journal = Journal(db, clock, ids)
        self.monitor = Monitor(db, self.journal, clock, folder, lambda _m, _v: None)
        self.policy = Policy()
        self.alerts = Alerts(
            db,
            self.journal,
            clock,
            ids,
            policy=lambda: self.policy.alerts,
            sources=(
                MonitorSource(self.journal, lambda e, since: self.monitor.windows(e, since=since)),
                LoopSource(),
            ),
        )
        self.incidents = Incidents(
            self.alerts, self.monitor, self.journal, clock, lambda: self.policy
        )

    def tell(self, event: Event, subject: Ref, cause: Fact | None = None) -> Fact:
        self.clock.sleep(60)
        known = None if cause is None else cause.id
        return self.journal.record(event, subject=subject, actor="loop", cause=known)

    def window(self, recall: float, *found: Any, version: int = 1) -> Fact:
        """Let a week pass; return the finding, or else that the window was judged."""
        since = self.clock.now()
        self.clock.set(since + WEEK)
        about: dict[str, Any] = {"endpoint": "taxis", "version": version}
        span: dict[str, Any] = {"since": since, "until": since + WEEK}
        temp = ColumnDrift(
            column="temp",
            p_value=0.001,
            effect=0.4,
            drifted=True,
            reference="12",
            current="30",
            missing_reference=0.0,
            missing=0.0,
        )
        report = WindowReport(
            **about,
            **span,
            model="taxi",
            predictions=100,
            errors=0,
            latency_p50_us=1.0,
            latency_p99_us=2000.0,
            labelled=100,
            coverage=1.0,
            realised={"recall": recall},
            intervals={"recall": (recall - 0.1, recall + 0.1)},
            estimated={"recall": 0.45},
            reference={"recall": 0.48},
            columns=(temp,),
            segments=(),
        )
        self.db.write(lambda c: store.set_window(c, report))
        clear = tuple(k for k in ("drift", "performance") if k not in found)
        judged = WindowJudged(
            **about, **span, predictions=100, coverage=1.0, findings=len(found), clear=clear
        )
        fact = window = self.tell(judged, ENDPOINT)
        for kind in found:
            finding = Finding(
                kind=kind, severity="critical", model="taxi", message=f"{kind}!", **about, **span
            )
            fact = self.tell(FindingRaised(finding=finding), ENDPOINT, window)
        return fact

    def decide(self, kind: DecisionKind, subject: Ref, *findings: Fact) -> Fact:
        decision = Decision(
            id=self.ids.new(),
            time=self.clock.now(),
            kind=kind,
            subject=str(subject),
            reason=f"because of {kind}",
            trigger="performance",
            findings=tuple(f.id for f in findings),
        )
        return self.tell(Decided(decision=decision, policy="p"), subject)

    def rollout(self, status: str, cause: Fact, percent: float = 20.0) -> Fact:
        moved = RolloutMoved(
            rollout="r1",
            endpoint="taxis",
            version=2,
            status=status,
            percent=percent,
            reason="moved",
            model="taxi",
        )
        return self.tell(moved, ENDPOINT, cause)

    def account(self, number: int) -> Account:
        self.alerts.tick()
        return self.incidents.account(number)


@pytest.fixture
def story(db: Database, clock: SimulatedClock, ids: Ids, tmp_path: Any) -> Story:
    return Story(db, clock, ids, tmp_path)


def gate(passed: bool) -> GateJudged:
    rule = RuleReport(
        metric="recall", rule="min", passed=passed, sentence="recall is 0.5.", candidate=0.5
    )
    report = GateReport(passed=passed, rules=(rule,), rows=10, champion=None)
    return GateJudged(run_id="0" * 32, model="taxi", report=report)


def told(account: Account) -> list[tuple[str, int | None]]:
    """Return titles, each with the place of its cause."""
    places = {m.fact: i for i, m in enumerate(account.moments)}
    return [(m.title, places.get(m.cause or "")) for m in account.moments]


def test_from_the_fall_over_training_and_canary_to_the_end(story: Story) -> None:
    fall = story.window(0.12, "performance")
    story.alerts.tick()
    training = story.decide("train", MODEL, fall)
    story.tell(gate(passed=True), Ref("run", "0" * 32), training)
    begun = story.rollout("running", training)
    story.tell(CarriedOut(decision="d", result="Version 2 gets 20%."), MODEL, training)
    verdict = RolloutJudged(
        rollout="r1", endpoint="taxis", version=2, action="promote", code="good", reason="it is"
    )
    story.tell(verdict, ENDPOINT)
    promotion = story.decide("promote", ROLLOUT)
    story.rollout("promoted", promotion, 100.0)
    deployed = Deployed(endpoint="taxis", model="taxi", version=2, previous=1, reason="promoted")
    story.tell(deployed, ENDPOINT, promotion)
    story.window(0.47, version=2)
    account = story.account(1)
    assert begun.id in {m.fact for m in account.moments}
    assert told(account) == [
        ("Found: performance", None),
        ("Alert 1 fires", 0),
        ("The loop decides to train", 0),
        ("The candidate passes its gate", 2),
        ("Version 2 gets 20% of the traffic", 2),
        ("The canary has done well", 4),
        ("The candidate is promoted", 5),
        ("Version 2 answers everything", 6),
        ("Alert 1 is over", None),
    ]
    assert account.incident.status == "resolved"
    assert "Version 2 gets 20%." in account.moments[2].text


def test_two_incidents_do_not_tell_of_each_other(story: Story) -> None:
    story.window(0.12, "performance")
    story.window(0.48)
    for _ in range(3):
        story.window(0.48)
    story.window(0.10, "performance")
    assert [t for t, _ in told(story.account(1))] == [
        "Found: performance",
        "Alert 1 fires",
        "Alert 1 is over",
    ]
    assert [t for t, _ in told(story.account(2))] == ["Found: performance", "Alert 2 fires"]


def test_figures_are_shown_before_during_and_after_with_their_limits(story: Story) -> None:
    for _ in range(12):
        story.window(0.47)
    story.window(0.12, "performance", "drift")
    for _ in range(6):
        story.window(0.47)
    account = story.account(1)
    plots = {p.figure: p for p in account.plots}
    assert plots.keys() == {"recall", "drift.temp"}
    recall = plots["recall"].points
    assert 10 <= len(recall) <= 14
    assert min(p.value or 1 for p in recall) == 0.12
    assert {p.limit for p in recall} == {0.48 - 0.02}
    assert plots["drift.temp"].limits[0].value == 0.05


def test_a_rule_over_a_figure_is_drawn_with_its_limit(story: Story) -> None:
    rule = AlertRule(metric="latency_p99_ms", above=1.5, recovered=1.0)
    story.policy = Policy(alerts=AlertPolicy(rules={"slow": rule}))
    story.window(0.48)
    (plot,) = story.account(1).plots
    assert (plot.figure, [limit.value for limit in plot.limits]) == ("latency_p99_ms", [1.5, 1.0])
    assert plot.points[0].value == 2.0


def test_trainings_data_and_rollouts_become_alerts(story: Story) -> None:
    training = story.decide("train", MODEL)
    story.tell(Failed(decision="d", error="The step fit failed."), MODEL, training)
    refused = DataRefused(dataset="rides", source="a.csv", reason="no key", report=None)
    story.tell(refused, Ref("dataset", "rides"))
    story.rollout("rolled-back", training, 0.0)
    story.tell(gate(passed=False), Ref("run", "0" * 32), training)
    story.rollout("promoted", training, 100.0)
    story.alerts.tick()
    found = {a.kind: a for a in story.alerts.alerts()}
    assert {k: (a.status, a.severity) for k, a in found.items()} == {
        "training-failed": ("firing", "critical"),
        "data-refused": ("firing", "warning"),
        "rolled-back": ("resolved", "warning"),
    }
    assert found["rolled-back"].model == "taxi"
    story.tell(CarriedOut(decision="e", result="trained"), MODEL)
    appended = DataAppended(dataset="rides", version="v", number=2, files=1, rows=9, total_rows=10)
    story.tell(appended, Ref("dataset", "rides", "v"))
    story.alerts.tick()
    assert story.alerts.alerts(status="firing") == []


def test_a_decision_about_a_rollout_ends_no_failed_training(story: Story) -> None:
    story.tell(Failed(decision="d", error="no"), MODEL)
    story.tell(CarriedOut(decision="e", result="rolled back"), ROLLOUT)
    story.alerts.tick()
    assert len(story.alerts.alerts(status="firing")) == 1


def test_every_type_of_fact_on_a_time_line_has_words() -> None:
    assert len(TYPES) == len(set(TYPES)) > 15
