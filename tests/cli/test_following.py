"""What ran in the owner and failed ends a command as it would have ended there."""

from __future__ import annotations

from typing import Any, cast

import polars as pl
import pytest

from tidemill.cli.following import JobFailed, follow
from tidemill.cli.output import Output
from tidemill.server.operations.backtests import _check_segments
from tidemill.server.operations.errors import BadArgument
from tidemill.server.operations.records import Job


@pytest.mark.parametrize(
    ("status", "told"), [(404, 404), (400, 400), (409, 409), (422, None), (500, None), (None, None)]
)
def test_a_failed_job_tells_its_status_where_that_says_what_trouble_it_is(
    status: int | None, told: int | None
) -> None:
    job = Job(id="backtest 1", done=True, error="Nothing was recorded.", status=status)
    with pytest.raises(JobFailed, match="Nothing was recorded") as failed:
        follow(cast("Any", None), job, Output(json=False))
    assert failed.value.status == told


def test_a_segment_that_is_no_column_of_the_log_is_named() -> None:
    rows = pl.DataFrame({"feature.origin": ["EWR"], "feature.carrier": ["UA"], "score": [0.5]})
    _check_segments(["origin", "origin & carrier"], rows)
    with pytest.raises(BadArgument, match="'orgin'") as refused:
        _check_segments(["orgin"], rows)
    assert "'origin'" in str(refused.value)
