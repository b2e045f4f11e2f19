"""The access log: one line of JSON a request, by which one can be followed through the system."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tidemill.core.clock import Clock
from tidemill.serving.worker.http import Request, Response
from tidemill.serving.worker.trace import parent_of

logger = logging.getLogger(__name__)

LARGEST = 64 << 20
"""At this size a log is put aside, and a new one begun."""
KEPT = 4
"""How many logs that were put aside are kept."""


class Line(msgspec.Struct, omit_defaults=True):
    """One line.

    Attributes:
        time: When it was answered.
        method: As it came.
        path: As it came, without the query.
        status: Of the answer.
        ms: From the request's last byte to the answer.
        received: Bytes of the request's body.
        sent: Bytes of the answer's body.
        trace: The trace, where W3C trace context came with the request or it is recorded.
        span: Our span where it is recorded, else the caller's.
        request: The caller's name for the request.
    """

    time: str
    method: str
    path: str
    status: int
    ms: float
    received: int
    sent: int
    trace: str = ""
    span: str = ""
    request: str = ""


class AccessLog:
    """Appends lines to a file, and begins a new one when it has grown large.

    Args:
        path: The file; workers may share it, since a line is one write.
        clock: Tells the time.
        largest: The size in bytes at which it is put aside as `.1`, and the older ones moved on.
    """

    def __init__(self, path: Path, clock: Clock, *, largest: int = LARGEST) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._largest = largest
        self._descriptor = self._open()
        self._clock = clock
        self._encoder = msgspec.json.Encoder()
        self.dropped = 0

    def note(self, request: Request, response: Response) -> None:
        """Write the line of a request that has been answered; on a full disk, count its loss."""
        trace, span = _trace_of(request)
        line = Line(
            time=self._clock.now().isoformat(),
            method=request.method,
            path=request.path[:500],
            status=response.status,
            ms=round(1000 * (self._clock.monotonic() - request.arrived), 3),
            received=len(request.body),
            sent=len(response.body),
            trace=trace,
            span=span,
            request=(request.header(b"x-request-id") or "")[:200],
        )
        try:
            os.write(self._descriptor, self._encoder.encode(line) + b"\n")
        except OSError:
            self.dropped += 1

    def tend(self) -> None:
        """Put a large log aside, and follow another that did: called every second or so."""
        try:
            with self._locked():
                if self._path.stat().st_size >= self._largest:
                    self._put_aside()
        except FileNotFoundError:
            pass
        except OSError as error:
            logger.error("the access log %s cannot be put aside: %s", self._path, error)
        if self._is_another():
            self._follow()

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _put_aside(self) -> None:
        for number in range(KEPT, 0, -1):
            older = self._aside(number - 1) if number > 1 else self._path
            if older.exists():
                older.replace(self._aside(number))

    def _aside(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _is_another(self) -> bool:
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return True

    def _follow(self) -> None:
        try:
            opened = self._open()
        except OSError as error:
            logger.error("the access log %s cannot be opened: %s", self._path, error)
            return
        os.close(self._descriptor)
        self._descriptor = opened

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(self._path, flags, 0o600)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one worker at a time put the log aside: each checks again whether it is still due."""
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


def _trace_of(request: Request) -> tuple[str, str]:
    if request.trace is not None:
        return request.trace.trace, request.trace.span
    parent = parent_of(request.headers)
    return ("", "") if parent is None else (parent.trace, parent.span)
