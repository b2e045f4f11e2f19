"""Reads the letterbox as one log, whatever was compacted of it: from where a reader was, or by id.

Segments and Parquet files are read while they are held still, so that a row is met once: in its
segment, or in its file.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from tidemill.predictions import archive
from tidemill.predictions.decoding import records_in
from tidemill.predictions.frames import read_frames
from tidemill.predictions.records import Cursor
from tidemill.predictions.segments import Kind, held_still, segments
from tidemill.predictions.tables import (
    FEATURE,
    Placed,
    chunks,
    label_table,
    prediction_table,
)
from tidemill.predictions.values import Types, merged

__all__ = ["FEATURE", "META", "read_labels", "read_predictions"]
META = (
    "id",
    "time",
    "version",
    "role",
    "key",
    "request_id",
    "latency_us",
    "status",
    "weight",
    "prediction",
    "score",
)
"""The columns of `read_predictions` that are not features; features are prefixed."""
_TYPES: dict[str, Any] = {
    "id": pl.String,
    "time": pl.Int64,
    "version": pl.Int64,
    "role": pl.String,
    "key": pl.String,
    "request_id": pl.String,
    "latency_us": pl.Int64,
    "status": pl.String,
    "weight": pl.Float64,
    "prediction": pl.Null,
    "score": pl.Null,
}
_LABEL_TYPES: dict[str, Any] = {
    "arrived": pl.Int64,
    "time": pl.Int64,
    "prediction_id": pl.String,
    "key": pl.String,
    "label": pl.Null,
}


def read_predictions(
    root: Path, endpoint: str, cursor: Cursor | None = None
) -> tuple[pl.DataFrame, Cursor]:
    """Return the predictions that came since a cursor, oldest first, and the next cursor.

    Returns:
        Columns `id`, `time` (microseconds since 1970), `version`, `role`, `key`, `request_id`,
        `latency_us`, `status`, `weight`, `prediction`, `score` (binary: P(positive); multiclass: a
        list; regression: null), and `feature.NAME` for every feature.
    """
    found, cursor = _since(root, endpoint, "predictions", cursor)
    return shaped(found), cursor


def shaped(found: pl.DataFrame) -> pl.DataFrame:
    """Return the log's rows in the columns of `read_predictions`, oldest first."""
    if found.is_empty():
        return pl.DataFrame(schema=_TYPES)
    many = "scores" if found["scores"].null_count() < found.height else "score"
    found = found.sort("time", "id", maintain_order=True)
    features = sorted(c for c in found.columns if c.startswith(FEATURE))
    found = found.with_columns(
        pl.col("time").dt.epoch("us"),
        score=pl.col(many) if found[many].null_count() < found.height else pl.lit(None),
    )
    return found.select(*META, *features)


def read_labels(
    root: Path, endpoint: str, cursor: Cursor | None = None
) -> tuple[pl.DataFrame, Cursor]:
    """Return the labels that came since a cursor, in the order of their arrival.

    Returns:
        Columns `arrived` and `time` (microseconds since 1970), `prediction_id`, `key`, `label`.
    """
    found, cursor = _since(root, endpoint, "labels", cursor)
    if found.is_empty():
        return pl.DataFrame(schema=_LABEL_TYPES), cursor
    ordered = found.sort("arrival", "segment", "position", "row").with_columns(
        pl.col("time").dt.epoch("us"), arrived=pl.col("arrival").dt.epoch("us")
    )
    return ordered.select(*_LABEL_TYPES), cursor


def unread(root: Path, endpoint: str, kind: Kind, cursor: Cursor) -> int:
    """Return how many bytes came since a cursor, at the most, without reading one."""
    if not (root / endpoint).is_dir():
        return 0
    with held_still(root, endpoint):
        gone = archive.superseded(archive.read_progress(root, endpoint, kind))
        waiting = sum(
            f.path.stat().st_size
            for f in archive.archived(root, endpoint, kind)
            if f.unit > cursor.compacted
        )
        for path in segments(root, endpoint, kind):
            if path.name not in gone:
                waiting += max(path.stat().st_size - cursor.offsets.get(path.name, 0), 0)
    return waiting


def records_of(path: Path, kind: Kind, offset: int = 0) -> Iterator[Placed]:
    """Go through the records of a segment; those that say nothing sensible are passed over."""
    for end, payload in read_frames(path, offset):
        for record in records_in(kind, payload):
            yield Placed(path.stem, end, record)


def table_of(
    root: Path, endpoint: str, kind: Kind, placed: Iterator[Placed], types: Types
) -> pa.Table | None:
    """Return records as a table; nothing where there are none."""
    known = archive.hints(root, endpoint)
    with _no_collection():
        tables = [
            prediction_table(part, endpoint, types, known)
            if kind == "predictions"
            else label_table(part, endpoint, types)
            for part in chunks(placed)
        ]
    return pa.concat_tables(tables, promote_options="default") if tables else None


def hot(root: Path, endpoint: str, kind: Kind, offsets: dict[str, int]) -> pl.DataFrame | None:
    """Return what stands in segments behind some offsets, and move these; hold the endpoint still.

    Args:
        root: The root of the letterbox.
        endpoint: Whose.
        kind: Which of its tables.
        offsets: How far each segment was read; segments that are gone are taken out.
    """
    progress = archive.read_progress(root, endpoint, kind)
    gone = archive.superseded(progress)
    paths = [p for p in segments(root, endpoint, kind) if p.name not in gone]
    for name in offsets.keys() - {p.name for p in paths}:
        del offsets[name]

    def placed() -> Iterator[Placed]:
        for path in paths:
            for found in records_of(path, kind, offsets.get(path.name, 0)):
                offsets[path.name] = found.position
                yield found

    table = table_of(root, endpoint, kind, placed(), dict(progress.types))
    return None if table is None else framed(table)


def _since(
    root: Path, endpoint: str, kind: Kind, cursor: Cursor | None
) -> tuple[pl.DataFrame, Cursor]:
    cursor = cursor or Cursor()
    if not (root / endpoint).is_dir():
        return pl.DataFrame(), cursor
    offsets = dict(cursor.offsets)
    with held_still(root, endpoint):
        unit = archive.read_progress(root, endpoint, kind).unit
        files = [f for f in archive.archived(root, endpoint, kind) if f.unit > cursor.compacted]
        frames = [_unread(f.path, offsets) for f in files]
        live = hot(root, endpoint, kind, offsets)
    frames += [] if live is None else [live]
    frames = [f for f in frames if not f.is_empty()]
    if not frames:
        return pl.DataFrame(), Cursor(offsets, unit)
    return merged(pl.concat(frames, how="diagonal_relaxed")), Cursor(offsets, unit)


def _unread(path: Path, offsets: dict[str, int]) -> pl.DataFrame:
    """Return the rows of a file that were not read when they stood in their segments."""
    sizes = archive.segments_of(path)
    read = {name: at for name, at in offsets.items() if name in sizes}
    if read and all(read.get(name, 0) >= size for name, size in sizes.items()):
        return pl.DataFrame()
    frame = framed(archive.table_in(path))
    if not read:
        return frame
    known = pl.DataFrame(
        {"segment": [n.removesuffix(".log") for n in read], "_read": list(read.values())}
    )
    joined = frame.join(known, on="segment", how="left", maintain_order="left")
    unread = pl.col("_read").is_null() | (pl.col("position") > pl.col("_read"))
    return joined.filter(unread).drop("_read")


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the collector from going through millions of values again and again.

    None of them is in a circle, and reading is three times as fast for it.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def framed(table: pa.Table) -> pl.DataFrame:
    """Return an Arrow table as a frame."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
