"""Versions: what was added, what was refused, and what an unchanged file costs."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from tidemill.core.clock import SimulatedClock
from tidemill.core.contract import Column, Contract
from tidemill.core.references import Ref
from tidemill.datasets.errors import (
    ContractBroken,
    DatasetNotFound,
    DatasetVersionNotFound,
    NoData,
    UnreadableData,
)
from tidemill.datasets.service import Datasets
from tidemill.journal.service import Journal
from tidemill.storage.blobs.local import LocalBlobs
from tidemill.storage.db.engine import Database

CONTRACT = Contract(
    columns=(
        Column(name="id", type="string", role="key", nullable=False),
        Column(name="at", type="datetime", role="time", nullable=False),
        Column(name="temp", type="float", max=130.0),
        Column(name="late", type="bool", role="label"),
    )
)


@pytest.fixture
def datasets(db: Database, blobs: LocalBlobs, journal: Journal, clock: SimulatedClock) -> Datasets:
    return Datasets(db, blobs, journal, clock)


def day(number: int, rows: int = 10) -> pl.DataFrame:
    start = datetime(2013, 1, number, tzinfo=UTC)
    return pl.DataFrame(
        {
            "id": [f"{number}-{i}" for i in range(rows)],
            "at": [start + timedelta(minutes=i) for i in range(rows)],
            "temp": [float(i) for i in range(rows)],
            "late": [i % 3 == 0 for i in range(rows)],
        }
    )


def test_appending_makes_versions_that_keep_what_they_were(datasets: Datasets) -> None:
    first = datasets.append("flights", day(1), actor="me", contract=CONTRACT)
    second = datasets.append("flights", day(2), actor="me", contract=CONTRACT)
    assert (first.number, first.rows, second.number, second.rows) == (1, 10, 2, 20)
    assert second.parent == first.version
    assert datasets.scan(first).collect().height == 10
    assert datasets.scan(second).collect()["id"].to_list()[-1] == "2-9"
    assert datasets.version(Ref("dataset", "flights", first.version[:6])) == first
    assert datasets.version(Ref("dataset", "flights")) == second


def test_a_stretch_of_time_reads_only_the_files_that_may_hold_it(datasets: Datasets) -> None:
    for number in (1, 2, 3):
        version = datasets.append("flights", day(number), actor="me", contract=CONTRACT)
    since, until = datetime(2013, 1, 2, tzinfo=UTC), datetime(2013, 1, 3, tzinfo=UTC)
    assert len(datasets.files(version, since=since, until=until)) == 1
    rows = datasets.scan(version, since=since, until=until).collect()
    assert rows["id"].str.starts_with("2-").all()
    assert rows.height == 10


def test_a_batch_that_breaks_the_contract_is_refused_whole(
    datasets: Datasets, journal: Journal
) -> None:
    datasets.append("flights", day(1), actor="me", contract=CONTRACT)
    spoiled = day(2).with_columns(temp=pl.col("temp") + 273.15)
    with pytest.raises(ContractBroken, match="temp") as caught:
        datasets.append("flights", spoiled, actor="me", contract=CONTRACT)
    violation = caught.value.report.violations[0]
    assert (violation.column, violation.rule, violation.count) == ("temp", "range", 10)
    assert datasets.versions("flights")[0].rows == 10
    refused = journal.read(types=("data.refused",))
    assert len(refused) == 1
    assert "temp" in refused[0].fields()["reason"]


def test_a_snapshot_takes_in_new_files_and_does_not_read_old_ones_again(
    datasets: Datasets, tmp_path: Path
) -> None:
    folder = tmp_path / "project" / "data"
    folder.mkdir(parents=True)
    day(1).write_parquet(folder / "1.parquet")
    root = tmp_path / "project"
    first = datasets.snapshot("flights", root, "data/*.parquet", actor="me", contract=CONTRACT)
    assert first.version is not None
    assert datasets.snapshot("flights", root, "data/*.parquet", actor="me").version is None
    day(2).write_parquet(folder / "2.parquet")
    second = datasets.snapshot("flights", root, "data/*.parquet", actor="me", contract=CONTRACT)
    assert second.version is not None
    assert [f.name for f in second.version.added] == ["data/2.parquet"]
    (folder / "1.parquet").unlink()
    third = datasets.snapshot("flights", root, "data/*.parquet", actor="me", contract=CONTRACT)
    assert third.version is not None
    assert third.version.rows == 10
    assert datasets.scan(second.version).collect().height == 20


def test_a_bad_file_is_refused_once_and_the_others_are_taken_in(
    datasets: Datasets, tmp_path: Path, journal: Journal
) -> None:
    day(1).write_parquet(tmp_path / "1.parquet")
    day(2).with_columns(temp=pl.format("{} F", "temp")).write_parquet(tmp_path / "2.parquet")
    look = {"root": tmp_path, "pattern": "*.parquet", "actor": "me", "contract": CONTRACT}
    first = datasets.snapshot("flights", **look)  # type: ignore[arg-type]
    assert first.version is not None
    assert first.version.rows == 10
    assert [r.name for r in first.refused] == ["2.parquet"]
    assert datasets.snapshot("flights", **look).refused == ()  # type: ignore[arg-type]
    day(2).write_parquet(tmp_path / "2.parquet")
    os.utime(tmp_path / "2.parquet", ns=(1, 1))
    mended = datasets.snapshot("flights", **look)  # type: ignore[arg-type]
    assert mended.version is not None
    assert mended.version.rows == 20
    assert len(journal.read(types=("data.refused",))) == 1


def test_csv_files_are_read_with_the_contracts_types(datasets: Datasets, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        "id,at,temp,late\na,2013-01-01T05:00:00Z,5,true\nb,2013-01-01T06:00:00Z,,false\n"
    )
    version = datasets.append("flights", path, actor="me", contract=CONTRACT)
    rows = datasets.scan(version).collect()
    assert rows["temp"].to_list() == [5.0, None]
    assert rows["at"][0] == datetime(2013, 1, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", b"", "empty"),
        ("header.csv", b"id,at,temp,late\n", "no rows"),
        (
            "ragged.csv",
            b"id,at,temp,late\na,2013-01-01T05:00:00Z,5,true,8,9\n",
            "6 fields in line 2",
        ),
        ("latin.csv", "id,at,temp,late\n\xe9\xe8,2,3,4\n".encode("latin-1"), "line 2.*0xe9"),
        ("torn.parquet", b"PAR1\x00\x00\x00", "cut off"),
        ("picture.png", b"\x89PNG", "ends in"),
        ("missing.csv", b"id,at,late\na,2013-01-01T05:00:00Z,true\n", "temp"),
    ],
)
def test_a_bad_file_gets_one_clear_error(
    datasets: Datasets, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises((UnreadableData, ContractBroken), match=said):
        datasets.append("flights", tmp_path / name, actor="me", contract=CONTRACT)
    assert datasets.names() == []


def test_a_truncated_parquet_file_is_refused(datasets: Datasets, tmp_path: Path) -> None:
    path = tmp_path / "day.parquet"
    day(1, rows=1000).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UnreadableData, match=r"day\.parquet"):
        datasets.append("flights", path, actor="me", contract=CONTRACT)


def test_a_folder_a_missing_file_and_a_link_outside_are_refused(
    datasets: Datasets, tmp_path: Path
) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UnreadableData, match="folder"):
        datasets.append("flights", tmp_path / "folder.csv", actor="me")
    with pytest.raises(UnreadableData, match="not there"):
        datasets.append("flights", tmp_path / "nowhere.csv", actor="me")
    outside = tmp_path / "outside.csv"
    outside.write_text("id\n1\n")
    project = tmp_path / "project"
    project.mkdir()
    (project / "link.csv").symlink_to(outside)
    with pytest.raises(UnreadableData, match="outside the project"):
        datasets.snapshot("flights", project, "*.csv", actor="me")
    with pytest.raises(NoData, match="names no file"):
        datasets.snapshot("flights", project, "*.parquet", actor="me")


def test_what_does_not_exist_is_answered_with_what_does(datasets: Datasets) -> None:
    datasets.append("flights", day(1), actor="me")
    with pytest.raises(DatasetNotFound, match="flights"):
        datasets.versions("flihgts")
    with pytest.raises(DatasetVersionNotFound, match="ffff"):
        datasets.version(Ref("dataset", "flights", "ffff"))


def test_two_versions_are_compared(datasets: Datasets) -> None:
    before = datasets.append("flights", day(1), actor="me")
    after = datasets.append("flights", day(2, rows=20), actor="me")
    diff = datasets.diff(before, after)
    assert (diff.files_added, diff.rows_before, diff.rows_after) == (1, 10, 30)
    assert {c.column for c in diff.columns} == {"temp"}
