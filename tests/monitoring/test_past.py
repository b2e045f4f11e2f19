"""Windows of the past, told from sums: as from the rows, in constant space, with late labels."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from tidemill.core.clock import SimulatedClock, micros
from tidemill.core.ids import Ids
from tidemill.core.policy import MonitorPolicy
from tidemill.core.tasks import Task
from tidemill.journal.service import Journal
from tidemill.monitoring import store, windows
from tidemill.monitoring.errors import WindowNotFound
from tidemill.monitoring.live import Live
from tidemill.monitoring.performance import metrics_of_rows
from tidemill.monitoring.quality import Quality
from tidemill.monitoring.records import WindowReport
from tidemill.monitoring.service import Monitor
from tidemill.monitoring.state import BlockState, decoded, joined_pairs, states_of
from tidemill.storage.db.engine import Database

from .street import SIGNATURES, START, Letterbox, reference_of, rides

DAY = timedelta(days=1)
LIVE = START + 30 * DAY
TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")


def _labelled(task: Task, seed: int, days: int = 3) -> pl.DataFrame:
    rows = rides(np.random.default_rng(seed), days, task=task)
    return rows.rename({"truth": "label"})


@pytest.mark.parametrize("task", TASKS)
def test_metrics_from_sums_are_those_of_the_rows(task: Task) -> None:
    signature = SIGNATURES[task]
    rows = _labelled(task, 1)
    parts = [Quality.realised(signature, rows[i : i + 90]) for i in range(0, rows.height, 90)]
    whole = sum(parts[1:], parts[0])
    found = whole.metrics(signature)
    expected = metrics_of_rows(signature, rows, tuple(found))
    for name, value in found.items():
        close = 2e-3 if name in {"roc_auc", "average_precision"} else 1e-9
        assert value == pytest.approx(expected[name], abs=close), name
    left = (whole - parts[0]).metrics(signature)
    fewer = metrics_of_rows(signature, rows[90:], tuple(found))
    assert left["rmse" if task == "regression" else "f1"] == pytest.approx(
        fewer["rmse" if task == "regression" else "f1"], abs=1e-9
    )


def test_averages_and_classes_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

    signature = SIGNATURES["multiclass"]
    rows = _labelled("multiclass", 4, days=20)
    truth, said = rows["label"].to_list(), rows["prediction"].to_list()
    names = list(signature.classes)
    quality = Quality.realised(signature, rows)
    averages, classes = quality.averages(signature), quality.by_class(signature)
    for average in ("micro", "weighted"):
        known = precision_recall_fscore_support(
            truth, said, labels=names, average=average, zero_division=np.nan
        )
        for name, value in zip(("precision", "recall", "f1"), known[:3], strict=True):
            assert averages[f"{name}_{average}"] == pytest.approx(value, abs=1e-12), name
    each = precision_recall_fscore_support(truth, said, labels=names, zero_division=np.nan)
    for place, name in enumerate(names):
        assert classes[name]["labelled"] == each[3][place]
        assert classes[name]["f1"] == pytest.approx(each[2][place], abs=1e-12)
    scores = np.array(rows["score"].to_list())
    wanted = roc_auc_score(truth, scores, multi_class="ovr", average="weighted", labels=names)
    assert averages["roc_auc_weighted"] == pytest.approx(wanted, abs=2e-3)


def test_bias_and_pinball_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import mean_pinball_loss

    rows = _labelled("regression", 5)
    found = Quality.realised(SIGNATURES["regression"], rows).averages(SIGNATURES["regression"])
    truth, said = rows["label"].to_numpy(), rows["prediction"].to_numpy()
    assert found["bias"] == pytest.approx((said - truth).mean(), abs=1e-9)
    for tenth in (1, 5, 9):
        wanted = mean_pinball_loss(truth, said, alpha=tenth / 10)
        assert found[f"pinball_{tenth}0"] == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_expected_quality_from_sums_is_the_estimate_from_the_rows(task: Task) -> None:
    live = Live(reference_of(rides(np.random.default_rng(0), 30, task=task), task), 86_400.0)
    rows = rides(np.random.default_rng(2), 7, task=task).rename({"truth": "label"})
    names = ("accuracy", "precision", "recall", "f1", "roc_auc", "log_loss", "brier")
    expected, _ = live.estimate(rows, names)
    quality = live.expected_quality(rows)
    assert quality is not None
    found = quality.metrics(live.signature)
    for name in names:
        close = 2e-3 if name == "roc_auc" else 1e-9
        assert found[name] == pytest.approx(expected[name], abs=close), name


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(1, 3)), min_size=1, max_size=60, unique=True
    ),
    st.integers(8, 20),
)
def test_joined_states_lose_nothing_and_stay_few(places: list[tuple[int, int]], most: int) -> None:
    states = [
        BlockState(
            version=version,
            since=i,
            until=i + 1,
            predictions=i + 1,
            errors=0,
            latencies=np.ones(3),
            labelled=1,
            newest_label=i,
            columns={"a": np.array([1.0, i])},
            answers=None,
            realised=None,
            expected=None,
        )
        for i, version in places
    ]
    joined = joined_pairs(states, most)
    assert len(joined) <= most
    for version in (1, 2, 3):
        before = [s for s in states if s.version == version]
        after = [s for s in joined if s.version == version]
        assert sum(s.predictions for s in after) == sum(s.predictions for s in before)
        assert sum(s.columns["a"].sum() for s in after) == sum(s.columns["a"].sum() for s in before)
        assert all(a.until <= b.since for a, b in itertools.pairwise(after))


def test_a_state_is_read_as_it_was_written() -> None:
    live = Live(reference_of(rides(np.random.default_rng(0), 30)), 86_400.0)
    rows = rides(np.random.default_rng(3), 1).select(
        *(pl.col(c).alias(f"feature.{c}") for c in ("rain", "hour", "area", "time")),
        "prediction",
        "score",
        pl.col("truth").alias("label"),
        version=pl.lit(1),
        role=pl.lit("champion"),
        status=pl.lit("ok"),
        latency_us=pl.lit(250),
        arrived=pl.lit(7),
        block=pl.lit(12),
    )
    (state,) = states_of(rows, 1, live, 86_400_000_000)
    again = decoded(state.encoded())
    assert again.realised is not None
    assert state.realised is not None
    assert (again.predictions, again.since, again.newest_label) == (120, state.since, 7)
    assert again.realised.metrics(live.signature) == state.realised.metrics(live.signature)
    assert {k: v.tolist() for k, v in again.columns.items()} == {
        k: v.tolist() for k, v in state.columns.items()
    }
    assert len(state.encoded()) < 6000


class Street:
    """An endpoint that is watched for months."""

    def __init__(self, db: Database, journal: Journal, clock: SimulatedClock, folder: str) -> None:
        from pathlib import Path

        self.clock, self.db = clock, db
        self.box = Letterbox(Path(folder), Ids(clock))
        known = reference_of(rides(np.random.default_rng(0), 40))
        self.monitor = Monitor(db, journal, clock, Path(folder), lambda _m, _v: known)
        self.policy = MonitorPolicy(window=2 * 86_400.0)

    def days(self, first: int, many: int, **options: float) -> pl.DataFrame:
        rows = rides(
            np.random.default_rng(first), many, rows=40, start=LIVE + first * DAY, **options
        )
        ids = self.box.answer(rows)
        self.box.label(ids, rows["truth"].to_list(), LIVE + (first + many) * DAY)
        return rows.with_columns(id=pl.Series(ids))

    def judge(self, now: datetime) -> None:
        self.clock.set(now)
        self.monitor.observe("taxis")
        self.monitor.judge("taxis", model="taxi", version=1, policy=self.policy)

    def tell(self, first: float, last: float) -> WindowReport:
        return self.monitor.window(
            "taxis",
            model="taxi",
            policy=self.policy,
            since=LIVE + first * DAY,
            until=LIVE + last * DAY,
        )


@pytest.fixture
def street(db: Database, journal: Journal, clock: SimulatedClock, tmp_path: object) -> Street:
    return Street(db, journal, clock, f"{tmp_path}/predictions")


def test_any_stretch_is_told_when_its_rows_are_long_gone(street: Street) -> None:
    rows = street.days(0, 30)
    street.judge(LIVE + 31 * DAY)
    with street.db.read() as connection:
        oldest = store.first_time(connection, "taxis")
    assert oldest is not None
    assert oldest > micros(LIVE + 20 * DAY)
    told = street.tell(3, 9)
    part = rows.filter(pl.col("moment") >= LIVE + 3 * DAY, pl.col("moment") < LIVE + 9 * DAY)
    expected = metrics_of_rows(
        SIGNATURES["binary"], part.rename({"truth": "label"}), ("f1", "log_loss")
    )
    assert (told.predictions, told.labelled, told.coverage) == (240, 240, 1.0)
    assert told.realised["log_loss"] == pytest.approx(expected["log_loss"], abs=1e-9)
    assert told.realised["f1"] == pytest.approx(expected["f1"], abs=1e-9)
    assert told.intervals["log_loss"][0] < expected["log_loss"] < told.intervals["log_loss"][1]
    assert len(told.columns) == 4
    assert told.latency_p50_us == pytest.approx(200, rel=0.13)
    with pytest.raises(WindowNotFound, match="has no predictions from 2012"):
        street.tell(-100, -90)


def test_what_was_not_judged_yet_is_told_too_and_drift_is_seen(street: Street) -> None:
    street.days(0, 4)
    street.judge(LIVE + 5 * DAY)
    street.days(5, 6, rain=1.5)
    street.clock.set(LIVE + 11 * DAY)
    street.monitor.observe("taxis")
    told = street.tell(5, 11)
    assert told.predictions == 240
    assert [c.column for c in told.columns if c.drifted] == ["rain"]


def test_late_labels_change_what_is_told_of_the_past(street: Street) -> None:
    rows = rides(np.random.default_rng(1), 4, rows=40, start=LIVE)
    ids = street.box.answer(rows)
    street.judge(LIVE + 6 * DAY)
    assert street.tell(0, 4).labelled == 0
    street.box.label(ids, rows["truth"].to_list(), LIVE + 6 * DAY)
    street.judge(LIVE + 7 * DAY)
    assert street.tell(0, 4).labelled == 160
    before = street.tell(0, 4).realised["log_loss"]
    street.box.label(ids, (~rows["truth"]).to_list(), LIVE + 7 * DAY)
    street.judge(LIVE + 8 * DAY)
    told = street.tell(0, 4)
    assert told.labelled == 160
    assert told.realised["log_loss"] > before


def test_a_home_keeps_no_more_states_however_long_it_watches(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "MOST_BLOCKS", 10)
    street.days(0, 60)
    street.judge(LIVE + 61 * DAY)
    with street.db.read() as connection:
        kept = connection.scalar(select(func.count()).select_from(store.blocks))
    assert kept is not None
    assert kept <= 10 + 2 * windows.KEPT_WINDOWS
    assert street.tell(0, 60).predictions == 60 * 40


def test_estimates_are_held_against_what_labels_told(street: Street) -> None:
    street.days(0, 20)
    street.judge(LIVE + 21 * DAY)
    history = street.monitor.estimates("taxis")
    errors = {e.metric: e for e in history.errors}
    assert errors["log_loss"].windows == 10
    assert errors["log_loss"].within >= 0.9
    assert abs(errors["log_loss"].bias) <= errors["log_loss"].mean_absolute < 0.1
    assert street.monitor.estimates("nobody").checks == ()


def test_labels_of_long_ago_change_what_is_told_of_their_window(street: Street) -> None:
    rows = rides(np.random.default_rng(1), 4, rows=40, start=LIVE)
    ids = street.box.answer(rows)
    street.days(4, 40)
    street.judge(LIVE + 46 * DAY)
    with street.db.read() as connection:
        oldest = store.first_time(connection, "taxis")
    assert oldest is not None
    assert oldest > micros(LIVE + 30 * DAY)
    assert street.tell(0, 4).labelled == 0
    half = len(ids) // 2
    truth = rows["truth"].to_list()
    street.box.label(ids[:half], truth[:half], LIVE + 46 * DAY)
    street.box.label(ids[half:], truth[half:], LIVE + 46 * DAY, by="key")
    street.judge(LIVE + 46 * DAY)
    told = street.tell(0, 4)
    assert (told.predictions, told.labelled) == (160, 160)
    expected = metrics_of_rows(SIGNATURES["binary"], rows.rename({"truth": "label"}), ("log_loss",))
    assert told.realised["log_loss"] == pytest.approx(expected["log_loss"], abs=1e-9)
    kept = [w for w in street.monitor.windows("taxis") if w.since < LIVE + 4 * DAY]
    assert [w.coverage for w in kept] == [1.0, 1.0]
    assert all("log_loss" in w.realised for w in kept)
    street.box.label(ids, (~rows["truth"]).to_list(), LIVE + 47 * DAY)
    street.judge(LIVE + 47 * DAY)
    again = street.tell(0, 4)
    assert again.labelled == 160
    assert again.realised["log_loss"] > expected["log_loss"] + 0.1
    assert street.tell(4, 44).predictions == 40 * 40


def test_labels_of_long_ago_reach_blocks_that_were_joined(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "MOST_BLOCKS", 6)
    rows = rides(np.random.default_rng(1), 4, rows=40, start=LIVE)
    ids = street.box.answer(rows)
    street.days(4, 40)
    street.judge(LIVE + 46 * DAY)
    before = street.tell(0, 44)
    street.box.label(ids, rows["truth"].to_list(), LIVE + 46 * DAY)
    street.judge(LIVE + 46 * DAY)
    after = street.tell(0, 44)
    assert after.predictions == before.predictions == 44 * 40
    assert after.labelled == before.labelled + 160


def test_what_the_log_leaves_out_is_not_watched_and_raises_no_alarm(street: Street) -> None:
    street.policy = MonitorPolicy(window=2 * 86_400.0, ignore=("rain",))
    rows = rides(np.random.default_rng(0), 8, rows=40, start=LIVE, rain=1.5)
    ids = street.box.answer(rows.drop("rain"))
    street.box.label(ids, rows["truth"].to_list(), LIVE + 8 * DAY)
    street.judge(LIVE + 9 * DAY)
    reports = street.monitor.windows("taxis")
    assert len(reports) == 4
    for report in reports:
        assert "rain" not in [c.column for c in report.columns]
        assert any("`rain`: not watched" in note for note in report.notes)
    kinds = {f.kind for f in street.monitor.findings("taxis")}
    assert not {"drift", "skew", "quality"} & kinds
    assert {c.column for c in street.tell(0, 8).columns} == {"hour", "area", "time"}
