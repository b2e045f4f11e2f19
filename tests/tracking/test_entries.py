"""Batches that are written together are each whole or absent, whatever the others are."""

from __future__ import annotations

from concurrent.futures import Future

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.storage.db.engine import Database
from tidemill.tracking import entries
from tidemill.tracking.entries import Batch
from tidemill.tracking.errors import NotActive, ParamChanged, RunNotFound
from tidemill.tracking.records import Metric, Param, Tag
from tidemill.tracking.service import Tracking

ON_BOTH_DATABASES = True

BATCHES = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "gone", "none"]),
        st.lists(st.tuples(st.sampled_from("xy"), st.sampled_from("12")), max_size=2),
        st.lists(st.integers(0, 3), max_size=3),
    ),
    max_size=8,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batches=BATCHES)
def test_together_they_are_as_one_after_the_other(
    tracking: Tracking,
    db: Database,
    batches: list[tuple[str, list[tuple[str, str]], list[int]]],
) -> None:
    experiment = tracking.experiment("e").id
    pairs = []
    for _ in range(2):
        runs = {n: tracking.start_run(experiment, actor="user:me").id for n in ("a", "b", "gone")}
        tracking.delete_run(runs["gone"], actor="user:me")
        pairs.append(runs | {"none": "0" * 32})
    together, apart = pairs

    def batch(runs: dict[str, str], entry: tuple[str, list[tuple[str, str]], list[int]]) -> Batch:
        name, params, steps = entry
        run = runs[name]
        points = [entries.point_row(run, Metric("m", float(s), 5, s)) for s in steps]
        tags = [Tag("last", str(s)) for s in steps]
        return Batch(run, points, [Param(k, v) for k, v in params], tags)

    merged = db.write(lambda c: entries.write(c, [batch(together, e) for e in batches]))
    single = [
        db.write(lambda c, e=entry: entries.write(c, [batch(apart, e)])[0])  # type: ignore[misc]
        for entry in batches
    ]
    assert [type(answer) for answer in merged] == [type(answer) for answer in single]
    for name in ("a", "b"):
        one, other = tracking.get(together[name]), tracking.get(apart[name])
        assert (one.params, one.tags, one.metrics) == (other.params, other.tags, other.metrics)
        assert tracking.history(one.id, "m") == tracking.history(other.id, "m")


def test_a_refused_batch_takes_no_other_with_it(tracking: Tracking) -> None:
    experiment = tracking.experiment("e").id
    run, gone = (tracking.start_run(experiment, actor="user:me").id for _ in range(2))
    tracking.delete_run(gone, actor="user:me")
    tracking.log(run, params=[Param("p", "1")])
    good = Metric("m", 1.0, 5, 1)
    asked: list[Future[None]] = [
        tracking.log_soon(run, metrics=[good]),
        tracking.log_soon(gone, metrics=[good]),
        tracking.log_soon("0" * 32, metrics=[good]),
        tracking.log_soon(run, metrics=[Metric("n", 1.0, 5, 1)], params=[Param("p", "2")]),
        tracking.log_soon(run, params=[Param("q", "2")]),
    ]
    for future, error in zip(
        asked, (None, NotActive, RunNotFound, ParamChanged, None), strict=True
    ):
        if error is None:
            assert future.result() is None
        else:
            with pytest.raises(error):
                future.result()
    known = tracking.get(run)
    assert (known.metrics, known.params) == ({"m": 1.0}, {"p": "1", "q": "2"})
