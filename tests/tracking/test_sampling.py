"""A metric thinned out for a plot keeps its ends and its extremes, and is never behind."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
