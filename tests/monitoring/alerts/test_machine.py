"""What becomes of alerts, as a pure function of what was seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.core.findings import HAPPENINGS, KINDS
from tidemill.core.policy import AlertPolicy, AlertRule, RoutePolicy, SinkPolicy
from tidemill.monitoring.alerts import messages
from tidemill.monitoring.alerts.machine import Book, Machine
from tidemill.monitoring.alerts.records import Observation, Reading, Silence
from tidemill.monitoring.alerts.rules import Rules

START = datetime(2013, 4, 1, tzinfo=UTC)
DAY = timedelta(days=1)
WEEK = timedelta(days=7)


class Desk:
    """A machine at work, and everything that it said."""

    def __init__(self, **policy: Any) -> None:
        self.rules = Rules(AlertPolicy(**policy))
        self.book = Book()
        self.said: list[str] = []
        self.facts: list[str] = []

    def see(self, *seen: Observation | Reading) -> None:
        machine = Machine(self.book, self.rules)
        for one in seen:
            machine.see(one)
            machine.settle(one.time)
        self._hear(machine)

    def wait(self, now: datetime) -> None:
        machine = Machine(self.book, self.rules)
        machine.settle(now)
        self._hear(machine)

    def _hear(self, machine: Machine) -> None:
        self.said += [f"{p.sink} {p.message.status} {p.message.number}" for p in machine.posts]
        self.facts += [f"{t.event.type} {t.alert}" for t in machine.told]

    @property
    def firing(self) -> list[int]:
        return [n for n, a in self.book.alerts.items() if a.status == "firing"]


def window(week: int, holds: bool = True, kind: str = "drift", **more: Any) -> Observation:
    """A week's verdict, known a day after its end."""
    end = START + week * WEEK
    return Observation(
        kind=kind,
        holds=holds,
        time=end + DAY,
        until=end,
        subject="endpoint:taxis",
        endpoint=more.pop("endpoint", "taxis"),
        model="taxi",
        message=f"week {week}",
        fact=f"{kind}-{week}",
        **more,
    )


def standing(day: float, holds: bool = True, kind: str = "health", **more: Any) -> Observation:
    return Observation(
        kind=kind,
        holds=holds,
        time=START + day * DAY,
        subject="endpoint:taxis",
        message=f"day {day}",
        standing=True,
        **more,
    )


def reading(week: int, value: float, name: str = "recall", **more: Any) -> Reading:
    end = START + week * WEEK
    return Reading(
        name=name,
        value=value,
        time=end + DAY,
        until=end,
        subject="endpoint:taxis",
        endpoint="taxis",
        model="taxi",
        **more,
    )


def test_what_holds_on_is_one_alert_told_once_and_once_more_when_it_is_over() -> None:
    desk = Desk()
    desk.see(window(1), window(2), window(3), window(4, holds=False))
    assert desk.said == ["log firing 1", "log resolved 1"]
    alert = desk.book.alerts[1]
    assert (alert.opened, alert.resolved) == (START + WEEK + DAY, START + 4 * WEEK + DAY)
    assert alert.facts == ("drift-1", "drift-3")
    assert desk.book.conditions == {}


def test_without_rules_severity_decides_who_is_told() -> None:
    desk = Desk()
    desk.see(window(1, severity="info"))
    assert desk.firing == [1]
    assert desk.said == []


def test_what_comes_again_soon_is_the_same_alert_and_incident_and_later_a_new_one() -> None:
    desk = Desk(cooldown=0.0)
    desk.see(window(1), window(2, holds=False), window(3))
    assert desk.firing == [1]
    assert desk.book.alerts[1].reopened == 1
    assert desk.book.incidents[1].status == "firing"
    desk.see(window(4, holds=False), window(6))
    assert desk.firing == [2]
    assert desk.book.alerts[2].incident == 2
    assert desk.facts == [
        *("alert.fired 1", "alert.resolved 1", "alert.fired 1", "alert.resolved 1"),
        "alert.fired 2",
    ]


def test_alerts_of_one_endpoint_at_one_time_are_one_incident() -> None:
    desk = Desk()
    desk.see(window(1), window(2, kind="performance", severity="critical"))
    assert desk.book.incidents[1].alerts == (1, 2)
    assert desk.book.incidents[1].title == "week 2"
    desk.see(window(3, holds=False))
    assert desk.book.incidents[1].status == "firing"
    desk.see(window(3, holds=False, kind="performance"))
    assert desk.book.incidents[1].resolved == START + 3 * WEEK + DAY


def test_alerts_of_several_subjects_are_several_incidents() -> None:
    desk = Desk()
    desk.see(window(1), msgspec.structs.replace(window(1), subject="endpoint:buses"))
    assert [i.subject for i in desk.book.incidents.values()] == ["endpoint:taxis", "endpoint:buses"]


