"""The two tables of the letterbox, as Arrow: predictions a row each, and labels likewise.

Their columns and types are in `docs/prediction-log.md`; both are only ever added to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from tidemill.predictions.records import Described, LabelRecord, PredictionRecord
from tidemill.predictions.values import Types, ValueType, array_of, columns_of

FEATURE = "feature."
REDACTED = "redacted."
CHUNK_ROWS = 32_768
_MOMENT = pa.timestamp("us", tz="UTC")
PREDICTION_COLUMNS: dict[str, pa.DataType] = {
    "id": pa.string(),
    "request_id": pa.string(),
    "trace_id": pa.string(),
    "key": pa.string(),
    "time": _MOMENT,
    "arrival": _MOMENT,
    "endpoint": pa.string(),
    "model": pa.string(),
    "version": pa.int64(),
    "role": pa.string(),
    "status": pa.string(),
    "latency_us": pa.int64(),
    "weight": pa.float64(),
    "score": pa.float64(),
    "scores": pa.list_(pa.float64()),
    "segment": pa.string(),
    "position": pa.int64(),
}
"""The columns that every file has. `prediction` and the features follow, typed by the contract."""
LABEL_COLUMNS: dict[str, pa.DataType] = {
    "prediction_id": pa.string(),
    "key": pa.string(),
    "time": _MOMENT,
    "arrival": _MOMENT,
    "row": pa.int64(),
    "endpoint": pa.string(),
    "segment": pa.string(),
    "position": pa.int64(),
}
"""The columns that every file has. `label` follows, typed by the first."""


class Placed(msgspec.Struct, frozen=True):
    """A record and where it stood.

    Attributes:
        segment: The name of its segment.
        position: The offset behind it.
        record: What it says.
    """

    segment: str
    position: int
    record: Any


class Hints:
    """The types of versions' columns, as their contracts have them."""

    def __init__(self, described: Sequence[Described] = ()) -> None:
        self._known = {(d.model, d.version): d for d in described}

    def of(self, records: Sequence[PredictionRecord]) -> dict[str, ValueType]:
        """Return the types that the columns of some records should have."""
        found: dict[str, ValueType] = {}
        for key in dict.fromkeys((r.model, r.version) for r in records):
            described = self._known.get(key)
            if described is None:
                continue
            for name, kind in described.features.items():
                found.setdefault(FEATURE + name, kind)
            if described.prediction is not None:
                found.setdefault("prediction", described.prediction)
        return found


def prediction_table(
    placed: Sequence[Placed], endpoint: str, types: Types, hints: Hints
) -> pa.Table:
    """Return predictions as a table, in the order of their records."""
    records: list[PredictionRecord] = [p.record for p in placed]
    counts = [len(r.ids) for r in records]
    plain: dict[str, list[Any]] = {
        "id": [i for r in records for i in r.ids],
        "request_id": _repeated([r.request_id for r in records], counts),
        "trace_id": _repeated([r.trace or None for r in records], counts),
        "key": _rows([r.keys for r in records], counts),
        "time": _repeated([r.time for r in records], counts),
        "arrival": _repeated([r.arrived or r.time for r in records], counts),
        "endpoint": [endpoint] * sum(counts),
        "model": _repeated([r.model for r in records], counts),
        "version": _repeated([r.version for r in records], counts),
        "role": _repeated([r.role for r in records], counts),
        "status": _repeated([r.status for r in records], counts),
        "latency_us": _repeated([r.latency_us for r in records], counts),
        "weight": _repeated([r.weight for r in records], counts),
        "segment": _repeated([p.segment for p in placed], counts),
        "position": _repeated([p.position for p in placed], counts),
    }
    scores = _rows([r.scores for r in records], counts)
    plain["score"] = [None if type(s) is list else s for s in scores]
    plain["scores"] = [s if type(s) is list else None for s in scores]
    columns = {n: array_of(plain[n], t) for n, t in PREDICTION_COLUMNS.items()}
    wanted = hints.of(records)
    answers = _rows([r.predictions for r in records], counts)
    columns |= columns_of("prediction", answers, types, wanted.get("prediction"))
    for name, values in _features([r.features for r in records], counts).items():
        columns |= columns_of(FEATURE + name, values, types, wanted.get(FEATURE + name))
    for name, values in _features([r.redacted for r in records], counts).items():
        columns |= columns_of(REDACTED + name, values, types, "string")
    return pa.table(columns)


def label_table(placed: Sequence[Placed], endpoint: str, types: Types) -> pa.Table:
    """Return labels as a table, in the order of their records."""
    deliveries: list[LabelRecord] = [p.record for p in placed]
    counts = [len(d.rows) for d in deliveries]
    rows = [row for d in deliveries for row in d.rows]
    plain: dict[str, list[Any]] = {
        "prediction_id": [r.prediction_id for r in rows],
        "key": [r.key for r in rows],
        "time": [r.time for r in rows],
        "arrival": _repeated([d.arrived for d in deliveries], counts),
        "row": [at for count in counts for at in range(count)],
        "endpoint": [endpoint] * len(rows),
        "segment": _repeated([p.segment for p in placed], counts),
        "position": _repeated([p.position for p in placed], counts),
    }
    columns = {n: array_of(plain[n], t) for n, t in LABEL_COLUMNS.items()}
    return pa.table(columns | columns_of("label", [r.label for r in rows], types))


def chunks(placed: Iterator[Placed]) -> Iterator[list[Placed]]:
    """Gather records into parts of some thousand rows."""
    part: list[Placed] = []
    rows = 0
    for found in placed:
        record = found.record
        part.append(found)
        rows += len(record.ids if isinstance(record, PredictionRecord) else record.rows)
        if rows >= CHUNK_ROWS:
            yield part
            part, rows = [], 0
    if part:
        yield part


def _repeated(values: list[Any], counts: list[int]) -> list[Any]:
    return [value for value, count in zip(values, counts, strict=True) for _ in range(count)]


def _rows(lists: Sequence[list[Any] | None], counts: list[int]) -> list[Any]:
    """Return one value a row; nothing for the rows of a record that has none."""
    found: list[Any] = []
    for values, count in zip(lists, counts, strict=True):
        found.extend(values or [None] * count)
    return found


def _features(
    records: Sequence[Mapping[str, list[Any]]], counts: list[int]
) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    rows = 0
    for features, count in zip(records, counts, strict=True):
        for name in features.keys() - found.keys():
            found[name] = [None] * rows
        for name, values in found.items():
            values.extend(features.get(name) or [None] * count)
        rows += count
    return {name: found[name] for name in sorted(found)}
