"""Importing from an MLflow: whole, again, after a kill, and from sources that mean no good."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.exchange.conftest import Small

from tidemill.core.errors import TidemillError
from tidemill.exchange.errors import (
    ArtifactsElsewhere,
    BadSource,
    SourceNotFound,
    SourceUnreachable,
)
from tidemill.exchange.mlflow.opening import open_source
from tidemill.exchange.mlflow.records import Imported
from tidemill.home import Home
from tidemill.tracking.errors import BadMetric, NotActive
from tidemill.tracking.records import Tag

KILLED = Path(__file__).parent / "killed_import.py"


def test_runs_come_with_their_ids_times_and_histories(small: Small, home: Home) -> None:
    run_id = small.add_run("first", points=5)
    gone = small.add_run("gone")
    small.write(("UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = ?", (gone,)))
    imported = _import(home, small.path)
    assert imported.read == imported.here
    assert (imported.here.runs, imported.here.points, imported.here.artifacts) == (2, 5, 2)
    run = home.tracking.get(run_id)
    assert (run.name, run.actor, run.status) == ("first", "user:me", "FINISHED")
    assert (run.started.timestamp(), run.params) == (1.0, {"lr": "0.1"})
    assert home.tracking.get_experiment(run.experiment_id).id == "7"
    assert [p.value for p in home.tracking.history(run_id, "m0")] == [0.0, 3 / 7]
    assert run.metrics["m1"] == 4 / 7
    assert _bytes(home, run_id, "note.txt") == b"of first"
    lost = home.tracking.get(gone)
    assert (lost.lifecycle, lost.deleted) == ("deleted", lost.ended)
    facts = home.journal.read(types=["history.imported"])
    assert [fact.fields()["runs"] for fact in facts] == [2]


def test_what_is_not_a_number_stays_so(small: Small, home: Home) -> None:
    run_id = small.add_run("first")
    small.write(("INSERT INTO metrics VALUES ('m', 0, 1, ?, 1, 1)", (run_id,)))
    _import(home, small.path)
    assert math.isnan(home.tracking.get(run_id).metrics["m"])


def test_a_second_import_adds_what_is_new_and_overwrites_nothing(small: Small, home: Home) -> None:
    run_id = small.add_run("first", points=3, status="RUNNING")
    _import(home, small.path)
    home.tracking.log(run_id, tags=[Tag("mlflow.runName", "renamed")])
    small.write(
        ("UPDATE runs SET status = 'FAILED', end_time = 9000 WHERE run_uuid = ?", (run_id,)),
        ("INSERT INTO metrics VALUES ('m0', 0.5, 7, ?, 7, 0)", (run_id,)),
    )
    (small.folder / f"mlruns/7/{run_id}/artifacts/late.txt").write_text("late")
    second = small.add_run("second")
    imported = _import(home, small.path)
    assert (imported.here.runs, imported.here.points, imported.here.artifacts) == (2, 4, 3)
    run = home.tracking.get(run_id)
    assert (run.status, run.metrics["m0"]) == ("FAILED", 0.5)
    assert run.ended is not None
    assert run.ended.timestamp() == 9.0
    assert run.tags["mlflow.runName"] == "renamed"
    assert home.tracking.get(second).name == "second"


def test_an_experiment_is_found_by_its_name(small: Small, home: Home) -> None:
    known = home.tracking.experiment("tides")
    taken = home.tracking.create_experiment("other", actor="user:me")
    run_id = small.add_run("first")
    small.write(("INSERT INTO experiments VALUES (8, 'new', '', 'active')", ()))
    _import(home, small.path)
    assert home.tracking.get(run_id).experiment_id == known.id
    assert home.tracking.find_experiment("new") is not None
    assert home.tracking.get_experiment(taken.id).name == "other"


def test_runs_do_not_vanish_into_a_deleted_experiment(small: Small, home: Home) -> None:
    known = home.tracking.experiment("tides")
    home.tracking.delete_experiment(known.id, actor="user:me")
    small.add_run("first")
    with pytest.raises(NotActive, match=r"'tides' was deleted here.*Restore it"):
        _import(home, small.path)


@pytest.mark.parametrize("parts", [1, 2, 4, 6, 7])
def test_a_killed_import_is_finished_by_the_next(small: Small, tmp_path: Path, parts: int) -> None:
    for name in ("a", "b", "c"):
        small.add_run(name, points=25_000)
    command = [sys.executable, str(KILLED), str(small.path), str(tmp_path / "home"), str(parts)]
    killed = subprocess.run(command, check=False, capture_output=True, timeout=100)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with Home.open(tmp_path / "home") as home:
        imported = _import(home, small.path)
        assert imported.read == imported.here
        assert (imported.here.runs, imported.here.points, imported.here.artifacts) == (3, 75_000, 3)
        history = home.tracking.history("a".ljust(32, "0"), "m2")
        assert [p.step for p in history] == list(range(2, 25_000, 3))


def test_a_source_that_moved_is_read_where_it_is(small: Small, home: Home, tmp_path: Path) -> None:
    run_id = small.add_run("first")
    moved = tmp_path / "elsewhere"
    small.folder.rename(moved)
    assert _import(home, moved / "mlflow.db").here.artifacts == 1
    assert _bytes(home, run_id, "note.txt") == b"of first"


@pytest.mark.parametrize(
    "place",
    ["/etc", "../../../../etc", "file:///etc", "s3://bucket/runs", "file://host/etc", "dbfs:/x"],
)
def test_nothing_outside_the_source_is_read(small: Small, home: Home, place: str) -> None:
    small.add_run("first", place=place)
    with pytest.raises(ArtifactsElsewhere, match="--artifacts FOLDER") as caught:
        _import(home, small.path)
    assert place in str(caught.value)
    assert home.tracking.runs() == []
    imported = _import(home, small.path, with_artifacts=False)
    assert (imported.here.runs, imported.here.artifacts, imported.left_out) == (1, 0, 1)


def test_a_folder_that_is_allowed_is_read(small: Small, home: Home, tmp_path: Path) -> None:
    outside = tmp_path / "store"
    (outside / "art").mkdir(parents=True)
    (outside / "art" / "model.bin").write_bytes(b"1")
    run_id = small.add_run("first", place=str(outside / "art"))
    source = open_source(str(small.path), artifacts=[outside])
    home.mlflow_import.run(source, actor="user:me")
    source.close()
    assert [a.path for a in home.tracking.artifacts(run_id)] == ["model.bin"]


def test_links_and_pipes_are_passed_over(small: Small, home: Home) -> None:
    run_id = small.add_run("first")
    folder = small.folder / f"mlruns/7/{run_id}/artifacts"
    (folder / "secret").symlink_to("/etc/passwd")
    (folder / "etc").symlink_to("/etc")
    os.mkfifo(folder / "pipe")
    imported = _import(home, small.path)
    assert imported.skipped == 3
    assert [a.path for a in home.tracking.artifacts(run_id)] == ["note.txt"]


def test_a_whole_artifact_folder_that_is_a_link_out_is_refused(small: Small, home: Home) -> None:
    run_id = small.add_run("first")
    folder = small.folder / f"mlruns/7/{run_id}/artifacts"
    (folder / "note.txt").unlink()
    folder.rmdir()
    folder.symlink_to("/etc")
    with pytest.raises(ArtifactsElsewhere):
        _import(home, small.path)


@pytest.mark.parametrize("key", ["../up", "a//b", "", "x" * 251])
def test_keys_that_cannot_be_kept_are_named(small: Small, home: Home, key: str) -> None:
    run_id = small.add_run("first")
    small.write(("INSERT INTO metrics VALUES (?, 1, 1, ?, 1, 0)", (key, run_id)))
    with pytest.raises(BadMetric):
        _import(home, small.path)


def test_a_file_that_cannot_be_kept_is_named_with_its_run(small: Small, home: Home) -> None:
    run_id = small.add_run("first")
    (small.folder / f"mlruns/7/{run_id}/artifacts/a\\b").write_bytes(b"1")
    with pytest.raises(BadSource, match=rf"of {run_id} cannot be kept.*Rename it") as caught:
        _import(home, small.path)
    assert "'a\\\\b'" in caught.value.what


def test_bad_sources_are_told_apart(tmp_path: Path, small: Small) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database")
    empty = tmp_path / "empty.db"
    empty.touch()
    (tmp_path / "nothing").mkdir()
    cut = tmp_path / "cut.db"
    cut.write_bytes(small.path.read_bytes()[:3000])
    for place, kind, said in (
        (tmp_path / "missing.db", SourceNotFound, "nothing at"),
        (text, BadSource, "not a SQLite database"),
        (empty, BadSource, "not a SQLite database"),
        (cut, BadSource, "cut.db"),
        (tmp_path / "nothing", BadSource, "no experiment"),
    ):
        with pytest.raises(kind, match=said):
            open_source(str(place))


def test_tables_of_another_time_are_named(small: Small) -> None:
    small.write(
        ("ALTER TABLE metrics RENAME COLUMN step TO stage", ()),
        ("UPDATE alembic_version SET version_num = 'fffffffffff1'", ()),
    )
    with pytest.raises(BadSource, match=r"fffffffffff1.*'metrics' has no 'step'.*server instead"):
        open_source(str(small.path))


def test_a_server_that_is_none_is_named() -> None:
    with pytest.raises(SourceUnreachable, match=r"127\.0\.0\.1:9") as caught:
        open_source("http://user:secret@127.0.0.1:9")
    assert "secret" not in str(caught.value)


def test_the_source_is_never_written(small: Small, home: Home) -> None:
    small.add_run("first", points=10)
    before = small.path.read_bytes()
    _import(home, small.path)
    assert small.path.read_bytes() == before
    assert sorted(p.name for p in small.folder.iterdir()) == ["mlflow.db", "mlruns"]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE runs SET status = 'ASLEEP'",
        "UPDATE runs SET start_time = 'noon'",
        "UPDATE runs SET run_uuid = '../../x'",
        "UPDATE runs SET start_time = 9223372036854775807",
        "UPDATE runs SET experiment_id = 99",
        "UPDATE metrics SET value = 'high'",
        "UPDATE metrics SET step = 'late'",
        "UPDATE params SET key = NULL",
        "UPDATE experiments SET name = NULL WHERE experiment_id = 7",
        "UPDATE experiments SET name = x'ff00fe' WHERE experiment_id = 7",
    ],
)
def test_hostile_values_give_one_clear_error(small: Small, home: Home, sql: str) -> None:
    small.add_run("first", points=1)
    small.write((sql, ()))
    with pytest.raises(TidemillError):
        _import(home, small.path)


def _import(home: Home, path: Path, *, with_artifacts: bool = True) -> Imported:
    source = open_source(str(path))
    try:
        return home.mlflow_import.run(source, actor="user:me", with_artifacts=with_artifacts)
    finally:
        source.close()


def _bytes(home: Home, run_id: str, path: str) -> bytes:
    with home.tracking.open_artifact(run_id, path) as stream:
        return stream.read()