def test_a_rule_waits_as_long_as_it_says() -> None:
    desk = Desk(rules={"slow": AlertRule(on=("drift", "health"), hold=14 * 86400.0)})
    desk.see(window(1), window(2))
    desk.wait(START + 5 * WEEK)
    assert desk.firing == []  # only a third window shows that it lasted
    desk.see(window(3))
    assert desk.firing == [1]
    desk.see(standing(30))
    desk.wait(START + 43 * DAY)
    assert desk.firing == [1]
    desk.wait(START + 44 * DAY)
    assert desk.firing == [1, 2]


def test_what_ends_before_it_lasted_is_no_alert() -> None:
    desk = Desk(rules={"slow": AlertRule(on=("drift",), hold=14 * 86400.0)})
    desk.see(window(1), window(2), window(3, holds=False), window(4), window(5))
    assert desk.book.alerts == {}


def test_a_rule_wants_it_clear_for_a_while() -> None:
    desk = Desk(resolve_after=7 * 86400.0)
    desk.see(window(1), window(2, holds=False), window(3))
    assert desk.facts == ["alert.fired 1"]
    desk.see(window(4, holds=False))
    desk.wait(START + 5 * WEEK)
    assert desk.firing == [1]
    desk.wait(START + 5 * WEEK + DAY)
    assert desk.firing == []


def test_a_limit_has_a_way_back() -> None:
    rule = AlertRule(metric="recall", below=0.4, recovered=0.45, severity="critical")
    desk = Desk(rules={"low": rule}, cooldown=0.0)
    desk.see(reading(1, 0.41), reading(2, 0.39), reading(3, 0.42), reading(4, 0.45))
    assert desk.facts == ["alert.fired 1", "alert.resolved 1"]
    alert = desk.book.alerts[1]
    assert (alert.value, alert.limit, alert.severity) == (0.42, 0.4, "critical")
    said = "recall is 0.42, not back at 0.45 yet after being below the limit of 0.4."
    assert (alert.message, alert.ending) == (
        said,
        "recall is 0.45, no longer below the limit of 0.4.",
    )


def test_a_rule_looks_at_its_own_source_model_and_endpoint_only() -> None:
    rules = {
        "guess": AlertRule(metric="recall", below=0.4, source="estimated"),
        "other": AlertRule(metric="recall", below=0.4, models=("bus",)),
        "else": AlertRule(metric="recall", below=0.4, endpoints=("buses",)),
    }
    desk = Desk(rules=rules)
    desk.see(reading(1, 0.1), reading(1, float("nan"), source="estimated"))
    assert desk.book.alerts == {}
    desk.see(reading(2, 0.1, source="estimated"))
    assert desk.book.alerts[1].rule == "guess"
    assert desk.book.alerts[1].message.startswith("expected recall")


def test_cooldown_holds_a_message_back_but_does_not_lose_it() -> None:
    desk = Desk(cooldown=30 * 86400.0)
    desk.see(window(1), window(2, holds=False), window(3))
    assert desk.said == ["log firing 1", "log resolved 1"]
    desk.wait(START + WEEK + 31 * DAY)
    assert desk.said[2:] == ["log firing 1"]
    desk.wait(START + WEEK + 90 * DAY)
    assert len(desk.said) == 3


def test_what_gets_worse_is_told_at_once_whatever_holds_back() -> None:
    desk = Desk(cooldown=30 * 86400.0)
    desk.see(window(1), window(2, severity="critical"), window(3, severity="critical"))
    assert desk.said == ["log firing 1", "log firing 1"]
    assert "alert.raised 1" in desk.facts


def test_a_silence_keeps_messages_back_until_it_ends() -> None:
    desk = Desk()
    until = START + 3 * WEEK
    desk.book.silences = (
        Silence(number=1, until=until, reason="r", by="b", made=START, endpoint="taxis"),
    )
    desk.see(window(1), window(2))
    assert (desk.firing, desk.said) == ([1], [])
    desk.wait(until - DAY)
    assert desk.said == []
    desk.wait(until)
    assert desk.said == ["log firing 1"]


def test_what_is_over_while_it_is_silenced_is_never_told() -> None:
    desk = Desk()
    desk.book.silences = (
        Silence(number=1, until=START + 9 * WEEK, reason="r", by="b", made=START, kind="drift"),
    )
    desk.see(window(1), window(2, holds=False))
    desk.wait(START + 20 * WEEK)
    assert desk.said == []


def test_routes_and_rules_choose_the_sinks() -> None:
    sinks = {n: SinkPolicy(kind="log") for n in ("a", "b", "c")}
    desk = Desk(
        sinks=sinks,
        routes=RoutePolicy(info=("a",), warning=("b",), critical=("b", "c")),
        rules={"mine": AlertRule(on=("concept",), sinks=("c",))},
    )
    desk.see(window(1, severity="info"), window(1, kind="skew"), window(1, kind="concept"))
    assert desk.said == ["a firing 1", "b firing 2", "c firing 3"]
    desk.see(window(2, kind="skew", severity="critical"), window(3, holds=False, kind="skew"))
    assert desk.said[3:] == [
        *("b firing 2", "c firing 2"),
        *("b resolved 2", "c resolved 2"),
    ]


