"""Writes answers and labels into the letterbox: one writer for each endpoint and kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tidemill.core.ids import Ids
from tidemill.predictions.records import LabelRecord, LabelRow, PredictionRecord
from tidemill.predictions.writer import RecordWriter, labels_folder, predictions_folder


class Log:
    """The letterbox's slot.

    Args:
        folder: The root of the letterbox.
        ids: Name the segments.
    """

    def __init__(self, folder: Path, ids: Ids) -> None:
        self._folder = folder
        self._ids = ids
        self._predictions: dict[str, RecordWriter] = {}
        self._labels: dict[str, RecordWriter] = {}

    @property
    def dropped(self) -> int:
        """How many records were lost."""
        return sum(w.dropped for w in (*self._predictions.values(), *self._labels.values()))

    def prediction(self, endpoint: str, record: PredictionRecord) -> RecordWriter:
        """Take one answered request; never waits."""
        writer = self._predictions.get(endpoint)
        if writer is None:
            folder = predictions_folder(self._folder, endpoint)
            writer = self._predictions[endpoint] = RecordWriter(folder, self._ids)
        writer.append(record)
        return writer

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
