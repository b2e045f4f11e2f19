"""A metric thinned out for a plot keeps its ends and its extremes, and is never behind."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from tidemill.storage.db.engine import Database
from tidemill.tracking import store
from tidemill.tracking.errors import RunNotFound
from tidemill.tracking.records import Metric
from tidemill.tracking.sampling import sampled
from tidemill.tracking.service import Tracking

ON_BOTH_DATABASES = True

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


@given(values=st.lists(NUMBERS, max_size=200), most=st.integers(4, 60))
def test_keeps_the_ends_the_order_and_the_extremes(values: list[float], most: int) -> None:
    points = [Metric("m", value, 0, step) for step, value in enumerate(values)]
    thin = sampled(points, most)
    steps = [point.step for point in thin]
    assert len(thin) <= most
    assert steps == sorted(set(steps))
    if points:
        assert (thin[0], thin[-1]) == (points[0], points[-1])
    numbers = [value for value in values if not math.isnan(value)]
    if numbers:
        kept = [point.value for point in thin if not math.isnan(point.value)]
        assert (min(kept), max(kept)) == (min(numbers), max(numbers))


SHAPES = {
    "even": lambda at: at,
    "sparse": lambda at: at * 1000,
    "one step": lambda _: 7,
    "one far away": lambda at: at if at < 999 else 10**12,
    "negative": lambda at: at - 500,
}


class TestAsked:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_keeps_the_ends_and_the_extremes_wherever_the_steps_lie(
        self, tracking: Tracking, shape: str
    ) -> None:
        run = tracking.start_run(tracking.experiment("e").id, actor="user:me").id
        values = [math.sin(at / 50) for at in range(1000)]
        values[333], values[777], values[500] = 9.0, -9.0, math.nan
        points = [Metric("m", v, at, SHAPES[shape](at)) for at, v in enumerate(values)]
        tracking.log(run, metrics=points)
        thin = tracking.sample(run, "m", most=40)
        assert 30 <= len(thin) <= 40
        assert (thin[0], thin[-1]) == (points[0], points[-1])
        assert [(p.step, p.timestamp) for p in thin] == sorted((p.step, p.timestamp) for p in thin)
        assert {9.0, -9.0} <= {p.value for p in thin}
        assert all(p in points for p in thin if not math.isnan(p.value))

    def test_of_nothing_but_not_a_number(self, tracking: Tracking) -> None:
        run = tracking.start_run(tracking.experiment("e").id, actor="user:me").id
        tracking.log(run, metrics=[Metric("m", math.nan, 5, s) for s in range(100)])
        thin = tracking.sample(run, "m", most=10)
        assert (thin[0].step, thin[-1].step) == (0, 99)
        assert all(math.isnan(point.value) for point in thin)

    def test_between_steps_and_after_more_was_logged(self, tracking: Tracking) -> None:
        run = tracking.start_run(tracking.experiment("e").id, actor="user:me").id
        tracking.log(run, metrics=[Metric("m", float(s), 5, s) for s in range(1000)])
        first = tracking.sample(run, "m", most=10)
        assert (first[0].step, first[-1].step) == (0, 999)
        assert 8 <= len(first) <= 10
        assert tracking.sample(run, "m", most=10) == first
        tracking.log(run, metrics=[Metric("m", -5.0, 5, 500)])
        assert min(p.value for p in tracking.sample(run, "m", most=10)) == -5.0
        between = tracking.sample(run, "m", most=10, first=100, last=104)
        assert [p.step for p in between] == [100, 101, 102, 103, 104]

    def test_of_no_run(self, tracking: Tracking) -> None:
        with pytest.raises(RunNotFound):
            tracking.sample("0" * 32, "m", most=10)


Batches = Sequence[tuple[int, int, int, str]]
"""Each the first step, how many points, how far apart, and what they hold."""
BATCHES = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 3000, 6000, 6000, 9000]) | st.integers(-9000, 9000),
        st.integers(1, 6000),
        st.sampled_from([1, 1, 2, 0]),
        st.sampled_from(["wave", "noise", "noise", "steps", "nothing", "infinite"]),
    ),
    min_size=1,
    max_size=5,
)


def _points(batches: Batches) -> list[list[Metric]]:
    chance = random.Random(7)
    values = {
        "wave": lambda at: math.sin(at / 500),
        "noise": lambda _: chance.random(),
        "steps": lambda at: float(at // 1000),
        "nothing": lambda _: math.nan,
        "infinite": lambda at: math.inf if at % 900 == 0 else -float(at),
    }
    return [
        [Metric("m", values[kind](at), at, first + at * apart) for at in range(count)]
        for first, count, apart, kind in batches
    ]


def _extremes(points: Sequence[Metric], stretches: int) -> list[set[float]]:
    """Return the lowest and the highest value of each stretch of equal length, by looking."""
    first, length = points[0].step, points[-1].step - points[0].step + 1
    bounds = [first + number * length // stretches for number in range(stretches + 1)]
    parted: list[list[float]] = [[] for _ in range(stretches)]
    for point in points:
        number = (point.step - first) * stretches // length
        while point.step >= bounds[number + 1]:
            number += 1
        if not math.isnan(point.value):
            parted[number].append(point.value)
    return [{min(part), max(part)} if part else set() for part in parted]


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batches=BATCHES, most=st.sampled_from([12, 50, 320]), cut=st.booleans())
def test_is_what_a_look_at_every_point_finds(
    tracking: Tracking, batches: Batches, most: int, cut: bool
) -> None:
    run = tracking.start_run(tracking.experiment("e").id, actor="user:me").id
    for part in _points(batches):
        tracking.log(run, metrics=part)
    points = tracking.history(run, "m")
    assert len(points) == len({(p.step, p.timestamp, str(p.value)) for p in points})
    steps = points[0].step, points[-1].step
    first, last = (steps[0] + 100, steps[1] - 777) if cut else steps
    seen = [point for point in points if first <= point.step <= last]
    thin = tracking.sample(run, "m", most=most, first=first, last=last)
    stretches = (most - 2) // 2
    if len(seen) <= most or seen[-1].step - seen[0].step < stretches:
        assert len(thin) <= most
        return
    wanted = _extremes(seen, stretches)
    held = [number for number, pair in enumerate(wanted) if pair]
    if len(held) < 0.8 * stretches:
        assert len(thin) <= most
        return
    assert str((thin[0], thin[-1])) == str((seen[0], seen[-1]))
    assert {str(point) for point in thin} <= {str(point) for point in seen}
    found = {point.value for point in thin if not math.isnan(point.value)}
    assert set().union(*wanted) <= found
    assert found <= set().union(*wanted) | {seen[0].value, seen[-1].value}


class TestInBlocks:
    def test_a_block_ends_where_something_comes_late(
        self, tracking: Tracking, db: Database
    ) -> None:
        run = tracking.start_run(tracking.experiment("e").id, actor="user:me").id
        counted = select(func.count()).select_from(store.blocks)
        for first in range(0, 9000, 1000):
            more = [Metric("m", float(s % 77), 5, s) for s in range(first, first + 1000)]
            tracking.log(run, metrics=more)
        with db.read() as connection:
            made = connection.scalar(counted)
        assert made
        before = tracking.sample(run, "m", most=20)
        tracking.log(run, metrics=[Metric("m", 99.0, 5, 300)])
        after = tracking.sample(run, "m", most=20)
        assert {p.value for p in after} == {p.value for p in before} | {99.0}
        tracking.log(run, metrics=[Metric("m", 0.5, 5, s) for s in range(9000, 13_000)])
        with db.read() as connection:
            assert (connection.scalar(counted) or 0) > made
        assert max(p.value for p in tracking.sample(run, "m", most=20)) == 99.0

    def test_of_one_step_are_never_made(self, tracking: Tracking, db: Database) -> None:
        run = tracking.start_run(tracking.experiment("e").id, actor="user:me").id
        tracking.log(run, metrics=[Metric("m", float(s), s, 7) for s in range(5000)])
        with db.read() as connection:
            assert connection.scalar(select(func.count()).select_from(store.blocks)) == 0
        assert len(tracking.sample(run, "m", most=20)) == 20

    def test_reach_to_the_ends_of_what_a_step_can_be(self, tracking: Tracking) -> None:
        run = tracking.start_run(tracking.experiment("e").id, actor="user:me").id
        most = 2**63 - 1
        for first in (-most - 1, most - 4999):
            steps = range(first, first + 5000)
            tracking.log(run, metrics=[Metric("m", float(s % 97), 5, s) for s in steps])
        tracking.log(run, metrics=[Metric("m", -5.0, 5, most), Metric("m", -6.0, 5, -most - 1)])
        thin = tracking.sample(run, "m", most=20)
        assert (thin[0].value, thin[-1].step) == (-6.0, most)
        assert {-5.0, 96.0} <= {point.value for point in thin}
