"""Batch scoring: every row answered once, in order, in one file that is whole or not there."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import numpy as np
import polars as pl
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.core.clock import SimulatedClock, SystemClock
from tidemill.core.ids import Ids, is_id
from tidemill.models.frames import columns_of
from tidemill.models.packing import pack
from tidemill.models.runtime.opening import Surroundings
from tidemill.models.session import OnnxModel
from tidemill.serving.batch.errors import BadFormat, InputUnreadable, NoInput, RowsRefused
from tidemill.serving.batch.records import Report, Scored
from tidemill.serving.batch.scoring import score

from .conftest import CONTRACT, WHEN, features, flights


def run(source: Path | str | list[Path], output: Path, bundle: Path, **options: object) -> Report:
    clock = SystemClock()
    return score(
        source,
        output,
        bundle,
        ids=Ids(clock),
        clock=clock,
        threads=2,
        surroundings=Surroundings(environments=output.parent / "environments"),
        **options,  # type: ignore[arg-type]
    )


def nothing_left(folder: Path) -> bool:
    return not list(folder.glob(".*.part"))


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_every_row_is_answered_in_order(bundle: Path, tmp_path: Path, suffix: str) -> None:
    rows = flights(20_000)
    source, output = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    if suffix == ".csv":
        rows.write_csv(source)
    else:
        rows.write_parquet(source, row_group_size=3_000)
    report = run(source, output, bundle)
    found = pl.read_csv(output) if suffix == ".csv" else pl.read_parquet(output)
    assert found.columns == ["prediction_id", "flight_id", "departure", "prediction", "score"]
    assert found["flight_id"].to_list() == list(range(20_000))
    ids = found["prediction_id"].to_list()
    assert all(map(is_id, ids))
    assert ids == sorted(set(ids))
    model = OnnxModel(bundle)
    expected = model.predict(columns_of(rows, model.signature))
    assert expected.scores is not None
    assert np.allclose(found["score"].to_numpy(), expected.scores)
    assert np.array_equal(found["prediction"].to_numpy(), expected.values)
    assert (report.rows, report.invalid, report.threads) == (20_000, 0, 2)


def test_a_multiclass_model_gives_a_column_a_class(multiclass: Path, tmp_path: Path) -> None:
    flights(500).write_parquet(tmp_path / "in.parquet")
    run(tmp_path / "in.parquet", tmp_path / "out.parquet", multiclass)
    found = pl.read_parquet(tmp_path / "out.parquet")
    scores = found.select("score.early", "score.late", "score.very").to_numpy()
    assert np.allclose(scores.sum(axis=1), 1)
    best = np.array(["early", "late", "very"])[scores.argmax(axis=1)]
    assert found["prediction"].to_list() == best.tolist()


def test_folders_patterns_and_lists_are_read_in_the_order_of_names(
    bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    flights(50).write_parquet(folder / "a.parquet")
    flights(50, first=50).write_csv(folder / "b.csv")
    files = [folder / "a.parquet", folder / "b.csv"]
    for source in (folder, str(folder / "*"), files):
        report = run(source, tmp_path / "out.parquet", bundle, keep="all")
        found = pl.read_parquet(tmp_path / "out.parquet")
        assert found["flight_id"].to_list() == list(range(100))
        assert "note" in found.columns
        assert report.files == tuple(map(str, files))


def test_the_letterbox_gets_what_the_file_gets(bundle: Path, tmp_path: Path) -> None:
    flights(12_000).write_parquet(tmp_path / "in.parquet", row_group_size=5_000)
    taken: list[Scored] = []
    done: list[int] = []
    run(
        tmp_path / "in.parquet",
        tmp_path / "out.parquet",
        bundle,
        deliver=taken.append,
        progress=done.append,
    )
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert [i for s in taken for i in s.ids.to_pylist()] == found["prediction_id"].to_list()
    assert sum(s.rows.num_rows for s in taken) == 12_000
    assert {"carrier", "temp"} <= set(taken[0].rows.schema.names)
    assert done[-1] == 12_000


def test_ids_are_the_same_for_the_same_clock_and_seed(bundle: Path, tmp_path: Path) -> None:
    flights(9_000).write_parquet(tmp_path / "in.parquet")
    found = []
    for name in ("a.parquet", "b.parquet"):
        clock = SimulatedClock(WHEN)
        ids = Ids(clock, random.Random(7))
        before = ids.new()
        score(
            tmp_path / "in.parquet",
            tmp_path / name,
            bundle,
            ids=ids,
            clock=clock,
            threads=2,
            surroundings=Surroundings(environments=tmp_path / "environments"),
        )
        found.append(pl.read_parquet(tmp_path / name)["prediction_id"].to_list())
        assert before < found[-1][0]
        assert found[-1][-1] < ids.new()
    assert found[0] == found[1]


def test_a_row_that_does_not_fit_stops_the_work_and_is_named(bundle: Path, tmp_path: Path) -> None:
    rows = flights(10_000)
    temp = rows["temp"].to_list()
    temp[9_123] = 999.0
    rows.with_columns(temp=pl.Series(temp)).write_parquet(tmp_path / "in.parquet")
    with pytest.raises(RowsRefused, match=r"Row 9,124 .*'temp' holds 999.*-100 to 200"):
        run(tmp_path / "in.parquet", tmp_path / "out.parquet", bundle)
    assert not (tmp_path / "out.parquet").exists()
    assert nothing_left(tmp_path)


def test_rows_that_do_not_fit_can_be_marked(bundle: Path, tmp_path: Path) -> None:
    rows = flights(10_000)
    temp = rows["temp"].to_list()
    temp[17], temp[9_123] = 999.0, -999.0
    rows.with_columns(temp=pl.Series(temp)).write_parquet(tmp_path / "in.parquet")
    report = run(tmp_path / "in.parquet", tmp_path / "out.parquet", bundle, invalid="mark")
    found = pl.read_parquet(tmp_path / "out.parquet").with_row_index()
    bad = found.filter(pl.col("problem").is_not_null())
    assert report.invalid == 2
    assert bad["index"].to_list() == [17, 9_123]
    assert bad["score"].null_count() == bad["prediction"].null_count() == 2
    assert found["score"].null_count() == 2


@pytest.mark.parametrize("invalid", ["refuse", "mark"])
def test_nothing_but_bad_rows(bundle: Path, tmp_path: Path, invalid: str) -> None:
    flights(3).with_columns(temp=pl.lit(999.0)).write_parquet(tmp_path / "in.parquet")
    if invalid == "refuse":
        with pytest.raises(RowsRefused, match="Row 1 "):
            run(tmp_path / "in.parquet", tmp_path / "out.parquet", bundle)
    else:
        report = run(tmp_path / "in.parquet", tmp_path / "out.parquet", bundle, invalid="mark")
        assert report.invalid == 3


def damaged(tmp_path: Path, how: str) -> Path:
    """Write a file that cannot be scored."""
    path = tmp_path / ("in.csv" if how.startswith("csv") else "in.parquet")
    rows = flights(2_000)
    if how == "missing column":
        rows.drop("temp").write_parquet(path)
    elif how == "wrong type":
        rows.with_columns(seats=pl.lit("many")).write_parquet(path)
    elif how == "nested":
        rows.with_columns(seats=pl.concat_list("seats")).write_parquet(path)
    elif how in {"truncated", "corrupt page"}:
        rows.write_parquet(path, compression="snappy")
        content = bytearray(path.read_bytes())
        if how == "truncated":
            content = content[: len(content) // 2]
        else:
            content[4:3000] = b"\xff" * 2996
        path.write_bytes(content)
    elif how == "not parquet":
        path.write_bytes(b"hello")
    elif how == "csv empty":
        path.write_bytes(b"")
    elif how == "csv delimiter":
        rows.write_csv(path, separator=";")
    elif how == "csv ragged":
        path.write_text("flight_id,carrier,temp,seats,hub\n1,AA,1.0,2,true\n2,AA\n")
    elif how == "csv value":
        path.write_text("flight_id,carrier,temp,seats,hub\n1,AA,warm,2,true\n")
    elif how == "csv twice":
        path.write_text("temp,carrier,temp,seats,hub\n1,AA,1.0,2,true\n")
    elif how == "csv encoding":
        path.write_bytes(b"flight_id,carrier,temp,seats,hub\n1,\xff\xfe,1.0,2,true\n")
    return path


@pytest.mark.parametrize(
    "how",
    [
        "missing column",
        "wrong type",
        "nested",
        "truncated",
        "corrupt page",
        "not parquet",
        "csv empty",
        "csv delimiter",
        "csv ragged",
        "csv value",
        "csv twice",
        "csv encoding",
    ],
)
def test_a_damaged_file_is_refused_with_its_name(bundle: Path, tmp_path: Path, how: str) -> None:
    path = damaged(tmp_path, how)
    before = tmp_path / "out.parquet"
    before.write_bytes(b"an earlier result")
    with pytest.raises((InputUnreadable, RowsRefused)):
        run(path, before, bundle)
    assert before.read_bytes() == b"an earlier result"
    assert nothing_left(tmp_path)


def test_a_file_without_rows_gives_a_file_without_rows(bundle: Path, tmp_path: Path) -> None:
    flights(0).write_csv(tmp_path / "in.csv")
    flights(1)[:0].write_parquet(tmp_path / "in.parquet")
    for name in ("in.csv", "in.parquet"):
        report = run(tmp_path / name, tmp_path / "out.parquet", bundle)
        assert report.rows == 0
        assert pl.read_parquet(tmp_path / "out.parquet").is_empty()


def test_names_are_checked_before_anything_is_done(bundle: Path, tmp_path: Path) -> None:
    flights(5).write_parquet(tmp_path / "in.parquet")
    with pytest.raises(NoInput):
        run(tmp_path / "nowhere.parquet", tmp_path / "out.parquet", bundle)
    with pytest.raises(BadFormat):
        run(tmp_path / "in.parquet", tmp_path / "out.xlsx", bundle)
    with pytest.raises(BadFormat, match="files to read"):
        run(tmp_path / "in.parquet", tmp_path / "in.parquet", bundle)


def test_a_model_without_a_twin_answers_from_processes_of_its_own(tmp_path: Path) -> None:
    x = features(flights(50))

    def warm(rows: pl.DataFrame) -> pl.Series:
        return rows["temp"].fill_null(0.0) * 2

    pack(
        warm,
        name="warm",
        task="regression",
        contract=CONTRACT,
        sample=x,
        folder=tmp_path / "bundle",
        created=WHEN,
    )
    flights(100).write_parquet(tmp_path / "in.parquet")
    report = run(tmp_path / "in.parquet", tmp_path / "out.parquet", tmp_path / "bundle")
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert report.threads == 2
    assert found["prediction"].to_list() == warm(flights(100)).to_list()


def test_memory_does_not_grow_with_the_file(linear: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [f"f{i}" for i in range(20)]
    path = tmp_path / "in.parquet"
    rows, each = 600_000, 100_000
    with pq.ParquetWriter(path, pa.schema([(n, pa.float64()) for n in names])) as writer:
        for _ in range(rows // each):
            block = rng.normal(size=(each, 20))
            writer.write_table(pa.table({n: block[:, i] for i, n in enumerate(names)}))
    run(path, tmp_path / "warm.parquet", linear)
    process = psutil.Process()
    before, peak = process.memory_info().rss, [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    report = run(path, tmp_path / "out.parquet", linear)
    done.set()
    watcher.join()
    assert report.rows == rows
    assert peak[0] - before < 96 << 20  # the file holds 96 MB of numbers, and 60 MB come out
