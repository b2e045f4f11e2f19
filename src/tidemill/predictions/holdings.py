"""What the log of an endpoint holds, in figures: a record only, which commands read."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint's log holds.

    Attributes:
        endpoint: Whose.
        predictions: Rows of predictions.
        estimated: How many predictions they stand for, where the log is a sample.
        errors: Of the rows, those whose request failed.
        since: The oldest, by time.
        until: The newest.
        labels: How many labels were told.
        labelled: Rows of predictions that have one.
        corrected: Rows that were told of more than once.
        unmatched: Labels whose predictions the log does not have (yet).
        examples: Some of their ids and keys.
        segments: Files that are to be compacted.
        segment_bytes: Of them together.
        files: Parquet files.
        file_bytes: Of them together.
        aside: Stretches that could not be read.
    """

    endpoint: str
    predictions: int
    estimated: float
    errors: int
    since: datetime | None
    until: datetime | None
    labels: int
    labelled: int
    corrected: int
    unmatched: int
    examples: tuple[str, ...]
    segments: int
    segment_bytes: int
    files: int
    file_bytes: int
    aside: int
