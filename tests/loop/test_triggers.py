"""When the loop trains, and when it waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.policy import RetrainPolicy
from tidemill.loop.records import Signal, Situation
from tidemill.loop.triggers import BadTrigger, consider

NOW = datetime(2013, 6, 1, tzinfo=UTC)
DAY = 86400.0


def signal(trigger: str, message: str = "seen", days_ago: float = 1) -> Signal:
    return Signal(trigger=trigger, fact="f", time=NOW - timedelta(days=days_ago), message=message)


def situation(*signals: Signal, **changes: object) -> Situation:
    known: dict[str, object] = {
        "model": "flight-delay",
        "now": NOW,
        "last_training": NOW - timedelta(days=30),
        "has_version": True,
        "in_rollout": False,
        "new_rows": 10_000,
        "signals": signals,
    }
    return Situation(**(known | changes))  # type: ignore[arg-type]


def test_trains_on_a_signal_that_the_policy_names() -> None:
    intention = consider(RetrainPolicy(on=("drift",)), situation(signal("drift", "temp drifted")))
    assert intention.act
    assert intention.trigger == "drift"
    assert intention.reason == "temp drifted"


def test_ignores_a_signal_that_the_policy_does_not_name() -> None:
    assert not consider(RetrainPolicy(on=("performance",)), situation(signal("drift"))).act


def test_waits_for_the_cooldown_and_says_until_when() -> None:
    policy = RetrainPolicy(on=("drift",), cooldown=40 * DAY)
    intention = consider(policy, situation(signal("drift")))
    assert not intention.act
    assert intention.not_before == NOW + timedelta(days=10)
    assert "2013-06-11" in intention.reason


def test_waits_for_the_end_of_a_rollout() -> None:
    intention = consider(RetrainPolicy(on=("drift",)), situation(signal("drift"), in_rollout=True))
    assert not intention.act
    assert "rolled out" in intention.reason


def test_waits_for_enough_new_rows() -> None:
    policy = RetrainPolicy(on=("new-data",), min_new_rows=50_000)
    intention = consider(policy, situation(signal("new-data")))
    assert not intention.act
    assert "10,000" in intention.reason


def test_a_schedule_comes_due_once_its_moment_has_passed() -> None:
    policy = RetrainPolicy(on=("schedule: 0 3 * * 1",), cooldown=0.0)
    before = situation(last_training=datetime(2013, 5, 27, 3, 0, tzinfo=UTC))
    assert not consider(policy, before).act
    after = situation(
        last_training=datetime(2013, 5, 27, 3, 0, tzinfo=UTC),
        now=datetime(2013, 6, 3, 3, 0, tzinfo=UTC),
    )
    assert consider(policy, after).trigger == "schedule"


@pytest.mark.parametrize("trigger", ["drfit", "schedule: every monday", "schedule: 99 * * * *"])
def test_an_unknown_trigger_is_named(trigger: str) -> None:
    with pytest.raises(BadTrigger) as caught:
        consider(RetrainPolicy(on=(trigger,)), situation())
    assert trigger.removeprefix("schedule:").strip() in str(caught.value)
    assert caught.value.expected


def test_the_first_model_is_left_to_the_user_unless_new_data_starts_it() -> None:
    first = {"has_version": False, "last_training": None}
    waiting = consider(RetrainPolicy(on=("drift",)), situation(signal("drift"), **first))
    assert "tidemill run" in waiting.reason
    assert consider(RetrainPolicy(on=("new-data",)), situation(signal("new-data"), **first)).act


@given(
    cooldown=st.floats(0, 400 * DAY),
    days=st.floats(0, 400),
    in_rollout=st.booleans(),
    triggers=st.lists(st.sampled_from(["drift", "performance", "new-data"]), max_size=3),
    seen=st.lists(st.sampled_from(["drift", "performance", "new-data"]), max_size=4),
)
def test_it_trains_only_when_every_condition_holds(
    cooldown: float, days: float, in_rollout: bool, triggers: list[str], seen: list[str]
) -> None:
    policy = RetrainPolicy(on=tuple(triggers), cooldown=cooldown)
    last = NOW - timedelta(days=days)
    intention = consider(
        policy,
        situation(*(signal(s) for s in seen), in_rollout=in_rollout, last_training=last),
    )
    cooled = last + timedelta(seconds=cooldown) <= NOW
    assert intention.act == (bool(set(seen) & set(triggers)) and not in_rollout and cooled)
    assert intention.reason
