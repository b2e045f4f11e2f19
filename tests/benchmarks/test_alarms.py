"""What the benchmark of alarms calls a false alarm, a delay, and as seldom."""

from __future__ import annotations

import polars as pl
import pytest
from benchmarks.alarms.__main__ import _as_seldom, _row, any_column, beyond
from benchmarks.alarms.streams import REFERENCE, WEEK, WEEKS, permuted, with_shifts

CALM: list[list[str]] = [[] for _ in range(WEEKS)]


def test_alarms_of_shifted_copies_are_not_false() -> None:
    found = [["0.5"], ["1.0", "temp"], *CALM[2:]]

    assert any_column([found, CALM]) == (pytest.approx(1 / 16), pytest.approx(0.0442, abs=1e-4))


def test_a_row_tells_how_many_weeks_pass_before_each_copy_alarms() -> None:
    soon = [["1.0"], ["0.5", "1.0"], *CALM[2:]]
    never = CALM

    row = _row("Any", [soon, never])

    assert row == f"| Any | 0.000 ± 0.000 | {(1 + WEEKS) / 2:.2f} weeks | 0% | 4.00 weeks | 50% |"


def test_deviations_are_raised_until_there_are_as_few_false_alarms() -> None:
    weeks = [{"temp": float(k)} for k in range(WEEKS)]

    chosen = _as_seldom([weeks], 2 / WEEKS)

    assert any_column(beyond([weeks], chosen))[0] == 2 / WEEKS
    assert any_column(beyond([weeks], chosen - 0.2))[0] == 3 / WEEKS


def test_a_copy_is_its_column_until_the_reference_ends() -> None:
    days = [pl.DataFrame({"temp": [float(k), k + 1.0]}) for k in range(REFERENCE + WEEK * WEEKS)]

    rows = with_shifts(permuted(days, seed=3), "temp")

    before = rows.filter(pl.col("day") < REFERENCE)
    after = rows.filter(pl.col("day") >= REFERENCE)
    assert before["0.5"].to_list() == before["temp"].to_list()
    by = (after["1.0"] - after["temp"]).to_numpy()
    assert by == pytest.approx(before["temp"].std())
    assert (after["0.5"] - after["temp"]).to_numpy() == pytest.approx(by / 2)
