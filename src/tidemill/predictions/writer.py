"""Appends records to segments; one writer a process, so that processes never share a file.

Part of the hot path. `append` only puts the record into memory; a thread writes and syncs what
has gathered, at most `interval` seconds later. In `durable` mode a caller waits for that.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import msgspec

from tidemill.core.ids import Ids
from tidemill.predictions.errors import LogStopped
from tidemill.predictions.frames import frame

INTERVAL = 0.05
SEGMENT_BYTES = 64 << 20
WAITING_BYTES = 64 << 20


class RecordWriter:
    """Writes framed records into numbered segments of a folder.

    Args:
        folder: Where to; made if it is missing.
        ids: Name the segments, so that they sort by time and never clash.
        interval: How long a record may wait for its sync, in seconds.
    """

    def __init__(self, folder: Path, ids: Ids, *, interval: float = INTERVAL) -> None:
        self._folder = folder
        self._ids = ids
        self._interval = interval
        self._encoder = msgspec.msgpack.Encoder()
        self._ready = threading.Condition()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._appended = 0
        self._durable = 0
        self._closed = False
        self._failure: OSError | None = None
        self._descriptor: int | None = None
        self._written = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="tidemill-log", daemon=True)
        self._thread.start()

    def append(self, record: Any) -> int:
        """Take a record and return its number; never waits, drops and counts under overload."""
        data = frame(self._encoder.encode(record))
        with self._ready:
            if self._waiting_bytes + len(data) > WAITING_BYTES:
                self.dropped += 1
                return self._appended
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            self._appended += 1
            if self._waiting_bytes > 1 << 20:
                self._ready.notify_all()
            return self._appended

    def flush(self, timeout: float = 30.0) -> None:
        """Return when everything appended so far is on disk.

        Raises:
            LogStopped: It could not be written.
        """
        with self._ready:
            target = self._appended
            self._ready.notify_all()
            done = self._ready.wait_for(
                lambda: self._durable >= target or self._failure is not None, timeout
            )
            if self._failure is not None or not done:
                raise LogStopped(
                    f"The log in {self._folder} cannot be written: {self._failure or 'time out'}.",
                    hint="Predictions go on; free some space and the log goes on too.",
                )

    def close(self) -> None:
        """Write what is waiting and stop."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._ready:
                self._ready.wait(self._interval)
                waiting, self._waiting = self._waiting, []
                self._waiting_bytes = 0
                number, closed = self._appended, self._closed
            if waiting:
                self._save(waiting)
            with self._ready:
                self._durable = number
                self._ready.notify_all()
            if closed:
                break
        if self._descriptor is not None:
            os.close(self._descriptor)

    def _save(self, waiting: list[bytes]) -> None:
        data = b"".join(waiting)
        try:
            descriptor = self._segment()
            _write_all(descriptor, data)
            os.fdatasync(descriptor)
        except OSError as error:
            self._failure = error
            self.dropped += len(waiting)
            self._abandon()
        else:
            self._failure = None
            self._written += len(data)

    def _segment(self) -> int:
        if self._descriptor is not None and self._written < SEGMENT_BYTES:
            return self._descriptor
        self._abandon()
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self._ids.new()}.log"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        self._written = 0
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return self._descriptor

    def _abandon(self) -> None:
        """Leave the segment: after a failed sync nothing is known of its tail."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def predictions_folder(root: Path, endpoint: str) -> Path:
    """Return where an endpoint's predictions lie."""
    return root / endpoint / "predictions"


def labels_folder(root: Path, endpoint: str) -> Path:
    """Return where an endpoint's labels lie."""
    return root / endpoint / "labels"
