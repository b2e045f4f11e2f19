"""Requests that are handed over together are read one by one, whatever stands beside them."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.predictions.letters import START

from tidemill.core.ids import Ids
from tidemill.predictions.compaction import compact
from tidemill.predictions.decoding import records_in
from tidemill.predictions.finding import find_prediction
from tidemill.predictions.frames import HEAD_BYTES, frame, read_frames
from tidemill.predictions.gathering import TOGETHER, Gathering
from tidemill.predictions.identity import ids_of, request_number
from tidemill.predictions.reader import read_predictions
from tidemill.predictions.records import PredictionRecord
from tidemill.predictions.requests import LoggedRequest, RequestGroup
from tidemill.predictions.writer import RecordWriter, predictions_folder


def gathering(*names: str) -> Gathering:
    types: Any = ["float"] * len(names)
    return Gathering(RequestGroup("m", 3, "canary", 10.0, list(names), types, [], []))


def asked(first: str, *rows: list[float], **changes: Any) -> LoggedRequest:
    told: dict[str, Any] = {
        "time": START,
        "id": first,
        "count": len(rows),
        "request_id": "r",
        "latency_us": 7,
        "status": "ok",
        "predictions": [0.5] * len(rows),
        "scores": None,
        "arrived": 0,
        "trace": "",
        "numbers": b"".join(struct.pack(f"<{len(row)}d", *row) for row in rows),
    }
    return LoggedRequest(**{**told, **changes})


def read(found: bytes | bytearray) -> list[PredictionRecord]:
    return records_in("predictions", bytes(found[HEAD_BYTES:]))


@given(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=4), max_size=6), st.randoms())
def test_batches_are_read_as_their_requests(batches: list[list[int]], rng: random.Random) -> None:
    gathered, put = gathering("a", "b"), []
    for batch in batches:
        requests = []
        for count in batch:
            rows = [[rng.random(), rng.random()] for _ in range(count)]
            ids = ids_of(START, 3, request_number(rng, None), count).split(",")
            requests.append(asked(ids[0], *rows))
            put.append((ids, {"a": [r[0] for r in rows], "b": [r[1] for r in rows]}))
        gathered.add(requests)
    assert gathered.count == len(put)
    taken = gathered.taken()
    assert taken == frame(bytes(taken[HEAD_BYTES:]))
    found = read(taken)
    assert [(r.ids, r.features) for r in found] == put
    assert {(r.model, r.version, r.role, r.weight) for r in found} <= {("m", 3, "canary", 10.0)}
    assert read(gathered.taken()) == []


def test_numbers_of_four_bytes_are_read_too() -> None:
    gathered = gathering("a", "b")
    gathered.add([asked("1" * 32, [], [], numbers=struct.pack("<4f", 0.5, 1.5, 2.5, 3.5))])
    assert read(gathered.taken())[0].features == {"a": [0.5, 2.5], "b": [1.5, 3.5]}


@pytest.mark.parametrize("numbers", [b"", b"1234567", bytes(12), bytes(32)])
def test_numbers_that_are_not_as_many_as_said_are_no_record(numbers: bytes) -> None:
    gathered = gathering("a", "b")
    gathered.add([asked("1" * 32, [1.0, 2.0], numbers=numbers)])
    assert read(gathered.taken()) == []


def test_a_request_without_an_answer_has_none() -> None:
    gathered = gathering("a")
    gathered.add([asked("1" * 32, [1.0], status="error", predictions=[], keys=["k"])])
    (found,) = read(gathered.taken())
    assert (found.status, found.predictions, found.scores, found.keys) == ("error", [], None, ["k"])


def test_what_is_gathered_is_written_in_few_records(tmp_path: Path, ids: Ids) -> None:
    writer = RecordWriter(tmp_path, ids, interval=30.0)
    one, other = gathering("a"), gathering("a")
    numbers = [
        writer.gather(one if n % 2 else other, [asked(f"{n:032x}", [n]), asked("0" * 32, [n])])
        for n in range(100)
    ]
    writer.close()
    assert numbers == list(range(2, 202, 2))
    found = _written(tmp_path)
    assert [len(requests) for requests in found] == [TOGETHER, TOGETHER, 36, 36]
    assert [r.features["a"][0] for r in found[0] + found[2]] == [
        float(n) for n in range(0, 100, 2) for _ in "12"
    ]


def test_large_requests_do_not_wait_for_others(tmp_path: Path, ids: Ids) -> None:
    writer = RecordWriter(tmp_path, ids, interval=30.0)
    gathered = gathering("a")
    for n in range(3):
        writer.gather(gathered, [asked(f"{n:032x}", *[[1.0]] * 10_000)])
    writer.close()
    assert [len(requests) for requests in _written(tmp_path)] == [1, 1, 1]


def test_what_cannot_be_written_takes_nothing_along(tmp_path: Path, ids: Ids) -> None:
    writer = RecordWriter(tmp_path, ids, interval=30.0)
    gathered = gathering("a")
    bad = asked("2" * 32, [1.0], latency_us=2**70)
    assert writer.gather(gathered, [asked("1" * 32, [1.0]), bad, asked("3" * 32, [3.0])]) == 0
    assert writer.gather(gathered, [bad]) == 0
    assert writer.gather(gathered, [asked("4" * 32, [4.0])]) == 3
    writer.close()
    assert [r.ids[0][0] for requests in _written(tmp_path) for r in requests] == ["1", "3", "4"]
    assert writer.dropped == 2


def test_a_row_is_found_by_an_id_that_is_written_nowhere(tmp_path: Path, ids: Ids) -> None:
    writer = RecordWriter(predictions_folder(tmp_path, "e"), ids)
    names = ids_of(START, 3, request_number(random.Random(0), None), 3).split(",")
    writer.gather(gathering("a"), [asked(names[0], [0.0], [1.0], [2.0])])
    writer.close()
    found = find_prediction(tmp_path, names[2])
    assert (found.row, found.record.features) == (2, {"a": [0.0, 1.0, 2.0]})
    before, _ = read_predictions(tmp_path, "e")
    assert list(compact(tmp_path, "e", "predictions"))
    after, _ = read_predictions(tmp_path, "e")
    assert after.equals(before)
    assert after["feature.a"].to_list() == [0.0, 1.0, 2.0]


def _written(folder: Path) -> list[list[PredictionRecord]]:
    payloads = [payload for path in folder.glob("*.log") for _, payload in read_frames(path)]
    return [records_in("predictions", payload) for payload in payloads]
