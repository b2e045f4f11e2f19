"""A program logs to whatever there is: the owner of the home, or a spool that is uploaded later."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.control_plane import ControlPlane

import tidemill as tm
from tidemill.cli.entry import run
from tidemill.core.clock import SystemClock
from tidemill.core.errors import NotFound
from tidemill.core.ids import Ids
from tidemill.home import Home
from tidemill.sdk.destinations.choice import SPOOL, checked
from tidemill.sdk.destinations.home import HomeDestination
from tidemill.sdk.destinations.spool import SpoolDestination, spooled
from tidemill.sdk.destinations.upload import upload
from tidemill.sdk.errors import BadAddress, NotOffline
from tidemill.tracking.records import Metric, NewRun, Param, Run, Tag

SCRIPT = """
import math, os, sys, tidemill as tm
tm.set_experiment("tides")
with tm.start_run(run_name="far", tags={"a": "b"}) as run:
    tm.log_params({"depth": 3, **{f"p{i}": i for i in range(150)}})
    for step in range(50):
        tm.log_metric("loss", 1 / (step + 1), step=step)
    tm.log_metrics({"nan": math.nan, "inf": math.inf})
    tm.log_text("hello", "notes/hello.txt")
    tm.log_artifact(__file__, "code")
    with tm.start_run(nested=True, run_name="child") as child:
        tm.log_metric("m", 1.0)
    print(run.id, child.id, flush=True)
    if len(sys.argv) > 1:
        os.kill(os.getpid(), 9)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ControlPlane]:
    server = ControlPlane(tmp_path / "home")
    try:
        yield server
    finally:
        server.stop()


def _run(script: Path, *arguments: str, **environment: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "TIDEMILL_CAPTURE": "0", **environment},
        check=False,
        timeout=60,
    )
    assert done.returncode == (-signal.SIGKILL if arguments else 0), done.stderr
    run, child = done.stdout.split()
    return run, child


def _check(home: Path, run_id: str, child: str, status: str = "FINISHED") -> None:
    with Home.open(home) as opened:
        run = opened.tracking.get(run_id)
        assert (run.name, run.status, run.tags["a"]) == ("far", status, "b")
        assert len(run.params) == 151
        assert (run.metrics["loss"], run.metrics["inf"]) == (0.02, math.inf)
        assert math.isnan(run.metrics["nan"])
        assert [p.step for p in opened.tracking.history(run_id, "loss")] == list(range(50))
        with opened.tracking.open_artifact(run_id, "notes/hello.txt") as file:
            assert file.read() == b"hello"
        paths = [a.path for a in opened.tracking.artifacts(run_id)]
        assert paths == ["code/train.py", "notes/hello.txt"]
        assert opened.tracking.get(child).parent == run_id
        assert opened.tracking.get_experiment(run.experiment_id).name == "tides"


def test_through_the_owner_of_the_home(server: ControlPlane, script: Path, tmp_path: Path) -> None:
    run, child = _run(script, TIDEMILL_HOME=str(tmp_path / "home"))
    server.stop()
    _check(tmp_path / "home", run, child)


