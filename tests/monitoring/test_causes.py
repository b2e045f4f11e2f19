"""Causes where the truth is known: the right column first, and a new law not blamed on inputs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidemill.core.clock import SimulatedClock
from tidemill.core.policy import MonitorPolicy
from tidemill.journal.service import Journal
from tidemill.models.metrics import evaluate, recall
from tidemill.monitoring.attribution import attributions
from tidemill.monitoring.cause import explain, rake
from tidemill.monitoring.performance import metrics_of_rows
from tidemill.monitoring.records import EstimateCheck, Explanation
from tidemill.monitoring.trust import distrust
from tidemill.storage.db.engine import Database

from .street import SIGNATURES, START, reference_of, rides
from .test_service import Watch

DAY = timedelta(days=1)
LIVE = START + 30 * DAY


def _rows(
    seed: int, many: int = 3000, *, a: float = 0.0, b: float = 0.0, c: float = 0.0, law: float = 1.0
) -> pl.DataFrame:
    """Return rows of a model that errs more where `a` is high, and a little where `b` is.

    `a` and `c` go together; what the model says of a row does not depend on `c`.
    """
    rng = np.random.default_rng(seed)
    base = rng.normal(size=many)
    first, second = base + a, rng.normal(size=many) + b
    third = 0.6 * base + 0.8 * rng.normal(size=many) + c
    place = rng.choice(["north", "south"], many)
    chance = 1 / (1 + np.exp(-(1.5 * first + 0.5 * second - 1.0)))
    error = 0.1 + 0.6 * chance
    if law != 1.0:
        error = np.clip(error * law, 0.0, 1.0)
    truth = rng.random(many) < 0.5
    said = np.where(rng.random(many) < error, ~truth, truth)
    columns: dict[str, Any] = {"a": first, "b": second, "c": third, "place": place}
    return pl.DataFrame({**columns, "label": truth, "prediction": said})


def _told(window: pl.DataFrame, reference: pl.DataFrame) -> Explanation:
    yes, said = reference["label"].to_numpy(), reference["prediction"].to_numpy()
    scores = said.astype(np.float64)
    now = recall(window["label"].to_numpy(), window["prediction"].to_numpy(), scores)
    return explain(
        reference,
        window,
        ["a", "b", "c", "place"],
        metric="recall",
        measure=lambda weights: recall(yes, said, scores, weights),
        realised=now,
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_column_that_moved_and_matters_comes_first(seed: int) -> None:
    told = _told(_rows(100 + seed, a=1.0, b=0.3), _rows(seed))
    assert told.usual - told.realised > 0.1
    assert told.causes[0].column == "a"
    assert told.causes[0].share > 0.5
    assert told.inputs == pytest.approx(1.0, abs=0.35)
    assert sum(c.share for c in told.causes) == pytest.approx(told.inputs)


@pytest.mark.parametrize("seed", range(5))
def test_a_column_that_moved_and_does_not_matter_is_not_blamed(seed: int) -> None:
    told = _told(_rows(200 + seed, a=1.0, c=1.5), _rows(seed))
    shares = {c.column: c.share for c in told.causes}
    assert shares["a"] > shares["c"]
    assert abs(shares["place"]) < 0.1


@pytest.mark.parametrize("seed", range(5))
def test_a_new_law_is_not_blamed_on_inputs(seed: int) -> None:
    told = _told(_rows(300 + seed, law=1.8), _rows(seed))
    assert told.relation > 0.8
    assert all(c.share < 0.2 for c in told.causes)


@pytest.mark.parametrize("seed", range(3))
def test_a_shift_and_a_new_law_share_the_change(seed: int) -> None:
    told = _told(_rows(400 + seed, a=1.0, law=1.5), _rows(seed))
    assert told.causes[0].column == "a"
    assert 0.2 < told.inputs < 0.8
    assert told.inputs + told.relation == pytest.approx(1.0)


def test_a_shift_beyond_all_that_was_held_out_cannot_be_judged() -> None:
    reference = _rows(1, 400)
    window = _rows(2, a=12.0, b=12.0, c=12.0)
    told = _told(window, reference)
    assert told.causes == ()
    assert "cannot be judged, because only" in told.note
    strange = _rows(3).with_columns(place=pl.lit("west"))
    told = _told(strange, _rows(4))
    assert "place" not in {c.column for c in told.causes}


def test_columns_of_every_kind_are_taken() -> None:
    many = 200
    reference = pl.DataFrame(
        {
            "constant": [1.0] * many,
            "empty": pl.Series([None] * many, dtype=pl.Float64),
            "wild": [float("inf"), float("nan")] * (many // 2),
            "levels": [f"v{i}" for i in range(many)],
            "flag": [True, False] * (many // 2),
            "list": [[1.0]] * many,
        }
    )
    window = reference.head(60).with_columns(
        constant=pl.lit(2.0), flag=pl.lit(value=True), levels=pl.lit("new")
    )
    told = explain(
        reference,
        window,
        [*reference.columns, "absent"],
        metric="loss",
        measure=lambda weights: 1.0 if weights is None else float(weights.mean()),
        realised=2.0,
    )
    assert told.relation == pytest.approx(1.0)
    assert {c.column for c in told.causes} <= {"constant", "empty", "wild", "flag"}


def test_raking_meets_every_margin() -> None:
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, 3, 900), rng.integers(0, 2, 900)]
    wanted = [np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.8])]
    weights = rake(codes, wanted)
    for groups, share in zip(codes, wanted, strict=True):
        shares = np.bincount(groups, weights=weights) / weights.sum()
        assert shares == pytest.approx(share, abs=2e-3)


def test_whole_weights_are_repeated_rows() -> None:
    rng = np.random.default_rng(0)
    for task, signature in SIGNATURES.items():
        rows = rides(rng, 2, task=task).rename({"truth": "label"})
        times = rng.integers(1, 4, rows.height)
        weighed = rows.with_columns(weight=pl.Series(times.astype(float)))
        repeated = rows[np.repeat(np.arange(rows.height), times).tolist()]
        found = metrics_of_rows(signature, weighed, ())
        assert found == pytest.approx(metrics_of_rows(signature, repeated, ()), abs=1e-9), task
    empty = evaluate("binary", np.array([]), np.array([]), None, positive=True, names=("f1",))
    assert np.isnan(empty["f1"])


def test_attribution_follows_the_column_that_decides() -> None:
    rng = np.random.default_rng(0)
    held = pl.DataFrame({"a": rng.normal(size=300), "b": rng.normal(size=300)})
    window = held.with_columns(a=pl.col("a") * 0.1)

    def answer(rows: pl.DataFrame) -> Any:
        return rows["a"].to_numpy() + rows["b"].to_numpy()

    first, _ = attributions(answer, held, window, ["a", "b", "gone"])
    assert first.current < 0.2 if first.column == "a" else first.current > 0.8
    assert first.usual == pytest.approx(0.5, abs=0.1)
    assert attributions(answer, held, window.head(0), ["a"]) == ()


def test_estimates_that_came_true_are_believed() -> None:
    def checks(gap: float, within: bool) -> list[EstimateCheck]:
        return [
            EstimateCheck(
                since=START,
                version=1,
                metric="f1",
                estimated=0.5 + gap,
                realised=0.5,
                within=within,
            )
        ] * 6

    assert distrust(checks(0.01, within=True), "f1", 0.02) is None
    assert distrust(checks(0.01, within=False), "f1", 0.02) is None, "too small to matter"
    assert distrust(checks(-0.2, within=False)[:2], "f1", 0.02) is None, "too few windows"
    found = distrust(checks(-0.2, within=False), "f1", 0.02)
    assert found is not None
    assert "mostly too low" in found.words


@pytest.fixture
def watch(db: Database, journal: Journal, clock: SimulatedClock, tmp_path: Path) -> Any:
    street = Watch(db, journal, clock, tmp_path / "predictions")
    street.learned()
    yield street
    street.box.close()


def test_a_fall_says_since_when_why_and_where(watch: Watch) -> None:
    policy = MonitorPolicy(segments=("area", "area & hour"), min_label_coverage=0.5, silence=1e-300)
    rng = np.random.default_rng(7)
    watch.reference = reference_of(rides(rng, 30, rows=400))
    calm = rides(rng, 7, start=LIVE)
    watch.box.label(watch.box.answer(calm), calm["truth"].to_list(), LIVE + 7 * DAY)
    assert [f.kind for f in watch.look(LIVE + 8 * DAY, policy)] == []
    mild = rides(rng, 7, start=LIVE + 7 * DAY, rows=400)
    # It rains evenly now, so that the model can hardly tell rides apart.
    week = mild.filter((pl.col("rain") - 0.4).abs() < 0.35)
    ids = watch.box.answer(week)
    watch.box.label(ids, week["truth"].to_list(), LIVE + 14 * DAY)
    found = {f.kind: f for f in watch.look(LIVE + 15 * DAY, policy)}
    told = found["performance"]
    assert told.causes[0].column == "rain"
    assert told.numbers["explained"] > 0.5
    assert "of it is explained by `rain`" in told.message
    assert abs(told.numbers["onset"] / 1e6 - (LIVE + 7 * DAY).timestamp()) <= 86_400
    assert "since 1" in told.message
    report = next(w for w in watch.monitor.windows("taxis") if w.since == LIVE + 7 * DAY)
    assert report.explanation is not None
    assert report.explanation.causes[0].column == "rain"
    area = [s for s in report.segments if s.column == "area"]
    assert [s.value for s in area] == ["north", "south"]
    assert all(0 < s.coverage <= 1 and "roc_auc" in s.intervals for s in area)
    assert all(s.reference["roc_auc"] > s.metrics["roc_auc"] for s in area)
    again = watch.monitor.window(
        "taxis", model="taxi", policy=policy, since=report.since, until=report.until
    )
    kept = {s.value: s for s in again.segments if s.column == "area"}
    for segment in area:
        assert kept[segment.value].rows == segment.rows
        close = kept[segment.value].metrics["log_loss"]
        assert close == pytest.approx(segment.metrics["log_loss"], abs=1e-9)
    assert any(s.column == "area & hour" for s in again.segments)


def test_versions_and_roles_are_told_apart(watch: Watch) -> None:
    week = rides(np.random.default_rng(3), 7, start=LIVE)
    first, second, third = week.head(500), week[500:700], week.tail(100)
    ids = watch.box.answer(first)
    ids += watch.box.answer(second, version=2, role="canary", latency_us=900)
    ids += watch.box.answer(third, version=3, role="shadow")
    truth = [*first["truth"], *second["truth"], *third["truth"]]
    watch.box.label(ids, truth, LIVE + 7 * DAY)
    watch.look(LIVE + 9 * DAY)
    for versions in (
        watch.window.versions,
        watch.monitor.window(
            "taxis", model="taxi", policy=MonitorPolicy(), since=LIVE, until=LIVE + 7 * DAY
        ).versions,
    ):
        said = [(v.version, v.role, v.predictions, v.labelled, v.coverage) for v in versions]
        assert said == [
            (1, "champion", 500, 500, 1.0),
            (2, "canary", 200, 200, 1.0),
            (3, "shadow", 100, 100, 1.0),
        ]
        assert all("roc_auc" in v.metrics for v in versions)
    assert watch.window.predictions == 700


def test_first_values_unlike_training_are_skew_for_as_long_as_it_lasts(watch: Watch) -> None:
    odd = rides(np.random.default_rng(4), 7, start=LIVE).with_columns(
        rain=pl.col("rain") + 280, area=pl.lit("elsewhere")
    )
    watch.box.label(watch.box.answer(odd), odd["truth"].to_list(), LIVE + 7 * DAY)
    found = {f.kind: f for f in watch.look(LIVE + 8 * DAY)}
    assert set(found["skew"].columns) == {"rain", "area"}
    assert "`area` values unheard of in training 0.0% → 100.0% (elsewhere)" in found["skew"].message
    later = odd.with_columns(moment=pl.col("moment") + 7 * DAY)
    watch.box.label(watch.box.answer(later), later["truth"].to_list(), LIVE + 14 * DAY)
    assert "skew" in {f.kind for f in watch.look(LIVE + 15 * DAY)}
    calm = rides(np.random.default_rng(5), 7, start=LIVE + 14 * DAY)
    watch.box.label(watch.box.answer(calm), calm["truth"].to_list(), LIVE + 21 * DAY)
    assert watch.look(LIVE + 22 * DAY) == []
    odd_again = odd.with_columns(moment=pl.col("moment") + 21 * DAY)
    watch.box.label(watch.box.answer(odd_again), odd_again["truth"].to_list(), LIVE + 28 * DAY)
    kinds = {f.kind for f in watch.look(LIVE + 29 * DAY)}
    assert "skew" not in kinds, "what is odd later only has drifted"
    assert "drift" in kinds
