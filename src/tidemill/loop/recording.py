"""Keeps what an endpoint answered lately, for a training that replays it."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import polars as pl

from tidemill.pipelines.recipe import RecordedRows
from tidemill.predictions.reader import read_labels, read_predictions
from tidemill.serving.recorded import answered, with_labels
from tidemill.storage.blobs.protocol import BlobStore

MOST_ROWS = 200_000
"""So many of the newest rows are replayed."""


def recorded_rows(
    predictions: Path,
    endpoint: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pl.DataFrame:
    """Return what an endpoint answered in a stretch, with what came true where it is known.

    Args:
        predictions: The root of the letterbox.
        endpoint: Which.
        since: From when on.
        until: Up to when, exclusive.
    """
    frame, _ = read_predictions(predictions, endpoint)
    labels, _ = read_labels(predictions, endpoint)
    return with_labels(answered(frame, since, until).tail(MOST_ROWS), labels)


class Recording:
    """Stores recorded rows.

    Args:
        predictions: The root of the letterbox.
        blobs: Where tables are stored.
    """

    def __init__(self, predictions: Path, blobs: BlobStore) -> None:
        self._predictions = predictions
        self._blobs = blobs

    def __call__(self, endpoint: str, since: datetime) -> RecordedRows | None:
        """Store what an endpoint answered since a moment; nothing where that is nothing."""
        rows = recorded_rows(self._predictions, endpoint, since=since)
        if rows.is_empty():
            return None
        buffer = io.BytesIO()
        rows.write_parquet(buffer, compression="lz4")
        stored = self._blobs.put(buffer.getvalue())
        return RecordedRows(digest=stored.digest, file=str(self._blobs.locate(stored.digest)))
