"""Records to put into the letterbox."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tidemill.core.clock import micros
from tidemill.core.ids import Ids
from tidemill.predictions.records import LabelRecord, LabelRow, PredictionRecord
from tidemill.predictions.writer import RecordWriter, labels_folder, predictions_folder

START = micros(datetime(2013, 2, 1, tzinfo=UTC))
DAY = 86_400_000_000


def record(ids: Ids, /, *, at: int = START, rows: int = 1, **changes: Any) -> PredictionRecord:
    """Return an answered request."""
    values: dict[str, Any] = {
        "time": at,
        "model": "m",
        "version": 1,
        "role": "champion",
        "request_id": "r",
        "latency_us": 250,
        "status": "ok",
        "ids": [ids.new() for _ in range(rows)],
        "keys": [f"k{at}-{row}" for row in range(rows)],
        "features": {"temp": [float(row) for row in range(rows)], "area": ["north"] * rows},
        "predictions": [True] * rows,
        "scores": [0.25] * rows,
    }
    return PredictionRecord(**{**values, **changes})


def deliver(root: Path, ids: Ids, *records: PredictionRecord | LabelRecord) -> None:
    """Write a segment of endpoint `e`, and seal it."""
    labels = isinstance(records[0], LabelRecord)
    folder = labels_folder(root, "e") if labels else predictions_folder(root, "e")
    writer = RecordWriter(folder, ids)
    for found in records:
        writer.append(found)
    writer.close()


def label(value: Any, *, arrived: int = START, **names: Any) -> LabelRecord:
    """Return a delivery of one label."""
    return LabelRecord(arrived, [LabelRow(value, **names)])
