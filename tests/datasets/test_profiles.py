"""The statistics of a table are those of its values."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tidemill.datasets import frames, profiles
from tidemill.datasets.profiles import profile


def test_distinct_values_are_counted_and_missing_ones_are_none() -> None:
    rows = 20_000
    frame = pl.LazyFrame(
        {
            "key": [f"r{i}" for i in range(rows)],
            "area": ["north", "south", None, "south"] * (rows // 4),
            "nothing": [None] * rows,
            "lists": [[1]] * rows,
        }
    )
    found = {column.name: column for column in profile(frame)}
    assert [found[name].distinct for name in frame.collect_schema()] == [rows, 2, 0, 0]
    assert found["area"].top == (("south", 0.5), ("north", 0.25))
    assert found["area"].missing == 0.25


def test_in_larger_tables_the_number_of_distinct_values_is_estimated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(profiles, "COUNTED", 10)
    frame = pl.LazyFrame({"key": range(1000), "one": [1, None] * 500})
    key, one = profile(frame)
    assert key.distinct == pytest.approx(1000, rel=0.1)
    assert one.distinct == 1


def test_a_larger_table_is_told_of_as_a_small_one_but_for_an_error_in_rank(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = np.random.default_rng(0)
    rows = 50_000
    frame = pl.DataFrame(
        {
            "temp": chance.normal(size=rows),
            "count": chance.choice(["a", "b", "c"], rows, p=[0.7, 0.2, 0.1]),
            "whole": chance.integers(0, 9, rows),
            "flag": chance.random(rows) < 0.25,
            "none": pl.Series([None] * rows, dtype=pl.Float64),
            "when": pl.datetime_range(
                pl.datetime(2026, 1, 1), pl.datetime(2026, 1, 1) + pl.duration(minutes=rows - 1),
                "1m", eager=True,
            ),
            "list": [[1]] * rows,
        }
    )  # fmt: skip
    known = pl.int_range(rows) % 10 > 0
    frame = frame.with_columns(temp=pl.when(known).then("temp"))
    exact = {c.name: c for c in profile(frame.lazy())}
    monkeypatch.setattr(profiles, "EXACT", rows - 1)
    monkeypatch.setattr(frames, "_BATCH", 3000)
    sketched = {c.name: c for c in profile(frame.lazy())}
    temp = frame["temp"].drop_nulls().sort().to_numpy()
    ranks = np.searchsorted(temp, sketched["temp"].quantiles[1:-1]) / len(temp)
    assert np.abs(ranks - profiles.QUANTILES).max() < 0.001
    assert sketched["whole"].quantiles == exact["whole"].quantiles
    assert sketched["none"].quantiles == exact["none"].quantiles == ()
    for name, column in exact.items():
        other = sketched[name]
        assert (other.top, other.missing, other.type) == (column.top, column.missing, column.type)
        assert (other.mean, other.std) == pytest.approx((column.mean, column.std), nan_ok=True)
    assert [value for value, _ in exact["count"].top] == ["a", "b", "c"]


def test_of_more_names_than_are_kept_the_frequent_ones_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(profiles, "EXACT", 1)
    monkeypatch.setattr(profiles, "MOST_NAMES", 50)
    monkeypatch.setattr(frames, "_BATCH", 1000)
    names = [f"rare {at}" if at % 4 else "frequent" for at in range(40_000)]
    (column,) = profile(pl.LazyFrame({"name": names}))
    assert column.top[0] == ("frequent", 0.25)