def test_a_rule_can_ignore_and_defaults_can_be_off() -> None:
    desk = Desk(rules={"calm": AlertRule(on=("drift",), severity="ignore")})
    desk.see(window(1), window(1, kind="concept"))
    assert [a.kind for a in desk.book.alerts.values()] == ["concept"]
    desk = Desk(defaults=False, rules={"loud": AlertRule(on=("drift",), severity="critical")})
    desk.see(window(1), window(1, kind="concept"))
    assert [(a.rule, a.severity) for a in desk.book.alerts.values()] == [("loud", "critical")]


def test_an_alert_whose_rule_is_gone_is_over() -> None:
    desk = Desk(rules={"mine": AlertRule(on=("drift",))})
    desk.see(window(1))
    desk.rules = Rules(AlertPolicy())
    desk.wait(START + 2 * WEEK)
    assert desk.book.alerts[1].ending == "There is no rule 'mine' any more."
    assert desk.said == ["log firing 1", "log resolved 1"]


def test_an_older_window_neither_ends_nor_renews_what_a_newer_one_shows() -> None:
    desk = Desk()
    desk.see(window(3))
    late = START + 4 * WEEK
    desk.see(msgspec.structs.replace(window(2, holds=False), time=late))
    desk.see(msgspec.structs.replace(window(1), time=late))
    assert desk.book.alerts[1].message == "week 3"
    assert desk.firing == [1]


def test_several_of_a_kind_are_told_apart_by_what_they_are_about() -> None:
    desk = Desk()
    desk.see(standing(1, about="disk"), standing(2, about="memory"))
    assert desk.firing == [1, 2]
    desk.see(standing(3, holds=False, about="disk"))
    assert desk.firing == [2]


def test_a_window_says_nothing_of_what_stands_without_windows() -> None:
    desk = Desk()
    desk.see(standing(1, kind="silence"), window(1, holds=False, kind="silence"))
    assert desk.firing == [1]


def test_what_is_of_the_moment_is_told_and_over() -> None:
    desk = Desk()
    desk.see(standing(1, kind="rolled-back", about="version 5", momentary=True))
    assert desk.said == ["log firing 1"]
    assert desk.book.alerts[1].status == "resolved"
    assert desk.book.incidents[1].status == "resolved"


def test_what_is_as_it_should_be_is_told_only_where_a_rule_names_it() -> None:
    promotion = standing(1, kind="promoted", about="version 5", severity="info", momentary=True)
    desk = Desk()
    desk.see(promotion)
    assert desk.book.alerts == {}
    desk = Desk(rules={"news": AlertRule(on=("promoted",), sinks=("log",))})
    desk.see(promotion)
    assert desk.said == ["log firing 1"]


SEEN = st.builds(
    window,
    st.integers(1, 6),
    st.booleans(),
    kind=st.sampled_from(["drift", "concept"]),
    severity=st.sampled_from(["info", "warning", "critical"]),
)


@settings(max_examples=150, deadline=None)
@given(seen=st.lists(SEEN, max_size=25), cut=st.integers(0, 25), hold=st.sampled_from([0.0, 1e6]))
def test_whatever_is_seen_the_books_are_in_order(
    seen: list[Observation], cut: int, hold: float
) -> None:
    seen = sorted(seen, key=lambda o: o.time)
    rules = {"r": AlertRule(on=("drift", "concept"), hold=hold)}
    whole, parted = Desk(rules=rules), Desk(rules=rules)
    whole.see(*seen)
    parted.see(*seen[:cut])
    # As after a restart: what is known comes back from its records.
    parted.book = msgspec.json.decode(msgspec.json.encode(parted.book), type=Book)
    parted.see(*seen[cut:])
    assert parted.book == whole.book
    assert parted.said == whole.said
    for number, alert in whole.book.alerts.items():
        told = [s for s in whole.said if s.endswith(f" {number}")]
        assert (alert.status == "firing") == any(
            c.alert == number for c in whole.book.conditions.values()
        )
        assert number in whole.book.incidents[alert.incident].alerts
        resolved = sum("resolved" in s for s in told)
        assert resolved <= sum("firing" in s for s in told)
    for incident in whole.book.incidents.values():
        fires = any(whole.book.alerts[n].status == "firing" for n in incident.alerts)
        assert (incident.status == "firing") == fires


@pytest.mark.parametrize("hold", [0.0, 86400.0])
def test_seeing_the_same_again_changes_nothing_that_is_told(hold: float) -> None:
    desk = Desk(rules={"r": AlertRule(on=("health",), hold=hold)})
    for hour in range(60):
        desk.see(standing(hour / 24))
    assert desk.facts == ["alert.fired 1"]
    assert desk.said == ["log firing 1"]


def test_every_kind_of_alert_has_words() -> None:
    assert set(messages._WORDS) == {*KINDS, *HAPPENINGS}
