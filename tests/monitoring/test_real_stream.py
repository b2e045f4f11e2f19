"""The alarm on a year of real flights whose days are permuted, so that nothing drifts.

Rows of a day are alike, as they are in life; days are exchangeable. At the default level at most
one window in a hundred may alarm, and at 0.05 at most one in twenty.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from tidemill.demo.flights import read_year
from tidemill.monitoring.blocks import BlockCounts, count
from tidemill.monitoring.drift import DriftReference

COLUMNS = (
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
DAYS, WINDOW, ROWS, REPEATS = 84, 7, 150, 12


@pytest.fixture(scope="module")
def flights() -> list[pl.DataFrame]:
    """Return 150 flights of each day of 2013, with the weather at their departure."""
    rows = read_year().flights.with_columns(day=pl.col("scheduled_departure").dt.date())
    days = rows.sort("day").partition_by("day", maintain_order=True)
    return [d.sample(ROWS, seed=0).select(COLUMNS) for d in days if d.height >= ROWS]


def _year(flights: list[pl.DataFrame], seed: int) -> pl.DataFrame:
    order = np.random.default_rng(seed).permutation(len(flights))
    each = [flights[i].with_columns(block=pl.lit(k)) for k, i in enumerate(order)]
    return pl.concat(each)


def _windows(year: pl.DataFrame, many: int) -> Iterator[tuple[pl.DataFrame, list[pl.DataFrame]]]:
    """Go through windows after the reference, each with all that came before it."""
    weeks = [
        year.filter(pl.col("block").is_between(a, a + WINDOW - 1))
        for a in range(DAYS, DAYS + many * WINDOW, WINDOW)
    ]
    for i, week in enumerate(weeks):
        yield week, weeks[:i]


def _before(known: DriftReference, weeks: list[pl.DataFrame]) -> list[dict[str, BlockCounts]]:
    found = []
    for many in (1, 3):
        if len(weeks) >= many:
            rows = pl.concat(weeks[-many:])
            found.append({c: count(rows[c], rows["block"], s) for c, s in known.scales.items()})
    return found


def _alarms(flights: list[pl.DataFrame], q: float) -> tuple[int, int]:
    alarms = windows = 0
    for seed in range(REPEATS):
        year = _year(flights, seed)
        usual = year.filter(pl.col("block") < DAYS)
        known = DriftReference(usual, usual["block"], COLUMNS)
        for week, weeks in _windows(year, 8):
            columns, _ = known.compare(
                week, week["block"], q=q, least_effect=0.05, earlier=_before(known, weeks)
            )
            alarms += any(c.drifted for c in columns)
            windows += 1
    return alarms, windows


@pytest.mark.parametrize("q", [0.01, 0.05])
def test_false_alarms_are_as_rare_as_stated(flights: list[pl.DataFrame], q: float) -> None:
    alarms, windows = _alarms(flights, q)
    # Three standard errors, were windows independent; those of one year share their reference.
    assert alarms / windows <= q + 3 * np.sqrt(q * (1 - q) / windows)


def _delay(flights: list[pl.DataFrame], shift: float, *, longer: bool, q: float = 0.05) -> float:
    """Return after how many windows a shift is found on average; 8 where it is not found."""
    delays = []
    for seed in range(REPEATS):
        year = _year(flights, seed)
        usual = year.filter(pl.col("block") < DAYS)
        known = DriftReference(usual, usual["block"], COLUMNS)
        column = ("distance", "temp", "humid", "wind_speed")[seed % 4]
        spread = float(usual[column].std() or 0.0)  # type: ignore[arg-type]
        moved = year.with_columns(pl.col(column).cast(pl.Float64) + shift * spread)
        found = 8
        for i, (week, weeks) in enumerate(_windows(moved, 8)):
            earlier = _before(known, weeks) if longer else []
            columns, _ = known.compare(week, week["block"], q=q, least_effect=0.05, earlier=earlier)
            if any(c.drifted and c.column == column for c in columns):
                found = i
                break
        delays.append(found)
    return float(np.mean(delays))


@pytest.mark.parametrize(("shift", "latest"), [(0.5, 6.0), (1.0, 3.0)])
def test_a_shift_of_one_column_is_found_sooner_with_longer_stretches(
    flights: list[pl.DataFrame], shift: float, latest: float
) -> None:
    """Half a deviation, and a whole one, of columns whose days differ nearly as much as rows."""
    alone, longer = (_delay(flights, shift, longer=way) for way in (False, True))
    assert longer <= latest
    assert longer < alone
