"""Logging to the active run, in a home on disk."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import tidemill as tm
from tidemill.core.errors import TidemillError
from tidemill.home import Home
from tidemill.sdk.errors import BadLogged, RunActive, RunElsewhere
from tidemill.sdk.fluent import home_folder
from tidemill.tracking.active import ActiveRun, activate
from tidemill.tracking.errors import (
    BadArtifactPath,
    BadExperiment,
    BadMetric,
    ExperimentNotFound,
    ParamChanged,
)
from tidemill.tracking.records import Metric, Param, Tag


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("TIDEMILL_HOME", str(folder))
    monkeypatch.setenv("TIDEMILL_CAPTURE", "0")
    return folder


def test_a_run_keeps_what_is_logged_to_it(home: Path, tmp_path: Path) -> None:
    plot = tmp_path / "plot.txt"
    plot.write_text("a plot")
    with tm.start_run(run_name="first", tags={"team": "sea"}, description="a note") as run:
        tm.log_metric("loss", 0.5, step=1)
        tm.log_metric("loss", math.nan, step=2)
        tm.log_metrics({"auc": 0.7, "f1": 0.4})
        assert tm.log_param("rate", 0.1) == 0.1
        tm.log_params({"depth": 3, "kind": None})
        tm.set_tag("a", 1)
        tm.log_artifact(plot, "plots")
        tm.log_text("hello", "notes/hello.txt")
        tm.log_dict({"a": [1, 2]}, "a.json")
    with Home.open(home) as opened:
        kept = opened.tracking.get(run.id)
        paths = [a.path for a in opened.tracking.artifacts(run.id)]
        with opened.tracking.open_artifact(run.id, "a.json") as file:
            assert msgspec.json.decode(file.read()) == {"a": [1, 2]}
        assert [p.step for p in opened.tracking.history(run.id, "loss")] == [1, 2]
    assert kept.status == "FINISHED"
    assert kept.name == "first"
    assert kept.metrics["auc"] == 0.7
    assert math.isnan(kept.metrics["loss"])
    assert kept.params == {"rate": "0.1", "depth": "3", "kind": "None"}
    assert kept.tags == {"team": "sea", "a": "1", "mlflow.note.content": "a note"}
    assert paths == ["a.json", "notes/hello.txt", "plots/plot.txt"]


def test_a_block_that_raises_fails_its_run(home: Path) -> None:
    run = tm.start_run()
    with pytest.raises(ZeroDivisionError), run:
        1 / 0  # noqa: B018
    assert tm.get_run(run.id).status == "FAILED"
    assert tm.active_run() is None


def test_logging_without_a_run_starts_one(home: Path) -> None:
    tm.log_metric("m", 1.0)
    run = tm.active_run()
    assert run is not None
    tm.end_run()
    assert tm.get_run(run.id).metrics == {"m": 1.0}


def test_a_second_run_must_be_nested(home: Path) -> None:
    with tm.start_run() as outer:
        with pytest.raises(RunActive, match="nested=True"):
            tm.start_run()
        with tm.start_run(nested=True) as inner:
            tm.log_metric("m", 1.0)
        tm.log_metric("m", 2.0)
    assert tm.get_run(inner.id).parent == outer.id
    assert tm.get_run(inner.id).metrics == {"m": 1.0}
    assert tm.get_run(outer.id).metrics == {"m": 2.0}


def test_a_run_goes_on_under_its_id(home: Path) -> None:
    with tm.start_run() as first:
        tm.log_param("a", 1)
    with tm.start_run(first.id):
        assert tm.get_run(first.id).status == "RUNNING"
        with pytest.raises(ParamChanged):
            tm.log_param("a", 2)
    assert tm.get_run(first.id).status == "FINISHED"


def test_runs_belong_to_the_experiment_that_was_set(home: Path) -> None:
    def work() -> None:
        experiment = tm.set_experiment("tides")
        with tm.start_run() as run:
            assert run.info.experiment_id == experiment.id

    _in_a_thread(work)


def test_runs_are_searched_and_ordered(home: Path) -> None:
    for depth, auc in ((1, 0.7), (2, 0.9), (3, 0.8)):
        with tm.start_run(run_name=f"d{depth}"):
            tm.log_param("depth", depth)
            tm.log_metric("auc", auc)
    found = tm.search_runs(
        "metrics.auc > 0.75 OR params.depth = '1'", order_by=["metrics.auc DESC"]
    )
    assert [run.name for run in found] == ["d2", "d3", "d1"]
    assert [run.name for run in tm.search_runs(max_results=1)] == ["d3"]
    assert tm.search_runs(order_by="metrics.auc DESC, start_time")[0].name == "d2"
    assert len(tm.search_runs(experiment_names=["Default"])) == 3
    with pytest.raises(ExperimentNotFound, match="Default"):
        tm.search_runs(experiment_names=["Defualt"])


def test_another_thread_logs_through_the_handle(home: Path) -> None:
    with tm.start_run() as run:

        def work() -> None:
            with pytest.raises(RunElsewhere):
                tm.log_metric("m", 1.0)
            run.log_metrics({"m": 2.0})

        _in_a_thread(work)
    assert tm.get_run(run.id).metrics == {"m": 2.0}


def test_a_value_that_is_no_number_is_refused(home: Path) -> None:
    with tm.start_run(), pytest.raises(BadLogged, match="'many'"):
        tm.log_metric("m", "many")  # type: ignore[arg-type]


@pytest.mark.parametrize("offline", [False, True])
def test_what_cannot_be_logged_is_refused_before_it_goes_anywhere(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    monkeypatch.setenv("TIDEMILL_OFFLINE", "1" if offline else "0")
    (tmp_path / "file").touch()
    wrong: list[tuple[type[TidemillError], str, Callable[[], object]]] = [
        (BadLogged, "no name", lambda: tm.log_metric(5, 1.0)),  # type: ignore[arg-type]
        (BadLogged, "no name", lambda: tm.log_params({None: 1})),  # type: ignore[dict-item]
        (BadLogged, "64 bits", lambda: tm.log_metric("m", 10**400)),
        (BadLogged, "whole number", lambda: tm.log_metric("m", 1.0, step="x")),  # type: ignore[arg-type]
        (BadLogged, "1.5", lambda: tm.log_metric("m", 1.0, step=1.5)),  # type: ignore[arg-type]
        (BadLogged, "since 1970", lambda: tm.log_metric("m", 1.0, timestamp=-1)),
        (BadMetric, "too large", lambda: tm.log_metric("m", 1.0, step=2**63)),
        (BadMetric, "a//b", lambda: tm.set_tag("a//b", 1)),
        (BadArtifactPath, "../x", lambda: tm.log_artifact(tmp_path / "file", "../x")),
        (BadLogged, "no text", lambda: tm.log_text(5, "a.txt")),  # type: ignore[arg-type]
        (BadLogged, "'FINISHED'", lambda: tm.end_run("FINSHED")),  # type: ignore[arg-type]
        (BadLogged, "no experiment", lambda: tm.set_experiment(None)),  # type: ignore[arg-type]
        (BadExperiment, "experiment name", lambda: tm.set_experiment(" ")),
        (BadLogged, "at least 1", lambda: tm.search_runs(max_results=0)),
    ]
    with tm.start_run() as run:
        for kind, text, call in wrong:
            with pytest.raises(kind, match=text):
                call()
        tm.log_metric("m", 1.0, step=3.0)  # type: ignore[arg-type]
    if not offline:
        assert tm.get_run(run.id).metrics == {"m": 1.0}


@pytest.mark.parametrize("value", [object(), {"a": {1: object()}}])
def test_a_value_that_cannot_be_written_is_refused(home: Path, value: object) -> None:
    with tm.start_run(), pytest.raises(BadLogged):
        tm.log_dict(value, "a.json")


def test_a_file_that_is_not_there_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(BadLogged):
        tm.log_artifact(tmp_path / "nothing")
    with pytest.raises(BadLogged):
        tm.log_artifacts(tmp_path / "nothing")


def test_a_step_logs_to_its_own_run() -> None:
    sink = _Sink()
    with activate(ActiveRun("f" * 32, sink)):
        with tm.start_run(tags={"a": "b"}) as run:
            tm.log_metric("m", 1.0, step=3, timestamp=5)
            tm.log_param("p", True)
        assert run.info.run_id == "f" * 32
        tm.log_text("t", "t.txt")
    assert sink.logged == [Tag("a", "b"), Metric("m", 1.0, 5, 3), Param("p", "True")]
    assert sink.files == {"t.txt": b"t"}


def test_a_script_that_never_ends_its_run_leaves_it_finished(home: Path) -> None:
    code = "import tidemill as tm; tm.log_metric('m', 1.0); print(tm.active_run().id)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert tm.get_run(done.stdout.strip()).status == "FINISHED"


def test_the_home_is_beside_the_nearest_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIDEMILL_HOME", raising=False)
    (tmp_path / "tidemill.toml").touch()
    assert home_folder(tmp_path / "a" / "b") == tmp_path / ".tidemill"


class _Sink:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.logged: list[Metric | Param | Tag] = []
        self.files: dict[str, bytes | Path] = {}

    def log(
        self,
        run_id: str,
        *,
        metrics: object = (),
        params: object = (),
        tags: object = (),
    ) -> None:
        self.logged += [*metrics, *params, *tags]  # type: ignore[misc]

    def log_artifact(self, run_id: str, path: str, source: bytes | Path) -> object:
        self.files[path] = source
        return None


def _in_a_thread(work: object) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()  # type: ignore[operator]
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
