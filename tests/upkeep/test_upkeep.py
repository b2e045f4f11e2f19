"""What was deleted long ago goes for good, and nothing goes that anything names."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from tidemill.core.clock import SimulatedClock
from tidemill.core.references import Ref
from tidemill.home import Home, declared_tables
from tidemill.pipelines import store as pipelines
from tidemill.pipelines.records import PipelineRun, StepRun, Stored
from tidemill.storage.blobs.errors import BlobDamaged
from tidemill.storage.blobs.trees import put_tree
from tidemill.tracking import store
from tidemill.tracking.errors import ExperimentNotFound, LoggedModelNotFound, RunNotFound
from tidemill.tracking.records import Metric, Run
from tidemill.upkeep.records import Reclaimed

LONG_AGO = 1_000_000_000
MONTH = timedelta(days=30)
ME = "user:me"
KILLED = Path(__file__).parent / "killed_collection.py"


@pytest.fixture
def home(tmp_path: Path, clock: SimulatedClock) -> Iterator[Home]:
    with Home.open(tmp_path / "home", clock=clock, rng=random.Random(1)) as opened:
        yield opened


def test_only_what_was_deleted_long_ago_is_erased(home: Home, clock: SimulatedClock) -> None:
    old, young, live = (_run(home, name) for name in ("old", "young", "live"))
    home.tracking.delete_run(old.id, actor=ME)
    clock.sleep(MONTH.total_seconds())
    home.tracking.delete_run(young.id, actor=ME)
    clock.sleep(60)
    _age(home)
    reclaimed = _collect(home)
    assert (reclaimed.runs, reclaimed.blobs) == ((old.id,), 1)
    assert reclaimed.blob_bytes == len(b"of old")
    with pytest.raises(RunNotFound):
        home.tracking.get(old.id)
    assert home.tracking.get(young.id).lifecycle == "deleted"
    assert _bytes(home, live.id) == b"of live"
    assert _bytes(home, young.id) == b"of young"
    facts = home.journal.read(types=["run.erased"])
    assert [(f.subject, f.actor) for f in facts] == [(f"run:{old.id}", ME)]
    assert _collect(home) == Reclaimed(dry=False)


def test_a_long_metric_is_erased_with_its_blocks(home: Home, clock: SimulatedClock) -> None:
    run = _run(home, "long")
    home.tracking.log(run.id, metrics=[Metric("m", float(s), 5, s) for s in range(10_000)])
    with home.db.read() as connection:
        assert connection.scalar(select(func.count()).select_from(store.blocks))
    home.tracking.delete_run(run.id, actor=ME)
    clock.sleep(MONTH.total_seconds() + 60)
    assert _collect(home).runs == (run.id,)
    with home.db.read() as connection:
        assert connection.scalar(select(func.count()).select_from(store.blocks)) == 0


def test_a_restored_run_is_not_erased(home: Home, clock: SimulatedClock) -> None:
    run = _run(home, "back")
    home.tracking.delete_run(run.id, actor=ME)
    clock.sleep(MONTH.total_seconds() * 2)
    home.tracking.restore_run(run.id, actor=ME)
    _age(home)
    assert _collect(home).runs == ()
    home.tracking.delete_run(run.id, actor=ME)
    assert _collect(home).runs == ()


def test_an_experiment_goes_with_everything_in_it(home: Home, clock: SimulatedClock) -> None:
    experiment = home.tracking.experiment("lost")
    run = _run(home, "r", experiment.id)
    home.tracking.log(run.id, metrics=[Metric("m", 1.0, 1, i) for i in range(10)])
    model = home.logged_models.create(experiment.id, "m", params={"a": "b"}, tags={"c": "d"})
    home.logged_models.log_artifact(model.id, "weights", b"heavy")
    home.tracking.delete_experiment(experiment.id, actor=ME)
    clock.sleep(MONTH.total_seconds() + 1)
    _age(home)
    reclaimed = _collect(home)
    assert reclaimed.experiments == (experiment.id,)
    assert (reclaimed.runs, reclaimed.models, reclaimed.blobs) == ((run.id,), (model.id,), 2)
    with pytest.raises(ExperimentNotFound):
        home.tracking.get_experiment(experiment.id)
    with pytest.raises(LoggedModelNotFound):
        home.logged_models.get(model.id)
    assert home.tracking.experiment("lost").id != experiment.id


def test_files_of_registered_versions_stay(home: Home, clock: SimulatedClock) -> None:
    run, experiment = _run(home, "source"), home.tracking.experiment("lost")
    model = home.logged_models.create(experiment.id, "m", run_id=run.id)
    home.logged_models.log_artifact(model.id, "weights", b"heavy")
    home.catalogue.create("reg", actor=ME)
    home.registry.register_files("reg", f"runs:/{run.id}/note", actor=ME, run_id=run.id)
    home.registry.register_files(
        "reg", f"models:/{model.id}", actor=ME, run_id="0" * 32, model_id=model.id
    )
    home.tracking.delete_run(run.id, actor=ME)
    home.logged_models.delete(model.id)
    home.tracking.delete_experiment(experiment.id, actor=ME)
    clock.sleep(MONTH.total_seconds() * 2)
    _age(home)
    reclaimed = _collect(home)
    assert reclaimed.kept == tuple(sorted([run.id, model.id]))
    assert (reclaimed.runs, reclaimed.models, reclaimed.experiments) == ((), (), ())
    assert reclaimed.blobs == 0
    home.catalogue.delete("reg", actor=ME)
    assert _collect(home).blobs == 2


def test_a_trial_says_the_same_and_changes_nothing(home: Home, clock: SimulatedClock) -> None:
    for name in ("a", "b", "c"):
        home.tracking.delete_run(_run(home, name).id, actor=ME)
    clock.sleep(MONTH.total_seconds() + 1)
    _age(home)
    head = home.journal.head()
    trial = _collect(home, dry=True)
    assert (len(trial.runs), trial.blobs, trial.dry) == (3, 3, True)
    assert home.journal.head() == head
    assert len(list(home.blobs.digests())) == 3
    real = _collect(home)
    assert (real.runs, real.blobs, real.blob_bytes) == (trial.runs, trial.blobs, trial.blob_bytes)


def test_more_than_one_part_is_erased(home: Home, clock: SimulatedClock) -> None:
    experiment = home.tracking.experiment("many")
    for _ in range(450):
        home.tracking.start_run(experiment.id, actor=ME)
    home.tracking.delete_experiment(experiment.id, actor=ME)
    clock.sleep(MONTH.total_seconds() + 1)
    assert len(_collect(home).runs) == 450


def test_young_files_wait(home: Home) -> None:
    home.blobs.put(b"just uploaded")
    assert _collect(home).young == 1
    _age(home)
    assert _collect(home).blobs == 1


def test_everything_that_a_row_names_stays(
    home: Home, tmp_path: Path, clock: SimulatedClock
) -> None:
    """Bundles with their files, step values of every kind, code, and whatever a text mentions."""
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"graph")
    tree = put_tree(home.blobs, folder).digest
    (folder / "model.onnx").write_bytes(b"code")
    code = put_tree(home.blobs, folder).digest
    frame, item = home.blobs.put(b"frame").digest, home.blobs.put(b"item").digest
    value = Stored("tuple", items=(Stored("frame", frame), Stored("folder", tree)))
    run = PipelineRun(
        id="0" * 32,
        pipeline="p",
        status="finished",
        started=clock.now(),
        ended=None,
        actor=ME,
        error=None,
        arguments=msgspec.Raw(b'{"code": "%s"}' % code.encode()),
    )
    step = StepRun(place=0, name="s", status="finished", value=value)
    tracked = _run(home, "r")
    home.tracking.set_experiment_tag(tracked.experiment_id, "see", f"blob {item}, please")
    home.db.write(lambda c: pipelines.set_run(c, run))
    home.db.write(lambda c: pipelines.set_step(c, run.id, step))
    before = set(home.blobs.digests())
    _age(home)
    assert _collect(home).blobs == 0
    assert set(home.blobs.digests()) == before


def test_a_folder_that_cannot_be_read_stops_the_collection(home: Home, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_bytes(b"a")
    tree = put_tree(home.blobs, tmp_path / "tree").digest
    run = _run(home, "r")
    home.tracking.log_artifact(run.id, "manifest", home.blobs.locate(tree))
    path = home.blobs.locate(tree)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"path", b"htap"))
    _age(home)
    with pytest.raises(BlobDamaged):
        _collect(home)
    assert len(list(home.blobs.digests())) == 3


def test_the_database_becomes_smaller(home: Home, clock: SimulatedClock) -> None:
    run = _run(home, "big")
    home.tracking.log(run.id, metrics=[Metric("m", i, i, i) for i in range(50_000)])
    home.tracking.delete_run(run.id, actor=ME)
    clock.sleep(MONTH.total_seconds() + 1)
    before = _pages(home)
    reclaimed = _collect(home)
    assert reclaimed.database_bytes > 2_000_000
    assert _pages(home) < before / 2


def test_an_old_database_becomes_smaller_too(tmp_path: Path, clock: SimulatedClock) -> None:
    """A file that was made before freed space could be given back is rewritten once."""
    with Home.open(tmp_path / "home", clock=clock) as home:
        run = _run(home, "big")
        home.tracking.log(run.id, metrics=[Metric("m", i, i, i) for i in range(50_000)])
        home.tracking.delete_run(run.id, actor=ME)
    with closing(sqlite3.connect(tmp_path / "home" / "tidemill.db")) as connection:
        connection.execute("PRAGMA auto_vacuum=NONE")
        connection.execute("VACUUM")
    clock.sleep(MONTH.total_seconds() + 1)
    with Home.open(tmp_path / "home", clock=clock) as home:
        before = _pages(home)
        _collect(home)
        assert _pages(home) < before / 2
        assert home.tracking.runs() == []


def test_leftovers_of_runs_and_bundles_are_swept(home: Home) -> None:
    run = _run(home, "live")
    kept = [home.path / "runs" / run.id, home.path / "runs" / "code"]
    gone = [home.path / "runs" / ("0" * 32), home.path / "bundles" / ("a" * 64)]
    young = home.path / "bundles" / ("b" * 64)
    for folder in (*kept, *gone, young):
        (folder / "inside").mkdir(parents=True)
    for folder in (*kept, *gone):
        os.utime(folder, (LONG_AGO, LONG_AGO))
    assert _collect(home).folders == 2
    assert [f.exists() for f in (*kept, *gone, young)] == [True, True, False, False, True]


@pytest.fixture(scope="module")
def littered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a run, and three hundred that were deleted long ago: to be copied."""
    folder = tmp_path_factory.mktemp("littered") / "home"
    with Home.open(folder, clock=SimulatedClock(datetime(2000, 1, 1, tzinfo=UTC))) as home:
        _run(home, "live")
        experiment = home.tracking.experiment("lost")
        for i in range(300):
            _run(home, f"r{i}", experiment.id)
        home.tracking.delete_experiment(experiment.id, actor=ME)
        _age(home)
    return folder


