"""Silence: heard by the hour, never where it is always quiet, said once, and over by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.monitoring.test_service import Watch

from tidemill.core.clock import SimulatedClock, micros
from tidemill.core.policy import MonitorPolicy
from tidemill.journal.service import Journal
from tidemill.monitoring.arrivals import Heard, by_hour, silence
from tidemill.monitoring.events import FindingEnded, FindingRaised
from tidemill.monitoring.rhythm import HOUR, HOURS_A_MONTH, KEPT, WEEK, learn
from tidemill.storage.db.engine import Database

from .street import START, rides

LEVEL = 1e-4
DAY = timedelta(days=1)
LIVE = START + 30 * DAY
STREETS: dict[str, dict[str, float]] = {
    "busy": {},
    "slow": {"rate": 2.0},
    "days that differ": {"shape": 3.0},
    "quiet weekends": {"rate": 5.0, "weekend": 0.3},
    "a few a day": {"rate": 0.3},
}


def _counts(
    rng: np.random.Generator,
    weeks: int,
    *,
    rate: float = 30.0,
    weekend: float = 0.0,
    night: float = 0.05,
    shape: float = 20.0,
) -> Any:
    """Return counts by hour of a street with days and weeks, whose days differ by chance."""
    hours = np.arange(weeks * WEEK)
    awake = np.where((hours % 24 >= 7) & (hours % 24 < 22), 1.0, night)
    week = np.where(hours // 24 % 7 < 5, 1.0, weekend)
    factor = rng.gamma(shape, 1 / shape, weeks * 7)[hours // 24]
    return rng.poisson(rate * awake * week * factor).astype(float)


def _alarms(counts: Any, begin: int) -> int:
    """Return in how many gaps, looked at every hour, a silence is said."""
    alarms, said, learned = 0, False, None
    last = int(np.flatnonzero(counts[:begin])[-1])
    for hour in range(begin, len(counts)):
        if learned is None or hour % 24 == 0:
            since = max(0, hour - KEPT)
            learned = learn(since, counts[since:hour])
        if counts[hour - 1]:
            last, said = hour - 1, False
        now = datetime.fromtimestamp(hour * HOUR, UTC)
        known = Heard(rhythm=learned, newest=(last + 1) * HOUR * 1_000_000)
        if not said and silence("predictions", known, now, LEVEL) is not None:
            alarms, said = alarms + 1, True
    return alarms


@pytest.mark.parametrize("name", STREETS)
def test_false_alarms_are_no_more_than_stated(name: str) -> None:
    hours = alarms = 0
    for seed in range(3):
        counts = _counts(np.random.default_rng(seed), 20, **STREETS[name])
        alarms += _alarms(counts, 3 * WEEK)
        hours += 17 * WEEK
    stated = LEVEL * HOURS_A_MONTH * hours / HOURS_A_MONTH
    assert alarms <= stated + 3 * np.sqrt(stated) + 1


@pytest.mark.parametrize(("name", "most"), [("busy", 6), ("slow", 20), ("days that differ", 14)])
def test_an_outage_of_a_busy_morning_is_heard_within_hours(name: str, most: int) -> None:
    for seed in range(5):
        counts = _counts(np.random.default_rng(seed), 9, **STREETS[name])
        morning = 8 * WEEK + 8
        learned = learn(0, counts[:morning])
        known = Heard(rhythm=learned, newest=morning * HOUR * 1_000_000)
        heard = [
            h
            for h in range(1, 60)
            if silence(
                "predictions", known, datetime.fromtimestamp((morning + h) * HOUR, UTC), LEVEL
            )
        ]
        assert heard[0] <= most


def test_labels_that_come_once_a_week_are_missed_when_they_do_not() -> None:
    counts = np.zeros(5 * WEEK)
    counts[30::WEEK] = 500.0
    known = Heard(rhythm=learn(0, counts), newest=(4 * WEEK + 31) * HOUR * 1_000_000)

    def at(hour: int) -> Any:
        return silence("labels", known, datetime.fromtimestamp(hour * HOUR, UTC), LEVEL)

    assert at(5 * WEEK + 29) is None
    assert at(5 * WEEK + 31) is None, "an hour late is not missing"
    assert at(5 * WEEK + 33).expected == pytest.approx(500.0)


def test_too_little_is_known_of_a_young_endpoint() -> None:
    assert learn(0, np.ones(71)) is None
    first = learn(0, np.ones(72))
    assert first is not None
    assert first.period == 24
    assert learn(0, np.zeros(100)).chance(0.0, 1e9) == 1.0  # type: ignore[union-attr]
    assert by_hour(np.zeros(0, dtype=np.int64)) == []
    assert silence("labels", Heard(rhythm=None, newest=0), LIVE, LEVEL) is None


@pytest.fixture
def watch(db: Database, journal: Journal, clock: SimulatedClock, tmp_path: Path) -> Any:
    street = Watch(db, journal, clock, tmp_path / "predictions")
    street.learned()
    yield street
    street.box.close()


def _facts(journal: Journal) -> list[tuple[str, str]]:
    found = []
    for fact in journal.read(types=(FindingRaised.type, FindingEnded.type)):
        if fact.type == FindingEnded.type:
            ended = fact.read(FindingEnded)
            found.append((f"{ended.kind} ended", ended.about))
        else:
            raised = fact.read(FindingRaised).finding
            found.append((raised.kind, raised.about))
    return found


def test_a_silence_is_said_once_over_restarts_and_ends_when_it_ends(
    watch: Watch, db: Database, journal: Journal
) -> None:
    policy = MonitorPolicy(window=28 * 86_400.0)
    rows = rides(np.random.default_rng(0), 10, start=LIVE)
    watch.box.label(watch.box.answer(rows), rows["truth"].to_list(), LIVE + 10 * DAY)
    last = rows["moment"].max()
    assert isinstance(last, datetime)
    assert watch.look(last + timedelta(hours=1), policy) == []
    found = watch.look(last + timedelta(hours=10), policy)
    assert [(f.kind, f.about, f.severity) for f in found] == [
        ("silence", "predictions", "critical")
    ]
    assert "in which" in found[0].message
    assert found[0].numbers["false_alarms_per_30_days"] == pytest.approx(0.072)
    again = Watch(db, journal, watch.clock, watch.folder)
    again.learned()
    assert again.look(last + timedelta(hours=20), policy) == []
    again.box.answer(rides(np.random.default_rng(1), 1, start=LIVE + 12 * DAY))
    assert again.look(LIVE + 13 * DAY, policy) == []
    again.box.close()
    assert _facts(journal) == [("silence", "predictions"), ("silence ended", "predictions")]


def test_predictions_dated_wrongly_are_said_and_do_not_stop_the_watch(
    watch: Watch, journal: Journal
) -> None:
    week = rides(np.random.default_rng(2), 7, start=LIVE)
    watch.box.answer(week.head(1).with_columns(moment=pl.lit(datetime(2099, 1, 1, tzinfo=UTC))))
    watch.box.answer(week.head(1).with_columns(moment=pl.lit(datetime(1970, 1, 2, tzinfo=UTC))))
    watch.box.label(watch.box.answer(week), week["truth"].to_list(), LIVE + 7 * DAY)
    found = watch.look(LIVE + 8 * DAY)
    assert ("quality", "clock") in {(f.kind, f.about) for f in found}
    assert "1 predictions are dated in the future, up to 2099-01-01" in found[0].message
    assert watch.window.since == LIVE
    assert watch.window.predictions == 840
    later = rides(np.random.default_rng(3), 7, start=LIVE + 7 * DAY)
    watch.box.label(watch.box.answer(later), later["truth"].to_list(), LIVE + 14 * DAY)
    assert watch.look(LIVE + 15 * DAY) == []
    assert watch.window.since == LIVE + 7 * DAY


def test_predictions_that_are_read_late_count_in_their_window(watch: Watch) -> None:
    week = rides(np.random.default_rng(4), 7, start=LIVE)
    late = week.sample(100, seed=0)
    early = week.join(late, on="moment", how="anti")
    watch.box.label(watch.box.answer(early), early["truth"].to_list(), LIVE + 7 * DAY)
    watch.look(LIVE + 8 * DAY)
    assert watch.window.predictions == early.height
    watch.box.label(watch.box.answer(late), late["truth"].to_list(), LIVE + 7 * DAY)
    watch.look(LIVE + 8 * DAY)
    assert watch.window.predictions == early.height + late.height
    assert micros(watch.window.since) == micros(LIVE)


def test_an_endpoint_that_may_fall_silent_is_never_said_to() -> None:
    known = Heard(rhythm=learn(0, np.full(5 * WEEK, 40.0)), newest=5 * WEEK * HOUR * 1_000_000)
    later = datetime.fromtimestamp(6 * WEEK * HOUR, UTC)
    assert silence("predictions", known, later, LEVEL) is not None
    assert silence("predictions", known, later, 0.0) is None
