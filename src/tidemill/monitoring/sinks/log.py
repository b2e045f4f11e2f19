"""Writes alerts to the log: one JSON line each in `logs/alerts.log` of the home."""

from __future__ import annotations

import logging
import os

import msgspec

from tidemill.monitoring.alerts.errors import SinkFailed
from tidemill.monitoring.alerts.messages import heading
from tidemill.monitoring.alerts.protocol import Sink, SinkSettings
from tidemill.monitoring.alerts.records import Message

logger = logging.getLogger(__name__)
# Shown where the program shows its log, as `tidemill up` does, and nowhere else.
logger.addHandler(logging.NullHandler())
FILE = "alerts.log"
_MOST_BYTES = 10 << 20
"""From this size on the file is put aside as `alerts.log.1`, in place of the one before."""


class LogSink:
    """Appends to the home's log of alerts."""

    def __init__(self, settings: SinkSettings) -> None:
        self._path = settings.logs / FILE

    def send(self, message: Message) -> None:
        """Append a line; it is on the disk when this returns."""
        line = msgspec.json.encode(message) + b"\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and self._path.stat().st_size > _MOST_BYTES:
                self._path.replace(self._path.with_suffix(".log.1"))
            with self._path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SinkFailed(f"{self._path} cannot be written: {error.strerror}.") from error
        logger.warning("%s: %s", heading(message), message.text)


def open_sink(settings: SinkSettings) -> Sink:
    """Open the sink."""
    return LogSink(settings)


PLUGIN = open_sink
