"""Groups of the first format are read as requests, as if each had been written alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.predictions.letters import START, record

from tidemill.core.ids import Ids
from tidemill.predictions.compaction import compact
from tidemill.predictions.decoding import records_in
from tidemill.predictions.finding import find_prediction
from tidemill.predictions.groups import PredictionGroup
from tidemill.predictions.packing import packed
from tidemill.predictions.reader import read_predictions
from tidemill.predictions.records import PredictionRecord
from tidemill.predictions.writer import RecordWriter, predictions_folder

_ENCODER = msgspec.msgpack.Encoder(enc_hook=packed)


def grouped(records: list[PredictionRecord], **changes: Any) -> PredictionGroup:
    """Return records that differ in what a group tells of each."""

    def joined(lists: list[Any]) -> list[Any]:
        return [value for values in lists for value in values]

    first = records[0]
    group = PredictionGroup(
        first.model,
        first.version,
        first.role,
        first.status,
        first.weight,
        [len(r.ids) for r in records],
        [r.time for r in records],
        [r.request_id for r in records],
        [r.latency_us for r in records],
        joined([r.ids for r in records]),
        joined([r.keys or [] for r in records]),
        {n: joined([r.features[n] for r in records]) for n in first.features},
        joined([r.predictions for r in records]),
        joined([r.scores for r in records]),
    )
    return msgspec.structs.replace(group, **changes)


def several(ids: Ids) -> list[PredictionRecord]:
    return [record(ids, at=START + n, rows=n, request_id=f"r{n}") for n in (1, 3, 2)]


def test_a_group_is_read_as_its_requests(ids: Ids) -> None:
    records = several(ids)
    assert records_in("predictions", _ENCODER.encode(grouped(records))) == records


def test_arrays_and_what_few_requests_have_are_read_too(ids: Ids) -> None:
    records = several(ids)
    group = grouped(
        records,
        features={"temp": np.array([1.0, 2.0, np.nan, 4.0, 5.0, 6.0])},
        scores=np.arange(12.0).reshape(6, 2),
        arrived=[7, 8, 9],
        traces=["a", "", "c"],
        redacted={"name": list("uvwxyz")},
    )
    found = records_in("predictions", _ENCODER.encode(group))
    assert [r.features["temp"] for r in found] == [[1.0], [2.0, None, 4.0], [5.0, 6.0]]
    assert found[2].scores == [[8.0, 9.0], [10.0, 11.0]]
    assert [(r.arrived, r.trace) for r in found] == [(7, "a"), (8, ""), (9, "c")]
    assert [r.redacted["name"] for r in found] == [["u"], ["v", "w", "x"], ["y", "z"]]


def test_requests_without_answers_have_none(ids: Ids) -> None:
    group = grouped(several(ids), status="error", predictions=[], scores=None, keys=None)
    found = records_in("predictions", _ENCODER.encode(group))
    assert [(r.predictions, r.scores, r.keys) for r in found] == [([], None, None)] * 3


@pytest.mark.parametrize("changes", [{"counts": [1, 2, 2]}, {"latencies_us": [1]}, {"counts": []}])
def test_a_group_that_contradicts_itself_is_no_record(ids: Ids, changes: dict[str, Any]) -> None:
    payload = _ENCODER.encode(grouped(several(ids), **changes))
    assert records_in("predictions", payload) == []


def test_groups_and_single_records_are_one_log(tmp_path: Path, ids: Ids) -> None:
    writer = RecordWriter(predictions_folder(tmp_path, "e"), ids)
    records = several(ids)
    alone = record(ids, at=START + 9, request_id="alone")
    writer.append(grouped(records))
    writer.append(alone)
    writer.close()
    before, _ = read_predictions(tmp_path, "e")
    assert before["id"].to_list() == [
        i for r in (*sorted(records, key=_time), alone) for i in r.ids
    ]
    found = find_prediction(tmp_path, records[1].ids[2])
    assert (found.record, found.row) == (records[1], 2)
    assert find_prediction(tmp_path, "r2").id == records[2].ids[0]
    assert list(compact(tmp_path, "e", "predictions"))
    after, _ = read_predictions(tmp_path, "e")
    assert after.equals(before)


def _time(found: PredictionRecord) -> int:
    return found.time
