"""The monitor, through the real letterbox and the real database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids
from tidemill.core.policy import MonitorPolicy
from tidemill.core.tasks import Task
from tidemill.journal.service import Journal
from tidemill.models.metrics import evaluate
from tidemill.monitoring import store
from tidemill.monitoring.events import WindowJudged
from tidemill.monitoring.records import Finding, WindowReport
from tidemill.monitoring.reference import Reference
from tidemill.monitoring.service import Monitor
from tidemill.predictions.compaction import compact
from tidemill.predictions.reader import unread
from tidemill.storage.db.engine import Database

from .street import SIGNATURES, START, Letterbox, reference_of, rides

DAY = timedelta(days=1)
LIVE = START + 30 * DAY
POLICY = MonitorPolicy(segments=("area",), silence=1e-300)
"""Streets end with their last ride; that this is heard at once is tested where silence is."""


class Watch:
    """An endpoint that is watched, its letterbox, and what its versions are compared with."""

    def __init__(self, db: Database, journal: Journal, clock: SimulatedClock, folder: Path) -> None:
        self.folder, self.clock = folder, clock
        self.box = Letterbox(folder, Ids(clock))
        self.reference: Reference | None = None
        self.monitor = Monitor(db, journal, clock, folder, self._known)

    def learned(self, task: Task = "binary", seed: int = 0) -> None:
        history = rides(np.random.default_rng(seed), 30, task=task)
        self.reference = reference_of(history, task)

    def _known(self, model: str, version: int) -> Reference | None:
        return self.reference

    def look(self, now: datetime, policy: MonitorPolicy = POLICY) -> list[Finding]:
        self.clock.set(now)
        self.monitor.observe("taxis")
        return self.monitor.judge(
            "taxis", model="taxi", version=1, policy=policy, metrics=("roc_auc", "log_loss", "rmse")
        )

    @property
    def window(self) -> WindowReport:
        return self.monitor.windows("taxis", limit=1)[0]


@pytest.fixture
def watch(db: Database, journal: Journal, clock: SimulatedClock, tmp_path: Path) -> Iterator[Watch]:
    street = Watch(db, journal, clock, tmp_path / "predictions")
    yield street
    street.box.close()


def _week(seed: int, task: Task = "binary", *, rain: float = 0.0, law: float = 1.0) -> pl.DataFrame:
    return rides(np.random.default_rng(seed), 7, task=task, rain=rain, law=law, start=LIVE)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_calm_week_gives_figures_and_no_finding(watch: Watch, task: Task) -> None:
    watch.learned(task)
    week = _week(1, task)
    watch.box.label(watch.box.answer(week), week["truth"].to_list(), LIVE + 7 * DAY)
    assert watch.look(LIVE + 8 * DAY) == []
    window = watch.window
    assert (window.predictions, window.labelled, window.coverage) == (840, 840, 1.0)
    name = "rmse" if task == "regression" else "log_loss"
    low, high = window.intervals[name]
    assert low < window.realised[name] < high
    assert window.realised[name] == pytest.approx(window.reference[name], rel=0.15)
    assert window.bands[name][0] < window.realised[name] < window.bands[name][1]
    assert {s.value for s in window.segments} == {"north", "south"}
    assert len(window.columns) == 4
    signature = SIGNATURES[task]
    assert [c.label for c in window.classes] == [str(c) for c in signature.classes]
    assert sum(c.labelled for c in window.classes) == (0 if task == "regression" else 840)
    assert all("f1" in c.intervals for c in window.classes if "f1" in c.metrics)
    further = {"binary": set(), "multiclass": {"f1_weighted"}, "regression": {"pinball_90"}}
    assert further[task] <= window.averages.keys() >= window.average_intervals.keys()


def test_realised_figures_are_those_of_the_joined_rows(watch: Watch) -> None:
    watch.learned()
    week = _week(2)
    watch.box.label(watch.box.answer(week), week["truth"].to_list(), LIVE + 7 * DAY)
    watch.look(LIVE + 8 * DAY)
    expected = evaluate(
        "binary",
        week["truth"].to_numpy(),
        week["prediction"].to_numpy(),
        week["score"].to_numpy(),
        positive=True,
        names=("roc_auc", "log_loss"),
    )
    assert watch.window.realised == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_another_law_is_concept_drift_and_not_a_shift_of_the_inputs(
    watch: Watch, task: Task
) -> None:
    watch.learned(task)
    week = _week(3, task, law=-1.0)
    watch.box.label(watch.box.answer(week), week["truth"].to_list(), LIVE + 7 * DAY)
    found = {f.kind: f for f in watch.look(LIVE + 8 * DAY)}
    assert "drift" not in found
    assert "the relation of features and label has changed" in found["concept"].message
    seen = {n for n in found["concept"].numbers if n.startswith("noticed")}
    assert seen >= {"noticed", "noticed.page-hinkley"}
    assert ("noticed.hddm-a" in seen) == (task != "regression")
    if task != "regression":
        assert "no shift of a column explains it" in found["performance"].message


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_more_rain_is_a_shift_of_the_inputs_and_not_concept_drift(watch: Watch, task: Task) -> None:
    watch.learned(task)
    week = _week(4, task, rain=1.5)
    watch.box.label(watch.box.answer(week), week["truth"].to_list(), LIVE + 7 * DAY)
    found = {f.kind: f for f in watch.look(LIVE + 8 * DAY)}
    assert "concept" not in found
    assert found["drift"].columns == ("rain",)
    assert "`rain`" in found["drift"].message
    assert found["drift"].numbers["false_alarms_per_30_days"] == pytest.approx(0.01 * 30 / 7)


def test_labels_before_their_predictions_wait_for_them(watch: Watch) -> None:
    watch.learned()
    week = _week(5)
    ids = watch.box.answer(week.head(0))
    later = Letterbox(watch.folder / "draft", watch.box._ids)
    ids = later.answer(week)
    later.close()
    half = len(ids) // 2
    watch.box.label(ids[:half], week["truth"].to_list()[:half], LIVE + DAY)
    watch.box.label(ids[half:], week["truth"].to_list()[half:], LIVE + DAY, by="key")
    assert watch.monitor.observe("taxis") == 0
    for source in (watch.folder / "draft" / "taxis" / "predictions").glob("*.log"):
        target = watch.folder / "taxis" / "predictions" / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    assert watch.monitor.observe("taxis") == 840
    watch.look(LIVE + 8 * DAY)
    assert watch.window.coverage == 1.0


def test_late_and_corrected_labels_change_a_window_that_was_judged(watch: Watch) -> None:
    watch.learned()
    week = _week(6)
    ids = watch.box.answer(week)
    few = 100
    watch.box.label(ids[:few], week["truth"].to_list()[:few], LIVE + 7 * DAY)
    assert watch.look(LIVE + 9 * DAY) == []
    assert watch.window.realised == {}
    assert any("12% of the predictions are labelled" in n for n in watch.window.notes)
    watch.box.label(ids[few:], (~week["truth"]).to_list()[few:], LIVE + 9 * DAY)
    found = watch.look(LIVE + 10 * DAY)
    assert {f.kind for f in found} == {"performance", "concept"}
    assert watch.window.coverage == 1.0
    watch.box.label(ids, week["truth"].to_list(), LIVE + 10 * DAY)
    assert watch.look(LIVE + 11 * DAY) == []
    assert watch.window.realised["roc_auc"] > 0.7
    assert set(watch.window.found) == {"performance", "concept"}


def test_a_window_says_what_it_shows_to_be_over_and_is_silent_on_what_it_cannot_judge(
    watch: Watch, journal: Journal
) -> None:
    def clear() -> tuple[str, ...]:
        newest = journal.read(types=(WindowJudged.type,), newest_first=True, limit=1)[0]
        return newest.read(WindowJudged).clear

    always = {"drift", "prediction-drift", "quality", "skew"}
    watch.learned()
    week = _week(6)
    ids = watch.box.answer(week)
    watch.look(LIVE + 9 * DAY)
    assert set(clear()) == {*always, "estimated-performance"}
    watch.box.label(ids, (~week["truth"]).to_list(), LIVE + 9 * DAY)
    watch.look(LIVE + 10 * DAY)
    assert not {"performance", "concept"} & set(clear())
    watch.box.label(ids, week["truth"].to_list(), LIVE + 10 * DAY)
    watch.look(LIVE + 11 * DAY)
    assert {"performance", "concept", "silence"} <= set(clear())


def test_quality_is_estimated_while_labels_are_awaited(watch: Watch) -> None:
    watch.learned()
    week = _week(7, rain=1.0)
    watch.box.answer(week)
    kinds = {f.kind for f in watch.look(LIVE + 9 * DAY)}
    assert {"drift", "silence"} <= kinds
    assert watch.window.estimated["roc_auc"] == pytest.approx(
        evaluate(
            "binary",
            week["truth"].to_numpy(),
            week["prediction"].to_numpy(),
            week["score"].to_numpy(),
            positive=True,
            names=("roc_auc",),
        )["roc_auc"],
        abs=0.06,
    )


def test_a_window_without_predictions_is_silent_where_no_rhythm_is_known(watch: Watch) -> None:
    watch.learned()
    rows = _week(8).head(100)
    watch.box.label(watch.box.answer(rows), rows["truth"].to_list(), LIVE + DAY)
    assert watch.look(LIVE + 9 * DAY) == []
    found = watch.look(LIVE + 60 * DAY)
    assert [f.kind for f in found] == ["silence"]
    assert found[0].message == "No prediction was asked for in the 7 days from 10 March."
    assert len(watch.monitor.windows("taxis")) == 2
    watch.box.answer(rides(np.random.default_rng(0), 7, start=LIVE + 60 * DAY))
    watch.look(LIVE + 70 * DAY)
    assert watch.window.since == LIVE + 60 * DAY


def test_what_was_observed_and_judged_is_not_repeated_by_another_monitor(
    watch: Watch, db: Database, journal: Journal
) -> None:
    watch.learned()
    week = _week(9, rain=1.5)
    ids = watch.box.answer(week)
    watch.monitor.observe("taxis")
    again = Monitor(db, journal, watch.clock, watch.folder, watch._known)
    assert again.observe("taxis") == 0
    watch.box.label(ids, week["truth"].to_list(), LIVE + 7 * DAY)
    first = watch.look(LIVE + 8 * DAY)
    watch.monitor = again
    assert watch.look(LIVE + 8 * DAY) == []
    assert again.findings("taxis") == first[::-1]
    assert again.windows("taxis")[0].found == tuple(f.kind for f in first)


def test_shadows_and_errors_are_counted_apart(watch: Watch) -> None:
    watch.learned()
    week = _week(10)
    watch.box.answer(week.head(400))
    watch.box.answer(week.tail(40).with_columns(prediction=None, score=None), status="error")
    watch.box.answer(week.head(200), version=2, role="shadow")
    watch.look(LIVE + 9 * DAY)
    assert (watch.window.predictions, watch.window.errors) == (440, 40)


@pytest.mark.parametrize("count", [0, 1, 29])
def test_few_rows_cannot_be_judged_and_say_why(watch: Watch, count: int) -> None:
    watch.learned()
    rows = _week(11).head(max(count, 1))
    watch.box.label(watch.box.answer(rows), rows["truth"].to_list(), LIVE + 7 * DAY)
    if count == 0:
        watch.look(LIVE + 15 * DAY)
    else:
        watch.look(LIVE + 9 * DAY)
        assert watch.window.predictions == count
    assert watch.window.realised == {}
    assert any("cannot be judged, because" in n for n in watch.window.notes)


def test_labels_of_one_class_leave_out_what_is_not_defined(watch: Watch) -> None:
    watch.learned()
    week = _week(12)
    watch.box.label(watch.box.answer(week), [False] * week.height, LIVE + 7 * DAY)
    watch.look(LIVE + 8 * DAY)
    assert "roc_auc" not in watch.window.realised
    assert "log_loss" in watch.window.realised
    assert "roc_auc is not defined for the window's labels." in watch.window.notes


def test_a_version_without_a_reference_is_counted_and_says_what_it_lacks(watch: Watch) -> None:
    week = _week(13)
    watch.box.label(watch.box.answer(week), week["truth"].to_list(), LIVE + 7 * DAY)
    assert watch.look(LIVE + 8 * DAY) == []
    assert watch.window.notes == ("Drift cannot be judged, because the version has no reference.",)


def test_files_that_held_nothing_new_are_not_looked_through_again(
    watch: Watch, db: Database
) -> None:
    watch.box.answer(_week(1))
    watch.box.close()
    assert watch.monitor.observe("taxis") > 0
    assert list(compact(watch.folder, "taxis", "predictions"))
    assert watch.monitor.observe("taxis") == 0
    with db.read() as connection:
        progress = store.read_progress(connection, "taxis")
    assert unread(watch.folder, "taxis", "predictions", progress.predictions) == 0
