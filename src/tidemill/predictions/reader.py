"""Reads the letterbox as frames of rows, from where the reader was before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from tidemill.core.errors import nearest
from tidemill.predictions.errors import PredictionNotFound
from tidemill.predictions.frames import read_frames
from tidemill.predictions.records import Cursor, LabelRecord, PredictionRecord
from tidemill.predictions.writer import labels_folder, predictions_folder

_PREDICTION = msgspec.msgpack.Decoder(PredictionRecord)
_LABEL = msgspec.msgpack.Decoder(LabelRecord)
META = (
    "id",
    "time",
    "version",
    "role",
    "key",
    "request_id",
    "latency_us",
    "status",
    "prediction",
    "score",
)
"""The columns of `read_predictions` that are not features; features are prefixed."""
FEATURE = "feature."
_LABEL_SCHEMA = ("arrived", "time", "prediction_id", "key", "label")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One row of one record, as tracing shows it."""

    id: str
    endpoint: str
    record: PredictionRecord
    row: int

    @property
    def features(self) -> dict[str, Any]:
        """The values that the model saw."""
        return {name: values[self.row] for name, values in self.record.features.items()}


def read_predictions(
    root: Path, endpoint: str, cursor: Cursor | None = None
) -> tuple[pl.DataFrame, Cursor]:
    """Return the predictions that came since a cursor, oldest first, and the next cursor.

    Returns:
        Columns `id`, `time` (microseconds since 1970), `version`, `role`, `key`, `request_id`,
        `latency_us`, `status`, `prediction`, `score` (binary: P(positive); multiclass: a list;
        regression: null), and `feature.NAME` for every feature.
    """
    columns: dict[str, list[Any]] = {name: [] for name in META}
    features: dict[str, list[Any]] = {}
    rows = 0
    records, cursor = _records(predictions_folder(root, endpoint), cursor)
    decoded = sorted((_PREDICTION.decode(r) for r in records), key=lambda r: (r.time, r.ids[:1]))
    for record in decoded:
        count = len(record.ids)
        _extend(columns, record, count)
        for name in record.features.keys() - features.keys():
            features[name] = [None] * rows
        for name, values in features.items():
            values.extend(record.features.get(name, [None] * count))
        rows += count
    series = {**columns, **{FEATURE + name: v for name, v in features.items()}}
    return pl.DataFrame([_series(n, v) for n, v in series.items()]), cursor


def read_labels(
    root: Path, endpoint: str, cursor: Cursor | None = None
) -> tuple[pl.DataFrame, Cursor]:
    """Return the labels that came since a cursor, in the order of their arrival.

    Returns:
        Columns `arrived` and `time` (microseconds since 1970), `prediction_id`, `key`, `label`.
    """
    columns: dict[str, list[Any]] = {name: [] for name in _LABEL_SCHEMA}
    records, cursor = _records(labels_folder(root, endpoint), cursor)
    for record in sorted((_LABEL.decode(r) for r in records), key=lambda r: r.arrived):
        columns["arrived"].extend([record.arrived] * len(record.rows))
        for row in record.rows:
            columns["time"].append(row.time)
            columns["prediction_id"].append(row.prediction_id)
            columns["key"].append(row.key)
            columns["label"].append(row.label)
    return pl.DataFrame([_series(n, v) for n, v in columns.items()]), cursor


def find_prediction(root: Path, identifier: str) -> Found:
    """Return the prediction of that id, whichever endpoint answered.

    Raises:
        PredictionNotFound: There is none.
    """
    endpoints = sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    for endpoint in endpoints:
        folder = predictions_folder(root, endpoint)
        for path in reversed(_segments(folder)):
            for _, payload in read_frames(path):
                if identifier.encode() in payload:
                    record = _PREDICTION.decode(payload)
                    if identifier in record.ids:
                        row = record.ids.index(identifier)
                        return Found(id=identifier, endpoint=endpoint, record=record, row=row)
    raise PredictionNotFound(
        f"There is no prediction {identifier!r}.",
        expected="an id of 32 hexadecimal digits, as responses carry it",
        hint=f"Endpoints with predictions: {nearest('', endpoints)}.",
    )


def latest_predictions(root: Path, endpoint: str, count: int = 10) -> list[str]:
    """Return the ids of the newest predictions, newest first."""
    found: list[str] = []
    for path in reversed(_segments(predictions_folder(root, endpoint))):
        ids = [i for _, p in read_frames(path) for i in _PREDICTION.decode(p).ids]
        found.extend(reversed(ids))
        if len(found) >= count:
            break
    return found[:count]


def _records(folder: Path, cursor: Cursor | None) -> tuple[Iterator[bytes], Cursor]:
    offsets = dict(cursor.offsets) if cursor else {}
    payloads: list[bytes] = []
    for path in _segments(folder):
        for end, payload in read_frames(path, offsets.get(path.name, 0)):
            offsets[path.name] = end
            payloads.append(payload)
    return iter(payloads), Cursor(offsets)


def _segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.log"))


def _extend(columns: dict[str, list[Any]], record: PredictionRecord, count: int) -> None:
    for name, value in (
        ("time", record.time),
        ("version", record.version),
        ("role", record.role),
        ("request_id", record.request_id),
        ("latency_us", record.latency_us),
        ("status", record.status),
    ):
        columns[name].extend([value] * count)
    columns["id"].extend(record.ids)
    columns["key"].extend(record.keys or [None] * count)
    columns["prediction"].extend(record.predictions or [None] * count)
    columns["score"].extend(record.scores or [None] * count)


_TYPES: dict[str, Any] = {
    "id": pl.String,
    "time": pl.Int64,
    "version": pl.Int64,
    "role": pl.String,
    "key": pl.String,
    "request_id": pl.String,
    "latency_us": pl.Int64,
    "status": pl.String,
    "arrived": pl.Int64,
    "prediction_id": pl.String,
}


def _series(name: str, values: list[Any]) -> pl.Series:
    return pl.Series(name, values, dtype=_TYPES.get(name), strict=False)
