"""Runs ranked along the index are the runs that a sort would give, page by page."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids
from tidemill.tracking import selection
from tidemill.tracking.records import Metric
from tidemill.tracking.service import Tracking

ON_BOTH_DATABASES = True
VALUES = st.none() | st.sampled_from([0.5, 1.0, -1.0, math.inf, -math.inf, math.nan])


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(VALUES, max_size=9),
    descending=st.booleans(),
    limit=st.integers(1, 5),
    only=st.booleans(),
    rare=st.sampled_from([0, 4000]),
)
def test_pages_are_those_of_a_sort(
    tracking: Tracking,
    clock: SimulatedClock,
    ids: Ids,
    values: list[float | None],
    descending: bool,
    limit: int,
    only: bool,
    rare: int,
) -> None:
    mine, other = (tracking.experiment(ids.new()).id for _ in range(2))  # each example its own
    logged: list[tuple[str, float | None]] = []
    for number, value in enumerate(values):
        clock.sleep(1)
        run = tracking.start_run(mine, actor="user:me", tags={"even": str(number % 2 == 0)}).id
        tracking.start_run(other, actor="user:me")
        if value is not None:
            tracking.log(run, metrics=[Metric("m", value, 5, 1)])
        if not only or number % 2 == 0:
            logged.append((run, value))
    way = "DESC" if descending else "ASC"
    filter = "tags.even = 'True'" if only else ""
    found: list[str] = []
    token: str | None = None
    order = [f"metrics.m {way}"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(selection, "RARE", rare)
        while token is not None or not found:
            page = tracking.search([mine], filter, order_by=order, limit=limit, token=token)
            found += [run.id for run in page.items]
            token = page.token
            if token is None:
                break

    def rank(entry: tuple[int, tuple[str, float | None]]) -> tuple[int, float, int]:
        at, (_, value) = entry
        if value is None:
            return 2, 0.0, -at
        if math.isnan(value):
            return 1, 0.0, -at
        return 0, -value if descending else value, -at

    assert found == [run for _, (run, _) in sorted(enumerate(logged), key=rank)]
