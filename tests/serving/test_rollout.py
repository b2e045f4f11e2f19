"""Verdicts on rollouts, and the error rate that they promise, by simulation."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.policy import RolloutPolicy
from tidemill.serving.evidence import Counts, Division, Evidence, StepCounts, Units, Verdict
from tidemill.serving.health import EDGES_MS
from tidemill.serving.records import Rollout, Target
from tidemill.serving.rollout import judge, judge_health
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


def seen(
    requests: int = 500,
    errors: int = 0,
    *,
    theirs: tuple[int, int] = (9500, 0),
    slow: tuple[int, int] = (0, 0),
    percent: float = 5,
    **more: Any,
) -> Evidence:
    """Requests of the candidate and of the champion, some failed, some above 100 ms."""
    mine = Counts(requests=requests, errors=errors, latencies=latencies(requests, slow[0]))
    other = Counts(requests=theirs[0], errors=theirs[1], latencies=latencies(theirs[0], slow[1]))
    step = StepCounts(percent=percent, candidate=mine, champion=other)
    return Evidence(steps=(step,), **more)


def latencies(requests: int, slow: int) -> tuple[int, ...]:
    counts = [0] * (len(EDGES_MS) + 1)
    counts[1], counts[EDGES_MS.index(250)] = requests - slow, slow
    return tuple(counts)


def after(hours: float, step: int = 0, evidence: Evidence | None = None, **policy: Any) -> Verdict:
    return judge(evidence or seen(), rollout(step, **policy), MONDAY + timedelta(hours=hours))


def losses(seed: int, count: int, extra: float = 0.0) -> tuple[float, ...]:
    rng = random.Random(seed)
    return tuple(rng.expovariate(2.0) + extra for _ in range(count))


def units(values: Any, size: int = 1) -> Units:
    """Values in requests of so many rows."""
    totals = np.asarray(values, dtype=np.float64).reshape(-1, size).sum(axis=1)
    return Units(totals, np.full(len(totals), float(size)))


def labelled(mine: Any, theirs: Any) -> Evidence:
    return seen(900, losses=units(mine), champion_losses=units(theirs))


def test_a_step_takes_its_time_and_its_requests() -> None:
    assert after(0.5).action == "hold"
    assert after(0.5).code == "watching"
    assert after(1.5).action == "advance"
    few = after(1.5, evidence=seen(20))
    assert (few.action, few.code) == ("hold", "requests")
    assert "100 are asked for" in few.reason
    assert after(1.5, step=1).action == "promote"


def test_errors_roll_back_at_once_but_a_single_one_does_not() -> None:
    assert after(0.01, evidence=seen(3, 3)).action == "rollback"
    assert after(0.01, evidence=seen(20, 1)).action == "hold"
    assert after(1.5, evidence=seen(5000, 95, theirs=(95000, 0))).action == "advance"
    worse = after(1.5, evidence=seen(5000, 180, theirs=(95000, 0)))
    assert (worse.action, worse.code) == ("rollback", "errors")


def test_a_candidate_that_fails_no_oftener_than_the_champion_stays() -> None:
    both = seen(1000, 100, theirs=(19000, 1900))
    assert after(0.01, evidence=both).action == "hold"
    assert judge_health(both, rollout()) is None
    alone = judge_health(seen(1000, 100, theirs=(19000, 100)), rollout())
    assert alone is not None
    assert alone.numbers["champion_error_rate"] == pytest.approx(100 / 19000)


def test_latency_is_held_against_the_budget_and_against_the_champion() -> None:
    slow = seen(1000, slow=(60, 0), theirs=(19000, 0))
    over = after(0.01, evidence=slow, max_latency_ms=100)
    assert (over.action, over.code) == ("rollback", "latency")
    assert "60 of the candidate's 1,000 requests took over 100 ms" in over.reason
    assert after(0.01, evidence=slow, max_latency_ratio=None).action == "hold"
    everyone = seen(1000, slow=(60, 1140), theirs=(19000, 0))
    assert after(0.01, evidence=everyone, max_latency_ms=100).action == "hold"
    known = seen(1000, slow=(60, 100), theirs=(19000, 0), usual_ms=20.0)
    assert after(0.01, evidence=known).action == "rollback"
    assert after(0.01, evidence=known, max_latency_ratio=20).action == "hold"
    # 5 ms more is nothing, whatever the ratio.
    quick = seen(1000, theirs=(19000, 0), usual_ms=0.2)
    assert after(0.01, evidence=quick).action == "hold"


def test_worse_labels_roll_back_before_the_step_is_over() -> None:
    verdict = after(0.1, evidence=labelled(losses(1, 800, 0.3), losses(2, 5000)))
    assert (verdict.action, verdict.code) == ("rollback", "quality")
    assert verdict.numbers["low"] > 0


def test_one_batch_an_hour_is_24_requests_a_day_whatever_it_holds() -> None:
    by_row = by_request = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        # Two days of batches whose rows share their hour's luck: 48 units, and no difference.
        mine, theirs = (
            np.repeat(rng.normal(0, 1, 48), 200) + rng.normal(0, 0.1, 9600) for _ in range(2)
        )
        rows = difference(list(mine), list(theirs))
        requests = difference(units(mine, 200), units(theirs, 200))
        assert requests.estimate == pytest.approx(rows.estimate)
        by_row += not rows.low < 0 < rows.high
        by_request += not requests.low < 0 < requests.high
    assert by_row >= 10
    assert by_request <= 1


def test_all_of_the_traffic_may_need_proof_and_the_deadline_decides_without_it() -> None:
    same = labelled(losses(1, 800), losses(2, 5000))
    assert after(2, step=1, evidence=same).action == "promote"
    held = after(2, step=1, evidence=same, tolerance=0.005)
    assert (held.action, held.code) == ("hold", "unproven")
    assert after(2, step=1, evidence=same, tolerance=0.2).action == "promote"
    unlabelled = seen(900)
    waiting = after(2, step=1, evidence=unlabelled, tolerance=0.2)
    assert (waiting.action, waiting.code) == ("hold", "labels")
    late: dict[str, Any] = {"tolerance": 0.2, "deadline": 3600.0}
    assert after(2, step=1, evidence=unlabelled, on_deadline="promote", **late).action == "promote"
    rolled = after(2, step=1, evidence=unlabelled, on_deadline="rollback", **late)
    assert (rolled.action, rolled.code) == ("rollback", "deadline")
    assert "policy says rollback" in rolled.reason
    assert after(2, step=1, evidence=unlabelled, on_deadline="wait", **late).action == "hold"


def test_a_shift_of_answers_is_reported_holds_or_rolls_back_as_the_policy_says() -> None:
    rng = np.random.default_rng(1)
    often, seldom = rng.random(3000) < 0.6, rng.random(20000) < 0.3
    shifted = seen(
        3000,
        theirs=(57000, 0),
        divisions=(
            Division(name="scores above 0.5", candidate=units(often), champion=units(seldom)),
            Division(name="scores above 0.9", candidate=units(seldom), champion=units(seldom)),
        ),
    )
    assert after(2, evidence=shifted).findings == ()
    told = after(2, evidence=shifted, max_shift=0.1)
    assert told.action == "advance"
    assert "scores above 0.5 are more frequent by" in told.findings[0]
    assert told.numbers["shift"] == pytest.approx(0.3, abs=0.05)
    held = after(2, evidence=shifted, max_shift=0.1, on_shift="hold")
    assert (held.action, held.code) == ("hold", "shift")
    gone = after(0.1, evidence=shifted, max_shift=0.1, on_shift="rollback")
    assert (gone.action, gone.code) == ("rollback", "shift")
    assert after(2, evidence=shifted, max_shift=0.4, on_shift="rollback").action == "advance"


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
