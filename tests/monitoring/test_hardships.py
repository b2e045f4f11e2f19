"""What the monitor must bear: odd values, odd columns, odd labels, and hardly any rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidemill.core.clock import SimulatedClock, micros
from tidemill.core.policy import MonitorPolicy
from tidemill.journal.service import Journal
from tidemill.monitoring.records import Finding
from tidemill.predictions.records import PredictionRecord
from tidemill.storage.db.engine import Database

from .street import START, reference_of, rides
from .test_service import POLICY, Watch

DAY = timedelta(days=1)
LIVE = START + 30 * DAY
Change = Callable[[pl.DataFrame], pl.DataFrame]
EVERYTHING = MonitorPolicy(
    segments=("area", "area & hour", "rain", "nobody"), silence=1e-300, multivariate=True
)
_OWN = {"moment", "prediction", "score", "truth"}


@pytest.fixture
def watch(db: Database, journal: Journal, clock: SimulatedClock, tmp_path: Path) -> Iterator[Watch]:
    street = Watch(db, journal, clock, tmp_path / "predictions")
    street.learned()
    yield street
    street.box.close()


def _answer(watch: Watch, rows: pl.DataFrame) -> list[str]:
    """Write rows with whatever columns they have."""
    made = []
    for row in rows.iter_rows(named=True):
        identifier = watch.box._ids.new()
        made.append(identifier)
        record = PredictionRecord(
            time=micros(row["moment"]),
            model="taxi",
            version=1,
            role="champion",
            request_id="r",
            latency_us=200,
            status="ok",
            ids=[identifier],
            keys=None,
            features={n: [v] for n, v in row.items() if n not in _OWN},
            predictions=[row["prediction"]],
            scores=[row["score"]],
        )
        watch.box._predictions.append(record)
    watch.box._predictions.flush()
    return made


def _judged(watch: Watch, change: Change, policy: MonitorPolicy = EVERYTHING) -> list[Finding]:
    week = change(rides(np.random.default_rng(1), 7, start=LIVE, rows=60))
    ids = _answer(watch, week)
    watch.box.label(ids, week["truth"].to_list(), LIVE + 7 * DAY)
    return watch.look(LIVE + 8 * DAY, policy)


HARDSHIPS: dict[str, tuple[Change, set[str]]] = {
    "nothing odd": (lambda w: w, set()),
    "a column removed": (lambda w: w.drop("area"), {"quality", "drift", "skew"}),
    "a column added": (lambda w: w.with_columns(extra=pl.lit("new")), set()),
    "all null": (
        lambda w: w.with_columns(rain=pl.lit(None, dtype=pl.Float64)),
        {"drift", "skew"},
    ),
    "constant": (lambda w: w.with_columns(hour=pl.lit(5)), {"drift", "skew"}),
    "infinite": (
        lambda w: w.with_columns(
            rain=pl.when(pl.col("hour") == 3).then(float("inf")).otherwise(pl.col("rain"))
        ),
        {"quality"},
    ),
    "not a number": (
        lambda w: w.with_columns(
            rain=pl.when(pl.col("hour") == 3).then(float("nan")).otherwise(pl.col("rain"))
        ),
        set(),
    ),
    "new categories": (
        lambda w: w.with_columns(area=pl.lit("elsewhere")),
        {"drift", "skew"},
    ),
    "a thousand categories": (
        lambda w: w.with_columns(area=pl.Series([f"a{i % 1000}" for i in range(w.height)])),
        {"drift", "skew"},
    ),
    "text for numbers": (lambda w: w.with_columns(rain=pl.lit("wet")), {"quality", "drift"}),
    "lists for numbers": (
        lambda w: w.with_columns(rain=pl.Series([[1.0, 2.0]] * w.height)),
        {"quality", "drift"},
    ),
}
CALM = {"nothing odd", "a column added"}


@pytest.mark.parametrize("name", HARDSHIPS)
def test_odd_values_are_judged_and_only_what_is_odd_is_said(watch: Watch, name: str) -> None:
    change, expected = HARDSHIPS[name]
    found = {f.kind: f for f in _judged(watch, change)}
    assert expected <= found.keys(), found
    assert found.keys() <= ({"drift", "skew"} | expected if name not in CALM else set())
    assert watch.window.predictions == 420
    assert "roc_auc" in watch.window.realised
    again = watch.monitor.window(
        "taxis", model="taxi", policy=EVERYTHING, since=LIVE, until=LIVE + 7 * DAY
    )
    assert again.realised["log_loss"] == pytest.approx(watch.window.realised["log_loss"], abs=1e-9)


def test_a_reference_shorter_than_the_window_cannot_judge_drift(watch: Watch) -> None:
    watch.reference = reference_of(rides(np.random.default_rng(0), 5), held=2)
    assert _judged(watch, lambda w: w, POLICY) == []
    assert any("cannot be judged, because the reference has" in n for n in watch.window.notes)
    assert "roc_auc" in watch.window.realised


def test_a_reference_without_held_out_rows_only_counts(watch: Watch) -> None:
    known = reference_of(rides(np.random.default_rng(0), 20))
    rows = known.rows.with_columns(split=pl.lit("train"), prediction=None, score=None)
    watch.reference = type(known)(known.signature, rows, known.label, known.time, {})
    assert {f.kind for f in _judged(watch, lambda w: w, POLICY)} <= {"drift"}
    assert watch.window.predictions == 420
    assert watch.window.estimated == {}


def test_labels_that_contradict_each_other_count_as_the_last_says(watch: Watch) -> None:
    week = rides(np.random.default_rng(2), 7, start=LIVE, rows=60)
    ids = watch.box.answer(week)
    wrong = (~week["truth"]).to_list()
    watch.box.label([*ids, *ids], [*wrong, *week["truth"].to_list()], LIVE + 7 * DAY)
    watch.look(LIVE + 8 * DAY)
    right = watch.window.realised["roc_auc"]
    assert right > 0.7
    watch.box.label(ids, wrong, LIVE + 8 * DAY, by="key")
    watch.look(LIVE + 9 * DAY)
    assert watch.window.realised["roc_auc"] == pytest.approx(1 - right)


@pytest.mark.parametrize("label", ["maybe", 7])
def test_labels_that_are_no_class_are_wrong_answers_and_no_crash(watch: Watch, label: Any) -> None:
    week = rides(np.random.default_rng(3), 7, start=LIVE, rows=60)
    truth: list[Any] = week["truth"].to_list()
    truth[::10] = [label] * len(truth[::10])
    watch.box.label(watch.box.answer(week), truth, LIVE + 7 * DAY)
    watch.look(LIVE + 8 * DAY)
    assert watch.window.predictions == 420
    assert 0.5 < watch.window.coverage <= 1.0


def test_only_errors_give_counts_and_no_false_alarm(watch: Watch) -> None:
    week = rides(np.random.default_rng(4), 7, start=LIVE, rows=60)
    watch.box.answer(week.with_columns(prediction=None, score=None), status="error")
    assert watch.look(LIVE + 9 * DAY) == []
    assert (watch.window.predictions, watch.window.errors) == (420, 420)
    assert any("because the window has 0 rows" in n for n in watch.window.notes)