@pytest.mark.parametrize("writes", [1, 2, 3])
def test_a_killed_collection_is_finished_by_the_next(
    littered: Path, tmp_path: Path, writes: int
) -> None:
    shutil.copytree(littered, tmp_path / "home")
    command = [sys.executable, str(KILLED), str(tmp_path / "home"), str(writes)]
    killed = subprocess.run(command, check=False, capture_output=True, timeout=100)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with Home.open(tmp_path / "home") as home:
        _collect(home)
        (live,) = home.tracking.search(view="all").items
        assert _bytes(home, live.id) == b"of live"
        assert len(list(home.blobs.digests())) == 1
        assert len(home.journal.read(types=["run.erased"])) == 300


CONTENTS = [f"content {i}".encode() for i in range(6)]
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["log", "drop", "delete", "restore", "model", "collect", "wait", "age"]),
        st.integers(0, 3),
        st.integers(0, 5),
    ),
    max_size=25,
)


@pytest.fixture(scope="module")
def four_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with four runs, to be copied: making one takes longer than what is done in it."""
    folder = tmp_path_factory.mktemp("four") / "home"
    with Home.open(folder, clock=SimulatedClock(datetime(2013, 2, 1, tzinfo=UTC))) as home:
        for i in range(4):
            _run(home, f"r{i}")
    return folder


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(actions=ACTIONS)
def test_nothing_that_is_named_ever_goes(
    four_runs: Path,
    tmp_path_factory: pytest.TempPathFactory,
    actions: list[tuple[str, int, int]],
) -> None:
    clock = SimulatedClock(datetime(2013, 2, 1, tzinfo=UTC))
    folder = tmp_path_factory.mktemp("h") / "home"
    shutil.copytree(four_runs, folder)
    with Home.open(folder, clock=clock) as home:
        runs = home.tracking.search().items
        for action, which, what in actions:
            _act(home, clock, action, runs[which].id, CONTENTS[what])
            _all_readable(home)
        home_has = set(home.blobs.digests())
        _age(home)
        _collect(home)
        _all_readable(home)
        assert set(home.blobs.digests()) <= home_has


def _act(home: Home, clock: SimulatedClock, action: str, run_id: str, content: bytes) -> None:
    known = {r.id: r.lifecycle for r in home.tracking.search(view="all").items}
    match action:
        case "collect":
            _collect(home)
        case "wait":
            clock.sleep(MONTH.total_seconds() * 0.7)
        case "age":
            _age(home)
        case "model":
            model = home.logged_models.create(home.tracking.experiment("e").id, "m")
            home.logged_models.log_artifact(model.id, "f", content)
        case "delete" if run_id in known:
            home.tracking.delete_run(run_id, actor=ME)
        case "restore" if run_id in known:
            home.tracking.restore_run(run_id, actor=ME)
        case "log" if known.get(run_id) == "active":
            home.tracking.log_artifact(run_id, content.decode(), content)
        case "drop" if known.get(run_id) == "active":
            home.tracking.delete_artifacts(run_id, content.decode())


def _all_readable(home: Home) -> None:
    for run in home.tracking.search(view="all").items:
        for artifact in home.tracking.artifacts(run.id):
            assert home.blobs.read(artifact.digest)
    for model in home.logged_models.search([home.tracking.experiment("e").id]).items:
        for artifact in home.logged_models.artifacts(model.id):
            assert home.blobs.read(artifact.digest)


def test_every_table_counts_but_history(home: Home) -> None:
    counted = {table.name for table in home.upkeep._tables}
    history = {t.name for t in declared_tables()} - counted
    assert history == {"journal_facts", "journal_subscriptions", "lineage_edges"}


def _run(home: Home, name: str, experiment: str | None = None) -> Run:
    where = experiment or home.tracking.experiment("e").id
    run = home.tracking.start_run(where, actor=ME, name=name)
    home.tracking.log_artifact(run.id, "note", f"of {name}".encode())
    home.lineage.record(Ref("run", run.id), Ref("experiment", where), "in")
    return run


def _collect(home: Home, *, dry: bool = False) -> Reclaimed:
    return home.upkeep.collect(older_than=MONTH, actor=ME, dry=dry)


def _age(home: Home) -> None:
    for digest in home.blobs.digests():
        os.utime(home.blobs.locate(digest), (LONG_AGO, LONG_AGO))


def _bytes(home: Home, run_id: str) -> bytes:
    with home.tracking.open_artifact(run_id, "note") as stream:
        return stream.read()


def _pages(home: Home) -> int:
    with home.db.read() as connection:
        return int(connection.exec_driver_sql("PRAGMA page_count").scalar_one())
