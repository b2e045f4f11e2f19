"""Exports are whole or not there, and are believed only as far as they prove what they say."""

from __future__ import annotations

import math
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import Table

from tidemill.core.references import Ref
from tidemill.exchange.errors import BadSource, HomeNotEmpty, SourceNotFound, TargetExists
from tidemill.exchange.whole.layout import TEXT
from tidemill.exchange.whole.tables import table_file
from tidemill.home import Home, declared_tables
from tidemill.storage.blobs.errors import BlobDamaged
from tidemill.tracking.events import RunDeleted
from tidemill.tracking.records import Metric

ME = "user:me"
KILLED = Path(__file__).parent / "killed_restore.py"


@pytest.fixture
def export(home: Home, tmp_path: Path) -> Path:
    """The export of a home with a little of everything that is odd."""
    experiment = home.tracking.experiment("tides\nand ümlauts")
    run = home.tracking.start_run(experiment.id, actor=ME, name="r")
    points = [
        Metric("m", value, 2**53 + 1, -i)
        for i, value in enumerate((math.nan, math.inf, -math.inf, -0.0, 5e-324))
    ]
    home.tracking.log(run.id, metrics=points)
    home.tracking.log_artifact(run.id, "plots/a b.txt", b"bytes")
    home.tracking.log_artifact(run.id, "empty", b"")
    home.catalogue.create("reg", actor=ME, tags={"k": "v"})
    home.registry.register_files("reg", f"runs:/{run.id}/plots", actor=ME, run_id=run.id)
    home.registry.set_alias("reg", "champion", 1, actor=ME, reason="the first")
    home.tracking.delete_run(run.id, actor=ME)
    home.exporter.write(tmp_path / "export")
    return tmp_path / "export"


def test_everything_is_as_it_was(home: Home, export: Path, tmp_path: Path) -> None:
    with Home.open(tmp_path / "new") as new:
        new.restorer.read(export)
        run = new.tracking.search(view="all").items[0]
        old = home.tracking.get(run.id)
        assert (run.name, run.deleted, run.started) == (old.name, old.deleted, old.started)
        before, after = (h.tracking.history(run.id, "m") for h in (home, new))
        assert repr(after) == repr(before)
        assert new.registry.history("reg") == home.registry.history("reg")
        facts = new.journal.read()
        assert facts == home.journal.read()
        new.exporter.write(tmp_path / "again")
        fresh = new.journal.record(RunDeleted(run_id=run.id), subject=Ref("run", run.id), actor=ME)
        assert fresh.position == facts[-1].position + 1
    assert _contents(tmp_path / "again") == _contents(export)


def test_the_readme_tells_of_every_table() -> None:
    for table in declared_tables():
        room, _, name = table.name.partition("_")
        assert f"    {room} " in TEXT, table.name
        told = TEXT[TEXT.index(f"    {room} ") :]
        assert name.rpartition("_")[2].rstrip("s") in told, table.name


def test_an_export_does_not_overwrite(home: Home, export: Path) -> None:
    with pytest.raises(TargetExists, match="there already"):
        home.exporter.write(export)
    (export.parent / "next.part").mkdir()
    (export.parent / "next.part" / "left").write_text("of a killed export")
    home.exporter.write(export.parent / "next")
    assert not (export.parent / "next.part").exists()
    assert not (export.parent / "next" / "left").exists()


def test_a_damaged_file_is_not_exported(home: Home, export: Path) -> None:
    digest = next(iter(home.blobs.digests()))
    path = home.blobs.locate(digest)
    path.chmod(0o644)
    path.write_bytes(b"other")
    with pytest.raises(BlobDamaged, match="has changed on disk"):
        home.exporter.write(export.parent / "second")
    assert not (export.parent / "second").exists()


def test_editing_an_export_does_not_touch_the_home(home: Home, export: Path) -> None:
    for path in (export / "blobs").glob("*/*"):
        path.write_bytes(b"edited")
    for digest in home.blobs.digests():
        assert home.blobs.read(digest) is not None


