"""What goes in comes out, once, in order; and a torn tail hurts nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.ids import Ids
from tidemill.predictions.errors import PredictionNotFound
from tidemill.predictions.finding import find_prediction, latest_predictions
from tidemill.predictions.frames import frame, read_frames
from tidemill.predictions.reader import read_labels, read_predictions
from tidemill.predictions.records import LabelRecord, LabelRow, PredictionRecord
from tidemill.predictions.writer import RecordWriter, labels_folder, predictions_folder


def record(ids: Ids, time: int, *values: float) -> PredictionRecord:
    return PredictionRecord(
        time=time,
        model="m",
        version=1,
        role="champion",
        request_id="r",
        latency_us=250,
        status="ok",
        ids=[ids.new() for _ in values],
        keys=[f"k{v}" for v in values],
        features={"temp": list(values)},
        predictions=[v > 0 for v in values],
        scores=[0.25 for _ in values],
    )


def test_predictions_are_read_once_and_from_where_the_reader_was(tmp_path: Path, ids: Ids) -> None:
    writer = RecordWriter(predictions_folder(tmp_path, "e"), ids)
    writer.append(record(ids, 2, 1.0, -1.0))
    writer.flush()
    first, cursor = read_predictions(tmp_path, "e")
    assert first["feature.temp"].to_list() == [1.0, -1.0]
    assert first["prediction"].to_list() == [True, False]
    writer.append(record(ids, 3, 5.0))
    writer.close()
    second, cursor = read_predictions(tmp_path, "e", cursor)
    assert second["key"].to_list() == ["k5.0"]
    nothing, again = read_predictions(tmp_path, "e", cursor)
    assert nothing.is_empty()
    assert again == cursor


def test_labels_come_back_in_the_order_of_their_arrival(tmp_path: Path, ids: Ids) -> None:
    writer = RecordWriter(labels_folder(tmp_path, "e"), ids)
    writer.append(LabelRecord(20, [LabelRow(True, key="b", time=9)]))
    writer.append(LabelRecord(10, [LabelRow(False, prediction_id="x"), LabelRow(True, key="a")]))
    writer.close()
    labels, _ = read_labels(tmp_path, "e")
    assert labels["label"].to_list() == [False, True, True]
    assert labels["key"].to_list() == [None, "a", "b"]


def test_a_prediction_is_found_by_its_id(tmp_path: Path, ids: Ids) -> None:
    writer = RecordWriter(predictions_folder(tmp_path, "e"), ids)
    wanted = record(ids, 1, 1.0, 2.0)
    writer.append(wanted)
    writer.close()
    found = find_prediction(tmp_path, wanted.ids[1])
    assert found.features == {"temp": 2.0}
    assert latest_predictions(tmp_path, "e", 1) == [wanted.ids[1]]
    with pytest.raises(PredictionNotFound, match="32 hexadecimal"):
        find_prediction(tmp_path, "0" * 32)


@given(st.lists(st.binary(max_size=40), max_size=8), st.data())
def test_a_cut_anywhere_leaves_the_whole_records_before_it(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes], data: st.DataObject
) -> None:
    content = b"".join(map(frame, payloads))
    cut = data.draw(st.integers(0, len(content)))
    path = tmp_path_factory.mktemp("cut") / "s.log"
    path.write_bytes(content[:cut])
    ends = [len(b"".join(map(frame, payloads[: i + 1]))) for i in range(len(payloads))]
    whole = sum(1 for end in ends if end <= cut)
    assert [p for _, p in read_frames(path)] == payloads[:whole]


def test_a_damaged_record_in_the_middle_takes_no_other_with_it(tmp_path: Path) -> None:
    path = tmp_path / "s.log"
    content = bytearray(frame(b"one") + frame(b"two") + frame(b"three"))
    content[len(frame(b"one")) + 9] ^= 0xFF
    path.write_bytes(content)
    assert [p for _, p in read_frames(path)] == [b"one", b"three"]


def test_what_was_flushed_survives_a_kill(tmp_path: Path) -> None:
    program = """
import sys, pathlib
from tidemill.core.clock import SystemClock
from tidemill.core.ids import Ids
from tidemill.predictions.writer import RecordWriter
writer = RecordWriter(pathlib.Path(sys.argv[1]), Ids(SystemClock()))
for number in range(10_000):
    writer.append([number])
    if number % 50 == 0:
        writer.flush()
        print(number, flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    acknowledged = -1
    for line in process.stdout:
        acknowledged = int(line)
        if acknowledged >= 500:
            os.kill(process.pid, signal.SIGKILL)
            break
    acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
    process.wait()
    process.stdout.close()
    count = sum(1 for path in tmp_path.glob("*.log") for _ in read_frames(path))
    assert count > acknowledged
