"""Drift alarms: their rate where nothing moved, what they see, and what they cannot judge."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidemill.monitoring.blocks import BlockCounts, count
from tidemill.monitoring.drift import DriftReference

DAYS, ROWS = 30, 300
Q = 0.05


def _stream(rng: np.random.Generator, days: int, rows: int = ROWS, **shift: float) -> pl.DataFrame:
    """Days whose rows are alike: half of the variance is between days."""
    day = np.repeat(np.arange(days), rows)
    columns: dict[str, Any] = {}
    for i in range(6):
        between = rng.normal(size=days)[day]
        columns[f"n{i}"] = between + rng.normal(size=days * rows) + shift.get(f"n{i}", 0.0)
    for i in range(2):
        level = np.clip(0.3 + 0.1 * rng.normal(size=days), 0.05, 0.95)[day] + shift.get(f"c{i}", 0)
        columns[f"c{i}"] = np.where(rng.random(days * rows) < level, "yes", "no")
    return pl.DataFrame({**columns, "block": day})


def _compare(reference: pl.DataFrame, window: pl.DataFrame, **options: Any) -> Any:
    known = DriftReference(
        reference, reference["block"], [c for c in reference.columns if c != "block"]
    )
    return known.compare(window, window["block"], **{"q": Q, "least_effect": 0.05} | options)


def test_the_false_alarm_rate_is_as_stated() -> None:
    """At q = 0.05 at most one window in twenty may alarm; 120 windows, three standard errors."""
    alarms = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        reference = _stream(rng, DAYS)
        known = DriftReference(reference, reference["block"], reference.columns[:-1])
        for _ in range(4):
            window = _stream(rng, 7)
            columns, _ = known.compare(window, window["block"], q=Q, least_effect=0.0)
            alarms += any(c.drifted for c in columns)
    assert alarms / 120 <= Q + 3 * np.sqrt(Q * (1 - Q) / 120)


def test_a_window_with_few_rows_is_not_taken_for_drift() -> None:
    alarms = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        columns, _ = _compare(_stream(rng, DAYS), _stream(rng, 7, rows=6), least_effect=0.0)
        alarms += any(c.drifted for c in columns)
    assert alarms <= 5


def test_a_shift_is_found_in_its_column_and_nowhere_else() -> None:
    rng = np.random.default_rng(3)
    columns, note = _compare(_stream(rng, DAYS), _stream(rng, 7, n2=3.0, c1=0.4))
    assert [c.column for c in columns if c.drifted] == ["n2", "c1"]
    assert note == ""


@pytest.mark.parametrize(
    ("usual", "now"),
    [
        ([0.0], [1.0]),
        ([0.0], [-1.0]),
        ([1.0], [None]),
        ([1.0], [float("inf")]),
        ([0.0] * 97 + [1.0] * 3, [0.0, 1.0]),
        (["a"], ["b"]),
        (["a", "b"], [None, "a"]),
        ([True], [False]),
        ([None], [1.0]),
    ],
)
def test_a_change_of_a_plain_column_is_found(usual: list[Any], now: list[Any]) -> None:
    reference = pl.DataFrame({"x": usual * 3000}).head(3000)
    reference = reference.with_columns(block=pl.Series(np.arange(3000) // 100))
    window = pl.DataFrame({"x": now * 700}).head(700)
    window = window.with_columns(block=pl.Series(np.arange(700) // 100))
    columns, _ = _compare(reference, window)
    assert columns[0].drifted
    same, _ = _compare(reference, reference.head(700))
    assert not same[0].drifted


def test_a_column_that_does_not_arrive_has_moved() -> None:
    rng = np.random.default_rng(0)
    columns, _ = _compare(_stream(rng, DAYS), _stream(rng, 7).drop("n0", "c0"))
    gone = {c.column: c for c in columns if c.drifted}
    assert set(gone) == {"n0", "c0"}
    assert gone["n0"].missing == 1.0
    assert gone["n0"].current == "nothing"


def test_new_columns_and_other_types_are_no_trouble() -> None:
    rng = np.random.default_rng(0)
    window = _stream(rng, 7).with_columns(
        extra=pl.lit(1), n0=pl.lit("word"), c0=pl.lit(1.5), n1=pl.lit([1.0, 2.0])
    )
    columns, _ = _compare(_stream(rng, DAYS), window)
    assert {c.column for c in columns if c.drifted} == {"n0", "c0", "n1"}


def test_what_cannot_be_judged_says_why() -> None:
    rng = np.random.default_rng(0)
    short = _stream(rng, 5)
    assert _compare(short, short)[1].startswith("Drift cannot be judged, because the reference")
    empty = _compare(_stream(rng, DAYS), short.clear())
    assert empty == ((), "Drift cannot be judged, because the window is empty.")
    lists = pl.DataFrame({"v": [[1.0]] * 900, "block": np.arange(900) // 30})
    assert "`v`" in _compare(lists, lists.head(210))[1]


def test_one_row_gives_a_figure_and_no_alarm() -> None:
    rng = np.random.default_rng(0)
    columns, _ = _compare(_stream(rng, DAYS), _stream(rng, 7).head(1))
    assert len(columns) == 8
    assert not any(c.drifted for c in columns)


def test_the_same_rows_give_the_same_answer() -> None:
    rng = np.random.default_rng(0)
    reference, window = _stream(rng, DAYS), _stream(rng, 7)
    assert _compare(reference, window) == _compare(
        reference, window.sample(fraction=1, shuffle=True, seed=1)
    )


def test_a_week_of_twelve_columns_takes_well_under_a_tenth_of_a_second() -> None:
    rng = np.random.default_rng(0)
    reference = _stream(rng, DAYS, 900).with_columns(
        **{f"m{i}": pl.col("n0") * i for i in range(4)}
    )
    window = _stream(rng, 7, 857).with_columns(**{f"m{i}": pl.col("n0") * i for i in range(4)})
    known = DriftReference(
        reference, reference["block"], [c for c in reference.columns if c != "block"]
    )
    known.compare(window, window["block"], q=0.01, least_effect=0.05)
    took = []
    for _ in range(5):
        began = time.perf_counter()
        known.compare(window, window["block"], q=0.01, least_effect=0.05)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.1


def _counts(known: DriftReference, rows: pl.DataFrame) -> dict[str, BlockCounts]:
    return {c: count(rows[c], rows["block"], scale) for c, scale in known.scales.items()}


def _weeks(rng: np.random.Generator, many: int, **shift: float) -> list[pl.DataFrame]:
    return [_stream(rng, 7, rows=100, **shift) for _ in range(many)]


def _longer(known: DriftReference, weeks: list[pl.DataFrame]) -> list[dict[str, BlockCounts]]:
    """The week before the last, and the three before it, as `compare` takes them."""
    numbered = [w.with_columns(block=w["block"] + 7 * i) for i, w in enumerate(weeks)]
    return [_counts(known, pl.concat(numbered[-many:])) for many in (1, 3)]


def test_longer_stretches_keep_the_false_alarm_rate() -> None:
    """At q = 0.05 at most one window in twenty may alarm, the first of a stream or a later one."""
    alarms = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        reference = _stream(rng, 60, rows=100)
        known = DriftReference(reference, reference["block"], reference.columns[:-1])
        *before, week = _weeks(rng, 4)
        columns, _ = known.compare(
            week, week["block"], q=Q, least_effect=0.0, earlier=_longer(known, before)
        )
        alarms += any(c.drifted for c in columns)
    assert alarms / 60 <= Q + 3 * np.sqrt(Q * (1 - Q) / 60)


def test_a_small_shift_that_lasts_is_found_sooner_by_longer_stretches() -> None:
    alone = together = 0
    for seed in range(20):
        rng = np.random.default_rng(1000 + seed)
        reference = _stream(rng, 60, rows=100)
        known = DriftReference(reference, reference["block"], reference.columns[:-1])
        *before, week = _weeks(rng, 4, n0=1.1)
        for earlier in ([], _longer(known, before)):
            columns, _ = known.compare(week, week["block"], q=Q, least_effect=0.05, earlier=earlier)
            hit = any(c.drifted and c.column == "n0" for c in columns)
            together += hit if earlier else 0
            alone += 0 if earlier else hit
    assert together >= alone + 4


def test_a_column_that_is_back_in_its_place_does_not_alarm_for_the_past() -> None:
    rng = np.random.default_rng(5)
    reference = _stream(rng, 60, rows=300)
    known = DriftReference(reference, reference["block"], reference.columns[:-1])
    before = [_stream(rng, 7, rows=300, n0=4.0) for _ in range(3)]
    week = reference.filter(pl.col("block") < 49)
    blocks = (week["block"] // 7).rename("block")
    columns, _ = known.compare(week, blocks, q=Q, least_effect=0.3, earlier=_longer(known, before))
    assert not any(c.drifted for c in columns)


@pytest.mark.parametrize("days", [10, 30])
def test_a_column_of_a_thousand_categories_does_not_alarm_for_what_was_frequent_by_chance(
    days: int,
) -> None:
    alarms, effects = 0, []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = {"k": rng.integers(0, 1000, (days + 6) * ROWS).astype(str)}
        stream = pl.DataFrame(rows | {"block": np.repeat(np.arange(days + 6), ROWS)})
        known = stream.filter(pl.col("block") < days)
        for first in (days, days + 3):
            window = stream.filter(pl.col("block").is_between(first, first + 2))
            columns, _ = _compare(known, window, q=0.01)
            alarms += columns[0].drifted
            effects.append(columns[0].effect)
    assert alarms <= 2
    assert np.mean(effects) < 0.03


def test_a_thousand_categories_that_give_way_to_others_are_found() -> None:
    rng = np.random.default_rng(0)
    usual = {"k": (rng.random(30 * ROWS) ** 3 * 1000).astype(int).astype(str)}
    now = {"k": rng.integers(0, 1000, 7 * ROWS).astype(str)}
    reference = pl.DataFrame(usual | {"block": np.repeat(np.arange(30), ROWS)})
    window = pl.DataFrame(now | {"block": np.repeat(np.arange(7), ROWS)})
    assert _compare(reference, window)[0][0].drifted