def test_runs_are_searched_through_the_owner(
    server: ControlPlane, script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMILL_TRACKING_URI", server.address)
    monkeypatch.setenv("TIDEMILL_CAPTURE", "0")
    monkeypatch.setenv("TIDEMILL_HOME", str(tmp_path / "elsewhere"))
    with tm.start_run(run_name="one"):
        tm.log_metrics({"auc": math.nan, "loss": math.inf})
    (found,) = tm.search_runs("metrics.loss > 1", experiment_names=["Default"])
    assert (found.name, math.isnan(found.metrics["auc"])) == ("one", True)
    with pytest.raises(NotFound, match="no experiment 'nope'"):
        tm.search_runs(experiment_names=["nope"])


def test_to_a_server_that_is_named(server: ControlPlane, script: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    run, child = _run(script, TIDEMILL_TRACKING_URI=server.address, TIDEMILL_HOME=str(elsewhere))
    server.stop()
    _check(tmp_path / "home", run, child)
    assert not elsewhere.exists()


@pytest.mark.parametrize("how", ["offline", "no server"])
def test_to_a_spool_that_the_next_run_uploads(script: Path, tmp_path: Path, how: str) -> None:
    home = tmp_path / "home"
    away = (
        {"TIDEMILL_OFFLINE": "1"}
        if how == "offline"
        else {"TIDEMILL_TRACKING_URI": "http://127.0.0.1:9"}
    )
    run, child = _run(script, TIDEMILL_HOME=str(home), **away)
    assert spooled(home / SPOOL) == sorted([run, child])
    other = tmp_path / "other.py"
    other.write_text("import tidemill as tm\nwith tm.start_run() as run: print(run.id, run.id)")
    _run(other, TIDEMILL_HOME=str(home))
    assert spooled(home / SPOOL) == []
    _check(home, run, child)


def test_a_program_that_was_killed_offline_leaves_what_it_logged(
    script: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    run, child = _run(script, "die", TIDEMILL_HOME=str(home), TIDEMILL_OFFLINE="1")
    command = [sys.executable, "-m", "tidemill", "runs", "sync", "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    _check(home, run, child, status="KILLED")


def test_what_is_refused_of_one_run_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("TIDEMILL_HOME", str(home))
    monkeypatch.setenv("TIDEMILL_CAPTURE", "0")
    monkeypatch.setenv("TIDEMILL_OFFLINE", "1")
    with tm.start_run(run_name="changed") as changed:
        tm.log_param("a", 1)
        tm.log_param("a", 2)
        tm.log_metric("m", 1.0)
    with tm.start_run(run_name="fine") as fine:
        tm.log_metric("m", 2.0)
    monkeypatch.setenv("TIDEMILL_OFFLINE", "0")
    server = ControlPlane(home)
    try:
        assert run(["runs", "sync", "--home", str(home)]) == 6
        told = capsys.readouterr()
        assert "2 runs uploaded" in told.out
        assert "Changing param values is not allowed" in told.err
        assert run(["runs", "sync", "--home", str(home)]) == 0
        kept = tm.get_run(changed.id)
        assert (kept.status, kept.params, kept.metrics) == ("FINISHED", {"a": "1"}, {"m": 1.0})
        assert tm.get_run(fine.id).metrics == {"m": 2.0}
    finally:
        server.stop()
    aside = home / SPOOL / "refused" / changed.id
    assert "Changing param" in (aside / f"{changed.id}.why").read_text()
    assert (aside / f"{changed.id}.spool").exists()
    assert spooled(home / SPOOL) == []


def test_a_run_of_a_deleted_experiment_is_put_aside_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("TIDEMILL_HOME", str(home))
    monkeypatch.setenv("TIDEMILL_CAPTURE", "0")
    monkeypatch.setenv("TIDEMILL_EXPERIMENT", "gone")
    monkeypatch.setenv("TIDEMILL_OFFLINE", "1")
    with tm.start_run() as lost:
        tm.log_text("kept", "note.txt")
    with Home.open(home) as opened:
        made = opened.tracking.experiment("gone").id
        opened.tracking.delete_experiment(made, actor="user:me")
    monkeypatch.setenv("TIDEMILL_OFFLINE", "0")
    monkeypatch.setenv("TIDEMILL_EXPERIMENT", "other")
    with pytest.warns(UserWarning, match=f"Of run {lost.id}.*'active' state"), tm.start_run():
        pass
    content = home / SPOOL / "refused" / lost.id / f"{lost.id}.files" / "1"
    assert content.read_text() == "kept"


def test_a_server_that_goes_away_in_the_middle_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("TIDEMILL_HOME", str(home))
    monkeypatch.setenv("TIDEMILL_CAPTURE", "0")
    server = ControlPlane(home)
    run = tm.start_run(run_name="patient")
    tm.log_metric("m", 1.0, step=1)
    server.kill()
    with pytest.warns(UserWarning, match="tidemill runs sync"):
        tm.log_metric("m", 2.0, step=2)
    tm.log_text("late", "late.txt")
    tm.end_run()
    assert spooled(home / SPOOL) == [run.id]
    with tm.start_run():
        pass
    with Home.open(home) as opened:
        assert [p.value for p in opened.tracking.history(run.id, "m")] == [1.0, 2.0]
        assert opened.tracking.get(run.id).status == "FINISHED"
        assert [a.path for a in opened.tracking.artifacts(run.id)] == ["late.txt"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("point"), st.sampled_from("ab"), st.integers(0, 9)),
        st.tuples(st.just("tag"), st.sampled_from("ab"), st.integers(0, 2)),
        st.tuples(st.just("param"), st.sampled_from("cd"), st.just(1)),
        st.tuples(st.just("file"), st.sampled_from("xy"), st.integers(0, 3)),
    ),
    max_size=12,
)


@settings(max_examples=15, deadline=None)
@given(steps=STEPS, torn=st.integers(0, 40), interrupted=st.integers(0, 8))
def test_any_interruption_is_made_good(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, str, int]],
    torn: int,
    interrupted: int,
) -> None:
    """An upload that broke off goes on; a torn tail is left out, and nothing before it."""
    folder = tmp_path_factory.mktemp("spool")
    run_id = Ids(SystemClock()).new()
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    new = NewRun(id=run_id, experiment="e", name="r", actor="user:me", started=moment)
    spool = SpoolDestination(folder / SPOOL)
    spool.start(new)
    with Home.open(folder / "direct") as direct:
        straight = HomeDestination(direct)
        straight.start(new)
        for step in steps:
            _log(spool, run_id, step)
            _log(straight, run_id, step)
        spool.end(run_id, "FINISHED", actor="user:me", ended=moment)
        straight.end(run_id, "FINISHED", actor="user:me", ended=moment)
        expected = direct.tracking.detail(run_id)
    with (folder / SPOOL / f"{run_id}.spool").open("ab") as file:
        file.write(os.urandom(torn))
    with Home.open(folder / "home") as home:
        with pytest.raises(_Broken):
            upload(folder / SPOOL, _Breaking(home, interrupted))
        upload(folder / SPOOL, HomeDestination(home))
        found = home.tracking.detail(run_id)
        files = [(a.path, a.digest) for a in home.tracking.artifacts(run_id)]
    with Home.open(folder / "direct") as direct:
        assert files == [(a.path, a.digest) for a in direct.tracking.artifacts(run_id)]
    assert (found.points, found.run.tags, found.run.params) == (
        expected.points,
        expected.run.tags,
        expected.run.params,
    )
    assert (found.run.status, found.run.ended) == ("FINISHED", moment)
    assert spooled(folder / SPOOL) == []