def test_only_an_empty_home_takes_an_export(home: Home, export: Path) -> None:
    with pytest.raises(HomeNotEmpty, match="--home NEW"):
        home.restorer.read(export)


def _drop_blob(export: Path) -> None:
    next((export / "blobs").glob("*/*")).unlink()


def _change_blob(export: Path) -> None:
    next(p for p in (export / "blobs").glob("*/*") if p.stat().st_size).write_bytes(b"other")


def _link_blob(export: Path) -> None:
    path = next((export / "blobs").glob("*/*"))
    path.unlink()
    path.symlink_to("/etc/passwd")


def _name_blob(export: Path) -> None:
    (export / "blobs" / "zz").mkdir()
    (export / "blobs" / "zz" / "x").write_bytes(b"")


def _cut_table(export: Path) -> None:
    path = export / table_file(_table("tracking_runs"))
    path.write_bytes(path.read_bytes()[:-20])


def _drop_table(export: Path) -> None:
    (export / table_file(_table("journal_facts"))).unlink()


def _drop_rows(export: Path) -> None:
    path = export / table_file(_table("tracking_points"))
    pl.read_parquet(path).head(1).write_parquet(path)


def _drop_column(export: Path) -> None:
    path = export / table_file(_table("tracking_runs"))
    pl.read_parquet(path).drop("deleted").write_parquet(path)


def _orphan_rows(export: Path) -> None:
    path = export / table_file(_table("tracking_runs"))
    pl.read_parquet(path).with_columns(experiment_id=pl.lit("none")).write_parquet(path)


def _old_manifest(export: Path) -> None:
    path = export / "manifest.json"
    path.write_text(path.read_text().replace("tracking_0", "tracking_9"))


def _bad_manifest(export: Path) -> None:
    (export / "manifest.json").write_text("[]")


@pytest.mark.parametrize(
    "damage",
    [
        _drop_blob,
        _change_blob,
        _link_blob,
        _name_blob,
        _cut_table,
        _drop_table,
        _drop_rows,
        _drop_column,
        _orphan_rows,
        _old_manifest,
        _bad_manifest,
    ],
)
def test_a_damaged_export_leaves_the_home_empty(
    export: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(export, whole)
    damage(export)
    with Home.open(tmp_path / "new") as new:
        with pytest.raises(BadSource):
            new.restorer.read(export)
        assert new.journal.head() == 0
        new.restorer.read(whole)
        assert new.journal.head() > 0


def test_a_folder_that_is_no_export_is_named(tmp_path: Path) -> None:
    with Home.open(tmp_path / "new") as new, pytest.raises(SourceNotFound, match="no export"):
        new.restorer.read(tmp_path)


@pytest.mark.parametrize("files", [1, 2])
def test_a_killed_import_of_an_export_is_done_again(
    export: Path, tmp_path: Path, files: int
) -> None:
    command = [sys.executable, str(KILLED), str(export), str(tmp_path / "new"), str(files)]
    killed = subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with Home.open(tmp_path / "new") as new:
        assert new.journal.head() == 0
        new.restorer.read(export)
        new.exporter.write(tmp_path / "again")
    assert _contents(tmp_path / "again") == _contents(export)


def test_names_that_only_some_systems_take_are_kept_as_bytes(home: Home, tmp_path: Path) -> None:
    run = home.tracking.start_run(home.tracking.experiment("e").id, actor=ME)
    home.tracking.log_artifact(run.id, "con.txt", b"odd")
    manifest = home.exporter.write(tmp_path / "out")
    assert manifest.blobs == 1
    assert not (tmp_path / "out" / "files").exists()
    with Home.open(tmp_path / "new") as new:
        new.restorer.read(tmp_path / "out")
        with new.tracking.open_artifact(run.id, "con.txt") as stream:
            assert stream.read() == b"odd"


def _table(name: str) -> Table:
    return next(table for table in declared_tables() if table.name == name)


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }
