"""The statistics of a table are those of its values."""

from __future__ import annotations

import polars as pl
import pytest

from tidemill.datasets import profiles
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
