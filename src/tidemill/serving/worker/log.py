"""Writes answers and labels into the letterbox: one writer for each endpoint and kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tidemill.core.ids import Ids
from tidemill.predictions.description import describe
from tidemill.predictions.records import Described, LabelRecord, LabelRow
from tidemill.predictions.writer import (
    RecordWriter,
    labels_folder,
    predictions_folder,
)
from tidemill.serving.worker.redaction import Redactions


class Log:
    """The letterbox's slot.

    Args:
        folder: The root of the letterbox.
        ids: Name the segments.
        redactions: What of a request reaches it.
    """

    def __init__(self, folder: Path, ids: Ids, redactions: Redactions) -> None:
        self._folder = folder
        self._ids = ids
        self.redactions = redactions
        self._predictions: dict[str, RecordWriter] = {}
        self._labels: dict[str, RecordWriter] = {}

    @property
    def dropped(self) -> int:
        """How many records were lost."""
        return sum(self.losses.values())

    @property
    def losses(self) -> dict[str, int]:
        """How many records were lost, by endpoint."""
        found: dict[str, int] = {}
        for writers in (self._predictions, self._labels):
            for name, writer in writers.items():
                found[name] = found.get(name, 0) + writer.dropped
        return found

    @property
    def commit_seconds(self) -> float:
        """How long the slowest of the last commits took."""
        writers = (*self._predictions.values(), *self._labels.values())
        return max((w.commit_seconds for w in writers), default=0.0)

    def of(self, endpoint: str) -> RecordWriter:
        """Return what writes the answers of an endpoint."""
        writer = self._predictions.get(endpoint)
        if writer is None:
            folder = predictions_folder(self._folder, endpoint)
            writer = self._predictions[endpoint] = RecordWriter(folder, self._ids)
        return writer

    def describe(self, endpoint: str, described: Sequence[Described]) -> None:
        """Write down the types of versions' columns, for those who read the log."""
        for version in described:
            describe(self._folder, endpoint, version)

    def labels(self, endpoint: str, arrived: int, rows: Sequence[LabelRow]) -> RecordWriter:
        """Take one delivery of labels; the caller flushes before it says yes."""
        writer = self._labels.get(endpoint)
        if writer is None:
            folder = labels_folder(self._folder, endpoint)
            writer = self._labels[endpoint] = RecordWriter(folder, self._ids)
        writer.append(LabelRecord(arrived, list(rows)))
        return writer

    def flush(self) -> None:
        """Return when everything taken so far is on disk.

        Raises:
            LogStopped: It could not be written.
        """
        for writer in (*self._predictions.values(), *self._labels.values()):
            writer.flush()

    def close(self) -> None:
        """Write what is waiting and stop."""
        for writer in (*self._predictions.values(), *self._labels.values()):
            writer.close()