def _log(
    there: HomeDestination | SpoolDestination, run_id: str, step: tuple[str, str, int]
) -> None:
    kind, key, number = step
    match kind:
        case "point":
            there.log(run_id, metrics=[Metric(key, number / 2, 5, number)])
        case "tag":
            there.log(run_id, tags=[Tag(key, str(number))])
        case "param":
            there.log(run_id, params=[Param(key, str(number))])
        case _:
            there.log_artifact(run_id, f"{key}.txt", str(number).encode())


class _Broken(Exception):
    pass


class _Breaking(HomeDestination):
    """Does its work a number of times, and fails after doing it once more."""

    def __init__(self, home: Home, left: int) -> None:
        super().__init__(home)
        self._left = left

    def _count(self) -> None:
        if self._left == 0:
            raise _Broken
        self._left -= 1

    def start(self, run: NewRun) -> Run:
        found = super().start(run)
        self._count()
        return found

    def log(self, run_id: str, **entries: object) -> None:
        super().log(run_id, **entries)  # type: ignore[arg-type]
        self._count()

    def log_artifact(self, run_id: str, path: str, source: bytes | Path) -> object:
        kept = super().log_artifact(run_id, path, source)
        self._count()
        return kept

    def end(self, *arguments: object, **options: object) -> None:
        super().end(*arguments, **options)  # type: ignore[arg-type]
        raise _Broken


def test_offline_there_is_nothing_to_read_or_go_on_with(tmp_path: Path) -> None:
    spool = SpoolDestination(tmp_path)
    with pytest.raises(NotOffline, match="tidemill up"):
        spool.get("0" * 32)
    with pytest.raises(NotOffline, match="searched"):
        spool.search("", order_by=(), experiments=None, limit=1)
    with pytest.raises(NotOffline, match="new run"):
        spool.resume("0" * 32, actor="user:me")


@pytest.mark.parametrize("address", ["", "localhost:8750", "file:///etc/passwd", "http://"])
def test_what_is_no_address_is_said(address: str) -> None:
    with pytest.raises(BadAddress, match="TIDEMILL_TRACKING_URI"):
        checked(address)
