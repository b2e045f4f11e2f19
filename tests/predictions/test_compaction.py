"""Segments become Parquet files, and no reader can tell, whenever somebody pulls the plug."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids
from tidemill.predictions import archive
from tidemill.predictions.compaction import compact
from tidemill.predictions.description import describe
from tidemill.predictions.errors import CompactionRunning, PredictionNotFound
from tidemill.predictions.finding import find_prediction, latest_predictions
from tidemill.predictions.reader import read_labels, read_predictions, unread
from tidemill.predictions.records import Cursor, Described, PredictionRecord
from tidemill.predictions.scrubbing import examine
from tidemill.predictions.segments import aside_folder, parquet_folder, segments
from tidemill.predictions.writer import RecordWriter, predictions_folder

from .letters import DAY, START, deliver, label, record

KILLED = Path(__file__).parent / "killed_compaction.py"


def compacted(root: Path, kind: Any = "predictions") -> list[Any]:
    return list(compact(root, "e", kind))


def test_a_log_reads_the_same_before_and_after(tmp_path: Path, ids: Ids) -> None:
    numbers = np.array([0.5, float("nan"), -1.0])
    deliver(
        tmp_path,
        ids,
        record(ids, at=START + DAY, rows=2),
        record(ids, at=START, rows=3, features={"temp": numbers}, scores=np.array([0.1, 0.2, 0.3])),
        record(ids, at=START + 5, status="error", predictions=[], scores=None, keys=None),
    )
    before, _ = read_predictions(tmp_path, "e")
    (done,) = compacted(tmp_path)
    after, _ = read_predictions(tmp_path, "e")
    assert after.equals(before)
    assert (done.rows, done.files, done.segments) == (6, 2, 1)
    assert segments(tmp_path, "e", "predictions") == []
    assert compacted(tmp_path) == []
    days = sorted(
        p.parent.name for p in parquet_folder(tmp_path, "e", "predictions").rglob("*.pa*")
    )
    assert days == ["day=2013-02-01", "day=2013-02-02"]


def test_a_cursor_reads_every_row_once_across_compactions(tmp_path: Path, ids: Ids) -> None:
    writer = RecordWriter(predictions_folder(tmp_path, "e"), ids)
    seen: list[str] = []
    cursor = Cursor()

    def observe() -> None:
        nonlocal cursor
        found, cursor = read_predictions(tmp_path, "e", cursor)
        seen.extend(found["id"].to_list())

    wanted = []
    for number in range(6):
        some = [record(ids, at=START + number * DAY // 2, rows=2) for _ in range(2)]
        wanted += [i for r in some for i in r.ids]
        writer.append(some[0])
        writer.flush()
        if number % 2:
            observe()
        writer.append(some[1])
        writer.close()
        if number != 3:
            compacted(tmp_path)
        if number % 3 == 0:
            observe()
        writer = RecordWriter(predictions_folder(tmp_path, "e"), ids)
    writer.close()
    observe()
    assert sorted(seen) == sorted(wanted)
    assert cursor.offsets == {}
    observe()
    assert len(seen) == len(wanted)


def test_a_segment_that_is_being_written_stays(tmp_path: Path, ids: Ids) -> None:
    writer = RecordWriter(predictions_folder(tmp_path, "e"), ids)
    writer.append(record(ids))
    writer.flush()
    assert compacted(tmp_path) == []
    writer.close()
    assert len(compacted(tmp_path)) == 1


def test_an_old_segment_is_sealed_and_left_to_the_compactor(tmp_path: Path, ids: Ids) -> None:
    writer = RecordWriter(predictions_folder(tmp_path, "e"), ids, segment_seconds=0.0)
    writer.append(record(ids))
    writer.flush()
    writer.append(record(ids))
    writer.flush()
    writer.close()
    assert len(segments(tmp_path, "e", "predictions")) == 2


def test_little_waits_until_it_is_worth_a_file(tmp_path: Path, ids: Ids) -> None:
    deliver(tmp_path, ids, record(ids))
    (path,) = segments(tmp_path, "e", "predictions")
    written = path.stat().st_mtime
    assert list(compact(tmp_path, "e", "predictions", now=written + 60)) == []
    assert len(list(compact(tmp_path, "e", "predictions", now=written + 7 * 3600))) == 1


def test_a_prediction_is_found_in_its_file(tmp_path: Path, ids: Ids) -> None:
    other = record(ids)
    wanted = record(ids, rows=3, trace="t" * 32, redacted={"name": ["a", "b", "c"]})
    deliver(tmp_path, ids, other, wanted)
    hot = find_prediction(tmp_path, wanted.ids[1])
    compacted(tmp_path)
    found = find_prediction(tmp_path, wanted.ids[1])
    assert found.features == hot.features == {"temp": 1.0, "area": "north", "name (redacted)": "b"}
    assert found.record.keys == [f"k{START}-1"]
    assert found.record.trace == wanted.trace
    assert latest_predictions(tmp_path, "e", 2) == [wanted.ids[2], wanted.ids[1]]
    with pytest.raises(PredictionNotFound):
        find_prediction(tmp_path, "0" * 32)


def test_a_prediction_is_found_by_its_trace_and_by_its_callers_name(
    tmp_path: Path, ids: Ids
) -> None:
    wanted = record(ids, rows=2, trace="4bf92f3577b34da6a3ce929d0e0e4736", request_id="order-17")
    deliver(tmp_path, ids, record(ids), wanted)
    for _ in range(2):
        for name in (wanted.trace, wanted.request_id):
            found = find_prediction(tmp_path, name)
            assert (found.id, found.record.trace) == (wanted.ids[0], wanted.trace)
        compacted(tmp_path)
    with pytest.raises(PredictionNotFound):
        find_prediction(tmp_path, "order-18")


def test_a_file_has_what_finds_an_id_and_a_time_without_reading_it_all(
    tmp_path: Path, ids: Ids
) -> None:
    deliver(tmp_path, ids, *(record(ids, at=START + n, rows=500) for n in range(80)))
    compacted(tmp_path)
    (path,) = parquet_folder(tmp_path, "e", "predictions").rglob("*.parquet")
    metadata = pq.read_metadata(path)
    assert metadata.num_row_groups == 3
    names = metadata.schema.names
    for column in ("id", "time"):
        at = names.index(column)
        ranges = [metadata.row_group(g).column(at).statistics for g in range(3)]
        assert ranges[0].max <= ranges[1].min
        assert ranges[1].max <= ranges[2].min
    assert metadata.row_group(0).column(0).compression == "ZSTD"


def test_types_are_those_of_the_contract(tmp_path: Path, ids: Ids) -> None:
    features: dict[str, Any] = {
        "count": [1.0, None],
        "wet": [1.0, 0.0],
        "when": ["2013-02-01T06:00:00Z", None],
        "day": ["2013-02-01", "2013-02-02"],
        "temp": [1, 2],
    }
    types: Any = {
        "count": "int",
        "wet": "bool",
        "when": "datetime",
        "day": "date",
        "temp": "float",
    }
    described = Described(model="m", version=1, features=types, prediction="bool")
    describe(tmp_path, "e", described)
    deliver(tmp_path, ids, record(ids, rows=2, features=features))
    compacted(tmp_path)
    pattern = parquet_folder(tmp_path, "e", "predictions") / "*" / "*.parquet"
    asked = f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM '{pattern}')"
    found = dict(duckdb.sql(asked).fetchall())
    assert {n.removeprefix("feature."): t for n, t in found.items() if "feature" in n} == {
        "count": "BIGINT",
        "wet": "BOOLEAN",
        "when": "TIMESTAMP WITH TIME ZONE",
        "day": "DATE",
        "temp": "DOUBLE",
    }
    assert found["prediction"] == "BOOLEAN"
    assert found["time"] == "TIMESTAMP WITH TIME ZONE"


def test_columns_that_come_change_and_go_are_read_together(tmp_path: Path, ids: Ids) -> None:
    deliver(tmp_path, ids, record(ids, at=START, features={"a": [1], "b": ["x"]}))
    compacted(tmp_path)
    deliver(tmp_path, ids, record(ids, at=START + DAY, features={"a": [2.5], "c": [True]}))
    compacted(tmp_path)
    pattern = parquet_folder(tmp_path, "e", "predictions") / "*" / "*.parquet"
    asked = (
        'SELECT "feature.a", "feature.a~float", "feature.b", "feature.c" '
        f"FROM read_parquet('{pattern}', union_by_name=true) ORDER BY time"
    )
    assert duckdb.sql(asked).fetchall() == [(1, None, "x", None), (None, 2.5, None, True)]
    lazy = pl.concat(
        [pl.scan_parquet(p) for p in sorted(Path(pattern.parent.parent).glob("*/*.parquet"))],
        how="diagonal",
    )
    assert lazy.collect().height == 2
    ours, _ = read_predictions(tmp_path, "e")
    assert ours["feature.a"].to_list() == [1.0, 2.5]


def test_labels_are_compacted_too(tmp_path: Path, ids: Ids) -> None:
    deliver(tmp_path, ids, label(True, key="a", time=5), label(False, key="a", arrived=START + 1))
    before, _ = read_labels(tmp_path, "e")
    compacted(tmp_path, "labels")
    after, cursor = read_labels(tmp_path, "e")
    assert after.equals(before)
    deliver(tmp_path, ids, label(True, prediction_id="x"))
    later, _ = read_labels(tmp_path, "e", cursor)
    assert later["prediction_id"].to_list() == ["x"]


def test_a_torn_tail_is_cut_off_and_a_damaged_record_is_set_aside(tmp_path: Path, ids: Ids) -> None:
    records = [record(ids, at=START + n) for n in range(5)]
    deliver(tmp_path, ids, *records)
    (path,) = segments(tmp_path, "e", "predictions")
    content = bytearray(path.read_bytes())
    size = len(content) // 5
    content[size + 2] ^= 0xFF  # the second record's length
    content[3 * size + 20] ^= 0xFF  # the fourth's payload
    path.write_bytes(bytes(content[: 5 * size - 3]))
    (done,) = compacted(tmp_path)
    assert (done.rows, len(done.aside), done.torn) == (2, 2, size - 3)
    found, _ = read_predictions(tmp_path, "e")
    assert found["id"].to_list() == [records[0].ids[0], records[2].ids[0]]
    aside = sorted(aside_folder(tmp_path, "e").iterdir())
    assert sorted(p.read_bytes() for p in aside) == sorted(
        [bytes(content[size : 2 * size]), bytes(content[3 * size : 4 * size])]
    )


def test_damage_is_found_wherever_it_is(tmp_path: Path, ids: Ids) -> None:
    deliver(tmp_path, ids, *(record(ids, rows=200) for _ in range(3)))
    compacted(tmp_path)
    deliver(tmp_path, ids, *(record(ids) for _ in range(3)))
    found = examine(tmp_path, deep=True)
    assert (found.files, found.damaged, found.aside) == (2, (), 0)
    for path in (*tmp_path.rglob("*.parquet"), *tmp_path.rglob("*.log")):
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 0xFF
        path.write_bytes(content)
    assert len(examine(tmp_path, deep=True).damaged) == 2
    compacted(tmp_path)
    assert examine(tmp_path, deep=False).aside == 1


def test_two_compactors_do_not_work_at_once(tmp_path: Path, ids: Ids) -> None:
    deliver(tmp_path, ids, record(ids))
    first = compact(tmp_path, "e", "predictions")
    next(first)
    with pytest.raises(CompactionRunning):
        next(compact(tmp_path, "e", "predictions"))
    first.close()


@pytest.mark.timeout(300)
def test_a_kill_at_any_moment_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """The compactor is killed before its 1st, 2nd, 3rd, … change to the disk, until none is left.

    After each kill a reader that had read half of it reads on, and the next compactor goes on.
    """
    kills = 0
    with subprocess.Popen(
        [sys.executable, str(KILLED)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as zygote:
        assert zygote.stdin is not None
        assert zygote.stdout is not None
        for moment in range(200):
            root = tmp_path / f"{moment}"
            ids = Ids(_clock(), random.Random(moment))
            records = [record(ids, at=START + n * DAY // 4, rows=1 + n % 3) for n in range(7)]
            deliver(root, ids, *records[:3])
            _, cursor = read_predictions(root, "e")
            deliver(root, ids, *records[3:5])
            zygote.stdin.write(f"{root} {moment}\n")
            zygote.stdin.flush()
            code = int(zygote.stdout.readline())
            deliver(root, ids, *records[5:])
            for _ in range(2):
                _check(root, records, 3, cursor)
                compacted(root)
            assert segments(root, "e", "predictions") == []
            assert archive.parts(root, "e", "predictions") == []
            if code == 0:
                break
            assert code == -signal.SIGKILL
            kills += 1
        zygote.stdin.close()
    assert kills > 12


def _clock() -> SimulatedClock:
    return SimulatedClock(datetime(2013, 2, 1, tzinfo=UTC))


def _check(root: Path, records: list[PredictionRecord], read: int, cursor: Cursor) -> None:
    """Assert that everything is there once, and that a cursor gives what it has not given."""
    wanted = [i for r in records for i in r.ids]
    rest = [i for r in records[read:] for i in r.ids]
    everything, _ = read_predictions(root, "e")
    assert everything["id"].sort().to_list() == sorted(wanted)
    unread, after = read_predictions(root, "e", cursor)
    assert unread["id"].sort().to_list() == sorted(rest)
    assert read_predictions(root, "e", after)[0].is_empty()
    assert find_prediction(root, wanted[0]).id == wanted[0]


def test_the_compactors_own_process_says_what_it_did(tmp_path: Path, ids: Ids) -> None:
    deliver(tmp_path, ids, record(ids))
    deliver(tmp_path, ids, label(True, key="a"))
    done = subprocess.run(
        [sys.executable, "-m", "tidemill.predictions", str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert [line.count('"rows":1') for line in done.stdout.splitlines()] == [1, 1]


def test_nothing_is_unread_behind_a_cursor_and_files_are_until_they_are_looked_at(
    tmp_path: Path, ids: Ids
) -> None:
    assert unread(tmp_path, "e", "predictions", Cursor()) == 0
    deliver(tmp_path, ids, record(ids, rows=3))
    (segment,) = segments(tmp_path, "e", "predictions")
    assert unread(tmp_path, "e", "predictions", Cursor()) == segment.stat().st_size
    _, cursor = read_predictions(tmp_path, "e")
    assert unread(tmp_path, "e", "predictions", cursor) == 0
    assert unread(tmp_path, "e", "labels", cursor) == 0

    compacted(tmp_path)
    assert unread(tmp_path, "e", "predictions", cursor) > 0
    frame, after = read_predictions(tmp_path, "e", cursor)
    assert frame.is_empty()
    assert unread(tmp_path, "e", "predictions", after) == 0
    deliver(tmp_path, ids, record(ids, at=START + DAY))
    assert unread(tmp_path, "e", "predictions", after) > 0
