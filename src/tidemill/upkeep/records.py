"""What upkeep did."""

from __future__ import annotations

import msgspec


class Compaction(msgspec.Struct, frozen=True, kw_only=True):
    """What one compaction of the prediction log did.

    Attributes:
        endpoint: Whose log.
        kind: Predictions or labels.
        unit: Its number.
        segments: How many segments it was made of.
        rows: How many rows they had.
        files: How many Parquet files came of them.
        bytes_before: Of the segments.
        bytes_after: Of the files.
        aside: Damaged stretches that were set aside.
        torn: Bytes of tails that were torn by a crash, and cut off.
    """

    endpoint: str
    kind: str
    unit: int
    segments: int
    rows: int
    files: int
    bytes_before: int
    bytes_after: int
    aside: tuple[str, ...] = ()
    torn: int = 0


class Departure(msgspec.Struct, frozen=True, kw_only=True):
    """What went of an endpoint's prediction log, or would go.

    Attributes:
        endpoint: Whose.
        days: The days, oldest first.
        predictions: How many rows.
        labels: How many rows.
        bytes: Of the files.
        because: Of their `age`, or of the log's `size`.
    """

    endpoint: str
    days: tuple[str, ...]
    predictions: int
    labels: int
    bytes: int
    because: str


class Reclaimed(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased and given back, or would be.

    Attributes:
        dry: Whether it was only looked at.
        experiments: Erased, by id.
        runs: Likewise.
        models: Logged models, likewise.
        kept: Deleted runs and logged models that stay, since a registered version needs their
            files.
        blobs: Stored files that nothing named any more.
        blob_bytes: Their bytes, and those of uploads that were never finished.
        young: Stored files that nothing names, but that are too young to go.
        folders: Unpacked bundles and leftovers of runs.
        database_bytes: What the database's file became smaller by.
        log: What went of the prediction log, by endpoint.
    """

    dry: bool
    experiments: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    blobs: int = 0
    blob_bytes: int = 0
    young: int = 0
    folders: int = 0
    database_bytes: int = 0
    log: tuple[Departure, ...] = ()
