"""What is learned from and what is judged by: every row once, and the newest are judged by."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.contract import Column, ColumnType, Contract
from tidemill.core.policy import ModelPolicy
from tidemill.pipelines.errors import BadPipeline
from tidemill.pipelines.recipe import Recipe
from tidemill.pipelines.splitting import split_by_chance, split_by_time

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 86400.0


def recipe(kind: ColumnType, holdout: float, window: float | None = None) -> Recipe:
    columns = Column(name="at", type=kind, role="time"), Column(name="n", type="int", role="label")
    return Recipe(
        model="m",
        policy=ModelPolicy(train="p:f", dataset="d", holdout=holdout, window=window),
        dataset="dataset:d@1",
        files=(),
        contract=Contract(columns=columns),
        code="c",
        until=START + timedelta(days=100),
        created=START,
    )


def rows(kind: ColumnType, days: list[int]) -> pl.DataFrame:
    moments = [START + timedelta(days=day) for day in days]
    at: list[date] | list[datetime] = [m.date() for m in moments] if kind == "date" else moments
    dtype = pl.Date() if kind == "date" else pl.Datetime("us", "UTC")
    return pl.DataFrame({"at": pl.Series(at, dtype=dtype), "n": range(len(days))})


@pytest.mark.parametrize("kind", ["date", "datetime"])
def test_the_last_days_are_held_out_whether_rows_have_a_day_or_a_moment(kind: ColumnType) -> None:
    table = rows(kind, list(range(30)))
    old, new = split_by_time(table, recipe(kind, 7 * DAY))
    assert old["n"].to_list() == list(range(23))
    assert new["n"].to_list() == list(range(23, 30))
    old, _ = split_by_time(table, recipe(kind, 7 * DAY, window=10 * DAY))
    assert old["n"].to_list() == list(range(13, 23))


@given(
    st.lists(st.integers(0, 60), min_size=20, max_size=80).map(sorted),
    st.floats(0.05, 0.9),
    st.sampled_from(["date", "datetime"]),
)
def test_a_share_of_the_newest_is_held_out_and_no_moment_is_on_both_sides(
    days: list[int], share: float, kind: ColumnType
) -> None:
    table = rows(kind, days)
    try:
        old, new = split_by_time(table, recipe(kind, share))
    except BadPipeline as error:
        assert "labelled rows" in str(error)  # noqa: PT017 - many rows of one day leave too few
        return
    assert pl.concat([old, new]).equals(table)
    assert old["at"].max() < new["at"].min()  # type: ignore[operator]
    assert new.height <= max(share * table.height, 1)


@given(st.integers(40, 200), st.integers(1, 100), st.floats(0.2, 0.8))
def test_a_row_stays_on_its_side_when_others_are_added(many: int, more: int, share: float) -> None:
    columns = (Column(name="n", type="int", role="label"),)
    made = msgspec.structs.replace(recipe("date", share), contract=Contract(columns=columns))
    before = pl.DataFrame({"n": range(many)})
    after = pl.DataFrame({"n": range(many + more)})
    learned, held = split_by_chance(before, made)
    later = split_by_chance(after, made)
    assert set(learned["n"]) <= set(later[0]["n"])
    assert set(held["n"]) <= set(later[1]["n"])


def test_a_dataset_without_time_takes_no_holdout_in_seconds() -> None:
    with pytest.raises(BadPipeline, match=r"holdout = 0\.2"):
        split_by_chance(pl.DataFrame({"n": range(9)}), recipe("date", 7 * DAY))
