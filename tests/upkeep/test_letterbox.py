"""The prediction log is looked after: compacted, let go by policy, and its losses are said."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tidemill.core.clock import SimulatedClock, SystemClock, micros
from tidemill.core.ids import Ids
from tidemill.core.policy import ServingPolicy
from tidemill.journal.service import Journal
from tidemill.predictions.reader import read_predictions
from tidemill.predictions.records import LabelRecord, LabelRow, PredictionRecord
from tidemill.predictions.segments import segments
from tidemill.predictions.writer import RecordWriter, labels_folder, predictions_folder
from tidemill.upkeep.alerting import LogSource
from tidemill.upkeep.letterbox import Keeper


@pytest.fixture
def policies() -> dict[str, ServingPolicy]:
    """What the policy says of endpoints; tests put it in."""
    return {}


@pytest.fixture
def keeper(
    tmp_path: Path, journal: Journal, clock: SimulatedClock, policies: dict[str, ServingPolicy]
) -> Iterator[Keeper]:
    """A keeper of a log in a folder of the test."""
    keeper = Keeper(tmp_path / "log", lambda: policies, journal, clock, SystemClock())
    yield keeper
    keeper.close()


def write_days(root: Path, clock: SimulatedClock, days: int) -> None:
    """Write a day a segment, with a hundred predictions and a label."""
    ids = Ids(clock, random.Random(1))
    for _ in range(days):
        now = micros(clock.now())
        writer = RecordWriter(predictions_folder(root, "e"), ids)
        made = [ids.new() for _ in range(100)]
        features = {"x": [random.Random(now).random()] * 100}
        writer.append(
            PredictionRecord(
                now, "m", 1, "champion", "r", 1, "ok", made, None, features, [True] * 100, None
            )
        )
        writer.close()
        labels = RecordWriter(labels_folder(root, "e"), ids)
        labels.append(LabelRecord(now, [LabelRow(True, prediction_id=made[0])]))
        labels.close()
        clock.sleep(86_400)


def kinds(journal: Journal) -> list[str]:
    return [fact.type for fact in journal.read()]


def test_days_go_by_age_and_first_it_is_said_which(
    tmp_path: Path,
    keeper: Keeper,
    journal: Journal,
    clock: SimulatedClock,
    policies: dict[str, ServingPolicy],
) -> None:
    write_days(tmp_path / "log", clock, 5)
    keeper.compact()
    assert keeper.expire() == ()
    policies["e"] = ServingPolicy(log_keep=timedelta(days=2).total_seconds())
    (would,) = keeper.expire(dry=True)
    assert (would.predictions, would.labels, would.because) == (300, 3, "age")
    assert would.days == ("2013-02-01", "2013-02-02", "2013-02-03")
    assert read_predictions(tmp_path / "log", "e")[0].height == 500
    assert keeper.expire() == (would,)
    assert read_predictions(tmp_path / "log", "e")[0].height == 200
    assert keeper.expire() == ()
    assert kinds(journal) == ["log.compacted", "log.compacted", "log.expired"]


def test_the_oldest_days_go_where_the_log_is_too_large(
    tmp_path: Path, keeper: Keeper, clock: SimulatedClock, policies: dict[str, ServingPolicy]
) -> None:
    write_days(tmp_path / "log", clock, 4)
    keeper.compact()
    root = tmp_path / "log" / "e" / "parquet"
    whole = sum(path.stat().st_size for path in root.rglob("*.parquet"))
    policies["e"] = ServingPolicy(log_size=whole - 1)
    (gone,) = keeper.expire()
    assert (gone.days, gone.because) == (("2013-02-01",), "size")
    assert read_predictions(tmp_path / "log", "e")[0].height == 300


def test_what_is_due_is_compacted_beside_the_owner(
    tmp_path: Path, keeper: Keeper, journal: Journal, clock: SimulatedClock
) -> None:
    root = tmp_path / "log"
    write_days(root, clock, 1)
    keeper.tend()
    assert kinds(journal) == []
    for path in segments(root, "e", "predictions"):
        os.utime(path, (time.time() - 86_400, time.time() - 86_400))
    deadline = time.monotonic() + 60
    while not kinds(journal):
        keeper.tend()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert kinds(journal) == ["log.compacted"]
    assert segments(root, "e", "predictions") == []


def test_damage_and_losses_are_facts_and_each_is_said_once(
    tmp_path: Path, keeper: Keeper, journal: Journal, clock: SimulatedClock
) -> None:
    write_days(tmp_path / "log", clock, 1)
    (path,) = segments(tmp_path / "log", "e", "predictions")
    whole = path.read_bytes()
    path.write_bytes(whole[:50] + b"\xff" + whole[51:] + whole)
    (done, _) = keeper.compact("e")
    assert (done.rows, len(done.aside)) == (100, 1)
    keeper.notice({"e": 3})
    keeper.notice({"e": 3})
    keeper.notice({"e": 5})
    facts = journal.read(types=("log.damaged", "log.lost"))
    assert [fact.fields().get("records") for fact in facts] == [None, 3, 2]
    assert facts[0].fields()["files"] == list(done.aside)
    alarms = [seen for fact in facts for seen in LogSource()(fact)]
    assert [alarm.kind for alarm in alarms] == ["log-damaged", "log-lost", "log-lost"]
    assert alarms[1].message == "3 records of answered requests could not be logged."
