"""How often the monitor is wrong, by simulation with fixed seeds, and how surely it is right."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from tidemill.core.clock import micros
from tidemill.core.policy import MonitorPolicy
from tidemill.core.tasks import Task
from tidemill.monitoring.judgement import Judge
from tidemill.monitoring.live import Live
from tidemill.monitoring.records import Finding, WindowReport
from tidemill.monitoring.reference import blocks_of
from tidemill.predictions.reader import FEATURE

from .street import FEATURES, START, reference_of, rides

LIVE = START + timedelta(days=30)
WEEK = timedelta(days=7)
POLICY = MonitorPolicy(performance_drop=0.0, min_effect=0.0)


def _look(live: Live, week: pl.DataFrame, metric: str) -> tuple[WindowReport, list[Finding]]:
    judge = Judge(
        endpoint="taxis",
        model="taxi",
        version=1,
        policy=POLICY,
        metrics=(metric,),
        lives=lambda _: live,
        since=LIVE,
        until=LIVE + WEEK,
    )
    times = week["moment"].dt.epoch("us")
    rows = week.select(
        *(pl.col(c.name).alias(FEATURE + c.name) for c in FEATURES),
        *(c for c in ("prediction", "score") if c in week.columns),
        pl.col("truth").alias("label"),
        pl.lit("champion").alias("role"),
        pl.lit("ok").alias("status"),
        pl.lit(1).alias("version"),
        pl.lit(100).alias("latency_us"),
        pl.lit(micros(LIVE + WEEK)).alias("arrived"),
        times.alias("time"),
        pl.Series("id", [f"{i:08}" for i in range(week.height)]),
        blocks_of(times, POLICY.block),
    )
    return judge.look(rows)


@pytest.mark.parametrize(("task", "metric"), [("binary", "roc_auc"), ("regression", "rmse")])
def test_calm_weeks_seldom_alarm(task: Task, metric: str) -> None:
    """Of 30 calm weeks: drift at 0.01 with no least effect, the others at most at 0.025."""
    kinds: list[str] = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        live = Live(reference_of(rides(rng, 30, task=task), task), POLICY.block)
        for _ in range(3):
            week = rides(rng, 7, task=task, start=LIVE)
            kinds += [f.kind for f in _look(live, week, metric)[1]]
    assert kinds.count("drift") <= 2
    assert kinds.count("performance") <= 3
    assert kinds.count("concept") <= 2


def test_intervals_hold_the_truth_and_bands_hold_what_is_realised() -> None:
    """The truth is the area over very many rides; 95% and three standard errors are claimed."""
    rng = np.random.default_rng(99)
    live = Live(reference_of(rides(rng, 60)), POLICY.block)
    truth = _look(live, rides(rng, 700, start=LIVE), "roc_auc")[0].realised["roc_auc"]
    inside = within = 0
    for seed in range(40):
        week = rides(np.random.default_rng(seed), 7, start=LIVE)
        report, _ = _look(live, week, "roc_auc")
        low, high = report.intervals["roc_auc"]
        inside += low <= truth <= high
        low, high = report.bands["roc_auc"]
        within += low <= report.realised["roc_auc"] <= high
    assert inside >= 34
    assert within >= 38


def test_a_broken_law_is_found_in_every_week() -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        live = Live(reference_of(rides(rng, 30)), POLICY.block)
        kinds = {f.kind for f in _look(live, rides(rng, 7, law=-1.0, start=LIVE), "roc_auc")[1]}
        assert {"performance", "concept"} <= kinds
