"""Predictions and labels as the monitor keeps them: rows of a table, and frames made of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import polars as pl

from tidemill.monitoring.performance import WEIGHT
from tidemill.predictions.reader import FEATURE

PLAIN = ("id", "time", "key", "version", "role", "status", "latency_us", "weight")
TIME_PLACE = PLAIN.index("time")
"""Where the time stands in a prediction as it is kept."""
VERSION_PLACE = PLAIN.index("version")
"""Where the version stands in a prediction as it is kept."""
_TYPES: dict[str, Any] = {
    "id": pl.String,
    "time": pl.Int64,
    "key": pl.String,
    "version": pl.Int64,
    "role": pl.String,
    "status": pl.String,
    "latency_us": pl.Int64,
    "weight": pl.Float64,
    "arrived": pl.Int64,
}
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder()


def prepared(endpoint: str, predictions: pl.DataFrame) -> list[dict[str, Any]]:
    """Return predictions as rows of the table; the costly part, done outside the writer."""
    if WEIGHT not in predictions.columns:
        predictions = predictions.with_columns(pl.lit(1.0).alias(WEIGHT))
    plain = predictions.select(PLAIN).to_dicts()
    names = [c for c in predictions.columns if c.startswith(FEATURE)]
    answers = predictions.select("prediction", "score", *names).rows()
    bare = [n.removeprefix(FEATURE) for n in names]
    for row, (prediction, score, *features) in zip(plain, answers, strict=True):
        row["endpoint"] = endpoint
        row["answer"] = _ENCODER.encode([prediction, score, dict(zip(bare, features, strict=True))])
    return plain


class LabelEntry(msgspec.Struct, frozen=True):
    """One label, and what names its prediction: its `id`, or its row's `key`."""

    by: str
    name: str
    label: bytes
    arrived: int


def label_entries(labels: pl.DataFrame) -> list[LabelEntry]:
    """Return labels as entries, the last to arrive for each name; done outside the writer."""
    found: dict[tuple[str, str], LabelEntry] = {}
    columns = labels.select("prediction_id", "key", "label", "arrived")
    for identifier, key, label, arrived in columns.iter_rows():
        by, name = ("id", identifier) if identifier is not None else ("key", key)
        if name is not None:
            found[by, name] = LabelEntry(by, name, _ENCODER.encode(label), arrived)
    return list(found.values())


def raw_of(endpoint: str, predictions: pl.DataFrame, labels: pl.DataFrame) -> list[list[Any]]:
    """Return predictions and labels of the log as `read_raw` would, had they been kept.

    Args:
        endpoint: Whose.
        predictions: As `read_predictions` returns them.
        labels: As `read_labels` does; the last to arrive wins.
    """
    named = {(e.by, e.name): e for e in label_entries(labels)}
    raw = []
    for row in prepared(endpoint, predictions):
        known = [named[k] for k in (("id", row["id"]), ("key", row["key"])) if k in named]
        label = max(known, key=lambda e: e.arrived, default=None)
        arrived, said = (None, None) if label is None else (label.arrived, label.label)
        raw.append([*(row[n] for n in PLAIN), arrived, said, row["answer"]])
    return raw


def framed(raw: Sequence[Sequence[Any]]) -> pl.DataFrame:
    """Return kept predictions as a frame: what is plain, the answer, features and label."""
    found = list(zip(*raw, strict=True)) if raw else [()] * (len(PLAIN) + 3)
    columns: dict[str, list[Any]] = {n: list(found[at]) for at, n in enumerate(PLAIN)}
    arrived, labels, kept = found[len(PLAIN) :]
    columns["arrived"] = list(arrived)
    columns["label"] = [None if v is None else _DECODER.decode(v) for v in labels]
    answers = [_DECODER.decode(v) for v in kept]
    columns["prediction"] = [a[0] for a in answers]
    columns["score"] = [a[1] for a in answers]
    names = {name for a in answers for name in a[2]}
    features = {f"{FEATURE}{n}": [a[2].get(n) for a in answers] for n in sorted(names)}
    return pl.DataFrame(
        [
            pl.Series(n, v, dtype=_TYPES.get(n), strict=False)
            for n, v in {**columns, **features}.items()
        ]
    )
