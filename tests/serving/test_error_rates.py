"""The error rates that rollouts promise, by simulation: at every look, with rows in whole requests.

Seeds are fixed, so each of these is one fact and no chance. The bounds leave three standard errors
of the simulation above the stated rate, and a test that kept no rate would miss them by far: the
last one shows how an ordinary interval fares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tidemill.core.policy import RolloutPolicy
from tidemill.serving.evidence import Counts, Division, Evidence, StepCounts, Units
from tidemill.serving.health import BUDGET, EDGES_MS, unhealthy
from tidemill.serving.rollout import largest_shift
from tidemill.serving.sequential import difference, exceeds, oftener

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Units]
RUNS = 400
LOOKS = tuple(range(30, 1500, 30))
STATED = 0.05


def bound(rate: float, runs: int = RUNS) -> int:
    """Return how many of the runs may err: the stated rate, and three standard errors."""
    return int(runs * rate + 3 * np.sqrt(runs * rate * (1 - rate)))


def single(shape: str, worse: float = 0.0) -> Draw:
    """Requests of one row with losses of a shape."""

    def draw(rng: np.random.Generator, count: int) -> Units:
        if shape == "normal":
            values = rng.normal(0.6, 0.3, count)
        elif shape == "log loss":
            values = -np.log(rng.beta(4, 2, count))
        else:
            values = (rng.random(count) < 0.1 + worse).astype(np.float64) - worse
        return Units(values + worse, np.ones(count))

    return draw


def batches(worse: float = 0.0) -> Draw:
    """Requests of 1 to 60 rows that share most of their luck."""

    def draw(rng: np.random.Generator, count: int) -> Units:
        sizes = rng.integers(1, 61, count).astype(np.float64)
        luck = rng.normal(0.6 + worse, 0.3, count)
        return Units(sizes * luck + rng.normal(0, 0.3, count) * np.sqrt(sizes), sizes)

    return draw


def first(units: Units, count: int) -> Units:
    return Units(units.totals[:count], units.sizes[:count])


def ever(
    draw: Draw, other: Draw, *, confidence: float, runs: int = RUNS, share: int = 4
) -> tuple[int, int]:
    """Return how often a candidate is ever called worse, and how often better."""
    worse = better = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        mine, theirs = draw(rng, LOOKS[-1]), other(rng, share * LOOKS[-1])
        found = [
            difference(first(mine, n), first(theirs, share * n), confidence=confidence)
            for n in LOOKS
        ]
        worse += any(f.low > 0 for f in found)
        better += any(f.high < 0 for f in found)
    return worse, better


@pytest.mark.parametrize(
    "draw",
    [single("normal"), single("log loss"), single("wrong or right"), batches()],
    ids=["normal", "log-loss", "wrong-or-right", "batches"],
)
def test_an_equal_candidate_is_rarely_ever_called_different(draw: Draw) -> None:
    worse, better = ever(draw, draw, confidence=1 - STATED)
    assert worse + better <= bound(STATED)


@pytest.mark.parametrize(
    ("draw", "other"),
    [
        (single("normal", 0.1), single("normal")),
        (single("log loss", 0.1), single("log loss")),
        (batches(0.1), batches()),
    ],
    ids=["normal", "log-loss", "batches"],
)
def test_a_real_regression_is_found(draw: Draw, other: Draw) -> None:
    """A tenth more loss, a third of its spread: nearly always found within 1,500 requests."""
    confidence = 1 - BUDGET * (1 - RolloutPolicy().confidence)
    worse, better = ever(draw, other, confidence=confidence, runs=100)
    assert worse >= 95
    assert better == 0


def test_rows_taken_for_units_would_err_again_and_again() -> None:
    def by_row(rng: np.random.Generator, count: int) -> Units:
        luck = np.repeat(rng.normal(0.6, 0.3, count // 30), 30)
        return Units(luck + rng.normal(0, 0.1, len(luck)), np.ones(len(luck)))

    worse, better = ever(by_row, by_row, confidence=1 - STATED, runs=100)
    assert worse + better > 4 * bound(STATED, 100)


def test_a_healthy_candidate_is_rarely_ever_called_unhealthy() -> None:
    policy = RolloutPolicy()
    called = 0
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        called += any(
            unhealthy(health(rng, 0.02, 0.02, step), policy)[0] for step in range(1, 4)
        ) or any_look(rng, 0.02)
    assert called <= bound(BUDGET * STATED)


def health(rng: np.random.Generator, mine: float, theirs: float, steps: int) -> Evidence:
    """Counts of steps with growing shares, in which some requests fail."""
    found = []
    for percent in (5, 20, 50)[:steps]:
        requests = int(rng.binomial(4000, percent / 100))
        others = 4000 - requests
        candidate = Counts(requests=requests, errors=int(rng.binomial(requests, mine)))
        champion = Counts(requests=others, errors=int(rng.binomial(others, theirs)))
        found.append(StepCounts(percent=percent, candidate=candidate, champion=champion))
    return Evidence(steps=tuple(found))


def any_look(rng: np.random.Generator, rate: float, looks: int = 60) -> bool:
    """Whether a candidate that fails as often as may be is ever called unhealthy."""
    policy = RolloutPolicy(max_error_rate=rate)
    mine = np.cumsum(rng.random(looks * 25) < rate)
    theirs = np.cumsum(rng.random(looks * 475) < rate)
    for look in range(1, looks + 1):
        requests, others = 25 * look, 475 * look
        step = StepCounts(
            percent=5,
            candidate=Counts(requests=requests, errors=int(mine[requests - 1])),
            champion=Counts(requests=others, errors=int(theirs[others - 1])),
        )
        if unhealthy(Evidence(steps=(step,)), policy)[0]:
            return True
    return False


def test_a_machine_that_is_slow_by_the_minute_condemns_nobody() -> None:
    """Bursts hit both sides; what is tested is whom they hit oftener, not how many there are."""
    called = 0
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        mine = theirs = 0
        for _ in range(60):
            burst = rng.integers(0, 80) if rng.random() < 0.2 else 0
            hit = int(rng.binomial(burst, 0.05))
            mine, theirs = mine + hit, theirs + int(burst) - hit
            if oftener(mine, theirs, 0.05) >= 1 / STATED:
                called += 1
                break
    assert called <= bound(STATED)


def test_a_candidate_that_fails_or_is_slow_is_found_within_a_few_hundred_requests() -> None:
    policy = RolloutPolicy(max_latency_ms=100)
    edge = EDGES_MS.index(250)
    found = {"errors": 0, "latency": 0}
    for seed in range(100):
        rng = np.random.default_rng(seed)
        failing = health(rng, 0.2, 0.001, 1)
        found["errors"] += unhealthy(failing, policy)[0] == "errors"
        counts = []
        for requests, rate in ((200, 0.1), (3800, 0.002)):
            latencies = [0] * (len(EDGES_MS) + 1)
            latencies[edge] = int(rng.binomial(requests, rate))
            latencies[1] = requests - latencies[edge]
            counts.append(Counts(requests=requests, latencies=tuple(latencies)))
        step = StepCounts(percent=5, candidate=counts[0], champion=counts[1])
        found["latency"] += unhealthy(Evidence(steps=(step,)), policy)[0] == "latency"
    assert found["errors"] >= 99
    assert found["latency"] >= 95


def test_answers_that_differ_by_no_more_than_is_allowed_are_rarely_ever_called_shifted() -> None:
    policy = RolloutPolicy(max_shift=0.0)
    edges = np.arange(0.1, 1.0, 0.1)
    called = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        mine, theirs = rng.random(900), rng.random(3600)
        called += any(shown(mine[:n], theirs[: 4 * n], edges, policy) for n in range(60, 901, 60))
    assert called <= bound(BUDGET * STATED, 150)


def test_answers_that_shift_are_found_and_the_finding_says_where() -> None:
    policy = RolloutPolicy(max_shift=0.05)
    edges = np.arange(0.1, 1.0, 0.1)
    rng = np.random.default_rng(0)
    mine, theirs = rng.beta(2, 1, 2000), rng.random(8000)
    assert shown(mine, theirs, edges, policy) in {"above 0.4", "above 0.5", "above 0.6"}


def shown(mine: Floats, theirs: Floats, edges: Floats, policy: RolloutPolicy) -> str:
    divisions = tuple(
        Division(name=f"above {e:.1f}", candidate=above(mine, e), champion=above(theirs, e))
        for e in edges
    )
    found = largest_shift(divisions, policy)
    assert policy.max_shift is not None
    if found is None or max(found[1].low, -found[1].high) <= policy.max_shift:
        return ""
    return found[0].name


def above(values: Floats, edge: Any) -> Units:
    return Units((values > edge).astype(np.float64), np.ones(len(values)))


def test_a_rate_that_is_kept_is_rarely_ever_called_exceeded() -> None:
    called = 0
    for seed in range(RUNS):
        failures = np.cumsum(np.random.default_rng(seed).random(2000) < 0.02)
        called += any(exceeds(int(failures[n - 1]), n, 0.02) >= 1 / STATED for n in LOOKS)
    assert called <= bound(STATED)


def test_an_ordinary_interval_that_is_looked_at_errs_many_times_as_often() -> None:
    called = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        mine, theirs = rng.normal(0, 1, LOOKS[-1]), rng.normal(0, 1, LOOKS[-1])
        looked = np.array(LOOKS)
        gap = np.cumsum(mine)[looked - 1] / looked - np.cumsum(theirs)[looked - 1] / looked
        called += bool((np.abs(gap) > 1.96 * np.sqrt(2 / looked)).any())
    assert called > 2 * bound(STATED, 100)
