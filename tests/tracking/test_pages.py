"""A metric read page by page is the metric read at once."""

from __future__ import annotations

import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.tracking.records import Metric
from tidemill.tracking.service import Tracking

ON_BOTH_DATABASES = True

POINTS = st.lists(
    st.builds(
        Metric,
        key=st.just("m"),
        value=st.sampled_from([0.0, -0.0, 1.5, -2.5, math.inf, -math.inf, math.nan]),
        timestamp=st.integers(0, 2),
        step=st.integers(-2, 3),
    ),
    max_size=40,
)


def pages(tracking: Tracking, run: str, size: int) -> list[Metric]:
    """Read as a server does: a point more than a page has tells whether there is another."""
    found: list[Metric] = []
    while True:
        page = tracking.history(run, "m", limit=size + 1, offset=len(found))
        found += page[:size]
        if len(page) <= size:
            return found


@given(first=POINTS, more=POINTS, size=st.integers(1, 12))
@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_pages_together_are_the_whole_before_and_after_more_is_logged(
    tracking: Tracking, first: list[Metric], more: list[Metric], size: int
) -> None:
    run = tracking.start_run(tracking.experiment("e").id, actor="user:me").id
    for points in (first, more):
        tracking.log(run, metrics=points)
        for _ in range(2):
            whole = tracking.history(run, "m")
            assert repr(pages(tracking, run, size)) == repr(whole)
