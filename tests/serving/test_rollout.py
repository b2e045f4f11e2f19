"""Verdicts on rollouts, and the error rate that they promise, by simulation."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.policy import RolloutPolicy
from tidemill.serving.records import Evidence, Rollout, Target, Verdict
from tidemill.serving.rollout import judge
from tidemill.serving.sequential import difference, exceeds

MONDAY = datetime(2013, 3, 4, tzinfo=UTC)
OLD, NEW = (Target(model="m", version=v, bundle=f"b{v}") for v in (1, 2))


def rollout(step: int = 0, **policy: Any) -> Rollout:
    return Rollout(
        id="r",
        endpoint="e",
        candidate=NEW,
        champion=OLD,
        policy=RolloutPolicy(**policy),
        step=step,
        status="running",
        started=MONDAY,
        step_started=MONDAY,
        reason="passed its gate",
    )


def after(hours: float, step: int = 0, evidence: Evidence | None = None, **policy: Any) -> Verdict:
    seen = evidence or Evidence(predictions=500, errors=0)
    return judge(seen, rollout(step, **policy), MONDAY + timedelta(hours=hours))


def losses(seed: int, count: int, extra: float = 0.0) -> tuple[float, ...]:
    rng = random.Random(seed)
    return tuple(rng.expovariate(2.0) + extra for _ in range(count))


def test_a_step_takes_its_time_and_its_requests() -> None:
    assert after(0.5).action == "hold"
    assert after(1.5).action == "advance"
    few = after(1.5, evidence=Evidence(predictions=20, errors=0))
    assert few.action == "hold"
    assert "100 are asked for" in few.reason
    assert after(1.5, step=1).action == "promote"


def test_errors_roll_back_at_once_but_a_single_one_does_not() -> None:
    assert after(0.01, evidence=Evidence(predictions=3, errors=3)).action == "rollback"
    assert after(0.01, evidence=Evidence(predictions=20, errors=1)).action == "hold"
    assert after(1.5, evidence=Evidence(predictions=5000, errors=95)).action == "advance"
    assert after(1.5, evidence=Evidence(predictions=5000, errors=160)).action == "rollback"


def test_worse_labels_roll_back_before_the_step_is_over() -> None:
    seen = Evidence(
        predictions=900, errors=0, losses=losses(1, 800, 0.3), champion_losses=losses(2, 5000)
    )
    verdict = after(0.1, evidence=seen)
    assert verdict.action == "rollback"
    assert verdict.numbers["low"] > 0


def test_all_of_the_traffic_may_need_proof_and_the_deadline_decides_without_it() -> None:
    same = Evidence(
        predictions=900, errors=0, losses=losses(1, 800), champion_losses=losses(2, 5000)
    )
    assert after(2, step=1, evidence=same).action == "promote"
    assert after(2, step=1, evidence=same, tolerance=0.005).action == "hold"
    assert after(2, step=1, evidence=same, tolerance=0.2).action == "promote"
    unlabelled = Evidence(predictions=900, errors=0)
    assert after(2, step=1, evidence=unlabelled, tolerance=0.2).action == "hold"
    late: dict[str, Any] = {"tolerance": 0.2, "deadline": 3600.0}
    assert after(2, step=1, evidence=unlabelled, on_deadline="promote", **late).action == "promote"
    rolled = after(2, step=1, evidence=unlabelled, on_deadline="rollback", **late)
    assert rolled.action == "rollback"
    assert "policy says rollback" in rolled.reason
    assert after(2, step=1, evidence=unlabelled, on_deadline="wait", **late).action == "hold"


def test_an_equal_candidate_is_rarely_ever_called_worse_however_often_one_looks() -> None:
    # 95% at every look together: of 200 equal candidates, looked at 40 times each, at most 10 may
    # be expected to be called different; an ordinary interval calls 50 or more.
    called = 0
    for seed in range(200):
        ours, theirs = losses(seed, 1000), losses(10_000 + seed, 4000)
        looks = range(25, 1001, 25)
        called += any(
            (found := difference(ours[:n], theirs[: 4 * n])).low > 0 or found.high < 0
            for n in looks
        )
    assert called <= 10


def test_a_worse_candidate_is_found() -> None:
    found = sum(
        difference(losses(seed, 1000, 0.15), losses(10_000 + seed, 4000)).low > 0
        for seed in range(50)
    )
    assert found >= 45


def test_a_healthy_candidate_is_rarely_ever_called_unhealthy() -> None:
    called = 0
    for seed in range(200):
        rng = random.Random(seed)
        failures = 0
        for trial in range(1, 1001):
            failures += rng.random() < 0.02
            if exceeds(failures, trial, 0.02) >= 20:
                called += 1
                break
    assert called <= 10


@given(st.integers(0, 60), st.integers(0, 300), st.floats(0.001, 0.2))
def test_more_failures_are_never_less_evidence(failures: int, more: int, rate: float) -> None:
    trials = failures + more + 1
    assert exceeds(failures + 1, trials, rate) >= exceeds(failures, trials, rate) - 1e-12


@given(st.lists(st.floats(-5, 5), min_size=30, max_size=60))
def test_the_interval_turns_around_with_its_sides(values: list[float]) -> None:
    other = [v / 2 + 1 for v in reversed(values)]
    one, two = difference(values, other), difference(other, values)
    assert one.low == pytest.approx(-two.high, abs=1e-9)
    assert one.low <= one.estimate <= one.high
