"""Experiments, runs and artifacts, on a real database."""

from __future__ import annotations

import math
import threading

import pytest

from tidemill.core.clock import SimulatedClock
from tidemill.journal.service import Journal
from tidemill.tracking.errors import (
    ArtifactNotFound,
    BadArtifactPath,
    BadExperiment,
    BadMetric,
    ExperimentExists,
    ExperimentNotFound,
    NotActive,
    ParamChanged,
    RunNotFound,
    TagNotFound,
)
from tidemill.tracking.records import Metric, Param, Run, Tag
from tidemill.tracking.service import Tracking

ON_BOTH_DATABASES = True

ME = "user:me"


@pytest.fixture
def run(tracking: Tracking) -> Run:
    return tracking.start_run(tracking.experiment("tides").id, actor=ME)


def test_an_experiment_is_made_once(tracking: Tracking) -> None:
    first = tracking.experiment("tides")
    assert tracking.experiment("tides") == first
    with pytest.raises(ExperimentExists, match="tides"):
        tracking.create_experiment("tides", actor=ME)
    assert [e.name for e in tracking.experiments()] == ["tides"]


def test_the_default_experiment_is_number_zero_and_stays(tracking: Tracking) -> None:
    assert tracking.experiment("Default").id == "0"
    with pytest.raises(BadExperiment):
        tracking.delete_experiment("0", actor=ME)


@pytest.mark.parametrize("name", ["", "  ", "x" * 501, "a\x00b", "\ud800"])
def test_what_cannot_be_a_name_is_refused(tracking: Tracking, name: str) -> None:
    with pytest.raises(BadExperiment):
        tracking.experiment(name)


def test_an_experiment_is_renamed_tagged_deleted_and_restored(
    tracking: Tracking, clock: SimulatedClock, journal: Journal
) -> None:
    made = tracking.create_experiment("a", actor=ME, tags={"k": "v"})
    run = tracking.start_run(made.id, actor=ME)
    clock.sleep(5)
    tracking.rename_experiment(made.id, "b", actor=ME)
    tracking.set_experiment_tag(made.id, "k2", "v2")
    tracking.delete_experiment_tag(made.id, "k")
    now = tracking.get_experiment(made.id)
    assert (now.name, now.tags, now.updated - made.updated) == (
        "b",
        {"k2": "v2"},
        clock.now() - made.created,
    )
    tracking.delete_experiment(made.id, actor=ME)
    with pytest.raises(NotActive):
        tracking.start_run(made.id, actor=ME)
    with pytest.raises(NotActive):
        tracking.log(run.id, tags=[Tag("a", "b")])
    tracking.restore_experiment(made.id, actor=ME)
    assert tracking.get(run.id).lifecycle == "active"
    types = [fact.type for fact in journal.read() if fact.type.startswith("experiment.")]
    assert types == [
        "experiment.created",
        "experiment.renamed",
        "experiment.deleted",
        "experiment.restored",
    ]
    with pytest.raises(TagNotFound):
        tracking.delete_experiment_tag(made.id, "k")


def test_a_batch_is_there_whole_or_not_at_all(tracking: Tracking, run: Run) -> None:
    tracking.log(run.id, params=[Param("p", "1")])
    with pytest.raises(ParamChanged, match="Changing param values is not allowed"):
        tracking.log(
            run.id,
            metrics=[Metric("m", 1.0, 1)],
            params=[Param("q", "1"), Param("p", "2")],
            tags=[Tag("t", "1")],
        )
    kept = tracking.get(run.id)
    assert (kept.metrics, kept.params, kept.tags) == ({}, {"p": "1"}, {})


def test_a_point_logged_again_is_kept_once(tracking: Tracking, run: Run) -> None:
    points = [Metric("m", 1.0, 5, 1), Metric("m", math.nan, 5, 1), Metric("m", 0.0, 5, 1)]
    for _ in range(3):
        tracking.log(run.id, metrics=points)
    assert len(tracking.history(run.id, "m")) == 3


def test_the_newest_point_has_the_greatest_step_then_time_then_value(
    tracking: Tracking, run: Run
) -> None:
    tracking.log(run.id, metrics=[Metric("m", 1.0, 5, 2), Metric("m", 9.0, 9, 1)])
    assert tracking.get(run.id).metrics == {"m": 1.0}
    tracking.log(run.id, metrics=[Metric("m", 3.0, 5, 2), Metric("m", 2.0, 5, 2)])
    assert tracking.newest([run.id]) == {run.id: [Metric("m", 3.0, 5, 2)]}


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 5e-324, 1.7e308, 0.0])
def test_every_float_comes_back_as_it_was(tracking: Tracking, run: Run, value: float) -> None:
    tracking.log(run.id, metrics=[Metric("m", value, 1)])
    (point,) = tracking.history(run.id, "m")
    assert repr(point.value) == repr(value)
    assert repr(tracking.get(run.id).metrics["m"]) == repr(value)


