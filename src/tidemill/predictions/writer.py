"""Appends records to segments; one writer a process, so that processes never share a file.

Part of the hot path. `append` only puts the record into memory; a thread writes and syncs what has
gathered, at most `interval` seconds later, in one commit. In `durable` mode an answer waits for
that. What `gather` takes stands in one record with what comes before and after it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tidemill.core.clock import Clock, SystemClock
from tidemill.core.ids import Ids
from tidemill.predictions.errors import LogStopped
from tidemill.predictions.frames import frame
from tidemill.predictions.gathering import Gathering
from tidemill.predictions.packing import packed
from tidemill.predictions.requests import LoggedRequest, narrowed
from tidemill.predictions.segments import sync_folder

INTERVAL = 0.05
SEGMENT_BYTES = 64 << 20
SEGMENT_SECONDS = 3600.0
WAITING_BYTES = 64 << 20
_EARLY_BYTES = 1 << 20
_REMEMBERED = 1000
_TIMEOUT = 30.0
_MOST_PARTS = 1024
"""As many the kernel writes at once."""
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_DSYNC
"""What is written is on disk when the call returns: who writes and syncs in two calls waits for the
interpreter in between, and takes it from those who answer."""
Settled = Callable[[LogStopped | None], None]
_UNWRITABLE = (TypeError, ValueError, OverflowError, NotImplementedError)
logger = logging.getLogger(__name__)


class RecordWriter:
    """Writes framed records into numbered segments of a folder.

    A segment is locked for as long as it is written; who gets the lock knows that it is sealed,
    whichever way the writer ended.

    Args:
        folder: Where to; made if it is missing.
        ids: Name the segments, so that they sort by time and never clash.
        interval: How long a record may wait for its sync, in seconds.
        segment_seconds: How long a segment is written before the next is begun.
        clock: Tells how old a segment is.
    """

    def __init__(
        self,
        folder: Path,
        ids: Ids,
        *,
        interval: float = INTERVAL,
        segment_seconds: float = SEGMENT_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self._folder = folder
        self._ids = ids
        self._interval = interval
        self._seconds = segment_seconds
        self._clock = clock or SystemClock()
        self._encoder = msgspec.msgpack.Encoder(enc_hook=packed)
        # Answers take the lock itself: by way of the condition it costs three times as much.
        self._lock = threading.Lock()
        self._ready = threading.Condition(self._lock)
        self._open: dict[Gathering, None] = {}
        self._waiting: list[bytes | bytearray] = []
        self._waiting_bytes = 0
        self._asking: list[tuple[int, Settled]] = []
        self._appended = 0
        self._settled = 0
        self._lost: deque[tuple[int, int, str]] = deque(maxlen=_REMEMBERED)
        self._closed = False
        self._path = folder
        self._descriptor: int | None = None
        self._written = 0
        self._begun = 0.0
        self.dropped = 0
        self.failing = ""
        """Why the last commit was lost; empty where it was not."""
        self.commit_seconds = 0.0
        """How long the last commit took."""
        self._thread = threading.Thread(target=self._run, name="tidemill-log", daemon=True)
        self._thread.start()

    def append(self, record: Any) -> int:
        """Take a record and return its number; never waits.

        Under overload the record is dropped and counted, and there is no number: 0.
        """
        data = frame(self._encoder.encode(record))
        with self._ready:
            if self._waiting_bytes + len(data) > WAITING_BYTES:
                self.dropped += 1
                return 0
            self._appended += 1
            self._keep(data)
            return self._appended

    def gather(self, gathering: Gathering, requests: list[LoggedRequest]) -> int:
        """Take requests that are written with others of their version.

        Args:
            gathering: Where they stand together.
            requests: At most `TOGETHER`.

        Returns:
            The number of the last; 0 where one of them was dropped, and counted.
        """
        with self._lock:
            if self._waiting_bytes > WAITING_BYTES:
                self.dropped += len(requests)
                return 0
            if not gathering.has_room(len(requests)):
                self._keep(gathering.taken())
            taken = self._add(gathering, requests)
            if gathering.count:
                self._open[gathering] = None
            self._appended += taken
            return self._appended if taken == len(requests) else 0

    def _add(self, gathering: Gathering, requests: list[LoggedRequest]) -> int:
        """Add requests and return how many; what cannot be written takes nothing else along."""
        try:
            gathering.add(requests)
        except _UNWRITABLE:
            return sum(self._add_one(gathering, request) for request in requests)
        return len(requests)

    def _add_one(self, gathering: Gathering, request: LoggedRequest) -> int:
        try:
            try:
                gathering.add([request])
            except OverflowError:
                gathering.add([narrowed(request)])
        except _UNWRITABLE as error:
            logger.error("what cannot be written is lost to %s: %s", self._folder, error)
            self.dropped += 1
            return 0
        return 1

    def when_durable(self, number: int, settled: Settled) -> None:
        """Have it said, from the writer's thread, when a record is on disk, or why it never will.

        However many wait, one sync answers them all.

        Args:
            number: What `append` returned.
            settled: Is called once, with nothing where the record is on disk.
        """
        with self._ready:
            if self._settled < number:
                self._asking.append((number, settled))
                self._ready.notify_all()
                return
        settled(self._failure_of(number))

    def flush(self, timeout: float = _TIMEOUT) -> None:
        """Return when everything appended so far is on disk.

        Raises:
            LogStopped: Some of it could not be written, or nothing could lately.
        """
        with self._ready:
            first, number = self._settled + 1, self._appended
            self._ready.notify_all()
            if not self._ready.wait_for(lambda: self._settled >= number, timeout):
                raise self._stopped("time out")
            lost = next((why for _, last, why in self._lost if last >= first), self.failing)
        if lost:
            raise self._stopped(lost)

    def close(self) -> None:
        """Write what is waiting and stop."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._ready:
                if not self._asking and not self._closed:
                    self._ready.wait(self._interval)
                waiting = [*self._waiting, *(gathering.taken() for gathering in self._open)]
                self._waiting, self._waiting_bytes = [], 0
                self._open.clear()
                before, number, closed = self._settled, self._appended, self._closed
            if waiting:
                self._commit(waiting, number - before)
            with self._ready:
                if waiting and self.failing:
                    self._lost.append((self._settled + 1, number, self.failing))
                self._settled = number
                asking = [a for a in self._asking if a[0] <= number]
                self._asking = [a for a in self._asking if a[0] > number]
                self._ready.notify_all()
            for asked, settled in asking:
                settled(self._failure_of(asked))
            if closed:
                break
            if self._descriptor is not None and self._is_old():
                self._seal()
        self._seal()

    def _keep(self, data: bytes | bytearray) -> None:
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > _EARLY_BYTES:
            self._ready.notify_all()

    def _commit(self, parts: list[bytes | bytearray], count: int) -> None:
        begun = self._clock.monotonic()
        try:
            descriptor = self._segment()
            _write_all(descriptor, parts)
        except OSError as error:
            self.failing = f"{error.strerror or error}"
            self.dropped += count
            self._give_up()
        else:
            self.failing = ""
            self._written += sum(map(len, parts))
        self.commit_seconds = self._clock.monotonic() - begun

    def _segment(self) -> int:
        if self._descriptor is not None and self._written < SEGMENT_BYTES:
            return self._descriptor
        self._seal()
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = None
        while descriptor is None:
            self._path = self._folder / f"{self._ids.new()}.log"
            descriptor = _begun(self._path)
        self._descriptor = descriptor
        self._written = 0
        self._begun = self._clock.monotonic()
        sync_folder(self._folder)
        return descriptor

    def _is_old(self) -> bool:
        return self._clock.monotonic() - self._begun > self._seconds

    def _seal(self) -> None:
        """Leave the segment; the lock goes with it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _give_up(self) -> None:
        """Leave a segment whose tail may be anything: cut it off, and leave no empty file."""
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self._written)
            if self._written == 0:
                self._path.unlink()
        self._seal()

    def _failure_of(self, number: int) -> LogStopped | None:
        if number == 0:
            return self._stopped("too much is waiting, or a value is none that can be written")
        with self._ready:
            lost = [why for first, last, why in self._lost if first <= number <= last]
        return self._stopped(lost[0]) if lost else None

    def _stopped(self, why: str) -> LogStopped:
        return LogStopped(
            f"The log in {self._folder} cannot be written: {why}.",
            hint="Predictions go on; free some space and the log goes on too.",
        )


def predictions_folder(root: Path, endpoint: str) -> Path:
    """Return where an endpoint's predictions lie."""
    return root / endpoint / "predictions"


def labels_folder(root: Path, endpoint: str) -> Path:
    """Return where an endpoint's labels lie."""
    return root / endpoint / "labels"


def _begun(path: Path) -> int | None:
    """Return a new segment, locked; nothing where a compactor was quicker to lock it."""
    descriptor = os.open(path, _FLAGS, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _write_all(descriptor: int, parts: list[bytes | bytearray]) -> None:
    for at in range(0, len(parts), _MOST_PARTS):
        some = parts[at : at + _MOST_PARTS]
        written = os.writev(descriptor, some)
        if written < sum(map(len, some)):
            _write_rest(descriptor, b"".join(some)[written:])


def _write_rest(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