@pytest.mark.parametrize(
    "key", ["", "a" * 251, "a/../b", "/a", "..", ".", "a//b", "a\n", "a=b", "\ud800", "a\x00"]
)
def test_what_cannot_be_a_key_is_refused(tracking: Tracking, run: Run, key: str) -> None:
    for logged in (
        {"metrics": [Metric(key, 1.0, 1)]},
        {"params": [Param(key, "1")]},
        {"tags": [Tag(key, "1")]},
    ):
        with pytest.raises(BadMetric):
            tracking.log(run.id, **logged)


def test_a_step_beyond_64_bits_is_refused(tracking: Tracking, run: Run) -> None:
    with pytest.raises(BadMetric, match="64 bits"):
        tracking.log(run.id, metrics=[Metric("m", 1.0, 1, 2**63)])


def test_long_values_are_cut(tracking: Tracking, run: Run) -> None:
    tracking.log(run.id, params=[Param("p", "x" * 7000)], tags=[Tag("t", "y" * 9000)])
    kept = tracking.get(run.id)
    assert (len(kept.params["p"]), len(kept.tags["t"])) == (6000, 8000)


def test_a_run_ends_goes_on_is_deleted_and_restored(
    tracking: Tracking, run: Run, clock: SimulatedClock, journal: Journal
) -> None:
    clock.sleep(3)
    assert tracking.end_run(run.id, "FAILED", actor=ME).ended == clock.now()
    assert tracking.resume_run(run.id, actor=ME).ended is None
    tracking.update_run(run.id, name="better", actor=ME)
    tracking.end_run(run.id, "FINISHED", actor=ME)
    tracking.end_run(run.id, "FINISHED", actor=ME)
    tracking.delete_run(run.id, actor=ME)
    with pytest.raises(NotActive, match="Current state is deleted"):
        tracking.log(run.id, metrics=[Metric("m", 1.0, 1)])
    with pytest.raises(NotActive):
        tracking.log_artifact(run.id, "a", b"")
    assert tracking.runs() == []
    assert tracking.restore_run(run.id, actor=ME).name == "better"
    assert [f.type for f in journal.read() if f.type.startswith("run.")] == [
        "run.started",
        "run.finished",
        "run.resumed",
        "run.finished",
        "run.deleted",
        "run.restored",
    ]


def test_the_beginning_of_an_id_will_do(tracking: Tracking, run: Run) -> None:
    assert tracking.get(run.id[:12]) == run
    for wrong in ("0", "", "%", "zzzzzzzz", run.id + "0"):
        with pytest.raises(RunNotFound):
            tracking.get(wrong)


def test_what_is_not_there_is_not_found(tracking: Tracking, run: Run) -> None:
    with pytest.raises(ExperimentNotFound):
        tracking.start_run("7", actor=ME)
    with pytest.raises(RunNotFound):
        tracking.log("7" * 32, tags=[Tag("a", "b")])
    with pytest.raises(TagNotFound):
        tracking.delete_tag(run.id, "a")
    with pytest.raises(ArtifactNotFound):
        tracking.open_artifact(run.id, "a")


def test_artifacts_are_kept_listed_replaced_and_forgotten(tracking: Tracking, run: Run) -> None:
    tracking.log_artifact(run.id, "a/b.txt", b"one")
    tracking.log_artifact(run.id, "a/b.txt", b"two")
    tracking.log_artifact(run.id, "ab.txt", b"three")
    with tracking.open_artifact(run.id, "a/b.txt") as file:
        assert file.read() == b"two"
    assert [a.path for a in tracking.artifacts(run.id, "a")] == ["a/b.txt"]
    assert tracking.delete_artifacts(run.id, "a") == 1
    assert [a.path for a in tracking.artifacts(run.id)] == ["ab.txt"]


def test_a_file_is_no_folder(tracking: Tracking, run: Run) -> None:
    tracking.log_artifact(run.id, "a/b", b"")
    for path in ("a", "a/b/c"):
        with pytest.raises(BadArtifactPath):
            tracking.log_artifact(run.id, path, b"")


@pytest.mark.parametrize(
    "path",
    [
        "", ".", "..", "/etc/passwd", "a/../b", "a/./b", "a//b", "a/", "a\\b", "a\x00", "a\n",
        "x" * 256, "/".join("a" * 101), "\ud800", "../../x", "a\ufffdb",
    ],
)  # fmt: skip
def test_what_cannot_be_a_path_is_refused(tracking: Tracking, run: Run, path: str) -> None:
    with pytest.raises(BadArtifactPath):
        tracking.log_artifact(run.id, path, b"x")


def test_many_threads_lose_no_point(tracking: Tracking, run: Run) -> None:
    def work(thread: int) -> None:
        for step in range(25):
            tracking.log(run.id, metrics=[Metric(f"m{thread}", 1.0, step, step)])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(tracking.history(run.id, f"m{n}")) == 25 for n in range(8))
